"""The reparameterization (pathwise) gradient of the ELBO in phi, log q sampled.

    z = z(eta, eps),   d/d eta E_q[f] = E_eps[d/d eta {log p(x, z(eta, eps)) - log q(z(eta, eps); eta)}]

(Kingma and Welling 2014, eqs. 4 to 6; Rezende et al. 2014; here the total derivative: through z and
through the parameters of log q.) It uses the *slope* of log p where the score function uses its size;
that is why it has so much less noise for smooth targets. Needs a differentiable path from noise to z.
"""

from elbo_lab.estimators.base import NO_STATE, Estimator, mean_cotangent, posterior_draws


class Reparameterization(Estimator):
    """Total derivative of the sampled log-weight."""

    name = "reparameterization"
    target = "grad-phi-elbo"
    summary = "pathwise derivative of log p(x, z) - log q(z), log q sampled"
    needs_pathwise = True

    def estimate(self, problem, noise, state=NO_STATE):
        model, posterior, theta, phi, x = problem
        family = posterior.family
        eta, z = posterior_draws(problem, noise)
        cotangent = mean_cotangent(family, z)
        through_parameters, of_log_q = family.log_prob_vjps(eta, z, cotangent)
        grad_z = model.log_joint_grad_z(theta, x, z, cotangent) - of_log_q
        grad_eta = family.sample_vjp(eta, noise, grad_z) - through_parameters
        return posterior.eta_vjp(phi, x, grad_eta), state
