"""Closed forms: the maximum by a formula, and the data that have none."""

import numpy as np
import pytest

from elbo_lab.datasets import load
from elbo_lab.em import fit_closed_form
from elbo_lab.errors import NotApplicable
from elbo_lab.exact import evidence
from elbo_lab.models import (
    PPCA,
    DeepBernoulli,
    DeepGaussianLearned,
    FactorAnalysis,
    GaussianMixture,
    GaussianMLE,
)

FAITHFUL = load("faithful").x
DIGITS = load("digits:dequantised").rows(300, 0).x[:, 20:32]

FORMULAS = (
    (GaussianMLE(2), FAITHFUL),
    (GaussianMixture(2, 1, "spherical"), FAITHFUL),
    (GaussianMixture(2, 1, "diagonal"), FAITHFUL),
    (GaussianMixture(2, 1, "full"), FAITHFUL),
    (GaussianMixture(12, 1, "full"), DIGITS),
    (PPCA(2, 1), FAITHFUL),
    (PPCA(12, 1), DIGITS),
    (PPCA(12, 7), DIGITS),
)
over_formulas = pytest.mark.parametrize(
    ("model", "x"),
    FORMULAS,
    ids=lambda item: f"{item.label}-D{item.n_columns}" if hasattr(item, "label") else "",
)


def covariance_of(described, n_columns):
    """Return the covariance of x (D, D) that the natural parameters of a fit say."""
    if "covariances" in described:
        return described["covariances"][0]
    noise = np.broadcast_to(described["sigma2"], (n_columns,))
    W = described.get("W", np.zeros((n_columns, 1)))
    return W @ W.T + np.diag(noise)


def dense_log_likelihood(x, mean, covariance):
    """Return sum_n log N(x_n; mean, covariance) by the dense formula."""
    residual = x - mean
    squares = (residual @ np.linalg.inv(covariance) * residual).sum()
    log_det = np.linalg.slogdet(covariance)[1]
    return -0.5 * (squares + len(x) * (log_det + x.shape[1] * np.log(2 * np.pi)))


# -- the maximum -----------------------------------------------------------------------------------


@over_formulas
def test_the_gradient_of_the_evidence_is_zero_at_the_formula(model, x):
    fit = fit_closed_form(model, x)
    assert np.abs(evidence(model, fit.theta, x).grad_theta).max() < 1e-9


@over_formulas
def test_no_step_from_the_formula_goes_up(model, x):
    fit, rng = fit_closed_form(model, x), np.random.default_rng(0)
    for _ in range(20):
        theta = fit.theta + 1e-2 * rng.standard_normal(fit.theta.shape)
        assert evidence(model, theta, x).value.sum() <= fit.log_likelihood + 1e-9


@over_formulas
def test_the_reported_log_likelihood_is_the_dense_normal_density(model, x):
    fit = fit_closed_form(model, x)
    covariance = covariance_of(model.described(fit.theta), x.shape[1])
    expected = dense_log_likelihood(x, x.mean(axis=0), covariance)
    assert fit.log_likelihood == pytest.approx(expected, rel=1e-11)
    assert fit.history == [{"iteration": 0, "log_likelihood": fit.log_likelihood}]
    assert fit.converged and "closed form" in fit.stopped and fit.warnings == () and fit.at_floor == ()


def test_covariances_are_divided_by_n_and_not_by_n_minus_one():
    expected = np.cov(FAITHFUL.T, bias=True)
    full = GaussianMixture(2, 1, "full")
    found = full.described(fit_closed_form(full, FAITHFUL).theta)
    np.testing.assert_allclose(found["covariances"][0], expected, rtol=1e-12)
    np.testing.assert_allclose(found["means"][0], FAITHFUL.mean(axis=0), rtol=1e-12)
    assert found["weights"] == pytest.approx([1.0])
    diagonal = GaussianMixture(2, 1, "diagonal")
    found = diagonal.described(fit_closed_form(diagonal, FAITHFUL).theta)["covariances"][0]
    np.testing.assert_allclose(found, np.diag(np.diag(expected)), rtol=1e-12)
    for model in (GaussianMixture(2, 1, "spherical"), GaussianMLE(2)):
        found = covariance_of(model.described(fit_closed_form(model, FAITHFUL).theta), 2)
        np.testing.assert_allclose(found, np.trace(expected) / 2 * np.eye(2), rtol=1e-12)


@pytest.mark.parametrize("n_latent", [1, 4, 11])
def test_ppca_noise_is_the_mean_of_the_smallest_eigenvalues(n_latent):
    # Tipping and Bishop 1999, eq. 8; and by eq. 7 W W^T + sigma^2 I keeps the K largest.
    eigenvalues = np.linalg.eigvalsh(np.cov(DIGITS.T, bias=True))[::-1]
    model = PPCA(12, n_latent)
    found = model.described(fit_closed_form(model, DIGITS).theta)
    assert found["sigma2"] == pytest.approx(eigenvalues[n_latent:].mean(), rel=1e-10)
    kept = np.linalg.eigvalsh(found["W"] @ found["W"].T)[::-1][:n_latent] + found["sigma2"]
    np.testing.assert_allclose(kept, eigenvalues[:n_latent], rtol=1e-10)


def test_ppca_with_more_columns_than_rows_has_its_formula():
    x = load("digits:dequantised").rows(20, 1).x
    model = PPCA(64, 5)
    fit = fit_closed_form(model, x)
    assert np.abs(evidence(model, fit.theta, x).grad_theta).max() < 1e-9


