import numpy as np

EXERCISE = "reinforce"
SEED = 1


def score(z, mean, log_sd):
    u = (z - mean) / np.exp(log_sd)
    return u / np.exp(log_sd), u**2 - 1


def reinforce(z, f, baseline, mean, log_sd):
    by_mean, by_log_sd = score(z, mean, log_sd)
    return (f - baseline)[:, None] * by_mean, (f - baseline)[:, None] * by_log_sd
