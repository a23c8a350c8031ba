"""The reparameterization gradient of the ELBO in phi, KL in closed form.

    d/d eta ELBO = E_eps[d/d eta log p(x | z(eta, eps))] - d/d eta KL(q || p(z))

(the estimator of Kingma and Welling 2014, eq. 7, the VAE's own.) Only the reconstruction is sampled.
Usually less noisy than sampling log p(z) and log q, but not always: the noise of the parts that are
integrated may cancel noise of the reconstruction.
"""

from elbo_lab.estimators.base import NO_STATE, Estimator, mean_cotangent, posterior_draws


class ReparameterizationAnalyticKL(Estimator):
    """Pathwise derivative of the likelihood, closed-form derivative of the KL."""

    name = "reparameterization-analytic-kl"
    target = "grad-phi-elbo"
    summary = "pathwise derivative of log p(x | z), the KL to the prior in closed form"
    needs_pathwise = True
    needs_kl = True

    def estimate(self, problem, noise, state=NO_STATE):
        model, posterior, theta, phi, x = problem
        family = posterior.family
        eta, z = posterior_draws(problem, noise)
        grad_z = model.log_likelihood_grad_z(theta, x, z, mean_cotangent(family, z))
        by_eta, _ = family.kl_grad(eta, model.prior_eta(theta))
        grad_eta = family.sample_vjp(eta, noise, grad_z) - by_eta / len(x)
        return posterior.eta_vjp(phi, x, grad_eta), state
