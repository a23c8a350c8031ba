"""The pathwise gradient of the ELBO in phi without its score term: sticking the landing.

    d/d eta E_q[f] = E_eps[d/dz {log p(x, z) - log q(z; eta)} dz/d eta],   z = z(eta, eps)

The total derivative of the sampled log-weight has one more term, -d log q(z; eta)/d eta with z held: minus
the score, whose expectation is zero. Without it the estimate stays unbiased and sees only the *slope* of
log w in z, which is zero at the exact posterior: there every single draw gives exactly zero (Roeder, Wu and
Duvenaud 2017, section 3).

Far from the posterior the score term may cancel noise instead of adding it. For p(z | x) = N(0, 1) and
q = N(m, s^2) the gradient in m is -m - s eps with the score and -m + (1/s - s) eps without: a q narrower
than 1/sqrt(2) of the posterior is noisier without it.
"""

from elbo_lab.estimators.base import NO_STATE, Estimator, mean_cotangent, posterior_draws


class StickingTheLanding(Estimator):
    """Derivative of the sampled log-weight through z alone."""

    name = "sticking-the-landing"
    target = "grad-phi-elbo"
    summary = "pathwise derivative of log w through z alone; no noise at the exact posterior"
    needs_pathwise = True

    def estimate(self, problem, noise, state=NO_STATE):
        model, posterior, theta, phi, x = problem
        family = posterior.family
        eta, z = posterior_draws(problem, noise)
        cotangent = mean_cotangent(family, z)
        grad_z = model.log_joint_grad_z(theta, x, z, cotangent)
        grad_z = grad_z - cotangent[..., None] * family.log_prob_grad_z(eta, z)
        return posterior.eta_vjp(phi, x, family.sample_vjp(eta, noise, grad_z)), state
