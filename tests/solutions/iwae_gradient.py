import numpy as np

EXERCISE = "iwae-gradient"
SEED = 1


def shares(log_w):
    w = np.exp(log_w - log_w.max())
    return w / w.sum()


def gradient_theta(log_w, slopes):
    return shares(log_w) @ slopes


def gradient_mean(log_w, slope_of_log_p):
    # log q of a draw is a function of its noise alone: it does not change with the mean.
    return shares(log_w) @ slope_of_log_p
