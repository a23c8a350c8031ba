"""Hierarchical VAEs: densities by hand, linear hierarchies in closed form, quadrature, planted faults."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from checks import assert_close
from scipy.integrate import trapezoid
from scipy.stats import multivariate_normal, norm

from elbo_lab.bounds import log_weight
from elbo_lab.distributions import GaussianChain, draw_noise
from elbo_lab.exact import ladder
from elbo_lab.models import HierarchicalBernoulli, HierarchicalGaussian

MODELS = (
    HierarchicalBernoulli(3, (2,), (3,)),
    HierarchicalBernoulli(3, (2, 1), (3,), prior_hidden=(2,)),
    HierarchicalGaussian(3, (2, 1, 2), (3,), prior_hidden=()),
)
every_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: f"{model.variant}-{model.layers}")
# One latent in each of two layers, affine maps and a Gaussian x: all of (z, x) is Gaussian for constant s.
LINEAR = HierarchicalGaussian(3, (1, 1), (), prior_hidden=())


def problem_of(model, n_data=3, seed=0):
    rng = np.random.default_rng(seed)
    theta = 0.5 * rng.standard_normal(model.layout.size)
    return theta, model.sample(theta, n_data, rng)[0], rng


def by_hand(model, theta, x, z):
    """Return log p(x, z) (S, N) of z (S, K), with SciPy's densities, layer by layer."""
    t = model.layout.views(theta)

    def network(name, depth, rows):
        for layer in range(1, depth + 1):
            rows = rows @ t[f"{name}.W{layer}"] + t[f"{name}.b{layer}"]
            rows = np.tanh(rows) if layer < depth else rows
        return rows

    layers = np.split(z, np.cumsum(model.layers)[:-1], axis=1)
    total = norm.logpdf(layers[-1]).sum(axis=1)
    for place, (below, above) in enumerate(itertools.pairwise(layers), start=1):
        mean, log_std = np.split(network(f"layer{place}", len(model.prior_hidden) + 1, above), 2, axis=1)
        total = total + norm.logpdf(below, mean, np.exp(log_std)).sum(axis=1)
    outputs = network("decoder", len(model.hidden) + 1, layers[0])[:, None]
    if model.variant == "fixed":
        return total[:, None] + norm.logpdf(x, outputs, np.exp(t["log_sigma"])).sum(axis=2)
    p = 1.0 / (1.0 + np.exp(-outputs))
    return total[:, None] + np.log(np.where(x == 1.0, p, 1.0 - p)).sum(axis=2)


def check_joint(model):
    theta, x, rng = problem_of(replace(model))
    z = rng.standard_normal((4, model.latent_dim))
    assert_close(model.log_joint(theta, x, z[:, None]), by_hand(model, theta, x, z), 1e-12)


@every_model
def test_the_joint_density_is_the_product_over_the_layers(model):
    check_joint(model)


def with_layers_in_the_wrong_order(self, theta, z):
    return replace(self.family, order="bottom-up").log_prob(self.prior_eta(theta), z)


def without_the_middle_layer(self, theta, z):
    eta, family = self.prior_eta(theta), self.family
    top = GaussianChain((family.layers[-1],))
    parts = family._at(eta, z)
    middle = np.swapaxes(family.layer_log_prob(parts[-2].outputs, parts[-2].z), -1, -2)
    return family.log_prob(eta, z) - (middle if len(parts) > 2 else top.log_prob(eta[:, :2], z))


def with_a_variance_for_the_std(self, theta, z):
    eta = self.prior_eta(theta).copy()
    for name in ("layer1", "layer2"):  # its affine maps
        for part in ("W1", "b1"):
            view = self.family.eta_layout.view(eta, f"{name}.{part}")
            view[..., view.shape[-1] // 2 :] *= 2.0
    return self.family.log_prob(eta, z)


FAULTS = (with_layers_in_the_wrong_order, without_the_middle_layer, with_a_variance_for_the_std)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_prior_is_caught(fault, monkeypatch):
    model = HierarchicalGaussian(3, (2, 2, 2), (3,), prior_hidden=())
    check_joint(model)
    monkeypatch.setattr(HierarchicalGaussian, "log_prior", fault)
    with pytest.raises(AssertionError):
        check_joint(model)


# -- exact answers -----------------------------------------------------------------------------------


def linear_problem(n_data=3):
    """Return theta with a constant standard deviation of z_1, and data."""
    theta, _, rng = problem_of(LINEAR)
    LINEAR.layout.view(theta, "layer1.W1")[:, 1] = 0.0
    return theta, LINEAR.sample(theta, n_data, rng)[0], rng


def log_p_of_linear(theta, x):
    """Return log N(x; C m + c, C (A A' + S) C' + sigma^2 I), z_1 = A z_2 + m + sqrt(S) noise."""
    t = LINEAR.layout.views(theta)
    A, m, S = t["layer1.W1"][0, :1], t["layer1.b1"][:1], np.exp(2.0 * t["layer1.b1"][1:])
    C, c = t["decoder.W1"], t["decoder.b1"]
    covariance = C.T @ np.diag(A * A + S) @ C + np.exp(2.0 * t["log_sigma"]) * np.eye(3)
    return multivariate_normal.logpdf(x, m @ C + c, covariance)


def test_a_linear_hierarchy_is_a_gaussian_whose_log_p_the_quadrature_meets():
    theta, x, _ = linear_problem()
    value, _, rung = ladder.log_evidence(LINEAR, theta, x)
    assert rung == "quadrature"
    assert_close(value, log_p_of_linear(theta, x), 1e-9)


def test_the_quadrature_is_that_of_a_plain_grid():
    model = HierarchicalBernoulli(3, (1, 1), (3,), prior_hidden=(2,))
    theta, x, _ = problem_of(model)
    nodes = np.linspace(-12.0, 12.0, 481)
    z = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 2)
    table = np.exp(by_hand(model, theta, x, z)).reshape(481, 481, len(x))
    expected = np.log(trapezoid(trapezoid(table, nodes, axis=0), nodes, axis=0))
    assert_close(ladder.log_evidence(model, theta, x)[0], expected, 1e-8)


