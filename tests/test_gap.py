"""The gap between bound and evidence: exact, non-negative, and split into two parts."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from cases import BINARY, CASES, CATEGORICAL, DEEP, make_case, over
from checks import assert_close, exact_draws
from estimator_laws import canonical
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp

from elbo_lab import exact
from elbo_lab.distributions import FullGaussian, Gumbel, Logistic
from elbo_lab.errors import NotApplicable
from elbo_lab.estimators import Problem
from elbo_lab.evaluation import gap as gap_module
from elbo_lab.evaluation import measure_gap, split_gap, surprisal_view
from elbo_lab.exact import ladder
from elbo_lab.models import PPCA, DeepBernoulli, FactorAnalysis
from elbo_lab.posteriors import ExactPosterior, FreePosterior

LINEAR = [make_case(model) for model in (PPCA(4, 2), FactorAnalysis(4, 2), PPCA(6, 4), FactorAnalysis(5, 3))]
MIXTURES = list(CATEGORICAL)
ONE_LATENT = [case for case in DEEP if case.model.latent_dim == 1]


def gap_of(case, posterior=None, phi=None):
    if posterior is None:
        posterior, phi = case.amortised, case.amortised_phi
    return measure_gap(Problem(case.model, posterior, case.theta, phi, case.x))


def split_of(case, posterior=None, phi=None):
    if posterior is None:
        posterior, phi = case.amortised, case.amortised_phi
    return split_gap(Problem(case.model, posterior, case.theta, phi, case.x), np.random.default_rng(0))


def kl_to_normal(eta, mean, covariance):
    """Return KL(N(m, diag s^2) || N(mean, covariance)) (N,), straight from the textbook."""
    k = mean.shape[1]
    m, log_std = eta[:, :k], eta[:, k:]
    inverse = np.linalg.inv(covariance)
    shift = m - mean
    trace = np.exp(2.0 * log_std) @ np.diag(inverse)
    log_det = np.linalg.slogdet(covariance)[1] - 2.0 * log_std.sum(axis=1)
    return 0.5 * (trace + np.einsum("nk,kl,nl->n", shift, inverse, shift) - k + log_det)


def kl_by_formula(case, eta):
    """Return KL(q || p(z | x)) (N,) where the posterior has a formula."""
    model, theta, x = case.model, case.theta, case.x
    if model.family.discrete:
        z, q = exact_draws(model.family, eta)
        log_r = log_softmax(model.log_joint(theta, x, z).T, axis=1)
        log_q = np.log(q).T
        return (np.exp(log_q) * (log_q - log_r)).sum(axis=1)
    return kl_to_normal(eta, *model.posterior_moments(theta, x))


def the_gap_is_the_divergence(case):
    for posterior, phi in case.posteriors():
        found = gap_of(case, posterior, phi)
        assert_close(found.kl, kl_by_formula(case, posterior.eta(phi, case.x)), 1e-11)
        assert_close(found.log_p - found.elbo, found.kl)


# -- log p = ELBO + KL -----------------------------------------------------------------------------


@over(LINEAR + MIXTURES + list(BINARY))
def test_log_p_minus_elbo_is_the_divergence_from_the_posterior(case):
    the_gap_is_the_divergence(case)


FAULTS = {
    "without the entropy": lambda value, entropy: value - entropy,
    "one per cent too low": lambda value, _: value - 0.01 * np.abs(value),
    "the mean over the data": lambda value, _: np.full_like(value, value.mean()),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_bound_is_caught(fault, monkeypatch):
    honest, case = ladder.expected_log_joint, LINEAR[0]

    def wrong(model, theta, x, eta, family):
        value, error, rung = honest(model, theta, x, eta, family)
        return FAULTS[fault](value, model.family.entropy(eta)), error, rung

    monkeypatch.setattr(ladder, "expected_log_joint", wrong)
    with pytest.raises(AssertionError):
        the_gap_is_the_divergence(case)


@over([case for case in LINEAR + MIXTURES if case.model.latent_dim <= 3])
def test_there_is_no_gap_at_the_exact_posterior(case):
    case = canonical(case)
    found = gap_of(case, ExactPosterior(case.model, case.theta), np.zeros(0))
    assert_close(found.kl, np.zeros(len(case.x)), 1e-11)


@over(ONE_LATENT)
def test_the_gap_of_a_deep_model_is_the_divergence_on_a_fine_grid(case):
    z = np.arange(-12.0, 12.0, 0.002)[:, None, None]
    for posterior, phi in case.posteriors():
        eta = posterior.eta(phi, case.x)
        joint = case.model.log_joint(case.theta, case.x, z)
        log_post = joint - logsumexp(joint, axis=0) - math.log(0.002)
        log_q = case.model.family.log_prob(eta, z)
        expected = (np.exp(log_q) * (log_q - log_post)).sum(axis=0) * 0.002
        found = gap_of(case, posterior, phi)
        assert found.rung == "quadrature"
        assert (np.abs(found.kl - expected) <= found.error + 1e-8).all()


@over(CASES)
def test_the_gap_is_not_negative(case):
    for posterior, phi in case.posteriors():
        found = gap_of(case, posterior, phi)
        assert (found.kl >= -found.error - 1e-10).all()
        assert (found.kl > 1e-4).any(), "a random q is meant to leave a gap"


def test_means_of_a_gap_are_numbers_of_a_history():
    found = gap_of(DEEP[0])
    means = found.means()
    assert list(means) == ["log_p", "elbo_exact", "kl"]
    assert all(type(value) is float for value in means.values())
    assert means["kl"] == pytest.approx(means["log_p"] - means["elbo_exact"], rel=1e-9)
    assert means["log_p"] == found.log_p.mean()


def test_parameters_in_float32_are_measured_with_all_digits():
    case = DEEP[0]
    theta, phi = case.theta.astype(np.float32), case.amortised_phi.astype(np.float32)
    short = measure_gap(Problem(case.model, case.amortised, theta, phi, case.x))
    wide = (theta.astype(np.float64), phi.astype(np.float64))
    full = measure_gap(Problem(case.model, case.amortised, *wide, case.x))
    assert short.kl.dtype == np.float64
    np.testing.assert_array_equal(short.kl, full.kl)


def test_a_gap_that_is_not_exact_is_refused_with_the_reason():
    case = make_case(DeepBernoulli(3, 3, (2,)))
    with pytest.raises(NotApplicable, match=r"one or two latents.* 3"):
        gap_of(case)
    with pytest.raises(NotApplicable, match=r"one or two latents.* 3"):
        split_of(case)


# -- approximation and shortfall -------------------------------------------------------------------


def mean_field_gap(case):
    """Return the divergence of the best diagonal Gaussian (1,): precisions match (Bishop 2006, eq. 10.12)."""
    _, covariance = case.model.posterior_moments(case.theta, case.x)
    precision = np.linalg.inv(covariance)
    return 0.5 * (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1])


@over(CASES + tuple(LINEAR))
def test_the_two_parts_are_the_gap_and_none_is_negative(case):
    for posterior, phi in case.posteriors():
        found, whole = split_of(case, posterior, phi), gap_of(case, posterior, phi)
        assert_close(found.approximation + found.shortfall, whole.kl, 1e-11)
        assert found.approximation.min() >= -1e-8 and found.shortfall.min() >= -1e-8


@over(LINEAR)
def test_the_approximation_gap_of_a_correlated_posterior_has_a_formula(case):
    found = split_of(case)
    assert mean_field_gap(case) > 1e-3, "the coordinates are meant to be correlated"
    assert_close(found.approximation, np.full(len(case.x), mean_field_gap(case)), 1e-7)


@over(LINEAR)
def test_a_family_that_holds_the_posterior_has_no_approximation_gap(case):
    found = split_of(canonical(case))
    assert np.abs(found.approximation).max() < 1e-7
    assert found.shortfall.max() > 1e-3


@over(MIXTURES)
def test_categories_have_no_approximation_gap(case):
    found = split_of(case)
    assert not found.approximation.any()
    np.testing.assert_array_equal(found.shortfall, gap_of(case).kl)


@over(BINARY)
def test_the_best_factorised_bits_are_not_beaten_by_a_grid(case):
    # Both logits of every datum on a grid of step 0.05; next to a maximum the ELBO is flat to 1e-3.
    found, model = split_of(case), case.model
    assert (found.approximation > 1e-8).all() and found.shortfall.min() >= 0.0
    axis = np.arange(-6.0, 6.0, 0.05)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 1, 2)
    z = model.family.values()
    p = 1.0 / (1.0 + np.exp(-grid))
    q = np.where(z == 1.0, p, 1.0 - p).prod(axis=-1)
    for n, x in enumerate(case.x):
        joint = model.log_joint(case.theta, x[None], z[:, None])[:, 0]
        best = (q * (joint - np.log(q))).sum(axis=1).max()
        assert best <= found.best_elbo[n] + 1e-9
        assert best >= found.best_elbo[n] - 1e-3


@over(ONE_LATENT)
def test_the_best_q_of_a_deep_model_is_not_beaten_by_another_search(case):
    found, model = split_of(case), case.model
    for n in range(len(case.x)):
        row = case.x[n : n + 1]

        def loss(eta, row=row):
            value = exact.expected_log_joint(model, case.theta, row, eta[None])[0]
            return -(value + model.family.entropy(eta[None]))[0]

        other = minimize(loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-5, "fatol": 1e-10})
        assert found.best_elbo[n] == pytest.approx(-other.fun, abs=1e-5)


@pytest.mark.parametrize("family", [Gumbel(1), Logistic(1), FullGaussian(1)], ids=lambda f: f.name)
def test_the_gap_of_another_family_is_that_of_its_own_density(family):
    case, rng = ONE_LATENT[0], np.random.default_rng(0)
    posterior = FreePosterior(family, len(case.x))
    problem = Problem(
        case.model, posterior, case.theta, 0.3 * rng.standard_normal(posterior.layout.size), case.x
    )
    eta = posterior.eta(problem.phi, case.x)
    z, weights = exact_draws(family, eta, n_nodes=40)
    log_w = case.model.log_joint(case.theta, case.x, z) - family.log_prob(eta, z)
    whole, parts = measure_gap(problem), split_gap(problem, rng)
    assert_close(whole.elbo, (weights * log_w).sum(axis=0), 1e-8)
    assert_close(parts.elbo, whole.elbo, 1e-12)
    assert (parts.approximation > -1e-8).all() and (parts.shortfall > 0.0).all()
    # Seen from the best q of the family nothing is left to gain.
    best = _best_phi(problem, rng)
    assert split_gap(problem._replace(phi=best), rng).shortfall.max() < 1e-6


def _best_phi(problem, rng):
    family, x = problem.posterior.family, problem.x
    start = problem.posterior.eta(problem.phi, x)
    eta = gap_module._best_eta(problem.model, problem.theta, x, family, start, rng)
    return problem.posterior.phi_from_eta(eta)


def test_a_q_that_was_fitted_per_datum_has_no_shortfall():
    case = DEEP[0]
    eta = gap_module._best_eta(
        case.model,
        case.theta,
        case.x,
        case.model.family,
        np.zeros((len(case.x), 2)),
        np.random.default_rng(0),
    )
    table = FreePosterior(case.model.family, len(case.x))
    found = split_of(case, table, table.phi_from_eta(eta))
    assert 0.0 <= found.shortfall.max() < 1e-6


def test_an_ascent_that_fails_for_a_datum_leaves_it_the_q_of_the_encoder(monkeypatch):
    case, honest = DEEP[0], split_of(DEEP[0])

    def worse(model, theta, x, start, rng, max_iterations, family):  # noqa: ARG001 - the signature of fit_eta
        eta = start.copy()
        eta[0] += 1.0
        return eta

    monkeypatch.setattr(gap_module, "fit_eta", worse)
    found = split_of(case)
    assert found.best_elbo[0] == found.elbo[0] and found.shortfall[0] == 0.0
    assert_close(found.elbo, honest.elbo)
    # The fault that this guards against: without the maximum the part would be negative.
    monkeypatch.setattr(gap_module, "np", SimpleNamespace(**{**vars(np), "maximum": lambda best, _: best}))
    assert split_of(case).shortfall[0] < -0.01


def test_many_data_are_split_in_blocks(monkeypatch):
    case = make_case(DeepBernoulli(4, 2, (3,)), n_data=7)
    whole = split_of(case)
    monkeypatch.setattr(gap_module, "ROWS_PER_ASCENT", 3)
    assert_close(split_of(case).best_elbo, whole.best_elbo, 1e-6)


# -- surprisal -------------------------------------------------------------------------------------

ROWS = [
    {"epoch": 0, "phase": "start", "log_p": -3.0, "elbo_exact": -5.0, "kl": 2.0},
    {"epoch": 1, "phase": "joint", "elbo": -4.0, "log_p": -2.0, "elbo_exact": -3.5, "kl": 1.5},
    {"epoch": 2, "phase": "joint", "elbo": -4.0},
    {"iteration": 3, "log_likelihood": -100.0},
]


def test_surprisal_and_its_bound_are_views_of_the_same_record():
    before = [dict(row) for row in ROWS]
    views = surprisal_view(ROWS)
    assert before == ROWS
    assert views[0] == ROWS[0] | {"surprisal": 3.0, "upper_bound": 5.0, "gap": 2.0}
    # The exact bound goes before the average of an epoch.
    assert views[1] == ROWS[1] | {"surprisal": 2.0, "upper_bound": 3.5, "gap": 1.5}
    assert views[2] == ROWS[2] | {"upper_bound": 4.0}
    assert views[3] == ROWS[3]


def test_bits_are_nats_over_the_logarithm_of_two():
    view = surprisal_view(
        [{"log_p": -math.log(8.0), "elbo_exact": -math.log(32.0), "kl": math.log(4.0)}], "bits"
    )[0]
    assert [view[name] for name in ("surprisal", "upper_bound", "gap")] == pytest.approx([3.0, 5.0, 2.0])
    assert view["log_p"] == -math.log(8.0)


def test_an_unknown_unit_of_surprisal_is_refused():
    with pytest.raises(ValueError, match="unit: expected one of nats, bits, got 'bit'; did you mean 'bits'"):
        surprisal_view(ROWS, "bit")
