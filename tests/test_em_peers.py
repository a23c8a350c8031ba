"""EM, factor analysis and PPCA held against scikit-learn's, on the same data from the same starts."""

import numpy as np
import pytest
import sklearn.decomposition
from sklearn.mixture import GaussianMixture as PeerMixture

from elbo_lab.datasets import load
from elbo_lab.em import fit_closed_form, fit_em
from elbo_lab.em.starts import mixture_start
from elbo_lab.models import PPCA, FactorAnalysis, GaussianMixture

FAITHFUL = load("faithful").x
DIGITS = load("digits:dequantised").x
SOME_DIGITS = load("digits:dequantised").rows(600, 0).x[:, 18:30]

PEER_NAMES = {"spherical": "spherical", "diagonal": "diag", "full": "full"}
# Warnings are errors in this suite: scikit-learn's ConvergenceWarning would be a red test. So every
# limit on iterations below is high enough, and no warning is filtered away.
TOLERANCE, ITERATIONS = 1e-10, 20_000


def peer_mixture(model, theta, x):
    """Return scikit-learn's mixture, fitted from the same start."""
    t = model.described(theta)
    precisions = np.linalg.inv(t["covariances"])
    precisions = {
        "spherical": precisions[:, 0, 0],
        "diagonal": np.diagonal(precisions, axis1=1, axis2=2),
        "full": precisions,
    }[model.variant]
    peer = PeerMixture(
        model.n_components,
        covariance_type=PEER_NAMES[model.variant],
        reg_covar=0.0,
        tol=TOLERANCE,
        max_iter=ITERATIONS,
        weights_init=t["weights"],
        means_init=t["means"],
        precisions_init=precisions,
    )
    return peer.fit(x)


@pytest.mark.parametrize("variant", GaussianMixture.variants)
@pytest.mark.parametrize(
    ("x", "n_components"), [(FAITHFUL, 2), (FAITHFUL, 3), (SOME_DIGITS, 3)], ids=["2", "3", "d"]
)
def test_a_mixture_ends_where_scikit_learn_ends_from_the_same_start(variant, x, n_components):
    model = GaussianMixture(x.shape[1], n_components, variant)
    start = mixture_start(model, x, np.random.default_rng(1), 1e-9)
    fit = fit_em(model, x, start=start, tolerance=TOLERANCE, max_iterations=ITERATIONS)
    peer = peer_mixture(model, start, x)
    assert fit.converged and peer.converged_ and fit.warnings == ()
    assert fit.log_likelihood == pytest.approx(peer.score(x) * len(x), rel=1e-6)
    found = model.described(fit.theta)
    np.testing.assert_allclose(found["weights"], peer.weights_, atol=1e-3)
    np.testing.assert_allclose(found["means"], peer.means_, atol=1e-2 * x.std())


@pytest.mark.parametrize("n_latent", [5, 10])
def test_factor_analysis_ends_where_scikit_learn_ends_on_dequantised_digits(n_latent):
    model = FactorAnalysis(64, n_latent)
    fit = fit_em(model, DIGITS, tolerance=TOLERANCE, max_iterations=ITERATIONS)
    peer = sklearn.decomposition.FactorAnalysis(
        n_latent, tol=TOLERANCE, max_iter=ITERATIONS, svd_method="lapack"
    )
    peer.fit(DIGITS)
    assert fit.converged and peer.n_iter_ < ITERATIONS
    assert fit.log_likelihood == pytest.approx(peer.score(DIGITS) * len(DIGITS), rel=1e-6)
    found = model.described(fit.theta)
    covariance = found["W"] @ found["W"].T + np.diag(found["sigma2"])
    np.testing.assert_allclose(covariance, peer.get_covariance(), atol=1e-2 * DIGITS.var(axis=0).max())


@pytest.mark.parametrize("n_latent", [1, 10, 40])
def test_the_ppca_maximum_is_the_score_of_scikit_learn_up_to_its_n_minus_one(n_latent):
    n_data, n_columns = DIGITS.shape
    fit = fit_closed_form(PPCA(n_columns, n_latent), DIGITS)
    peer = sklearn.decomposition.PCA(n_latent, svd_solver="full").fit(DIGITS)
    # scikit-learn divides by N - 1, so that its covariance is C' = C N / (N - 1), not the maximum. At the
    # maximum tr(C^-1 S) = D; so log|C'| = log|C| + D log(N / (N - 1)), tr(C'^-1 S) = D (N - 1) / N, and
    #     score = log p / N - (D / 2) [log(N / (N - 1)) + (N - 1) / N - 1].
    offset = 0.5 * n_columns * (np.log(n_data / (n_data - 1)) - 1.0 / n_data)
    assert peer.score(DIGITS) == pytest.approx(fit.log_likelihood / n_data - offset, rel=1e-12)
    assert 0 < offset < 1e-4
    noise = PPCA(n_columns, n_latent).described(fit.theta)["sigma2"]
    assert peer.noise_variance_ == pytest.approx(noise * n_data / (n_data - 1), rel=1e-10)
