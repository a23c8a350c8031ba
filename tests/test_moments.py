"""Streamed moments: the same numbers as in one piece, and an interval that covers what it says."""

import numpy as np
import pytest
from cases import MODELS, make_case
from estimator_laws import BY_NAME, noise_for
from hypothesis import given
from hypothesis import strategies as st
from noise_integrals import estimate, exact_variance
from scipy.stats import binom, chi2

from elbo_lab.study.measure import batch_sizes
from elbo_lab.study.moments import Moments

STUDIES = 400
REPEATS = 1000
# An interval that covers 0.95 falls below this count of 400 with probability 2e-5, and one
# that covers 0.85 stays above it with probability 0.002.
LEAST_COVERED = int(np.ceil(0.90 * STUDIES))


def batched(values, sizes):
    """Return the merged Moments of `values` (R, P), cut into batches."""
    total = Moments()
    for part in np.split(values, np.cumsum(sizes)[:-1]):
        batch = Moments()
        batch.add(part)
        batch.close_batch()
        total.merge(batch)
    return total


@given(
    seed=st.integers(0, 10_000),
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=12),
    scale=st.sampled_from([1e-8, 1.0, 1e6]),
    offset=st.sampled_from([0.0, 1.0, -1e4]),
)
def test_any_split_gives_the_mean_and_variance_of_the_whole(seed, sizes, scale, offset):
    values = scale * (offset + np.random.default_rng(seed).standard_normal((sum(sizes), 3)))
    total = batched(values, sizes)
    assert total.count == len(values)
    np.testing.assert_allclose(total.mean, values.mean(axis=0), rtol=1e-10, atol=1e-12 * scale)
    if len(values) < 2:
        assert total.variance is None
        return
    # Rounding of an offset of 1e4 stands under the variance as its square.
    whole = values.var(axis=0, ddof=1).sum()
    assert total.variance == pytest.approx(whole, rel=1e-9)
    error = np.sqrt(values.var(axis=0, ddof=1) / len(values))
    np.testing.assert_allclose(total.standard_error, error, rtol=1e-9)
    cubes = ((values - values.mean(axis=0)) ** 3).mean(axis=0) / len(values) ** 2
    np.testing.assert_allclose(total.third_cumulants, cubes, rtol=1e-6, atol=1e-9 * scale**3)


@given(seed=st.integers(0, 10_000), cut=st.integers(1, 39))
def test_passes_within_a_batch_change_nothing_but_rounding(seed, cut):
    values = np.random.default_rng(seed).standard_normal((40, 2))
    batch = Moments()
    batch.add(values[:cut])
    batch.add(values[cut:])
    batch.close_batch()
    assert batch.traces == [(40, pytest.approx(values.var(axis=0, ddof=1).sum(), rel=1e-12))]


def test_merging_in_the_same_order_gives_the_same_bits():
    values = np.random.default_rng(0).standard_normal((1000, 5))
    first, second = (batched(values, batch_sizes(1000)) for _ in range(2))
    assert first.variance == second.variance and first.interval() == second.interval()
    assert np.array_equal(first.mean, second.mean)


def test_memory_does_not_grow_with_the_repeats():
    def numbers_held(repeats):
        found = batched(np.random.default_rng(0).standard_normal((repeats, 7)), batch_sizes(repeats))
        return found.mean.size + found.powers.size + len(found.traces)

    assert numbers_held(1000) == numbers_held(20_000) == 7 + 2 * 7 + 40


def test_what_a_batch_remembers_of_single_errors_is_their_distance_from_the_centre():
    values, centre = np.arange(12.0).reshape(6, 2), np.array([3.0, -1.0])
    moments = Moments(centre=centre)
    moments.add(values)
    np.testing.assert_allclose(moments.errors, np.hypot(*(values - centre).T), rtol=1e-15)


def test_merging_does_not_change_what_is_merged():
    batch = Moments()
    batch.add(np.ones((3, 2)))
    batch.close_batch()
    total = Moments()
    total.merge(batch)
    total.add(np.zeros((3, 2)))
    assert batch.count == 3 and np.all(batch.mean == 1.0) and np.all(batch.squares == 0.0)


def test_no_variance_has_no_interval_around_it():
    assert batched(np.ones((80, 2)), [2] * 40).interval() == (0.0, 0.0)


def test_one_batch_or_one_repeat_has_no_interval():
    assert batched(np.random.default_rng(0).standard_normal((9, 2)), [9]).interval() == (None, None)
    single = batched(np.ones((1, 2)), [1])
    assert single.variance is None and single.interval() == (None, None)


