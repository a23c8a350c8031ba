"""Mean and standard deviation of a family without a formula for them, over fixed points of its noise."""

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions.base import Family
from elbo_lab.distributions.sources import Sobol

# Of the noise, and the rows of data that are moved at once.
POINTS, SEED, ROWS_PER_PASS = 256, 20_211_130, 256


def moments_by_points(family: Family, eta: Floats) -> tuple[Floats, Floats]:
    """Return mean and standard deviation (N, K) over 256 fixed Sobol points of the noise.

    Parameters
    ----------
    family : Family
        Continuous.
    eta : ndarray (N, E)

    Notes
    -----
    Good to about 2 % of the standard deviation.
    """
    noise = Sobol().draw(family.noise_spec(POINTS, 1), np.random.default_rng(SEED))
    parts = []
    for start in range(0, len(eta), ROWS_PER_PASS):
        z = family.sample(eta[start : start + ROWS_PER_PASS], noise)
        parts.append((z.mean(axis=0), z.std(axis=0)))
    mean, std = (np.concatenate(part) for part in zip(*parts, strict=True))
    return mean, std
