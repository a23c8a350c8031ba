import numpy as np

EXERCISE = "kl-of-two-gaussians"
SEED = 1


def kl(mean_q, sd_q, mean_p, sd_p):
    by_coordinate = np.log(sd_p / sd_q) + (sd_q**2 + (mean_q - mean_p) ** 2) / (2 * sd_p**2) - 0.5
    return by_coordinate.sum(axis=1)
