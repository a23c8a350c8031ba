"""Gradient of the ELBO in theta with the prior's part in closed form.

    d ELBO/d theta = E_q[d log p(x | z)/d theta] - d KL(q || p_theta(z))/d theta

The parameters of the prior are free of noise; where the prior has none this is `elbo-sampled`.
"""

from elbo_lab.estimators.base import NO_STATE, Estimator, mean_cotangent, posterior_draws


class ElboAnalyticKL(Estimator):
    """Sampled likelihood part, closed-form KL part."""

    name = "elbo-analytic-kl"
    target = "grad-theta-elbo"
    summary = "mean gradient of log p(x | z), the KL to the prior differentiated in closed form"
    needs_kl = True

    def estimate(self, problem, noise, state=NO_STATE):
        model, posterior, theta, _, x = problem
        eta, z = posterior_draws(problem, noise)
        sampled, _ = model.log_likelihood_vjp(theta, x, z, mean_cotangent(model.family, z))
        _, by_prior = posterior.family.kl_grad(eta, model.prior_eta(theta))
        return sampled - model.prior_eta_vjp(theta, by_prior.mean(axis=-2)), state
