"""Learning: ascent reaches what has a formula, and climbs what has none."""

import importlib

import numpy as np
import pytest
from cases import CASES, make_case, over
from checks import central_difference, check_vjp
from scipy.optimize import rosen, rosen_der

from elbo_lab.datasets import load
from elbo_lab.exact import evidence
from elbo_lab.models import PPCA, DeepBernoulli, FactorAnalysis, GaussianMixture, GaussianMLE
from elbo_lab.optimise import ascend, fit_encoder, fit_eta, maximise_evidence, maximise_frozen_elbo
from elbo_lab.optimise.frozen_elbo import TOTAL_DRAWS, _frozen_elbo, _paired_noise, _start_eta
from elbo_lab.posteriors import AmortisedPosterior

FAITHFUL = load("faithful").x
CONTINUOUS = [case for case in CASES if not case.model.family.discrete]


def small_digits(n=300):
    """Return the varying columns of some dequantised digits (n, 16)."""
    return load("digits:dequantised").rows(n, 0).x[:, 20:36]


def test_ascent_finds_the_top_of_a_quadratic():
    top, curvature = np.array([1.0, -2.0, 3.0]), np.array([1.0, 10.0, 0.1])

    def hill(v):
        return -0.5 * curvature @ (v - top) ** 2, -curvature * (v - top)

    np.testing.assert_allclose(ascend(hill, np.zeros(3), 100, tolerance=1e-15), top, atol=1e-6)


def test_ascent_follows_the_curved_valley_of_rosenbrock():
    found = ascend(lambda v: (-rosen(v), -rosen_der(v)), np.array([-1.2, 1.0]), 500, tolerance=1e-16)
    np.testing.assert_allclose(found, np.ones(2), atol=1e-5)


def test_ascent_survives_a_step_that_overflows():
    def cliff(v):
        # log of a number that becomes negative, and an exponential that overflows.
        return float(3 * v[0] - np.exp(v[0]) + np.log(5.0 - v[0])), 3 - np.exp(v) - 1 / (5.0 - v)

    for start in (-1000.0, -40.0, -5.0, 4.9):
        found = ascend(cliff, np.array([start]), 200, tolerance=1e-15)
        assert abs(cliff(found)[1][0]) < 1e-5


def test_ascent_does_not_change_its_start():
    start = np.zeros(2)
    ascend(lambda v: (-(v @ v - v.sum()), 1 - 2 * v), start, 10)
    assert np.all(start == 0.0)


def test_gaussian_mle_reaches_the_closed_form_and_keeps_half_the_variance_for_the_prior():
    model = GaussianMLE(2)
    theta = maximise_evidence(model, FAITHFUL)
    sigma2 = np.mean((FAITHFUL - FAITHFUL.mean(axis=0)) ** 2)
    best = -np.log(2 * np.pi * sigma2) - 1.0
    assert model.log_evidence(theta, FAITHFUL).mean() == pytest.approx(best, rel=1e-9)
    assert model.sigma2(theta) == pytest.approx(sigma2, rel=1e-6)
    views = model.layout.views(theta)
    assert np.exp(2 * views["log_tau"]) / model.sigma2(theta) == pytest.approx(0.5, abs=1e-9)


def test_gaussian_mle_keeps_half_of_the_variance_from_any_symmetric_start():
    model = GaussianMLE(2)
    start = np.array([0.0, 0.0, 1.0, 1.0])
    found = ascend(
        lambda t: (evidence(model, t, FAITHFUL).value.mean(), evidence(model, t, FAITHFUL).grad_theta),
        start,
        500,
        tolerance=1e-15,
    )
    views = model.layout.views(found)
    assert views["log_tau"] == pytest.approx(float(views["log_s"]), abs=1e-10)
    np.testing.assert_allclose(views["mu"], FAITHFUL.mean(axis=0), rtol=1e-3)


@pytest.mark.parametrize("n_latent", [1, 3, 10])
def test_ppca_reaches_the_closed_form_maximum(n_latent):
    x = small_digits()
    model = PPCA(x.shape[1], n_latent)
    theta = maximise_evidence(model, x)
    # Tipping and Bishop 1999, eqs. 5 and 8: log|C| + trace(C^-1 S) at the maximum.
    eigenvalues = np.sort(np.linalg.eigvalsh(np.cov(x.T, bias=True)))[::-1]
    rest = eigenvalues[n_latent:].mean()
    log_det = np.log(eigenvalues[:n_latent]).sum() + (x.shape[1] - n_latent) * np.log(rest)
    best = -0.5 * (x.shape[1] * (np.log(2 * np.pi) + 1.0) + log_det)
    assert model.log_evidence(theta, x).mean() == pytest.approx(best, rel=1e-9)


def test_two_full_components_reach_the_known_maximum_on_old_faithful():
    model = GaussianMixture(2, 2, "full")
    found = evidence(model, maximise_evidence(model, FAITHFUL), FAITHFUL)
    # The maximum of R's mclust (VVV, two components): -1130.264.
    assert found.value.sum() == pytest.approx(-1130.264, abs=1e-3)
    assert np.abs(found.grad_theta).max() < 1e-3


def test_factor_analysis_ends_where_the_gradient_is_small():
    x = small_digits()
    model = FactorAnalysis(x.shape[1], 3)
    start, theta = model.initial_theta(x), maximise_evidence(model, x)
    found, before = evidence(model, theta, x), evidence(model, start, x)
    assert found.value.mean() > before.value.mean()
    assert np.abs(found.grad_theta).max() < 1e-3 * np.abs(before.grad_theta).max()


