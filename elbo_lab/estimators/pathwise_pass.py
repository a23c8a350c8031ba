"""Both gradients of the VAE's ELBO from one pass: how a VAE is trained.

    ELBO = E_eps[log p(x | z(eta, eps))] - KL(q || p(z)),   eta = encoder(x)

(Kingma and Welling 2014, eq. 7.) One forward pass through encoder and decoder gives the value, one
backward pass the gradients in theta and phi. They are, number for number, those of `elbo-analytic-kl` and
`reparameterization-analytic-kl` on the same noise, which stay the definition: each of these runs the
networks for itself.
"""

from elbo_lab.estimators.base import mean_cotangent


def pathwise_pass(problem, noise):
    """Return the mean ELBO and its gradients.

    Parameters
    ----------
    problem : Problem
        Of a model with continuous latents.
    noise : ndarray (S, N, K)

    Returns
    -------
    value : float
        Nats per datum.
    grad_theta : ndarray (P_theta,)
    grad_phi : ndarray (P_phi,)
    """
    model, posterior, theta, phi, x = problem
    family = model.family
    eta, pull_eta = posterior.eta_and_pullback(phi, x)
    log_likelihood, pull_likelihood = model.likelihood(theta, x, family.sample(eta, noise))
    # A prior without parameters is given in float64 and would carry float32 along.
    prior_eta = model.prior_eta(theta).astype(eta.dtype, copy=False)
    value = log_likelihood.mean() - family.kl(eta, prior_eta).mean()
    grad_theta, grad_z = pull_likelihood(mean_cotangent(family, noise))
    kl_by_eta, kl_by_prior = family.kl_grad(eta, prior_eta)
    if not model.fixed_prior:
        grad_theta = grad_theta - model.prior_eta_vjp(theta, kl_by_prior.sum(axis=-2) / len(x))
    grad_eta = family.sample_vjp(eta, noise, grad_z) - kl_by_eta / len(x)
    return float(value), grad_theta, pull_eta(grad_eta)
