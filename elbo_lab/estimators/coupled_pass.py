"""Both gradients of the importance-weighted bound from one pass: how an IWAE is trained.

    L_K = E_eps[log (1/K) sum_k w_k],   w_k = p(x, z_k) / q(z_k | x),   z_k = z(eta, eps_k)
    d L_K = E_eps[sum_k v_k d log w_k],   v_k = w_k / sum_l w_l

(Burda et al. 2016, eqs. 13 and 14.) One forward pass of K draws gives the weights, one backward pass with the
cotangents v_k both gradients. They are, number for number, those of `iwae-theta` and
`iwae-reparameterization` on the same noise, which stay the definition: each of these runs the networks for
itself. At K = 1 it is the sampled ELBO, with neither KL nor entropy in closed form.
"""

from elbo_lab.special import log_mean_exp, softmax


def coupled_pass(problem, noise):
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
    model, posterior, theta, phi, x = problem
    family = posterior.family
    eta, pull_eta = posterior.eta_and_pullback(phi, x)
    z = family.sample(eta, noise)
    log_likelihood, pull_likelihood = model.likelihood(theta, x, z)
    log_w = log_likelihood + model.log_prior(theta, z) - family.log_prob(eta, z)
    share = (softmax(log_w, axis=-2) / len(x)).astype(eta.dtype, copy=False)
    grad_theta, grad_z = pull_likelihood(share)
    by_prior, z_prior = model.log_prior_vjp(theta, z, share)
    if not model.fixed_prior:
        grad_theta = grad_theta + by_prior
    by_eta, z_q = family.log_prob_vjps(eta, z, share)
    grad_eta = family.sample_vjp(eta, noise, grad_z + z_prior - z_q) - by_eta
    return float(log_mean_exp(log_w, axis=-2).mean()), grad_theta, pull_eta(grad_eta)
