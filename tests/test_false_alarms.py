"""The bias test: its false alarms on heavy and light tails, and what it finds with which power."""

import numpy as np
import pytest
from false_alarms import (
    HEAVY,
    HEAVY_ROWS,
    LIGHT,
    LIGHT_ROWS,
    distribution_passes,
    joined,
    look_at,
    row_passes,
)
from scipy.stats import binom

from elbo_lab.estimators import Answer
from elbo_lab.study.moments import Moments
from elbo_lab.study.rows import bias_test
from elbo_lab.study.statistics import skewed_limit

REPEATS, PAIRS, LEVEL = 200, 2000, 1e-3
# Of 2000 pairs at the nominal rate of 0.001; exceeded with probability 3e-6 at that rate, and with
# probability 0.999 at 0.01, what a plain limit has on a mild tail.
MOST_ALARMS = 12
SOURCES = [pytest.param(distribution_passes(*LIGHT[name], REPEATS, 0), id=name) for name in LIGHT]
SOURCES += [pytest.param(distribution_passes(*HEAVY[name], REPEATS, 0), id=name) for name in HEAVY]
SOURCES += [
    pytest.param(row_passes(*row, REPEATS, 0), id=" ".join(row))
    for row in (LIGHT_ROWS[0], LIGHT_ROWS[1], *HEAVY_ROWS[1:3], HEAVY_ROWS[6])
]


def test_the_most_alarms_are_as_rare_as_stated():
    assert binom.sf(MOST_ALARMS, PAIRS, LEVEL) < 3e-6
    assert binom.sf(MOST_ALARMS, PAIRS, 10 * LEVEL) > 0.95


@pytest.mark.parametrize("passes", SOURCES)
def test_one_look_holds_its_rate_and_finds_what_it_calls_detectable(passes):
    look = joined(passes, PAIRS)
    assert look.exceeds(LEVEL)[1][:PAIRS].sum() <= MOST_ALARMS
    for sign in (-1.0, 1.0):
        assert look.exceeds(LEVEL, sign)[1].mean() > 0.97


def test_a_plain_limit_is_exceeded_far_too_often_on_heavy_tails():
    look = joined(distribution_passes(*HEAVY["normal^4"], REPEATS, 0), PAIRS)
    assert look.exceeds(LEVEL)[0][:PAIRS].sum() > 2 * MOST_ALARMS


@pytest.mark.parametrize("name", LIGHT)
def test_light_tails_keep_their_power(name):
    look = joined(distribution_passes(*LIGHT[name], 1000, 0), PAIRS)
    raised = skewed_limit(4.0, np.abs(look.skewness)) / 4.0
    assert np.median(raised) < (1.2 if name == "exponential" else 1.06)


def test_a_limit_grows_with_the_skewness_up_to_four_times():
    raised = skewed_limit(5.0, np.linspace(-1.0, 3.0, 4001)) / 5.0
    assert np.all(np.diff(raised) >= 0.0) and np.all(raised[:1001] == 1.0)
    assert raised[-1] == pytest.approx(4.0)


def test_the_script_looks_as_the_bias_test_does():
    rng = np.random.default_rng(0)
    exact = np.array([0.5, -0.2])
    values = exact + (rng.standard_normal((30, 80, 2)) ** 3 - rng.exponential(size=(30, 80, 2)) + 1.0)
    look = look_at(values, exact)
    for pair, sample in enumerate(values):
        moments = Moments(centre=exact)
        moments.add(sample)
        test = bias_test(moments, Answer(exact, np.zeros(2), "closed-form"), false_alarm=0.3)
        assert np.abs(np.abs(look.z[pair]) - test.max_z).min() < 1e-9
        assert (test.max_z > test.limit) == look.exceeds(0.3)[1][pair]
    assert 0 < look.exceeds(0.3)[1].sum() < len(values)


@pytest.mark.slow
@pytest.mark.parametrize("row", HEAVY_ROWS, ids=" ".join)
def test_heavy_rows_of_the_registry_hold_a_rate_of_one_in_ten_thousand(row):
    look = joined(row_passes(*row, REPEATS, 1), 10_000)
    # Ten times the nominal rate is what the worst row has; a plain limit has a hundred times on most.
    assert look.exceeds(1e-4)[1].mean() < 2e-3