@pytest.mark.parametrize("model", [GaussianMLE(2), PPCA(2, 1)], ids=lambda model: model.label)
def test_the_start_of_a_model_with_a_formula_is_its_maximum(model):
    np.testing.assert_array_equal(model.initial_theta(FAITHFUL), model.maximum_likelihood(FAITHFUL))


def test_natural_and_stored_covariances_are_inverse_to_each_other():
    rng = np.random.default_rng(1)
    for variant in GaussianMixture.variants:
        model = GaussianMixture(3, 2, variant)
        theta = rng.standard_normal(model.layout.size)
        t = model.layout.views(theta)
        natural = model.covariance.natural(t)
        for name, value in model.covariance.stored(natural).items():
            np.testing.assert_allclose(value, t[name], atol=1e-12)
        # The matrices are those that draw x: color(noise) has the covariance L L^T.
        unit = np.array([model.covariance.color(t, e[None].repeat(2, 0), np.arange(2)) for e in np.eye(3)])
        L = np.moveaxis(unit, 0, 2)
        np.testing.assert_allclose(model.covariance.matrices(t), L @ np.swapaxes(L, 1, 2), atol=1e-12)


# -- what has no maximum, or no formula ------------------------------------------------------------


WITHOUT_FORMULA = [
    (GaussianMixture(2, 2, "full"), "em or gradient"),
    (FactorAnalysis(2, 1), "em or gradient"),
    (DeepBernoulli(2, 1, (3,)), "vae"),
    (DeepGaussianLearned(2, 1, (3,)), "vae"),
]


@pytest.mark.parametrize(("model", "remedy"), WITHOUT_FORMULA, ids=lambda item: getattr(item, "label", None))
def test_a_model_without_a_formula_is_refused_with_a_method_that_works(model, remedy):
    assert not model.closed_form_maximum
    with pytest.raises(NotApplicable, match=f"{model.label} has no closed form; use method {remedy}"):
        fit_closed_form(model, FAITHFUL)
    with pytest.raises(NotApplicable, match=f"{model.label} has no closed form"):
        model.maximum_likelihood(FAITHFUL)


def test_ppca_with_as_many_latents_as_columns_is_refused():
    with pytest.raises(ValueError, match=r"latent: expected fewer than the 2 columns .*noise.*, got 2"):
        fit_closed_form(PPCA(2, 2), FAITHFUL)


def test_ppca_on_a_flat_of_k_dimensions_is_refused():
    flat = FAITHFUL @ np.array([[1.0, 2.0, 0.5], [0.3, 0.1, -1.0]])
    assert fit_closed_form(PPCA(3, 1), flat).converged
    with pytest.raises(ValueError, match=r"rank above latent = 2 \(sigma\^2 would be 0\), got rank 2"):
        fit_closed_form(PPCA(3, 2), flat)
    with pytest.raises(ValueError, match=r"rank above latent = 4 .*, got rank 4"):
        fit_closed_form(PPCA(12, 4), DIGITS[:5])


def test_one_full_component_on_a_flat_is_refused_and_a_diagonal_one_is_not():
    flat = FAITHFUL @ np.array([[1.0, 2.0, 0.5], [0.3, 0.1, -1.0]])
    with pytest.raises(
        ValueError, match=r"rank 3 .*unbounded.*, got rank 2; use variant diagonal, or method em"
    ):
        fit_closed_form(GaussianMixture(3, 1, "full"), flat)
    assert fit_closed_form(GaussianMixture(3, 1, "diagonal"), flat).converged


@pytest.mark.parametrize(
    "model",
    [GaussianMLE(2), PPCA(2, 1), *(GaussianMixture(2, 1, v) for v in GaussianMixture.variants)],
    ids=lambda model: model.label,
)
def test_constant_data_are_refused(model):
    with pytest.raises(ValueError, match=r"unbounded.*constant column 0"):
        fit_closed_form(model, np.ones((5, 2)))


@pytest.mark.parametrize("model", [GaussianMLE(2), GaussianMixture(2, 1, "diagonal")], ids=lambda m: m.label)
def test_data_whose_squares_underflow_are_refused(model):
    with pytest.raises(ValueError, match="change the unit"):
        fit_closed_form(model, FAITHFUL * 1e-160)


def test_one_column_whose_squares_underflow_is_refused_by_a_diagonal_covariance():
    with pytest.raises(ValueError, match=r"variances above 1e-280, got .*; change the unit"):
        fit_closed_form(GaussianMixture(2, 1, "diagonal"), FAITHFUL * np.array([1.0, 1e-160]))


def test_data_of_another_width_are_refused():
    with pytest.raises(ValueError, match="3 columns, got 2 columns"):
        fit_closed_form(GaussianMLE(3), FAITHFUL)


# -- the checks see a fault ------------------------------------------------------------------------


def test_a_covariance_over_n_minus_one_would_be_seen(monkeypatch):
    model = PPCA(12, 3)
    right = PPCA._maximum

    def wrong(self, mean, directions, eigenvalues, floor):
        return right(self, mean, directions, eigenvalues * len(DIGITS) / (len(DIGITS) - 1), floor)

    monkeypatch.setattr(PPCA, "_maximum", wrong)
    with pytest.raises(AssertionError):
        test_the_gradient_of_the_evidence_is_zero_at_the_formula(model, DIGITS)
