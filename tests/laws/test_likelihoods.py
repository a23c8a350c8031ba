"""Poisson, categorical and continuous Bernoulli decoders: sums, integrals, draws and supports."""

import itertools

import numpy as np
import pytest
from cases import LIKELIHOODS, OF_LIKELIHOODS, over
from checks import assert_close, check_vjp
from estimator_laws import Shifted
from scipy import integrate, stats

from elbo_lab import exact
from elbo_lab.distributions import DiagonalGaussian
from elbo_lab.errors import BadValue, columns_by_name
from elbo_lab.estimators.score.oracle import optimal_baseline
from elbo_lab.exact import quadrature
from elbo_lab.models import DeepCategorical, DeepContinuousBernoulli
from elbo_lab.special import log_integral_exp, log_integral_exp_slope, log_softmax, log_sum_exp, softplus

POISSON, CATEGORICAL, CONTINUOUS = LIKELIHOODS
LOGITS = np.array([-300.0, -4.0, -0.6, -1e-3, -1e-12, 0.0, 1e-7, 0.49, 0.51, 3.0, 300.0])
none = np.zeros(0)


def values(model, outputs, x):
    """Return log p(x | outputs) (N,) of x (N, D) at one row of outputs."""
    return model.observe(none, outputs[None, None], x)[0][0]


def outputs_of(model, seed=0):
    return 1.5 * np.random.default_rng(seed).standard_normal(model.n_outputs)


# -- the log-normaliser of the continuous Bernoulli --------------------------------------------------


@pytest.mark.parametrize("logit", LOGITS)
def test_the_normaliser_is_the_logarithm_of_the_integral(logit):
    peak = max(logit, 0.0)
    area = integrate.quad(lambda t: np.exp(logit * t - peak), 0, 1, epsabs=0, epsrel=1e-12, limit=200)[0]
    first = integrate.quad(lambda t: t * np.exp(logit * t - peak), 0, 1, epsabs=0, epsrel=1e-12, limit=200)[0]
    assert abs(log_integral_exp(logit) - peak - np.log(area)) < 1e-12 * (1 + abs(logit))
    assert abs(log_integral_exp_slope(logit) - first / area) < 1e-11


def test_the_normaliser_is_smooth_at_one_half_and_where_the_series_ends():
    for centre in (0.0, 0.5, -0.5):
        step = 1e-3
        around = centre + step * np.array([-2, -1, 1, 2])
        difference = np.array([1, -8, 8, -1]) @ log_integral_exp(around) / (12 * step)
        assert abs(difference - log_integral_exp_slope(centre)) < 1e-12
    beside = np.nextafter(0.5, [0.0, 1.0])
    assert abs(np.diff(log_integral_exp_slope(beside))[0]) < 1e-15


def test_the_normaliser_at_the_extremes():
    ends = np.array([-np.inf, -1e3, 1e3, np.inf])
    assert_close(log_integral_exp_slope(ends), np.array([0.0, 1e-3, 1 - 1e-3, 1.0]))
    assert_close(log_integral_exp(ends[1:3]), np.array([-np.log(1e3), 1e3 - np.log(1e3)]))
    assert (
        log_integral_exp(np.float32([0.2])).dtype
        == log_integral_exp_slope(np.float32([0.2])).dtype
        == np.float32
    )


# -- probabilities sum to one, densities integrate to one ------------------------------------------


def total(value, model):
    """Return the sum over all x of exp(value(outputs, x))."""
    outputs = outputs_of(model)
    if model is CONTINUOUS:
        nodes, weights = np.polynomial.legendre.leggauss(20)
        x = np.array(list(itertools.product(0.5 * (nodes + 1), repeat=2)))
        return np.exp(value(outputs, x)) @ (np.outer(weights, weights).ravel() / 4)
    largest = 80 if model is POISSON else model.n_values - 1
    x = np.array(list(itertools.product(np.arange(largest + 1.0), repeat=2)))
    return np.exp(value(outputs, x)).sum()


@pytest.mark.parametrize("model", [POISSON, CATEGORICAL, CONTINUOUS], ids=lambda m: m.name)
def test_the_likelihood_is_normalised(model):
    assert_close(total(lambda outputs, x: values(model, outputs, x), model), 1.0, 1e-12)


