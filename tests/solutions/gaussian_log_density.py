import numpy as np

EXERCISE = "gaussian-log-density"
SEED = 1


def log_density(x, mean, sd):
    u = (x - mean) / sd
    return np.sum(-0.5 * u**2 - np.log(sd) - 0.5 * np.log(2 * np.pi), axis=1)
