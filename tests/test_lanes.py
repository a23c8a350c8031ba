"""Lanes act like rows of numbers, and powers of two on lanes are powers of two."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from elbo_lab.kernels.compiling import loop
from elbo_lab.kernels.lanes import LANES, everywhere, larger, load, store
from elbo_lab.kernels.powers import LOWEST, at_least_lowest, two_to

numbers = arrays(np.float64, LANES, elements=st.floats(-1e100, 1e100))


@loop
def combine(a, b, number, out):
    """Write all that lanes can do with a, b (LANES,) and a number into out (5 LANES,)."""
    one, two = load(a, 0), load(b, 0)
    store(out, 0, one + two)
    store(out, LANES, one - number)
    store(out, 2 * LANES, number * one)
    store(out, 3 * LANES, larger(one, two))
    store(out, 4 * LANES, everywhere(number))


@loop
def powers(t, out):
    for i in range(0, len(t), LANES):
        store(out, i, two_to(at_least_lowest(load(t, i))))


def powers_of(t):
    """Return 2^t for any number of t, filled up with zeros to whole lanes."""
    filled = np.zeros(LANES * -(-len(t) // LANES))
    filled[: len(t)] = t
    out = np.empty_like(filled)
    powers(filled, out)
    return out[: len(t)]


@given(numbers, numbers, st.floats(-1e100, 1e100))
def test_lanes_act_like_arrays(a, b, number):
    out = np.empty(5 * LANES)
    combine(a, b, number, out)
    # Numbers alone and no sum of products: nothing is fused, so the bits are those of NumPy.
    wanted = [a + b, a - number, number * a, np.maximum(a, b), np.full(LANES, number)]
    np.testing.assert_array_equal(out.reshape(5, LANES), wanted)


def test_the_larger_of_two_is_the_second_where_one_is_nan():
    a, b = np.full(LANES, np.nan), np.arange(LANES, dtype=float)
    out = np.empty(5 * LANES)
    with np.errstate(all="ignore"):
        combine(a, b, 1.0, out)
    np.testing.assert_array_equal(out.reshape(5, LANES)[3], b)


def relative_error(t, found):
    wanted = np.exp2(t.astype(np.longdouble))
    return np.abs(found / wanted - 1).max()


def test_powers_of_two_are_right_to_the_last_places():
    t = -np.concatenate([np.linspace(0, 1, 5001), np.logspace(-18, 3, 5000), np.arange(0.0, 1021, 0.5)])
    t = np.clip(t, -1021.0, 0.0)
    assert relative_error(t, powers_of(t)) < 8e-16
    # An error of four last places would be seen.
    assert relative_error(t, powers_of(t) * (1 + 1e-15)) > 8e-16
    assert np.all(powers_of(-np.arange(1022.0)) == np.exp2(-np.arange(1022.0)))


@pytest.mark.parametrize("t", [LOWEST, -1e4, -1e300, -np.inf])
def test_far_below_a_power_is_zero_and_never_wrong_by_more_than_the_smallest_normal_number(t):
    assert powers_of(np.array([t]))[0] == 0.0
    edge = np.linspace(LOWEST, -1021, 3000)
    assert np.all(np.abs(powers_of(edge) - np.exp2(edge)) <= 2.0**-1022)


def test_nan_stays_nan():
    assert np.isnan(powers_of(np.array([np.nan]))).all()
