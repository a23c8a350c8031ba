import numpy as np

EXERCISE = "variance-or-standard-deviation"
SEED = 1


def draw_z(mean, log_var, eps):
    return mean + np.sqrt(np.exp(log_var)) * eps


def draw_x(mean, var, rng):
    return rng.normal(mean, np.sqrt(var))


def log_q(z, mean, log_var):
    var = np.exp(log_var)
    return -0.5 * (z - mean) ** 2 / var - 0.5 * np.log(2 * np.pi * var)


def kl_to_prior(mean, log_var):
    var = np.exp(log_var)
    return 0.5 * (mean**2 + var - np.log(var) - 1)


def entropy(log_var):
    return 0.5 * np.log(2 * np.pi * np.e * np.exp(log_var))


def wrong_function():
    return "log_q"
