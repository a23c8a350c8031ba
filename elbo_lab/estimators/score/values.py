"""A discrete q as one table: log q of every value of z, so that values are drawn by their number.

Estimators that treat values individually (the most probable first, none twice) work on the numbers 0..G-1 of
`family.values()` as on categories, and need the model only at the values that they pick.
"""

import numpy as np

from elbo_lab.arrays import Floats, Integers
from elbo_lab.distributions import Categorical
from elbo_lab.distributions.base import Family
from elbo_lab.exact.enumeration import all_values

# Values of z that a table holds for every datum.
MOST_VALUES = 1024


def log_table(family: Family, eta: Floats) -> Floats:
    """Return log q of every value (N, G), for eta (N, E)."""
    return family.log_prob(eta, all_values(family, len(eta))).T


def draw_number(log_p: Floats, uniform: Floats) -> Integers:
    """Return numbers (...) drawn from log-probabilities (..., G), up to a constant, by uniforms (...)."""
    # `Categorical.sample` broadcasts the logits, so that every draw may have different ones.
    return Categorical(log_p.shape[-1]).sample(log_p, uniform)


def without(log_p: Floats, number: Integers) -> Floats:
    """Return the table (..., G) with the value of that number (...) removed: log-probability -inf."""
    return np.where(np.arange(log_p.shape[-1]) == number[..., None], -np.inf, log_p)