def posterior_of_linear(theta, x):
    """Return eta (N, 6) of the exact posterior: p(z_1 | x) by Bayes' rule, then p(z_2 | z_1)."""
    t = LINEAR.layout.views(theta)
    a, m, S = t["layer1.W1"][0, 0], t["layer1.b1"][0], np.exp(2.0 * t["layer1.b1"][1])
    C, c, noise = t["decoder.W1"][0], t["decoder.b1"], np.exp(2.0 * t["log_sigma"])
    prior = a * a + S
    variance = 1.0 / (1.0 / prior + C @ C / noise)
    mean = variance * (m / prior + (x - c) @ C / noise)
    slope, log_std = a / prior, 0.5 * np.log(S / prior)
    weights = [slope, 0.0, -slope * m, log_std]
    return np.column_stack([mean, np.full(len(x), 0.5 * np.log(variance)), np.tile(weights, (len(x), 1))])


def spread_at_the_posterior(q):
    """Return the greatest distance of log w of a draw from log p(x)."""
    theta, x, rng = linear_problem()
    eta = posterior_of_linear(theta, x)
    z = q.sample(eta, draw_noise(q.noise_spec(20, len(x)), rng))
    log_w = log_weight(LINEAR, theta, x, q, eta, z)
    return np.abs(log_w - log_p_of_linear(theta, x)).max()


def test_a_chain_from_the_bottom_up_is_the_posterior_of_a_linear_hierarchy():
    assert LINEAR.posterior_family == GaussianChain((1, 1))
    assert spread_at_the_posterior(LINEAR.posterior_family) < 1e-11


def test_a_chain_from_the_wrong_end_is_caught():
    assert spread_at_the_posterior(LINEAR.family) > 0.1


def test_the_moments_of_a_chain_are_those_of_its_formula_to_two_per_cent():
    theta, x, _ = linear_problem()
    eta = posterior_of_linear(theta, x)
    m, s, slope, _, shift, log_t = np.hstack([eta[:, :1], np.exp(eta[:, 1:2]), eta[:, 2:]]).T
    expected = np.column_stack([m, slope * m + shift])
    deviation = np.column_stack([s, np.sqrt(slope**2 * s**2 + np.exp(2.0 * log_t))])
    mean, std = LINEAR.posterior_family.moments(eta)
    assert np.abs((mean - expected) / deviation).max() < 0.02
    assert np.abs(std / deviation - 1.0).max() < 0.02


# -- the start of a training -------------------------------------------------------------------------


def least_slope_of_the_prior(model, theta):
    """Return the least, over the arrays between the layers, of the greatest slope of log p(z)."""
    rng = np.random.default_rng(1)
    z = rng.standard_normal((5, 4, model.latent_dim))
    by_theta = model.log_prior_vjp(theta, z, np.ones((5, 4)))[0]
    between = [name for name, _ in model.layout.entries if name.startswith("layer")]
    return min(np.abs(model.layout.view(by_theta, name)).max() for name in between)


@pytest.mark.parametrize("layers", [(2, 1), (2, 2, 1)])
def test_training_begins_at_no_saddle_and_with_wide_layers(layers):
    model = HierarchicalBernoulli(6, layers, (4,), prior_hidden=(3,))
    rng = np.random.default_rng(0)
    theta = model.random_theta((rng.random((20, 6)) < 0.5).astype(float), rng)
    assert least_slope_of_the_prior(model, theta) > 0.1
    outputs = model.family._at(model.prior_eta(theta), rng.standard_normal((5, 1, model.latent_dim)))
    for one in outputs[1:]:
        log_std = one.outputs[..., one.outputs.shape[-1] // 2 :]
        assert_close(np.exp(2.0 * log_std), np.full(log_std.shape, 0.5))
    at_zero = theta.copy()
    at_zero[: model.family.shared_size] = 0.0
    assert least_slope_of_the_prior(model, at_zero) == 0.0  # what the start avoids
