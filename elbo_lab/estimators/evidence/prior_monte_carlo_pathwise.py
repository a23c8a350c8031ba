"""Gradient of the naive Monte Carlo evidence, pathwise form.

    log p(x) ~= log (1/S) sum_s p(x | z(theta, eps_s)),   z = mu + tau * eps for a Gaussian prior
    gradient  = sum_s v_s [d log p(x | z_s)/d theta + (dz_s/d theta)^T d log p(x | z_s)/dz]

with v_s as in the score form: the exact gradient of the sampled log-evidence, so the parameters of the
prior move the draws. Same bias source (a ratio of means). Where the prior has no parameters it is the
score form. A categorical prior has no such path.
"""

from elbo_lab.estimators.base import NO_STATE, Estimator
from elbo_lab.special import softmax


class PriorMonteCarloPathwise(Estimator):
    """Gradient of log mean p(x | z(theta, eps)) with the noise frozen."""

    name = "prior-monte-carlo-pathwise"
    target = "grad-theta-log-evidence"
    unbiased = False
    summary = "prior draws weighted by p(x | z); the prior's parameters through z = mu + tau eps"
    independent_draws = True
    draws_from = "prior"
    needs_pathwise = True

    def estimate(self, problem, noise, state=NO_STATE):
        model, _, theta, _, x = problem
        prior_eta = model.prior_eta(theta)
        z = model.family.sample(prior_eta, noise)
        weights = softmax(model.log_likelihood(theta, x, z), axis=-2)
        direct, grad_z = model.log_likelihood_vjp(theta, x, z, weights / len(x))
        grad_eta = model.family.sample_vjp(prior_eta, noise, grad_z).sum(axis=-2)
        return direct + model.prior_eta_vjp(theta, grad_eta), state
