"""Effective sample size, Pareto k-hat, signal-to-noise, squared error: known values, then coverage."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import binom

from elbo_lab import compare
from elbo_lab.estimators import Answer
from elbo_lab.layout import Layout
from elbo_lab.registry import find_estimators, find_models
from elbo_lab.report.cautions import caution_lines
from elbo_lab.study import Moments, build_scene, statistics
from elbo_lab.study.measure import batch_sizes
from elbo_lab.study.statistics import (
    batch_weights,
    bias_error,
    error_tail,
    mse_interval,
    pareto_k,
    positive_interval,
    ratio_interval,
    snr,
    snr_groups,
    snr_interval,
)
from elbo_lab.study.weights import log_weights, weight_numbers

STUDIES = 400
# A 95 % interval covers fewer than this of 400 with probability 2e-5, one of 85 % more with 0.002.
LEAST_COVERED = int(np.ceil(0.90 * STUDIES))
HAS_PARETO = statistics.pareto_source() is not None
needs_pareto = pytest.mark.skipif(not HAS_PARETO, reason="arviz-stats is not installed")


def batched(values, centre=None):
    """Return the merged Moments of `values` (R, P) in batches."""
    total = Moments()
    for part in np.split(values, np.cumsum(batch_sizes(len(values)))[:-1]):
        batch = Moments(centre=centre)
        batch.add(part)
        batch.close_batch()
        total.merge(batch)
    return total


def scene_of(name, at="near", posterior="free", data=None):
    return build_scene(find_models(name)[0], data, 2, posterior, at, 4, 0)


def estimator_of(name, target=None):
    return next(e for e in find_estimators(name) if target in (None, e.target))


# -- the tail --------------------------------------------------------------------------------------


@needs_pareto
@pytest.mark.parametrize("shape", [0.3, 0.7, 1.2])
def test_k_hat_finds_the_shape_of_pareto_draws(shape):
    log_values = shape * np.random.default_rng(0).exponential(size=20_000)
    # 424 draws in the tail: the standard error of the shape is (1 + k) / sqrt(424); four of them.
    assert pareto_k(log_values) == pytest.approx(shape, abs=4 * (1 + shape) / np.sqrt(424))


@needs_pareto
def test_k_hat_of_bounded_draws_is_negative_and_the_unit_does_not_matter():
    rng = np.random.default_rng(0)
    assert pareto_k(np.log(rng.random(2000))) < 0
    log_values = rng.standard_normal(1000)
    assert pareto_k(log_values + 300.0) == pytest.approx(pareto_k(log_values), abs=1e-9)
    assert pareto_k(rng.permutation(log_values)) == pareto_k(log_values)


@needs_pareto
def test_a_tail_over_hundreds_of_nats_is_called_heavy():
    spread = 1000.0
    log_values = spread * np.random.default_rng(0).exponential(size=1000)
    assert pareto_k(log_values) == pytest.approx(spread, rel=4 / np.sqrt(94))


@pytest.mark.parametrize(
    "log_values",
    [
        np.zeros(500),
        np.full(500, -np.inf),
        np.r_[0.0, np.full(499, -np.inf)],
        np.r_[np.nan, np.zeros(499)],
        np.r_[np.inf, np.zeros(499)],
        np.arange(99.0),
    ],
    ids=["equal", "all zero", "one weight", "nan", "infinite", "too few"],
)
def test_where_there_is_no_tail_there_is_no_k_hat(log_values):
    assert pareto_k(log_values) is None


def test_without_arviz_stats_k_hat_is_null_and_the_settings_say_so(monkeypatch):
    def missing(name):
        raise statistics.PackageNotFoundError(name)

    monkeypatch.setattr(statistics, "version", missing)
    statistics.pareto_source.cache_clear()
    try:
        result = compare("ppca", estimators=["importance-sampling", "score-function"], rows=2, repeats=100)
    finally:
        statistics.pareto_source.cache_clear()
    assert result.settings["pareto_k"] is None
    for row in result.rows:
        assert row["pareto_k_weights"] is None and row["pareto_k_gradient"] is None
    assert result.rows[0]["effective_sample_size"] > 1


@needs_pareto
def test_the_error_tail_of_gaussian_estimates_is_light_and_of_cauchy_ones_heavy():
    rng, centre = np.random.default_rng(0), np.zeros(3)
    light = error_tail(batched(rng.standard_normal((1000, 3)), centre))
    heavy = error_tail(batched(rng.standard_cauchy((1000, 3)), centre))
    assert light < 0.3 and heavy > 0.7
    assert error_tail(batched(rng.standard_normal((1000, 3)))) is None


# -- weights ---------------------------------------------------------------------------------------


def test_at_the_exact_posterior_all_draws_count_and_the_weights_have_no_tail():
    scene = scene_of("ppca", at="exact", posterior="exact")
    found = weight_numbers(scene, [estimator_of("importance-sampling")], 10, 0)[0]
    assert found["effective_sample_size"] == pytest.approx(10.0, rel=1e-9)
    assert found["pareto_k_weights"] is None and found["pareto_k_weights_max"] is None


def test_the_effective_sample_size_agrees_with_enumeration():
    scene = scene_of("gaussian-mixture:spherical", at="start")
    family, model = scene.posterior.family, scene.model
    values = family.values()[:, None] * np.ones(len(scene.x), dtype=int)
    eta = scene.posterior.eta(scene.phi, scene.x)
    log_q = family.log_prob(eta, values)
    w = np.exp(model.log_joint(scene.theta, scene.x, values) - log_q)
    p, pairs = np.exp(log_q), list(product(range(len(values)), repeat=2))
    size = [(w[i] + w[j]) ** 2 / (w[i] ** 2 + w[j] ** 2) for i, j in pairs]
    exact = sum(p[i] * p[j] * s for (i, j), s in zip(pairs, size, strict=True)).mean()
    found = weight_numbers(scene, [estimator_of("importance-sampling")], 2, 0)[0]
    # 500 groups of each of 4 data, each size in [1, 2]: standard error at most 0.5 / sqrt(2000).
    assert found["effective_sample_size"] == pytest.approx(exact, abs=5 * 0.5 / np.sqrt(2000))
    assert found["pareto_k_weights"] is None  # finitely many weights


def test_log_weights_of_either_source_average_to_the_evidence():
    scene = scene_of("ppca")
    for source in ("posterior", "prior"):
        log_w = log_weights(scene, source, 4000, 0)
        weight = np.exp(log_w - scene.model.log_evidence(scene.theta, scene.x))
        if source == "posterior":  # the prior hardly ever meets the posterior of 64 columns
            error = weight.std(axis=0) / np.sqrt(4000)
            assert np.all(np.abs(weight.mean(axis=0) - 1) < 5 * error)
        assert log_w.shape == (4000, 4)


WEIGHING = [
    ("importance-sampling", True),
    ("importance-weighted", True),
    ("prior-monte-carlo", True),
    ("prior-monte-carlo-score", True),
    ("elbo-log-weight", False),
    ("score-function", False),
    ("elbo-sampled", False),
]


@pytest.mark.parametrize(("name", "weighs"), WEIGHING)
def test_only_estimators_that_weigh_their_draws_have_weights(name, weighs):
    found = weight_numbers(scene_of("gaussian-mle"), [estimator_of(name)], 5, 0)[0]
    assert (found["effective_sample_size"] is not None) == weighs
    if weighs:
        assert 1.0 <= found["effective_sample_size"] <= 5.0
        if HAS_PARETO:
            assert found["pareto_k_weights"] <= found["pareto_k_weights_max"]


# -- signal, noise, bias, mean squared error -------------------------------------------------------


def test_bias_error_is_the_norm_of_both_standard_errors():
    values = np.random.default_rng(0).standard_normal((200, 3))
    found = batched(values)
    answer = Answer(np.zeros(3), np.array([0.1, 0.0, 0.2]), "long-run")
    exact = np.sqrt(values.var(axis=0, ddof=1).sum() / 200 + 0.05)
    assert bias_error(found, answer) == pytest.approx(exact, rel=1e-12)
    two = np.array([[1.0, 0.0, 2.0], [3.0, 0.0, 2.0]])
    assert bias_error(batched(two), answer) == pytest.approx(np.sqrt(1.0 + 0.05), rel=1e-12)
    assert bias_error(batched(two[:1]), answer) is None


def test_the_squares_of_the_groups_add_up_to_that_of_the_whole():
    values = np.array([3.0, -2.0, 1.0, 0.5]) + np.random.default_rng(0).standard_normal((400, 4))
    found, layout = batched(values), Layout((("mean", (2,)), ("log_std", (2,))))
    groups, spread = snr_groups(found, layout), values.var(axis=0, ddof=1)
    shares = {"mean": spread[:2].sum(), "log_std": spread[2:].sum()}
    total = sum(groups[name] ** 2 * share for name, share in shares.items())
    assert total == pytest.approx(snr(found) ** 2 * found.variance, rel=1e-12)


def test_two_repeats_have_groups_and_one_has_none():
    layout = Layout((("a", ()),))
    values = np.array([[3.0], [5.0]])
    assert snr_groups(batched(values), layout)["a"] == pytest.approx(np.sqrt(4.0**2 / 2.0 - 0.5), rel=1e-12)
    assert snr_groups(batched(values[:1]), layout) is None


def test_a_block_without_noise_has_no_signal_to_noise_ratio():
    values = np.c_[np.random.default_rng(0).standard_normal(50), np.ones(50)]
    assert snr_groups(batched(values), Layout((("a", ()), ("b", ()))))["b"] is None


def test_pure_noise_has_a_signal_to_noise_ratio_of_about_zero():
    values = np.random.default_rng(0).standard_normal((1000, 50))
    found = batched(values)
    low, _ = snr_interval(found)
    # Without taking out the noise of the mean it would be 1 / sqrt(1000) = 0.032.
    assert low == 0.0 and snr(found) < 0.02


def coverage(interval, truth, draw):
    """Return how many of 400 studies cover the truth."""
    rng, hits = np.random.default_rng(5), 0
    for _ in range(STUDIES):
        low, high = interval(batched(draw(rng)))
        hits += low <= truth <= high
    return hits


def skewed(rng, shape):
    """Return draws with mean 0, variance 1 and a heavy tail (gamma of shape 1/4: kurtosis 27)."""
    return (rng.gamma(0.25, size=shape) - 0.25) / 0.5


def test_the_limit_of_the_coverage_tests_is_what_they_say():
    assert binom.cdf(LEAST_COVERED - 1, STUDIES, 0.95) < 5e-5
    assert binom.sf(LEAST_COVERED - 1, STUDIES, 0.85) < 5e-3


@pytest.mark.parametrize("noise", [np.random.Generator.standard_normal, skewed], ids=["normal", "skewed"])
@pytest.mark.parametrize("signal", [0.0, 0.03, 0.3, 3.0])
def test_the_interval_of_the_signal_to_noise_ratio_covers(signal, noise):
    mean = signal * np.ones(4)  # the noise has norm 2 and so has the mean over `signal`
    assert coverage(snr_interval, signal, lambda rng: mean + noise(rng, (200, 4))) >= LEAST_COVERED


def test_the_check_of_coverage_sees_noise_that_was_not_taken_out():
    def careless(found):
        low, high = snr_interval(found)
        return np.sqrt(low**2 + 1 / found.count), np.sqrt(high**2 + 1 / found.count)

    def draw(rng):
        return rng.standard_normal((200, 20))

    assert coverage(careless, 0.0, draw) < LEAST_COVERED <= coverage(snr_interval, 0.0, draw)


@pytest.mark.parametrize("noise", [np.random.Generator.standard_normal, skewed], ids=["normal", "skewed"])
@pytest.mark.parametrize("bias", [0.0, 0.5, 3.0])
def test_the_interval_of_the_mean_squared_error_covers(bias, noise):
    answer = Answer(np.zeros(2), np.zeros(2), "closed-form")

    def interval(found):
        mse = (found.mean**2).sum() + found.variance
        return mse_interval(found, answer, mse)

    hits = coverage(interval, 2 * bias**2 + 2, lambda rng: bias + noise(rng, (200, 2)))
    assert hits >= LEAST_COVERED


def test_exchanging_the_two_turns_the_interval_of_a_ratio_around():
    rng = np.random.default_rng(0)
    top, bottom = rng.gamma(0.5, size=(2, 40))
    shares, ratio = batch_weights(np.full(40, 25)), top.mean() / bottom.mean()
    low, high = ratio_interval(ratio, top, bottom, shares)
    assert low < ratio < high
    turned = ratio_interval(1 / ratio, bottom, top, shares)
    np.testing.assert_allclose(turned, (1 / high, 1 / low), rtol=1e-12)


def test_a_constant_denominator_gives_at_least_the_interval_of_the_numerator():
    top = np.random.default_rng(0).gamma(0.5, size=40)
    shares = batch_weights(np.full(40, 25))
    value = shares @ top
    single = positive_interval(value, top, shares)
    low, high = ratio_interval(value, top, np.ones(40), shares)
    assert high == pytest.approx(single[1], rel=1e-12) and low <= single[0] * (1 + 1e-12)


# -- in the rows -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rows():
    found = compare("deep-bernoulli", rows=2, repeats=100, data=CASES_BITS).rows
    return {(row["target"].rsplit("-10")[0], row["estimator"]): row for row in found}


CASES_BITS = (np.random.default_rng(0).random((30, 5)) < 0.4).astype(float)


def test_rows_name_the_groups_of_their_parameters(rows):
    phi = rows["grad-phi-elbo", "score-function"]["snr_groups"]
    theta = rows["grad-theta-elbo", "elbo-sampled"]["snr_groups"]
    assert set(phi) == {"mean", "log_std"}
    assert theta and all(name.startswith("decoder.") for name in theta)
    assert rows["elbo", "elbo-log-weight"]["snr_groups"] is None


@needs_pareto
def test_rows_tell_the_tail_of_weights_and_of_gradients(rows):
    weighed = rows["log-evidence", "importance-sampling"]
    assert weighed["pareto_k_weights"] < 1 and weighed["pareto_k_gradient"] is None
    gradient = rows["grad-phi-elbo", "score-function"]
    assert gradient["pareto_k_gradient"] is not None and gradient["pareto_k_weights"] is None
    both = rows["grad-theta-log-evidence", "importance-weighted"]
    assert None not in (both["pareto_k_weights"], both["pareto_k_gradient"])


def test_the_bias_of_unbiased_rows_is_of_the_size_of_its_standard_error(rows):
    unbiased = [r for r in rows.values() if r["unbiased"] and r["bias_se"]]
    assert len(unbiased) > 8
    # The squared norm has mean se^2 and at most twice its square as variance: 5 standard deviations.
    assert all(row["bias_norm"] < np.sqrt(1 + 5 * np.sqrt(2)) * row["bias_se"] for row in unbiased)


def test_heavy_tails_are_told_below_the_tables_and_light_ones_are_not():
    names = ("model", "variant", "estimator", "pareto_k_weights", "pareto_k_gradient")
    rows = [
        dict(zip(names, row, strict=True))
        for row in [
            ("ppca", None, "prior-monte-carlo", 1.94, None),
            ("ppca", None, "importance-sampling", 0.69, None),
            ("gaussian-mixture", "full", "score-function", None, 0.51),
            ("gaussian-mle", None, "exact", None, None),
        ]
    ]
    for width in (40, 120):
        lines = [str(line) for line in caution_lines(rows, width)]
        text = " ".join(" ".join(lines).split())
        assert "not to be trusted: ppca: prior-monte-carlo 1.9." in text
        assert "may be infinite: gaussian-mixture full: score-function 0.5." in text
        assert "importance-sampling" not in text and max(map(len, lines)) <= width
    assert caution_lines(rows[1:2], 80) == []
