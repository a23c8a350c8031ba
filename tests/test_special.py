"""The stable forms hold their formulas, at the edges of the number line too.

Exact values come from 80-bit floats (11 bits more than a float64) and, as a second opinion, from
`scipy.special`. That each check has teeth is shown by the textbook formula without the
rearrangement, which it must refuse.
"""

import math

import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from elbo_lab import special

INF, NAN = np.inf, np.nan
EPS = np.finfo(float).eps

needs_longdouble = pytest.mark.skipif(
    np.finfo(np.longdouble).nmant <= 52, reason="no float wider than 64 bits on this machine"
)

# The first example of a test also imports and compiles.
unhurried = settings(deadline=None)

finite = st.floats(-1e3, 1e3)
tables = hnp.arrays(float, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=finite)


def worst_ulp(values, exact):
    """Return the largest distance of `values` from `exact`, in units in the last place."""
    unit = np.spacing(np.abs(exact).astype(values.dtype))
    return float(np.max(np.abs(values - exact) / unit))


# --- sums of exponentials ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["log_sum_exp", "softmax", "log_softmax"])
@unhurried
@given(a=tables, axis=st.sampled_from([0, 1, -1, None, (0, 1)]))
def test_agrees_with_scipy(name, a, axis):
    theirs = getattr(scipy.special, name.replace("log_sum_exp", "logsumexp"))(a, axis=axis)
    np.testing.assert_allclose(getattr(special, name)(a, axis), theirs, rtol=1e-12, atol=1e-13)


@unhurried
@given(a=tables, shift=st.floats(-1e4, 1e4))
def test_a_shift_comes_out_of_log_sum_exp_and_leaves_softmax_alone(a, shift):
    moved = a + shift
    back = moved - shift  # the shift that rounding left
    np.testing.assert_allclose(
        special.log_sum_exp(moved, 1) - shift, special.log_sum_exp(back, 1), atol=1e-11
    )
    np.testing.assert_allclose(special.softmax(moved, 1), special.softmax(back, 1), atol=1e-11)


@unhurried
@given(a=tables)
def test_softmax_sums_to_one_and_log_mean_exp_lies_between_mean_and_maximum(a):
    np.testing.assert_allclose(special.softmax(a, 1).sum(1), 1.0, rtol=1e-14)
    level = special.log_mean_exp(a, 1)
    slack = 1e-12 * (1 + np.abs(a).max(1))
    assert np.all(level <= a.max(1) + slack)
    assert np.all(level >= a.mean(1) - slack)  # Jensen: the inequality behind the ELBO


LOG_SUM_EXP_AT_EDGES = [
    ([-INF, -INF], -INF),
    ([-INF, 3.0], 3.0),
    ([INF, 1e3], INF),
    ([INF, -INF], INF),
    ([INF, INF], INF),
    ([NAN, 0.0], NAN),
    ([NAN, INF], NAN),
    ([1e3, 1e3], 1e3 + math.log(2)),
    ([-1e3, -1e3], -1e3 + math.log(2)),
    ([1e308, -1e308], 1e308),
    ([7.0], 7.0),
]


@pytest.mark.parametrize(("a", "expected"), LOG_SUM_EXP_AT_EDGES)
def test_log_sum_exp_at_the_edges(a, expected):
    a = np.array(a)
    np.testing.assert_allclose(special.log_sum_exp(a, 0), expected, rtol=EPS)
    np.testing.assert_allclose(special.log_mean_exp(a, 0), expected - math.log(len(a)), rtol=2 * EPS)


def test_one_bad_row_leaves_the_others_alone():
    a = np.array([[-INF, -INF], [0.0, 0.0], [INF, 0.0], [-INF, 0.0]])
    np.testing.assert_allclose(special.log_sum_exp(a, 1), [-INF, math.log(2), INF, 0.0])
    np.testing.assert_array_equal(special.softmax(a, 1), [[NAN, NAN], [0.5, 0.5], [NAN, NAN], [0.0, 1.0]])
    half = -math.log(2)
    np.testing.assert_allclose(special.log_softmax(a, 1), [[NAN, NAN], [half, half], [NAN, NAN], [-INF, 0.0]])


def test_log_softmax_keeps_weights_that_softmax_cannot_hold():
    a = np.array([0.0, -1e3])
    assert special.softmax(a, 0)[1] == 0.0
    assert special.log_softmax(a, 0)[1] == -1e3


@pytest.mark.parametrize("name", ["log_sum_exp", "log_mean_exp", "softmax", "log_softmax"])
@pytest.mark.parametrize("axis", [0, None])
def test_float32_stays_float32(name, axis):
    assert getattr(special, name)(np.ones((3, 2), np.float32), axis).dtype == np.float32


@pytest.mark.parametrize("name", ["log_sum_exp", "log_mean_exp", "softmax", "log_softmax"])
def test_the_argument_is_left_alone_and_may_be_a_list_of_integers(name):
    a = np.array([[1.0, -INF], [2.0, 1e3]])
    before = a.copy()
    getattr(special, name)(a, 1)
    np.testing.assert_array_equal(a, before)
    f = getattr(special, name)
    np.testing.assert_array_equal(f([[1, 2], [3, 4]], 1), f(np.array([[1.0, 2.0], [3.0, 4.0]]), 1))


# --- one number in, one number out ------------------------------------------------------------


