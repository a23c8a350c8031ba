import numpy as np

EXERCISE = "straight-through"
SEED = 1


def sigmoid(logit):
    return 1.0 / (1.0 + np.exp(-logit))


def straight_through(logit, bits, coefficients):
    p = sigmoid(logit)
    _, c1, c2, c3 = coefficients
    return p * (1.0 - p) * (c1 + 2.0 * c2 * bits + 3.0 * c3 * bits**2)


def exact_gradient(logit, coefficients):
    p = sigmoid(logit)
    return p * (1.0 - p) * coefficients[1:].sum()


def bias(logit, coefficients):
    p = sigmoid(logit)
    at_zero, at_one = straight_through(logit, np.array([0.0, 1.0]), coefficients)
    return (1.0 - p) * at_zero + p * at_one - exact_gradient(logit, coefficients)
