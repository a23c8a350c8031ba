"""Fits for models without an exact evidence: ascent of the ELBO with its noise frozen.

With the noise fixed, the reparameterized ELBO

    (1/N) sum_n [(1/S) sum_s log p(x_n, z(eta_n, eps_sn)) + H(q_n)]

is a plain smooth function of theta and of a free eta per datum, and L-BFGS can climb it (sample-average
approximation; Giordano et al. 2024). The noise comes in antithetic pairs, so that its mean is exactly
zero and q cannot shift itself to please a lucky draw.
"""

from typing import cast

import numpy as np
import scipy

from elbo_lab.arrays import Floats
from elbo_lab.distributions import DiagonalGaussian, Family, find_source
from elbo_lab.exact.rules import hermite_rule
from elbo_lab.models import Model
from elbo_lab.optimise.ascent import ascend

# Rows (draws x data) through the decoder at once: activations that stay in the cache.
ROWS_PER_PASS = 1024
# Draws over all data at which more draws for each no longer matter to a fit of theta.
TOTAL_DRAWS = 4000
NODES_PER_AXIS = 8
# A q with weights of its own (a flow) hides in the gaps between few nodes.
FINE_NODES_PER_AXIS, MORE_DRAWS = 32, 8


def _paired_noise(
    family: Family, n_draws: int, n_data: int, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return noise (S, N, K) in which draw S/2 + s is the negative of draw s, and equal weights (S,)."""
    noise = find_source("antithetic").draw(family.stratum_spec(n_draws, n_data), rng)
    return noise, np.full(n_draws, 1.0 / n_draws)


def _noise_nodes(family: Family, n_data: int) -> tuple[Floats, Floats]:
    """Return Gauss-Hermite nodes of the noise as draws (G, N, K) that all data share, and weights (G,)."""
    per_axis = NODES_PER_AXIS if family.closed_entropy else FINE_NODES_PER_AXIS
    nodes, weights = hermite_rule(per_axis, family.size)
    if family.stratum_spec(1, 1).kind == "uniform":
        nodes = scipy.special.ndtr(nodes)
    return np.broadcast_to(nodes[:, None, :], (len(nodes), n_data, family.size)), weights


def _frozen_elbo(
    model: Model, theta: Floats, x: Floats, family: Family, eta: Floats, noise: Floats, weights: Floats
) -> tuple[float, Floats, Floats]:
    """Return the mean ELBO and its gradients in theta (P,) and eta (N, E), noise frozen."""
    value, grad_theta, grad_eta = 0.0, np.zeros(model.layout.size), np.empty(eta.shape)
    per_pass = max(1, ROWS_PER_PASS // len(noise))
    for start in range(0, len(x), per_pass):
        part = slice(start, start + per_pass)
        sums = _frozen_sums(model, theta, x[part], family, eta[part], noise[:, part], weights)
        value += sums[0]
        grad_theta += sums[1]
        grad_eta[part] = sums[2]
    return value / len(x), grad_theta / len(x), grad_eta / len(x)


def _frozen_sums(
    model: Model, theta: Floats, x: Floats, family: Family, eta: Floats, noise: Floats, weights: Floats
) -> tuple[float, Floats, Floats]:
    """Return the sum of the ELBO over the rows of x, and its gradients."""
    parts = (
        _sums_of_stratum(model, theta, x, family, eta, own, weights, share)
        for share, own in family.strata(eta, noise)
    )
    value, grad_theta, grad_eta = next(parts)
    for of_part in parts:
        value, grad_theta, grad_eta = value + of_part[0], grad_theta + of_part[1], grad_eta + of_part[2]
    return value, grad_theta, grad_eta


def _sums_of_stratum(
    model: Model,
    theta: Floats,
    x: Floats,
    family: Family,
    eta: Floats,
    noise: Floats,
    weights: Floats,
    share: Floats | float,
) -> tuple[float, Floats, Floats]:
    """Return the part of the sums that draws of one stratum of this share (N,) give."""
    z = cast(Floats, family.sample(eta, noise))
    log_likelihood, pullback = model.likelihood(theta, x, z)
    cotangent = np.broadcast_to(weights[:, None] * share, log_likelihood.shape)
    grad_theta, by_likelihood = pullback(cotangent)
    by_prior, _ = model.log_prior_vjp(theta, z, cotangent)
    # Continuous latents always have a gradient.
    grad_z = cast(Floats, by_likelihood) + model.log_prior_grad_z(theta, z, cotangent)
    log_joint = log_likelihood + model.log_prior(theta, z)
    value = ((weights @ log_joint) * share).sum()
    grad_eta = family.stratum_vjp(eta, noise, cotangent * log_joint, grad_z)
    entropy, entropy_by_eta = _frozen_entropy(family, eta, noise, z, cotangent)
    return value + entropy.sum(), grad_theta + by_prior, grad_eta + entropy_by_eta


def _frozen_entropy(
    family: Family, eta: Floats, noise: Floats, z: Floats, weights: Floats
) -> tuple[Floats, Floats]:
    """Return H(q) (N,) and its gradient (N, E): by its formula, else from the draws with weights (S, N)."""
    if family.closed_entropy:
        return family.entropy(eta), family.entropy_grad(eta)
    # The total derivative, that of the sum itself: L-BFGS needs a value and its own slope.
    by_eta, by_z = family.log_prob_vjps(eta, z, -weights)
    values = -(weights * family.log_prob(eta, z))
    return values.sum(axis=0), by_eta + family.stratum_vjp(eta, noise, values, by_z)


def _start_eta(model: Model, theta: Floats, x: Floats) -> Floats:
    """Return a start (N, E): principal scores of the data as means, standard deviations 1/2.

    Only a Gaussian q has means to place; any other starts from the prior.
    """
    family = model.posterior_family
    if not isinstance(family, DiagonalGaussian):
        start = model.prior_eta(theta) if family == model.family else family.start[None]
        return np.repeat(start, len(x), axis=0)
    centred = x - x.mean(axis=0)
    left, _, _ = np.linalg.svd(centred, full_matrices=False)
    scores = np.zeros((len(x), model.latent_dim))
    width = min(model.latent_dim, left.shape[1])
    scores[:, :width] = np.sqrt(len(x)) * left[:, :width]
    return family.join(scores, np.full_like(scores, np.log(0.5)))


def maximise_frozen_elbo(
    model: Model, x: Floats, rng: np.random.Generator, max_iterations: int = 300
) -> tuple[Floats, Floats]:
    """Return theta (P,) and eta (N, E) at which the frozen-noise ELBO is maximal.

    Every datum has four draws; small data sets have more, so that q cannot hide between a few of them.

    Parameters
    ----------
    model : Model
        With continuous latents.
    x : ndarray (N, D)
    rng : numpy.random.Generator
    max_iterations : int

    Returns
    -------
    theta : ndarray (P,)
    eta : ndarray (N, E)
    """
    n_draws = 2 * max(2, TOTAL_DRAWS // (2 * len(x)))
    frozen = _paired_noise(model.posterior_family, n_draws, len(x), rng)
    theta = model.initial_theta(x)
    start = np.concatenate([theta, _start_eta(model, theta, x).ravel()])
    size, shape = model.layout.size, (len(x), model.posterior_family.eta_size)

    def objective(vector: Floats) -> tuple[float, Floats]:
        eta = vector[size:].reshape(shape)
        value, by_theta, by_eta = _frozen_elbo(model, vector[:size], x, model.posterior_family, eta, *frozen)
        return value, np.concatenate([by_theta, by_eta.ravel()])

    found = ascend(objective, start, max_iterations)
    return found[:size], found[size:].reshape(shape)


def fit_eta(
    model: Model,
    theta: Floats,
    x: Floats,
    start: Floats,
    rng: np.random.Generator,
    max_iterations: int = 100,
    family: Family | None = None,
) -> Floats:
    """Return the eta (N, E) of greatest ELBO at a given theta: the best fit in the family.

    With one or two latents the expectation is a Gauss-Hermite sum and the fit has no noise at all;
    beyond that it is a frozen-noise ELBO of many draws.

    Parameters
    ----------
    start : ndarray (N, E)
    family : Family, optional
        Of q, continuous; the model's own if not given.
    """
    family = model.posterior_family if family is None else family
    if model.latent_dim <= 2:
        frozen = _noise_nodes(family, len(x))
    else:
        n_draws = 2 * (TOTAL_DRAWS // 64) * (1 if family.closed_entropy else MORE_DRAWS)
        frozen = _paired_noise(family, n_draws, len(x), rng)

    def objective(vector: Floats) -> tuple[float, Floats]:
        value, _, by_eta = _frozen_elbo(model, theta, x, family, vector.reshape(start.shape), *frozen)
        return value, by_eta.ravel()

    return ascend(objective, start.ravel(), max_iterations).reshape(start.shape)
