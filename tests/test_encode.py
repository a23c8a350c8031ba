"""Codes of rows: q, the exact posterior, and chains, which agree where all three are known."""

import csv
import math

import numpy as np
import pytest

from elbo_lab import encode, fit, load
from elbo_lab.errors import NotApplicable
from elbo_lab.evaluation import Fitted
from elbo_lab.evaluation.codes import codes_of
from elbo_lab.exact.enumeration import all_values
from elbo_lab.models import PPCA, DeepBernoulli, DeepGaussianFixed, GaussianMixture, SigmoidBelief
from elbo_lab.posteriors import FreePosterior
from elbo_lab.special import softmax


def linear(n_latent=2, n_rows=6):
    """Return a PPCA whose posterior is in the family of q, fitted by that exact q; and its rows."""
    model, rng = PPCA(4, n_latent), np.random.default_rng(n_latent)
    theta = model.canonical(0.7 * rng.standard_normal(model.layout.size))
    x = model.sample(theta, n_rows, rng)[0]
    posterior = FreePosterior(model.family, n_rows)
    return Fitted(model, theta, posterior, posterior.phi_from_eta(model.posterior_eta(theta, x))), x


def test_on_ppca_q_the_formula_and_the_chains_agree():
    fitted, x = linear()
    by_q, exact, chains = (codes_of(fitted, x, way, seed=3) for way in ("q", "exact", "hmc"))
    np.testing.assert_allclose(by_q.mean, exact.mean, atol=1e-12)
    np.testing.assert_allclose(by_q.std, exact.std, rtol=1e-12)
    # 12 means, each within 6 of its exact standard errors: the draws of leapfrog chains on a Gaussian are at
    # worst as good as the least effective sample size says, here taken as 200 of 2,400. A normal limit of
    # 6 sqrt(1/200) sd raises a false alarm once in 40 million seeds, and an error of 0.6 sd is found.
    assert chains.diagnostics["effective_sample_size"].min() > 200
    assert np.abs(chains.mean - exact.mean).max() < 6.0 * math.sqrt(1 / 200) * exact.std.max()
    assert np.abs(chains.std / exact.std - 1.0).max() < 6.0 * math.sqrt(0.5 / 200)
    assert chains.diagnostics["r_hat"].max() < 1.05 and chains.diagnostics["acceptance"].min() > 0.6


def test_the_grid_has_the_moments_of_the_formula():
    fitted, x = linear()
    model = fitted.model
    # The same density without its formulas: a decoder that is linear where tanh is.
    small = 1e-4
    deep = DeepGaussianFixed(4, 2, (2,))
    views = model.layout.views(fitted.theta)
    layers = {"decoder.W1": small * np.eye(2), "decoder.W2": views["W"].T / small, "decoder.b2": views["b"]}
    theta = deep.layout.pack(layers | {"log_sigma": views["log_sigma"]})
    found, exact = codes_of(Fitted(deep, theta), x, "exact", 400, seed=1), codes_of(fitted, x, "exact")
    np.testing.assert_allclose(found.mean, exact.mean, atol=1e-6)
    np.testing.assert_allclose(found.std, exact.std, atol=1e-6)
    # Means of 400 draws: 12 limits of 5 standard errors, a false alarm once in 145,000 seeds.
    assert np.abs(found.draws.mean(axis=0) - exact.mean).max() < 5.0 * exact.std.max() / math.sqrt(400)


def test_draws_of_the_formula_have_the_covariance_of_the_posterior():
    fitted, x = linear()
    turned = Fitted(fitted.model, 0.7 * np.random.default_rng(8).standard_normal(fitted.model.layout.size))
    found = codes_of(turned, x, "exact", 4000, seed=0)
    mean, covariance = fitted.model.posterior_moments(turned.theta, x)
    assert np.abs(covariance[0, 1]) > 0.1 * np.sqrt(covariance[0, 0] * covariance[1, 1])
    deviations = (found.draws - mean).reshape(-1, 2)
    # 24,000 draws; a limit of 6 standard errors of a covariance.
    spread = np.sqrt((np.outer(np.diag(covariance), np.diag(covariance)) + covariance**2) / len(deviations))
    assert np.all(np.abs(deviations.T @ deviations / len(deviations) - covariance) < 6.0 * spread)


