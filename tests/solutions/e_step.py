import numpy as np

EXERCISE = "e-step"
SEED = 1


def log_joint(x, weights, means, variances):
    squares = ((x[:, None, :] - means[None, :, :]) ** 2).sum(axis=2)
    return np.log(weights) - 0.5 * squares / variances - 0.5 * x.shape[1] * np.log(2 * np.pi * variances)


def responsibilities(x, weights, means, variances):
    table = log_joint(x, weights, means, variances)
    shares = np.exp(table - table.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def log_p(x, weights, means, variances):
    table = log_joint(x, weights, means, variances)
    peak = table.max(axis=1)
    return peak + np.log(np.exp(table - peak[:, None]).sum(axis=1))
