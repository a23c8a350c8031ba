"""Both gradients of a bound from one pass through the networks: how VAEs and IWAEs are trained.

    ELBO = E_eps[log p(x | z(eta, eps))] - KL(q || p(z)),   eta = encoder(x)   `pathwise_pass`

    L_K = E_eps[log (1/K) sum_k w_k],   w_k = p(x, z_k) / q(z_k | x),   z_k = z(eta, eps_k)   `coupled_pass`
    d L_K = E_eps[sum_k v_k d log w_k],   v_k = w_k / sum_l w_l

(Kingma and Welling 2014, eq. 7; Burda et al. 2016, eqs. 13 and 14.) One forward pass through encoder and
decoder gives the value, one backward pass the gradients in theta and phi; for several draws its cotangents
are the v_k. The gradients equal, number for number, those of the estimators on the same noise, which remain
the definition and run the networks separately:

    pathwise_pass          elbo-analytic-kl, reparameterization-analytic-kl
    coupled_pass           iwae-theta, iwae-reparameterization
    doubly_coupled_pass    iwae-theta, dreg

At K = 1 the second is the sampled ELBO, with neither KL nor entropy in closed form. `weighted_pass` is the
first with the KL weighted by beta (Higgins et al. 2017, eq. 4), and `kl_pass` the KL alone.
"""

from collections.abc import Callable
from typing import NamedTuple

from elbo_lab.arrays import Floats
from elbo_lab.estimators.base import mean_cotangent
from elbo_lab.exact.problem import Problem
from elbo_lab.special import log_mean_exp, softmax


def pathwise_pass(problem: Problem, noise: Floats) -> tuple[float, Floats, Floats]:
    """Return the mean ELBO and its gradients.

    Parameters
    ----------
    problem : Problem
        Of a model with continuous latents, and a q whose KL to the prior is closed.
    noise : ndarray (S, N, K)

    Returns
    -------
    value : float
        Nats per datum.
    grad_theta : ndarray (P_theta,)
    grad_phi : ndarray (P_phi,)
    """
    value, _, grad_theta, grad_phi = weighted_pass(problem, noise, 1.0)
    return value, grad_theta, grad_phi


def weighted_pass(problem: Problem, noise: Floats, beta: float) -> tuple[float, float, Floats, Floats]:
    """Return the mean ELBO, the mean KL to the prior, and the gradients of E_q log p(x | z) - beta KL.

    Parameters
    ----------
    problem, noise
        As for `pathwise_pass`.
    beta : float
        Weight of the KL; with 1 the gradients are those of the ELBO.

    Returns
    -------
    elbo, kl : float
        Nats per datum; the value of what is differentiated is elbo + (1 - beta) kl.
    grad_theta : ndarray (P_theta,)
    grad_phi : ndarray (P_phi,)
    """
    model, posterior, theta, phi, x = problem
    family = posterior.family
    eta, pull_eta = posterior.eta_and_pullback(phi, x)
    log_likelihood, pull_likelihood = model.likelihood(theta, x, family.sample(eta, noise))
    # A prior without parameters is given in float64 and would promote float32.
    prior_eta = model.prior_eta(theta).astype(eta.dtype, copy=False)
    kl = family.kl_to(model.family, eta, prior_eta).mean()
    grad_theta, grad_z = pull_likelihood(mean_cotangent(family, noise))
    assert grad_z is not None  # z is continuous
    kl_by_eta, kl_by_prior = family.kl_grad_to(model.family, eta, prior_eta)
    if not model.fixed_prior:
        grad_theta = grad_theta - beta * model.prior_eta_vjp(theta, kl_by_prior.sum(axis=-2) / len(x))
    grad_eta = family.sample_vjp(eta, noise, grad_z) - beta * (kl_by_eta / len(x))
    return float(log_likelihood.mean() - kl), float(kl), grad_theta, pull_eta(grad_eta)


