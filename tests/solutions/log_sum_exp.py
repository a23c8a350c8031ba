import numpy as np

EXERCISE = "log-sum-exp"
SEED = 1


def log_sum_exp(a):
    peak = a.max(axis=1, keepdims=True)
    peak = np.where(np.isfinite(peak), peak, 0.0)
    with np.errstate(divide="ignore"):
        return np.log(np.exp(a - peak).sum(axis=1)) + peak[:, 0]


def log_mean_exp(a):
    return log_sum_exp(a) - np.log(a.shape[1])
