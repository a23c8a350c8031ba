"""The pathwise gradient of the ELBO in phi: draws move with the parameters of q.

    z = z(eta, eps),   d/d eta E_q[f] = E_eps[d/d eta {log p(x, z(eta, eps)) - log q(z(eta, eps); eta)}]

(Kingma and Welling 2014, eqs. 4 to 6; Rezende et al. 2014.) It uses the *slope* of log p where the score
function uses its size; that is why it has so much less noise for smooth targets. Needs a differentiable path
from noise to z. The three differ in what of the log-weight is sampled, integrated or left out:

    reparameterization               total derivative: through z and through the parameters of log q
    reparameterization-analytic-kl   the likelihood sampled, the KL to the prior in closed form
    sticking-the-landing             through z alone; the score term, of mean zero, is dropped
"""

from elbo_lab.arrays import Floats
from elbo_lab.estimators.base import NO_STATE, Estimate, Estimator, mean_cotangent, posterior_draws
from elbo_lab.exact.problem import Problem

__all__ = ["Reparameterization", "ReparameterizationAnalyticKL", "StickingTheLanding"]


class Reparameterization(Estimator):
    """Total derivative of the sampled log-weight.

        d/d eta E_q[f] = E_eps[d/d eta {log p(x, z(eta, eps)) - log q(z(eta, eps); eta)}]

    (Kingma and Welling 2014, eqs. 4 to 6; Rezende et al. 2014; here the total derivative: through z and
    through the parameters of log q.)

    Helps: where log p(x, z) is smooth in z, the more so the more latents there are. Fails: for discrete z,
    which has no path; where f has steep slopes, as a fast wave has; and at the exact posterior, where it
    keeps the noise of the score term.
    """

    name = "reparameterization"
    title = "reparameterization"
    synonyms = (
        "pathwise",
        "pathwise-gradient",
        "reparam",
        "reparameterization-trick",
        "reparameterisation",
        "reparametrization",
        "reparametrisation",
    )
    target = "grad-phi-elbo"
    summary = "pathwise derivative of log p(x, z) - log q(z), log q sampled"
    needs_pathwise = True

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        model, posterior, theta, phi, x = problem
        family = posterior.family
        eta, z = posterior_draws(problem, noise)
        cotangent = mean_cotangent(family, z)
        through_parameters, of_log_q = family.log_prob_vjps(eta, z, cotangent)
        grad_z = model.log_joint_grad_z(theta, x, z, cotangent) - of_log_q
        grad_eta = family.sample_vjp(eta, noise, grad_z) - through_parameters
        return posterior.eta_vjp(phi, x, grad_eta), state


class ReparameterizationAnalyticKL(Estimator):
    """Pathwise derivative of the likelihood, closed-form derivative of the KL.

        d/d eta ELBO = E_eps[d/d eta log p(x | z(eta, eps))] - d/d eta KL(q || p(z))

    (the estimator of Kingma and Welling 2014, eq. 7, the VAE's own.) Helps: only the reconstruction is
    sampled, which is usually less noisy than sampling log p(z) and log q too. Fails: where the noise of the
    parts that are integrated would have cancelled noise of the reconstruction; and without a KL in closed
    form.
    """

    name = "reparameterization-analytic-kl"
    title = "reparameterization, analytic KL"
    target = "grad-phi-elbo"
    summary = "pathwise derivative of log p(x | z), the KL to the prior in closed form"
    needs_pathwise = True
    needs_kl = True

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        model, posterior, theta, phi, x = problem
        family = posterior.family
        eta, z = posterior_draws(problem, noise)
        grad_z = model.log_likelihood_grad_z(theta, x, z, mean_cotangent(family, z))
        by_eta, _ = family.kl_grad_to(model.family, eta, model.prior_eta(theta))
        grad_eta = family.sample_vjp(eta, noise, grad_z) - by_eta / len(x)
        return posterior.eta_vjp(phi, x, grad_eta), state


class StickingTheLanding(Estimator):
    """Derivative of the sampled log-weight through z alone, without its score term.

        d/d eta E_q[f] = E_eps[d/dz {log p(x, z) - log q(z; eta)} dz/d eta],   z = z(eta, eps)

    The total derivative of the sampled log-weight has one more term, -d log q(z; eta)/d eta at fixed z:
    minus the score, whose expectation is zero. Without it the estimate stays unbiased and sees only the
    *slope* of log w in z, which is zero at the exact posterior: there every single draw gives exactly zero
    (Roeder, Wu and Duvenaud 2017, section 3).

    Helps: near the posterior. Fails: far from it, where the score term may cancel noise instead of adding it.
    For p(z | x) = N(0, 1) and q = N(m, s^2) the gradient in m is -m - s eps with the score and -m + (1/s - s)
    eps without: a q narrower than 1/sqrt(2) of the posterior is noisier without it.
    """

    name = "sticking-the-landing"
    title = "sticking the landing"
    synonyms = ("stl", "path-derivative")
    target = "grad-phi-elbo"
    summary = "pathwise derivative of log w through z alone; no noise at the exact posterior"
    needs_pathwise = True

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        model, posterior, theta, phi, x = problem
        family = posterior.family
        eta, z = posterior_draws(problem, noise)
        cotangent = mean_cotangent(family, z)
        grad_z = model.log_joint_grad_z(theta, x, z, cotangent)
        grad_z = grad_z - cotangent[..., None] * family.log_prob_grad_z(eta, z)
        return posterior.eta_vjp(phi, x, family.sample_vjp(eta, noise, grad_z)), state