def test_a_higher_level_gives_a_wider_interval_around_the_variance():
    found = batched(np.random.default_rng(0).standard_normal((1000, 2)), batch_sizes(1000))
    (low, high), (lower, higher) = found.interval(), found.interval(0.999)
    assert 0 < lower < low < found.variance < high < higher


# -- does the 95 % interval cover? -----------------------------------------------------------------


def covered(draw, truth):
    """Return how many of 400 studies cover the truth: (this interval, the chi-square interval)."""
    rng, sizes = np.random.default_rng(20), batch_sizes(REPEATS)
    ours = normals = 0
    for _ in range(STUDIES):
        found = batched(draw(rng), sizes)
        low, high = found.interval()
        ours += low <= truth <= high
        freedom = found.mean.size * (REPEATS - 1)
        squares = found.variance * freedom
        normals += squares / chi2.ppf(0.975, freedom) <= truth <= squares / chi2.ppf(0.025, freedom)
    return ours, normals


def gradient_draws(model, name, n_draws, n_data):
    """Return (draw(rng) -> (R, P), exact variance) of a score-function gradient."""
    case = make_case(model, n_data=n_data)
    truth = exact_variance(BY_NAME[name], case, case.free, case.free_phi, n_draws)

    def draw(rng):
        noise = noise_for(BY_NAME[name], case, n_draws, seed=rng, lead=(REPEATS,))
        return estimate(BY_NAME[name], case, case.free, case.free_phi, noise)

    return draw, truth


def test_the_limit_of_the_coverage_tests_is_what_they_say():
    assert binom.cdf(LEAST_COVERED - 1, STUDIES, 0.95) < 5e-5
    assert binom.sf(LEAST_COVERED - 1, STUDIES, 0.85) < 5e-3


def test_gaussian_draws_are_covered_by_both_intervals():
    ours, normals = covered(lambda rng: rng.standard_normal((REPEATS, 1)), 1.0)
    assert min(ours, normals) >= LEAST_COVERED


QUARTIC = (lambda rng, size: rng.standard_normal(size) ** 4, 96.0)
LOG_NORMAL = (lambda rng, size: np.exp(rng.standard_normal(size)), np.e * (np.e - 1.0))
NORMAL = (lambda rng, size: rng.standard_normal(size), 1.0)
TAILS = [
    pytest.param(QUARTIC, 200, id="fourth power of a normal, 200 repeats"),
    pytest.param(QUARTIC, 1000, id="fourth power of a normal, 1000 repeats"),
    pytest.param(LOG_NORMAL, 200, id="log-normal, 200 repeats"),
    pytest.param(NORMAL, 200, id="normal, 200 repeats"),
]


@pytest.mark.parametrize(("source", "repeats"), TAILS)
def test_heavy_tails_are_covered_as_well_as_light_ones(source, repeats):
    (draw, truth), rng, studies = source, np.random.default_rng(21), 1000
    sizes = batch_sizes(repeats)
    hits = 0
    for _ in range(studies):
        low, high = batched(draw(rng, (repeats, 1)), sizes).interval()
        hits += low <= truth <= high
    # An interval that covers 0.937 falls below 0.915 with probability 0.003, one that covers 0.89 reaches it
    # with probability 0.005.
    assert 0.915 * studies <= hits <= 0.985 * studies


HEAVY = [
    pytest.param(MODELS[0], "score-function-loo", 2, 1, id="gaussian-mle, leave-one-out at two draws"),
    pytest.param(MODELS[0], "score-function", 1, 3, id="gaussian-mle, three data, one draw"),
    pytest.param(MODELS[0], "score-function", 1, 1, id="gaussian-mle, one datum, one draw"),
    pytest.param(MODELS[4], "score-function", 1, 1, id="ppca, one datum, one draw"),
    pytest.param(MODELS[0], "score-function-loo", 2, 3, id="gaussian-mle, leave-one-out, three data"),
]


@pytest.mark.parametrize(("model", "name", "n_draws", "n_data"), HEAVY)
def test_score_functions_are_covered_and_chi_square_covers_far_too_little(model, name, n_draws, n_data):
    draw, truth = gradient_draws(model, name, n_draws, n_data)
    ours, normals = covered(draw, truth)
    assert ours >= LEAST_COVERED, (ours, normals)
    assert normals < 0.7 * STUDIES, (ours, normals)
