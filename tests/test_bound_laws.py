"""What a step of theta does to log p: a law with a proof of one line, its converse refuted, faults caught.

With the same q before and after, log p(theta') >= ELBO(theta', q) = log p(theta) - gap + gain.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elbo_lab import exact
from elbo_lab.estimators import Problem
from elbo_lab.models import PPCA
from elbo_lab.posteriors import FreePosterior

MODEL = PPCA(3, 1)
POSTERIOR = FreePosterior(MODEL.family, 1)
X = np.array([[1.2, 0.3, -0.8]])

numbers = st.floats(-2.0, 2.0)
thetas = st.lists(numbers, min_size=MODEL.layout.size, max_size=MODEL.layout.size).map(np.array)
offsets = st.tuples(st.floats(-3.0, 3.0), st.floats(-2.0, 1.0))


def at(theta, eta):
    return Problem(MODEL, POSTERIOR, theta, eta.ravel(), X)


def measured(theta, eta):
    """Return the exact log p and ELBO."""
    return exact.log_evidence(at(theta, eta)).value[0], exact.elbo(at(theta, eta)).value[0]


def step_of(theta, offset, direction, size):
    """Return gap, gain of the ELBO and change of log p of one step of theta, with q off the posterior."""
    eta = MODEL.posterior_eta(theta, X) + np.array(offset)
    log_p, elbo = measured(theta, eta)
    log_p_after, elbo_after = measured(theta + size * direction, eta)
    return log_p - elbo, elbo_after - elbo, log_p_after - log_p


def assert_law(gap, gain, change):
    rounding = 1e-9 * (1 + abs(gap) + abs(gain))
    assert change >= gain - gap - rounding, "log p changes by at least gain - gap"


@given(thetas, offsets, thetas, st.floats(0.0, 1.0))
def test_log_p_changes_by_at_least_what_the_bound_gains_beyond_the_gap(theta, offset, direction, size):
    assert_law(*step_of(theta, offset, direction, size))


@given(thetas, offsets)
def test_a_gain_above_the_gap_raises_log_p(theta, offset):
    """Steps along the gradient, from a q that is as near to the posterior as the gain asks for."""
    slope = exact.gradients(at(theta, MODEL.posterior_eta(theta, X) + np.array(offset))).theta_elbo.value
    direction = slope / max(1.0, np.linalg.norm(slope))
    met = 0
    for nearer in (1.0, 0.1, 0.01, 0.001):
        gap, gain, change = step_of(theta, nearer * np.array(offset), direction, 0.1)
        if gain > gap + 1e-9:
            assert change > 0
            met += 1
    # Where the slope is not flat, the nearest q has a gap below the gain.
    assert met or np.linalg.norm(slope) < 1.0 or gain < 1e-4


def test_a_gain_below_the_gap_may_lower_log_p():
    theta = MODEL.layout.pack({"W": np.array([[1.0], [0.5], [-1.0]]), "b": np.zeros(3), "log_sigma": 0.0})
    eta = np.array([[0.2, np.log(0.1)]])
    in_w = MODEL.layout.pack({"W": np.ones((3, 1)), "b": np.zeros(3), "log_sigma": 0.0})
    slope = in_w * exact.gradients(at(theta, eta)).theta_elbo.value
    gap, gain, change = step_of(theta, eta - MODEL.posterior_eta(theta, X), slope, 0.2)
    assert (gap, gain, change) == pytest.approx((1.5757, 0.0098, -0.0044), abs=5e-5)
    assert_law(gap, gain, change)


FAULTS = {
    "no entropy in the gap": lambda gap, gain, change: (gap - 0.5 * np.log(2 * np.pi * np.e), gain, change),
    "the gap after the step": lambda gap, gain, change: (gap + change - gain, gain, change),
    "half of the gap": lambda gap, gain, change: (0.5 * gap, gain, change),
    "log p falls where it rises": lambda gap, gain, change: (gap, gain, -change),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_law_catches(fault):
    """A wrong gap or a wrong sign breaks the law in some of many steps; the right numbers in none."""
    rng = np.random.default_rng(0)
    broken = 0
    for _ in range(60):
        theta = rng.standard_normal(MODEL.layout.size)
        offset = rng.uniform(0.1, 1.0) * rng.standard_normal(2)
        target = rng.standard_normal(MODEL.layout.size)
        right = step_of(theta, offset, target - theta, rng.uniform(0.0, 0.3))
        assert_law(*right)
        try:
            assert_law(*FAULTS[fault](*right))
        except AssertionError:
            broken += 1
    assert broken > 0
