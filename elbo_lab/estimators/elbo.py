"""The ELBO in its three forms, and its gradient in theta in two.

    E_q[log p(x | z)] - KL(q || p(z))      reconstruction - KL   (Kingma and Welling 2014, eq. 3)
    E_q[log p(x, z)] + H(q)                energy + entropy      (cf. Bishop 2006, eq. 9.74)
    E_q[log p(x, z) - log q(z)]            log-weight            (Kingma and Welling 2014, eq. 2)

Three estimators of one number: the more is integrated in closed form, the less is left to the draws; but only
the log-weight has no variance at the exact posterior. q does not depend on theta, so the gradient goes
straight under the expectation, and the part of the prior may again be integrated or sampled.
"""

from elbo_lab.arrays import Floats
from elbo_lab.bounds import joint_entropy, reconstruction_kl
from elbo_lab.estimators.base import (
    NO_STATE,
    Estimate,
    Estimator,
    mean_cotangent,
    mean_over_rows,
    posterior_draws,
    weighted_draws,
)
from elbo_lab.exact.problem import Problem
from elbo_lab.models.base import Model
from elbo_lab.posteriors.base import Posterior

__all__ = [
    "ElboAnalyticKL",
    "ElboJointEntropy",
    "ElboLogWeight",
    "ElboReconstructionKL",
    "ElboSampled",
    "elbo_for",
]


class ElboReconstructionKL(Estimator):
    """ELBO = E_q[log p(x | z)] - KL(q || p(z)), the KL in closed form (Kingma and Welling 2014, eq. 3).

    Helps: only the reconstruction is noisy. Fails: keeps that noise even at the exact posterior.
    """

    name = "elbo-reconstruction-kl"
    title = "reconstruction minus KL"
    target = "elbo"
    summary = "mean log p(x | z) minus the closed-form KL(q || prior)"
    needs_kl = True

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        model, posterior, theta, _, x = problem
        eta, z = posterior_draws(problem, noise)
        values = reconstruction_kl(model, theta, x, posterior.family, eta, z)
        return mean_over_rows(values.mean(axis=-2)), state


class ElboJointEntropy(Estimator):
    """ELBO = E_q[log p(x, z)] + H(q), the entropy in closed form (cf. Bishop 2006, eq. 9.74).

    Helps: needs no KL to the prior in closed form. Fails: keeps its noise even at the exact posterior.
    """

    name = "elbo-joint-entropy"
    title = "energy plus entropy"
    target = "elbo"
    summary = "mean log p(x, z) plus the closed-form entropy of q"
    needs_entropy = True

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        model, posterior, theta, _, x = problem
        eta, z = posterior_draws(problem, noise)
        values = joint_entropy(model, theta, x, posterior.family, eta, z)
        return mean_over_rows(values.mean(axis=-2)), state


class ElboLogWeight(Estimator):
    """ELBO = E_q[log p(x, z) - log q(z)], fully sampled (Kingma and Welling 2014, eq. 2).

    Helps: at the exact posterior log w = log p(x) for every draw, so the variance is zero; needs only
    densities. Fails: far from the posterior the sampled log q adds noise.
    """

    name = "elbo-log-weight"
    title = "mean log-weight"
    target = "elbo"
    summary = "mean log w = log p(x, z) - log q(z), fully sampled"

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        _, _, log_w = weighted_draws(problem, noise)
        return mean_over_rows(log_w.mean(axis=-2)), state


def elbo_for(model: Model, posterior: Posterior) -> Estimator:
    """Return the estimator of the ELBO for a model and a q: the KL in closed form, else sampled."""
    return ElboReconstructionKL() if model.has_kl_of(posterior.family) else ElboLogWeight()


class ElboSampled(Estimator):
    """Gradient of the ELBO in theta, fully sampled.

        d ELBO/d theta = E_q[d log p(x, z)/d theta] ~= (1/S) sum_s d log p(x, z_s)/d theta,   z_s ~ q

    q does not depend on theta, so the derivative goes straight under the expectation: unbiased for the
    ELBO's gradient (Kingma and Welling 2014, section 2.3). It is the gradient of log p(x) only when q is
    the exact posterior.

    Helps: needs only the slope of log p(x, z) in theta, for any z and any q. Fails: it climbs the bound and
    not log p(x); away from the posterior the two differ, however many draws there are.
    """

    name = "elbo-sampled"
    title = "sampled gradient in theta"
    target = "grad-theta-elbo"
    summary = "mean gradient of log p(x, z) over draws from q"

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        model, _, theta, _, x = problem
        _, z = posterior_draws(problem, noise)
        return model.log_joint_vjp(theta, x, z, mean_cotangent(model.family, z))[0], state


class ElboAnalyticKL(Estimator):
    """Gradient of the ELBO in theta with the prior's part in closed form.

        d ELBO/d theta = E_q[d log p(x | z)/d theta] - d KL(q || p_theta(z))/d theta

    The gradient in the parameters of the prior has no noise; if the prior has none, this is `elbo-sampled`.

    Helps: no noise in the parameters of the prior. Fails: needs KL(q || prior) in closed form, and keeps the
    noise of the reconstruction.
    """

    name = "elbo-analytic-kl"
    title = "gradient in theta, analytic KL"
    target = "grad-theta-elbo"
    summary = "mean gradient of log p(x | z), the KL to the prior differentiated in closed form"
    needs_kl = True

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        model, posterior, theta, _, x = problem
        eta, z = posterior_draws(problem, noise)
        sampled, _ = model.log_likelihood_vjp(theta, x, z, mean_cotangent(model.family, z))
        _, by_prior = posterior.family.kl_grad_to(model.family, eta, model.prior_eta(theta))
        return sampled - model.prior_eta_vjp(theta, by_prior.mean(axis=-2)), state