def kl_pass(problem: Problem) -> tuple[float, Floats, Floats]:
    """Return the mean of KL(q || p(z)) in closed form and its gradients; no draws.

    Parameters
    ----------
    problem : Problem
        With a q, of discrete or continuous z, whose KL to the prior is closed.

    Returns
    -------
    value : float
        Nats per datum.
    grad_theta : ndarray (P_theta,)
    grad_phi : ndarray (P_phi,)
    """
    model, posterior, theta, phi, x = problem
    family = posterior.family
    eta, pull_eta = posterior.eta_and_pullback(phi, x)
    prior_eta = model.prior_eta(theta).astype(eta.dtype, copy=False)
    by_eta, by_prior = family.kl_grad_to(model.family, eta, prior_eta)
    grad_theta = model.prior_eta_vjp(theta, by_prior.sum(axis=-2) / len(x))
    value = family.kl_to(model.family, eta, prior_eta).mean()
    return float(value), grad_theta, pull_eta(by_eta / len(x))


def coupled_pass(problem: Problem, noise: Floats) -> tuple[float, Floats, Floats]:
    """Return the mean importance-weighted bound and its gradients.

    Parameters
    ----------
    problem : Problem
        Of a model with continuous latents.
    noise : ndarray (K, N, latents)
        K draws, all in one bound.

    Returns
    -------
    value : float
        Nats per datum.
    grad_theta : ndarray (P_theta,)
    grad_phi : ndarray (P_phi,)
    """
    found = _weighted_slopes(problem, noise)
    grad_eta = problem.posterior.family.sample_vjp(found.eta, noise, found.by_z) - found.by_eta
    return found.value, found.grad_theta, found.pull_eta(grad_eta)


def doubly_coupled_pass(problem: Problem, noise: Floats) -> tuple[float, Floats, Floats]:
    """Return the mean importance-weighted bound, its gradient in theta, and `dreg` in phi.

    The slopes of `coupled_pass` along the draws carry one factor v_k; those of `dreg` carry two, and no term
    through the parameters of log q. So the second gradient costs nothing beside the first.

    Parameters
    ----------
    problem, noise
        As for `coupled_pass`.

    Returns
    -------
    value, grad_theta, grad_phi
        As from `coupled_pass`.
    """
    found = _weighted_slopes(problem, noise)
    by_z = found.weights[..., None] * found.by_z
    grad_eta = problem.posterior.family.sample_vjp(found.eta, noise, by_z)
    return found.value, found.grad_theta, found.pull_eta(grad_eta)


class _WeightedSlopes(NamedTuple):
    """What the gradients of an importance-weighted bound have in common.

    Attributes
    ----------
    value : float
    grad_theta : ndarray (P_theta,)
    eta : ndarray (N, E)
    weights : ndarray (K, N)
        v_k.
    by_z : ndarray (K, N, latents)
        v_k d log w_k / dz_k, divided by N.
    by_eta : ndarray (N, E)
        The slopes of log q in its parameters, weighted alike and summed over draws.
    pull_eta : callable
        Gradient in eta -> gradient in phi.
    """

    value: float
    grad_theta: Floats
    eta: Floats
    weights: Floats
    by_z: Floats
    by_eta: Floats
    pull_eta: Callable[[Floats], Floats]


def _weighted_slopes(problem: Problem, noise: Floats) -> _WeightedSlopes:
    model, posterior, theta, phi, x = problem
    family = posterior.family
    eta, pull_eta = posterior.eta_and_pullback(phi, x)
    z = family.sample(eta, noise)
    log_likelihood, pull_likelihood = model.likelihood(theta, x, z)
    log_w = log_likelihood + model.log_prior(theta, z) - family.log_prob(eta, z)
    weights = softmax(log_w, axis=-2)
    share = (weights / len(x)).astype(eta.dtype, copy=False)
    grad_theta, grad_z = pull_likelihood(share)
    by_prior, z_prior = model.log_prior_vjp(theta, z, share)
    assert grad_z is not None and z_prior is not None  # z is continuous
    if not model.fixed_prior:
        grad_theta = grad_theta + by_prior
    by_eta, z_q = family.log_prob_vjps(eta, z, share)
    value = float(log_mean_exp(log_w, axis=-2).mean())
    weights = weights.astype(eta.dtype, copy=False)
    return _WeightedSlopes(value, grad_theta, eta, weights, grad_z + z_prior - z_q, by_eta, pull_eta)
