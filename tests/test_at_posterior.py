"""Bounds of several draws at the exact posterior: log p itself, and no gradient in phi."""

import numpy as np
import pytest

from elbo_lab import compare
from elbo_lab.distributions import FullGaussian
from elbo_lab.exact import closed_form, coupled, importance_weighted_bound
from elbo_lab.models import PPCA, FactorAnalysis, GaussianMixture

X = np.random.default_rng(0).standard_normal((6, 7)) @ np.diag([3.0, 2.0, 2.0, 1.0, 1.0, 0.5, 0.5])


def fitted(kind, latent):
    """Return (model, theta, eta of the exact posterior)."""
    model = kind.for_data(X, latent=latent)
    theta = model.initial_theta(X)
    return model, theta, model.posterior_eta(theta, X)


@pytest.mark.parametrize("kind", [PPCA, FactorAnalysis])
@pytest.mark.parametrize("n_draws", [1, 2, 10])
def test_the_formula_agrees_with_the_integral_over_one_latent(kind, n_draws):
    model, theta, eta = fitted(kind, 1)
    found = importance_weighted_bound(model, theta, X, eta, n_draws)
    integral = coupled._integrated(model, theta, X, model.family, eta, n_draws)
    assert found.rung == "closed-form" and integral.rung == "quadrature"
    np.testing.assert_allclose(found.value, integral.value, rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.grad_theta, integral.grad_theta, rtol=0, atol=1e-9)
    np.testing.assert_allclose(integral.grad_eta, 0.0, rtol=0, atol=1e-9)
    assert not found.grad_eta.any() and not found.grad_eta_error.any()


def test_every_batch_of_a_long_run_is_the_formula_with_several_latents():
    model, theta, eta = fitted(PPCA, 4)
    found = importance_weighted_bound(model, theta, X, eta, 10)
    sampled = coupled._sampled(model, theta, X, model.family, eta, 10, np.random.default_rng(1))
    np.testing.assert_allclose(found.value, sampled.value, rtol=0, atol=1e-10)
    z_theta = (found.grad_theta - sampled.grad_theta) / np.maximum(sampled.grad_theta_error, 1e-12)
    assert np.abs(z_theta).max() < 5.5  # 36 coordinates: one false alarm in a million runs
    assert np.abs(sampled.grad_eta).max() > 0.0  # the noise that the formula does not have


def test_a_full_covariance_at_the_posterior_counts_too():
    model, theta, eta = fitted(PPCA, 3)
    full = FullGaussian(3)
    found = importance_weighted_bound(model, theta, X, full.from_diagonal(eta), 5, full)
    assert found.rung == "closed-form" and not found.grad_eta.any()


@pytest.mark.parametrize("step", [1e-6, 0.1])
def test_one_coordinate_of_one_datum_off_the_posterior_is_seen(step):
    model, theta, eta = fitted(PPCA, 4)
    assert closed_form.bound_at_posterior(model, theta, X, model.family, eta) is not None
    for index in np.ndindex(eta.shape):
        off = eta.copy()
        off[index] += step
        assert closed_form.bound_at_posterior(model, theta, X, model.family, off) is None, index


def test_models_without_a_formula_are_left_to_the_other_rungs():
    model = GaussianMixture.for_data(X, "diagonal", 2)
    theta = model.initial_theta(X)
    posterior_eta = model.posterior_eta(theta, X)
    assert closed_form.bound_at_posterior(model, theta, X, model.family, posterior_eta) is None


def test_a_comparison_at_the_exact_posterior_shows_zeros_and_not_the_noise_of_a_reference():
    names = ["dreg", "stl-iwae", "exact"]
    found = compare("ppca", estimators=names, at="exact", rows=4, repeats=20)
    rows = [row for row in found.rows if row["target"] == "grad-phi-iwae-10"]
    assert {row["reference"] for row in rows} == {"closed-form"}
    assert all(row["reference_norm"] == row["reference_se"] == 0.0 for row in rows)
    assert all(row["bias_norm"] < 1e-12 for row in rows)