FAULTS = {
    "no factorial": (POISSON, lambda a, x: (x * a - np.exp(a)).sum(axis=-1)),
    "softplus for the logarithm of the integral": (
        CONTINUOUS,
        lambda a, x: (x * a - softplus(a)).sum(axis=-1),
    ),
    "one softmax for all columns": (
        CATEGORICAL,
        lambda a, x: sum(log_softmax(a, axis=-1)[2 * x[:, d].astype(int) + d] for d in range(2)),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_in_the_constant_is_found(fault):
    model, value = FAULTS[fault]
    assert abs(total(value, model) - 1.0) > 0.05


def test_poisson_and_categories_have_the_values_of_scipy():
    outputs, x = outputs_of(POISSON), np.array([[0.0, 3.0], [7.0, 1.0]])
    assert_close(values(POISSON, outputs, x), stats.poisson.logpmf(x, np.exp(outputs)).sum(axis=-1))
    outputs, x = outputs_of(CATEGORICAL), np.array([[0.0, 2.0], [1.0, 1.0]])
    table = log_softmax(
        outputs.reshape(3, 2), axis=0
    )  # the logits of the value 0 for both columns come first
    assert_close(values(CATEGORICAL, outputs, x), np.array([table[0, 0] + table[2, 1], table[1].sum()]))


# -- draws, means, starts ---------------------------------------------------------------------------


@pytest.mark.parametrize("model", [POISSON, CATEGORICAL, CONTINUOUS], ids=lambda m: m.name)
def test_draws_have_the_mean_and_stay_in_the_support(model):
    rng, n_draws = np.random.default_rng(0), 20_000
    for seed in range(3):
        outputs = outputs_of(model, seed)
        x = model.observe_sample(none, np.tile(outputs, (n_draws, 1)), rng)
        model.check_support(x)
        # 18 means in all, each within 4.5 standard errors: a false alarm in 8,000 runs.
        error = x.std(axis=0) / np.sqrt(n_draws)
        assert (np.abs(x.mean(axis=0) - model.observe_mean(outputs)) < 4.5 * error).all()


def test_draws_of_the_continuous_bernoulli_have_its_distribution():
    rng = np.random.default_rng(1)
    for logit in (-3.0, -0.3, 0.0, 1e-10, 0.7, 20.0):
        model = DeepContinuousBernoulli(1, 1)
        x = model.observe_sample(none, np.full((4000, 1), logit), rng)[:, 0]

        def below(x, logit=logit):
            return np.expm1(logit * x) / np.expm1(logit) if abs(logit) > 1e-6 else x

        assert stats.kstest(x, below).pvalue > 1e-4


@pytest.mark.parametrize("model", [POISSON, CATEGORICAL, CONTINUOUS], ids=lambda m: m.name)
def test_a_start_has_the_means_of_the_columns(model):
    x = model.observe_sample(none, np.tile(outputs_of(model), (500, 1)), np.random.default_rng(2))
    assert_close(model.observe_mean(model.output_bias(x)), x.mean(axis=0), 5e-3)


@pytest.mark.parametrize(
    ("model", "entry", "line"),
    [
        (POISSON, 0.5, r"whole numbers from 0 for deep-poisson, got 0\.5 at row 1, column 'ink'"),
        (POISSON, -1.0, "whole numbers from 0"),
        (CATEGORICAL, 3.0, "from 0 to 2 for this deep-categorical, got 3 at row 1, column 'ink'"),
        (CONTINUOUS, 1.5, r"from 0 to 1 for deep-continuous-bernoulli, got 1\.5 at row 1, column 'ink'"),
    ],
)
def test_what_is_outside_the_support_is_refused_with_its_column(model, entry, line):
    x = np.zeros((2, 2))
    x[1, 1] = entry
    with pytest.raises(BadValue, match=line), columns_by_name(("paper", "ink")):
        model.check_support(x)


def test_values_are_counted_from_the_data():
    x = np.array([[0.0, 4.0], [1.0, 2.0]])
    assert DeepCategorical.for_data(x).n_values == 5
    with pytest.raises(BadValue, match="2 to 256 whole"):
        DeepCategorical.for_data(1000 * x)


def test_outputs_that_all_data_share_give_the_same():
    rng = np.random.default_rng(3)
    for model in (POISSON, CATEGORICAL, CONTINUOUS):
        outputs = rng.standard_normal((4, 1, model.n_outputs))
        x = model.observe_sample(none, np.repeat(outputs[0], 5, axis=0), rng)
        value, slopes, _ = model.observe(none, outputs, x)
        again, own, _ = model.observe(none, np.repeat(outputs, 5, axis=1), x)
        assert_close(value, again)
        assert_close(slopes(), own())


# -- the joint, its derivative, its evidence --------------------------------------------------------


@over(OF_LIKELIHOODS)
def test_the_log_joint_has_its_derivative(case):
    rng = np.random.default_rng(4)
    z = rng.standard_normal((2, len(case.x), 1))
    for shared in (z, z[:, :1]):
        check_vjp(
            lambda theta, z=shared: case.model.log_joint(theta, case.x, z),
            lambda theta, g, z=shared: case.model.log_joint_vjp(theta, case.x, z, g)[0],
            case.theta,
            rng,
        )
        check_vjp(
            lambda z: case.model.log_joint(case.theta, case.x, z),
            lambda z, g: case.model.log_joint_vjp(case.theta, case.x, z, g)[1],
            shared,
            rng,
        )


@over(OF_LIKELIHOODS)
def test_the_evidence_by_quadrature_is_that_of_a_plain_sum_over_a_grid(case):
    z = np.arange(-12.0, 12.0, 0.01)[:, None, None]
    expected = log_sum_exp(case.model.log_joint(case.theta, case.x, z), axis=0) + np.log(0.01)
    found = exact.evidence(case.model, case.theta, case.x)
    assert found.rung == "quadrature"
    assert_close(found.value, expected, 1e-9)


@over(OF_LIKELIHOODS)
def test_float32_stays_and_agrees(case):
    z = np.random.default_rng(5).standard_normal((2, len(case.x), 1))
    low = case.theta.astype(np.float32)
    value, pullback = case.model.likelihood(low, case.x, z)
    assert value.dtype == np.float32 and pullback(np.ones_like(value))[0].dtype == np.float32
    assert_close(value, case.model.log_likelihood(case.theta, case.x, z), 1e-5)


# -- references where weights have heavy tails -------------------------------------------------------


@over(OF_LIKELIHOODS)
def test_the_long_run_of_the_covering_gradient_draws_where_q_does_not(case, monkeypatch):
    eta = case.free.eta(case.free_phi, case.x)
    if case.model is CONTINUOUS:
        eta = eta - np.log([1.0, 3.0])  # narrower than the posterior
    where = case.model, case.theta, case.x, case.model.family, eta
    grid, _, rung = exact.inclusive_gradient(*where)
    monkeypatch.setattr(quadrature, "applies", lambda *_: False)
    sampled, error, sampled_by = exact.inclusive_gradient(*where)
    # Six coordinates, 40 batches: |z| <= 6 is a false alarm of 3e-6. A sum over rows is three times as long.
    assert (rung, sampled_by) == ("quadrature", "long-run")
    assert (np.abs(sampled - grid) <= 6.0 * error).all()
    assert (2.0 * np.abs(grid) > 40.0 * error).any()
    if case.model is CONTINUOUS:
        # The planted fault: draws of q alone, whose weights have no variance, nor an error that shows it.
        monkeypatch.setattr(DiagonalGaussian, "scores_foreign_z", False)
        sampled, error, _ = exact.inclusive_gradient(*where)
        assert (np.abs(sampled - grid) > 6.0 * error).any()


@over(OF_LIKELIHOODS)
def test_the_optimal_baseline_moves_with_a_constant_in_log_p_to_rounding(case):
    eta = case.free.eta(case.free_phi, case.x)
    first, second = (
        optimal_baseline(model, case.theta, case.x, case.model.family, eta)
        for model in (case.model, Shifted(case.model, 100.0))
    )
    assert_close(second - first, np.full_like(first, 100.0), 1e-11)