VALUES_AT_EDGES = [
    ("softplus", -INF, 0.0),
    ("softplus", -1e3, 0.0),
    ("softplus", -740.0, 4.2e-322),
    ("softplus", 0.0, math.log(2)),
    ("softplus", 1e3, 1e3),
    ("softplus", INF, INF),
    ("softplus", NAN, NAN),
    ("sigmoid", -INF, 0.0),
    ("sigmoid", -1e3, 0.0),
    ("sigmoid", -740.0, 4.2e-322),
    ("sigmoid", -0.0, 0.5),
    ("sigmoid", 1e3, 1.0),
    ("sigmoid", INF, 1.0),
    ("sigmoid", NAN, NAN),
    ("tanh", -INF, -1.0),
    ("tanh", 1e3, 1.0),
    ("tanh", -5e-324, -5e-324),
    ("tanh", NAN, NAN),
    ("log1mexp", 0.0, -INF),
    ("log1mexp", 5e-324, math.log(5e-324)),
    ("log1mexp", math.log(2), -math.log(2)),
    ("log1mexp", 740.0, -4.2e-322),
    ("log1mexp", 1e3, 0.0),
    ("log1mexp", INF, 0.0),
    ("log1mexp", -1.0, NAN),
    ("log1mexp", -1e3, NAN),
    ("log1mexp", NAN, NAN),
]


@pytest.mark.parametrize(("name", "x", "expected"), VALUES_AT_EDGES)
def test_values_at_the_edges(name, x, expected):
    f = getattr(special, name)
    np.testing.assert_allclose(f(x), expected, rtol=1e-15)
    np.testing.assert_allclose(f(np.full((2, 1), x)), np.full((2, 1), expected), rtol=1e-15)


@unhurried
@given(x=finite)
def test_sigmoid_is_expit_and_softplus_is_its_integral(x):
    # SciPy's expit gives zero where the value is subnormal.
    near = {"rtol": 1e-15, "atol": np.finfo(float).tiny}
    np.testing.assert_allclose(special.sigmoid(x), scipy.special.expit(x), **near)
    np.testing.assert_allclose(special.softplus(x), -scipy.special.log_expit(-x), **near)
    np.testing.assert_allclose(special.softplus(x) - special.softplus(-x), x, atol=1e-12)


@unhurried
@given(x=st.floats(1e-300, 700))
def test_the_complement_of_the_complement_is_the_event(x):
    np.testing.assert_allclose(special.log1mexp(-special.log1mexp(x)), -x, rtol=1e-12)


X = np.concatenate(
    [
        np.random.default_rng(1).normal(size=20_000) * 3,
        np.random.default_rng(2).uniform(-740, 740, 20_000),
        np.ldexp(np.random.default_rng(3).uniform(-1, 1, 20_000), np.arange(20_000) % 1000 - 999),
    ]
)


def exact(name, x):
    """Return the function in 80-bit floats, by the same rearranged formulas."""
    x = x.astype(np.longdouble)
    t = np.exp(-np.abs(x))
    if name == "tanh":
        return np.tanh(x)
    if name == "softplus":
        return np.maximum(x, 0) + np.log1p(t)
    if name == "sigmoid":
        return np.where(x < 0, t, 1) / (1 + t)
    near_one = np.log(-np.expm1(-np.minimum(x, 0.5)))
    return np.where(x < 0.5, near_one, np.log1p(-np.exp(-np.maximum(x, 0.5))))


@needs_longdouble
@pytest.mark.parametrize("name", ["tanh", "softplus", "sigmoid", "log1mexp"])
def test_definitions_are_right_to_three_units_in_the_last_place(name):
    x = np.abs(X[X != 0]) if name == "log1mexp" else X
    definition = getattr(getattr(special, name), "definition", getattr(special, name))
    assert worst_ulp(definition(x), exact(name, x)) < 3


TEXTBOOK_FORMULAS = [
    ("tanh", lambda x: (np.exp(2 * x) - 1) / (np.exp(2 * x) + 1)),
    ("softplus", lambda x: np.log(1 + np.exp(x))),
    ("sigmoid", lambda x: 1 - 1 / (1 + np.exp(x))),
    ("log1mexp", lambda x: np.log(1 - np.exp(-x))),
    ("log1mexp", lambda x: np.log(-np.expm1(-x))),
    ("log1mexp", lambda x: np.log1p(-np.exp(-x))),
]


@needs_longdouble
@pytest.mark.parametrize(("name", "textbook"), TEXTBOOK_FORMULAS)
def test_the_same_check_refuses_the_textbook_formulas(name, textbook):
    x = np.clip(np.abs(X[np.abs(X) > 1e-9]), 0, 36)
    x = x if name == "log1mexp" else np.concatenate([x, -x])
    assert worst_ulp(textbook(x), exact(name, x)) > 50


@needs_longdouble
@unhurried
@given(a=hnp.arrays(float, st.integers(1, 50), elements=finite))
def test_log_sum_exp_is_right_to_a_few_units_of_its_largest_part(a):
    reference = np.log(np.sum(np.exp(a.astype(np.longdouble))))
    scale = max(1.0, np.abs(a).max())
    assert abs(special.log_sum_exp(a, 0) - reference) <= 8 * EPS * scale


def test_log_2pi():
    assert special.LOG_2PI == pytest.approx(np.log(2 * np.pi), rel=EPS)