@over(CONTINUOUS)
def test_a_fit_never_ends_below_its_start(case):
    rng = np.random.default_rng(3)
    n_draws = 2 * (TOTAL_DRAWS // (2 * len(case.x)))
    frozen = _paired_noise(case.model.family, n_draws, len(case.x), np.random.default_rng(3))
    theta, eta = maximise_frozen_elbo(case.model, case.x, rng, max_iterations=5)
    value = _frozen_elbo(case.model, theta, case.x, case.model.family, eta, *frozen)[0]
    start = _start_eta(case.model, case.model.initial_theta(case.x), case.x)
    before = _frozen_elbo(
        case.model, case.model.initial_theta(case.x), case.x, case.model.family, start, *frozen
    )[0]
    assert value >= before


def test_the_ascent_of_the_evidence_has_the_gradient_of_its_value(monkeypatch):
    objectives = []
    module = importlib.import_module("elbo_lab.optimise.evidence")
    monkeypatch.setattr(module, "ascend", lambda objective, start, _: objectives.append(objective) or start)
    model, rng = PPCA(3, 1), np.random.default_rng(0)
    theta = maximise_evidence(model, rng.standard_normal((5, 3))) + 0.1  # off the maximum
    direction = rng.standard_normal(len(theta))
    difference = central_difference(lambda t: objectives[0](t)[0], theta, direction)
    assert objectives[0](theta)[1] @ direction == pytest.approx(difference, rel=1e-6)


@over(CONTINUOUS)
def test_the_frozen_elbo_has_the_gradient_of_its_value(case):
    model, shape = case.model, (len(case.x), case.model.family.eta_size)
    frozen = _paired_noise(model.family, 4, len(case.x), np.random.default_rng(0))
    point = np.concatenate([case.theta, case.free.eta(case.free_phi, case.x).ravel()])

    def at(vector):
        theta, eta = vector[: model.layout.size], vector[model.layout.size :].reshape(shape)
        return _frozen_elbo(model, theta, case.x, model.family, eta, *frozen)

    check_vjp(
        lambda v: np.array([at(v)[0]]),
        lambda v, c: c[0] * np.concatenate([at(v)[1], at(v)[2].ravel()]),
        point,
        np.random.default_rng(1),
    )


def test_paired_noise_comes_with_both_signs():
    noise, weights = _paired_noise(CONTINUOUS[0].model.family, 6, 3, np.random.default_rng(0))
    assert noise.shape[0] == 6 and np.array_equal(noise[:3], -noise[3:])
    np.testing.assert_allclose(weights, 1 / 6)


@over([case for case in CASES if case.model.name in ("ppca", "gaussian-mle")])
def test_fit_eta_finds_the_exact_posterior(case):
    # Two latents: the expectation is a Gauss-Hermite sum, exact for these quadratic log-joints.
    model, theta = case.model, case.model.canonical(case.theta)
    exact = model.posterior_eta(theta, case.x)
    rng = np.random.default_rng(0)
    found = fit_eta(model, theta, case.x, np.zeros_like(exact), rng, max_iterations=300)
    size = model.family.size
    np.testing.assert_allclose(found[:, :size], exact[:, :size], atol=1e-3)
    np.testing.assert_allclose(found[:, size:], exact[:, size:], atol=1e-3)


def test_fit_eta_finds_the_exact_posterior_of_three_latents_up_to_its_draws():
    # Antithetic noise has mean zero, so the means are exact but for its correlations; a standard deviation
    # is off by the second moment of 125 frozen draws, about 1 / sqrt(125) / 2.
    case = make_case(PPCA(5, 3))
    theta = case.model.canonical(case.theta)
    exact = case.model.posterior_eta(theta, case.x)
    found = fit_eta(case.model, theta, case.x, np.zeros_like(exact), np.random.default_rng(0))
    np.testing.assert_allclose(found, exact, atol=0.25)


def test_a_deep_model_learns_more_than_the_columns():
    bits = load("digits:binary").rows(600, 0).x[:, 18:46]
    model = DeepBernoulli(28, 2, (8,))
    theta, eta = maximise_frozen_elbo(model, bits, np.random.default_rng(0), max_iterations=40)
    share = np.clip(bits.mean(axis=0), 1e-12, 1 - 1e-12)
    independent = (bits * np.log(share) + (1 - bits) * np.log(1 - share)).sum(axis=1).mean()
    assert theta.shape == (model.layout.size,) and eta.shape == (600, 4)
    # The ELBO on fresh noise is a lower bound of the evidence.
    fresh = _paired_noise(model.family, 60, 600, np.random.default_rng(1))
    assert _frozen_elbo(model, theta, bits, model.family, eta, *fresh)[0] > independent + 0.5


def test_fit_encoder_fits_a_small_table():
    case = make_case(PPCA(4, 2), n_data=6)
    encoder = AmortisedPosterior.for_data(case.model.family, case.x, hidden=(16,))
    table = np.random.default_rng(0).standard_normal((6, 4))
    phi = fit_encoder(encoder, case.x, table, np.random.default_rng(1), max_iterations=2000)
    assert np.sqrt(np.mean((encoder.eta(phi, case.x) - table) ** 2)) < 0.01


def test_fits_are_reproduced_by_their_generator():
    case = make_case(DeepBernoulli(4, 2, (3,)))
    fits = [
        maximise_frozen_elbo(case.model, case.x, np.random.default_rng(8), max_iterations=10)
        for _ in range(2)
    ]
    assert all(np.array_equal(a, b) for a, b in zip(*fits, strict=True))
