import numpy as np

EXERCISE = "elbo-of-a-gaussian-vae"
SEED = 1


def reconstruction(x, decoded, sigma):
    by_column = -0.5 * ((x - decoded) / sigma) ** 2 - np.log(sigma) - 0.5 * np.log(2 * np.pi)
    return by_column.sum(axis=2).mean(axis=0)


def kl_to_prior(mean, sd):
    return 0.5 * (mean**2 + sd**2 - 1 - 2 * np.log(sd)).sum(axis=1)


def elbo(x, decoded, sigma, mean, sd):
    return reconstruction(x, decoded, sigma) - kl_to_prior(mean, sd)
