"""Fits for models without an exact evidence: ascent of the ELBO with its noise frozen.

With the noise fixed, the reparameterized ELBO

    (1/N) sum_n [(1/S) sum_s log p(x_n, z(eta_n, eps_sn)) + H(q_n)]

is a plain smooth function of theta and of a free eta per datum, and L-BFGS can climb it (sample-average
approximation; Giordano et al. 2024). The noise comes in antithetic pairs, so that its mean is exactly
zero and q cannot shift itself to please a lucky draw.
"""

import numpy as np

from elbo_lab.distributions import draw_noise
from elbo_lab.learning.ascent import ascend

# Rows (draws x data) through the decoder at once: activations that stay in the cache.
ROWS_PER_PASS = 1024


def _paired_noise(family, n_draws, n_data, rng):
    """Return noise (S, N, K) in which draw S/2 + s is the negative of draw s."""
    half = draw_noise(family.noise_spec(n_draws // 2, n_data), rng)
    return np.concatenate([half, -half])


def _frozen_elbo(model, theta, x, eta, noise):
    """Return the mean ELBO and its gradients in theta (P,) and eta (N, E), noise frozen."""
    value, grad_theta, grad_eta = 0.0, np.zeros(model.layout.size), np.empty(eta.shape)
    per_pass = max(1, ROWS_PER_PASS // len(noise))
    for start in range(0, len(x), per_pass):
        part = slice(start, start + per_pass)
        sums = _frozen_sums(model, theta, x[part], eta[part], noise[:, part])
        value += sums[0]
        grad_theta += sums[1]
        grad_eta[part] = sums[2]
    return value / len(x), grad_theta / len(x), grad_eta / len(x)


def _frozen_sums(model, theta, x, eta, noise):
    """Return the sum of the ELBO over the rows of x, and its gradients."""
    family = model.family
    z = family.sample(eta, noise)
    log_likelihood, pullback = model.likelihood(theta, x, z)
    cotangent = np.full(log_likelihood.shape, 1.0 / len(noise))
    grad_theta, grad_z = pullback(cotangent)
    by_prior, z_prior = model.log_prior_vjp(theta, z, cotangent)
    value = (log_likelihood + model.log_prior(theta, z)).sum() / len(noise) + family.entropy(eta).sum()
    grad_eta = family.sample_vjp(eta, noise, grad_z + z_prior) + family.entropy_grad(eta)
    return value, grad_theta + by_prior, grad_eta


def _start_eta(model, x):
    """Return a start (N, E): principal scores of the data as means, standard deviations 1/2."""
    centred = x - x.mean(axis=0)
    left, _, _ = np.linalg.svd(centred, full_matrices=False)
    scores = np.zeros((len(x), model.latent_dim))
    width = min(model.latent_dim, left.shape[1])
    scores[:, :width] = np.sqrt(len(x)) * left[:, :width]
    return model.family.join(scores, np.full_like(scores, np.log(0.5)))


def maximise_frozen_elbo(model, x, rng, n_draws=4, max_iterations=300):
    """Return theta (P,) and eta (N, E) at which the frozen-noise ELBO is maximal.

    Parameters
    ----------
    model : Model
        With continuous latents.
    x : ndarray (N, D)
    rng : numpy.random.Generator
    n_draws : int
        Even.
    max_iterations : int

    Returns
    -------
    theta : ndarray (P,)
    eta : ndarray (N, E)
    """
    noise = _paired_noise(model.family, n_draws, len(x), rng)
    start = np.concatenate([model.initial_theta(x), _start_eta(model, x).ravel()])
    size, shape = model.layout.size, (len(x), model.family.eta_size)

    def objective(vector):
        eta = vector[size:].reshape(shape)
        value, by_theta, by_eta = _frozen_elbo(model, vector[:size], x, eta, noise)
        return value, np.concatenate([by_theta, by_eta.ravel()])

    found = ascend(objective, start, max_iterations)
    return found[:size], found[size:].reshape(shape)


def fit_eta(model, theta, x, start, rng, n_draws=32, max_iterations=100):
    """Return the eta (N, E) of greatest ELBO at a given theta: the best fit in the family.

    Parameters
    ----------
    start : ndarray (N, E)
    n_draws : int
        Even.
    """
    noise = _paired_noise(model.family, n_draws, len(x), rng)

    def objective(vector):
        value, _, by_eta = _frozen_elbo(model, theta, x, vector.reshape(start.shape), noise)
        return value, by_eta.ravel()

    return ascend(objective, start.ravel(), max_iterations).reshape(start.shape)
