import numpy as np

EXERCISE = "sticking-the-landing"
SEED = 1


def path_gradient(slope_of_log_p, z, mean, log_sd):
    slope = slope_of_log_p + (z - mean) / np.exp(log_sd) ** 2
    return np.stack([slope, slope * (z - mean)], axis=1)
