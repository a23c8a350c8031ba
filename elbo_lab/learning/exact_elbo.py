"""The best q in its family where the ELBO is exact: ascent of E_q log p(x, z) + H(q) in eta.

With a formula for the expectation, or a sum over every value of z, the fit has no noise and no step size.
For bits the ELBO of factorised q (mean field) has several maxima in general: bits that explain the same
pixels take turns. The ascent begins at the marginals of the exact posterior, the factorised q that is
closest to it in the other direction, KL(p(z | x) || q), and finds the maximum next to it.
"""

import numpy as np

from elbo_lab.exact import expectation
from elbo_lab.exact.enumeration import all_values
from elbo_lab.learning.ascent import ascend
from elbo_lab.special import softmax

# The ascent must be able to leave its start: the slope in a logit carries the factor p (1 - p).
LEAST_PROBABILITY = 0.01


def marginal_logits(model, theta, x):
    """Return the logits (N, K) of the exact posterior marginals of every bit, not beyond 0.01 and 0.99.

    Parameters
    ----------
    model : Model
        With bits as latents.
    theta : ndarray (P,)
    x : ndarray (N, D)
    """
    z = all_values(model.family, len(x))
    posterior = softmax(model.log_joint(theta, x, z), axis=0)
    p = np.clip(posterior.T @ z[:, 0, :], LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY)
    return np.log(p) - np.log1p(-p)


def ascend_exact_elbo(model, theta, x, start, max_iterations=200):
    """Return the eta (N, E) at which the exact ELBO is maximal, at a given theta.

    Parameters
    ----------
    model : Model
        With E_q log p(x, z) in closed form or by enumeration.
    theta : ndarray (P,)
    x : ndarray (N, D)
    start : ndarray (N, E)
    max_iterations : int
    """
    family = model.family

    def objective(vector):
        eta = vector.reshape(start.shape)
        found = expectation(model, theta, x, eta)
        by_eta = found.grad_eta + family.entropy_grad(eta) / len(x)
        return (found.value + family.entropy(eta)).mean(), by_eta.ravel()

    return ascend(objective, start.ravel(), max_iterations, tolerance=1e-15).reshape(start.shape)