@pytest.mark.parametrize("model", [GaussianMixture(2, 3, "full"), SigmoidBelief(3, 2)], ids=lambda m: m.name)
def test_the_codes_of_discrete_latents_are_sums(model):
    rng = np.random.default_rng(0)
    theta = 0.5 * rng.standard_normal(model.layout.size)
    x = model.sample(theta, 5, rng)[0]
    found = codes_of(Fitted(model, theta), x, "exact", 3000, seed=2)
    z = all_values(model.family, 5)
    weights = softmax(model.log_joint(theta, x, z), axis=0)
    vectors = z[:, 0] if model.family.event_axes else np.eye(3)
    np.testing.assert_allclose(found.mean, weights.T @ vectors, atol=1e-12)
    np.testing.assert_allclose(found.std, np.sqrt(found.mean * (1.0 - found.mean)), atol=1e-12)
    shown = found.draws if model.family.event_axes else np.eye(3)[found.draws]
    # 3,000 draws: at most 15 shares, each within 5.5 of the largest standard error, 0.5 / sqrt(3000).
    assert np.abs(shown.mean(axis=0) - found.mean).max() < 5.5 * 0.5 / math.sqrt(3000)


def test_q_of_a_vae_is_near_its_exact_posterior_and_chains_are_nearer(tmp_path):
    kept = tmp_path / "vae.npz"
    data = load("digits:binary").rows(150, 0)
    fit("deep-bernoulli", data, latent=1, hidden=(20,), epochs=20, batch=15, checkpoint=kept)
    by_q, exact, chains = (encode(kept, data, posterior=way, rows=12) for way in ("q", "exact", "hmc"))
    apart = [np.abs(one.mean - exact.mean) / exact.std for one in (by_q, chains)]
    # Posteriors of one latent may have two modes, between which no chain crosses: then R-hat says so.
    mixed = chains.diagnostics["r_hat"] < 1.05
    assert mixed.sum() > 6 and apart[1][mixed].max() < 0.25 < apart[0].max()
    path = tmp_path / "codes.csv"
    chains.to_csv(path)
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12 and float(rows[3]["z1_mean"]) == chains.mean[3, 0]
    assert list(rows[0]) == ["row", "z1_mean", "z1_sd", "acceptance", "r_hat", "effective_sample_size"]


def test_the_same_seed_gives_the_same_chains():
    fitted, x = linear(n_rows=3)
    one, other = (codes_of(fitted, x, "hmc", 4, seed=5) for _ in range(2))
    assert np.array_equal(one.draws, other.draws) and np.array_equal(one.mean, other.mean)
    assert not np.array_equal(one.mean, codes_of(fitted, x, "hmc", 4, seed=6).mean)


def test_a_gplvm_encodes_the_rows_of_its_table_and_others(tmp_path):
    path, data = tmp_path / "plane.npz", load("faithful")
    settings = {"rows": 20, "holdout": 0.25, "latent": 1, "n_inducing": 4, "epochs": 100}
    result = fit("gplvm", data, checkpoint=path, **settings)
    seen = encode(path, data)
    # The table of the fit, each row with its place in the whole data set.
    np.testing.assert_array_equal(seen.mean, result.encode(result.train.x)[0])
    np.testing.assert_array_equal(data.x[seen.places], result.train.x)
    assert encode(path, data, rows=3).mean.shape == (3, 1)
    # Others get a q of their own, which leads back to them.
    new = encode(path, result.held_out.x)
    errors = result.decode(new.mean) - result.held_out.x
    assert new.mean.shape == (5, 1) and len(new.places) == 5
    assert np.sqrt(np.mean(errors**2)) < 0.5 * data.x.std(axis=0).max()


def test_what_cannot_be_encoded_is_refused_in_one_line():
    fitted, x = linear()
    bare = Fitted(fitted.model, fitted.theta)
    with pytest.raises(NotApplicable, match="posterior: this ppca was fitted without a q; take the exact"):
        codes_of(bare, x)
    wide = DeepBernoulli(3, 3, (2,))
    with pytest.raises(NotApplicable, match=r"a grid needs one or two latents, and there are 3 .*hmc"):
        codes_of(Fitted(wide, np.zeros(wide.layout.size)), np.zeros((2, 3)), "exact")
    mixture = GaussianMixture(2, 2, "full")
    with pytest.raises(NotApplicable, match="categorical z has no slope for hmc"):
        codes_of(Fitted(mixture, np.zeros(mixture.layout.size)), np.zeros((2, 2)), "hmc")
    with pytest.raises(ValueError, match="posterior: expected one of q, exact, hmc, got 'foo'"):
        codes_of(fitted, x, "foo")
