"""Inverse temperatures beta_0 = 0 < ... < beta_T = 1 of an annealed path.

    linear      beta_t = t / T
    sigmoidal   beta_t = (b_t - b_0) / (b_T - b_0),   b_t = sigmoid(delta (2 t / T - 1))

The sigmoidal one takes small steps at both ends: at the beginning, where the base meets data that it hardly
explains, and at the end, where the posterior is sharp (Grosse, Ghahramani and Adams 2015; delta = 4 as in
Wu et al. 2017).
"""

import numpy as np
from numpy.typing import ArrayLike

from elbo_lab.arrays import Floats
from elbo_lab.errors import bad_value, check_count, check_positive
from elbo_lab.special import sigmoid


def linear_schedule(n_steps: int) -> Floats:
    """Return beta (T + 1,) for T = `n_steps`, evenly spaced."""
    return np.linspace(0.0, 1.0, check_count("n_steps", n_steps) + 1)


def sigmoidal_schedule(n_steps: int, delta: float = 4.0) -> Floats:
    """Return beta (T + 1,) for T = `n_steps`, dense at both ends."""
    even = linear_schedule(n_steps)
    b = sigmoid(check_positive("delta", delta) * (2.0 * even - 1.0))
    schedule = (b - b[0]) / (b[-1] - b[0])
    schedule[-1] = 1.0
    return schedule


def check_schedule(schedule: ArrayLike) -> Floats:
    """Return the schedule (T + 1,) if it rises from 0 to 1, or raise ValueError."""
    schedule = np.asarray(schedule, dtype=np.float64)
    rises = schedule.ndim == 1 and len(schedule) > 1 and np.all(np.diff(schedule) >= 0.0)
    if not (rises and schedule[0] == 0.0 and schedule[-1] == 1.0):
        raise bad_value("schedule", "numbers that rise from 0 to 1", np.array2string(schedule, threshold=6))
    return schedule
