"""log p(x) and its gradient in theta from weighted draws: from the prior, or from q.

The evidence is the logarithm of a mean of weights, log (1/S) sum_s w_s, and therefore biased low for log p(x)
(Jensen's inequality), by about Var(w) / (2 S E[w]^2). Its gradient is a self-normalised average,

    d log p(x)/d theta = E_{p(z | x)}[d log p(x, z)/d theta]        (Fisher's identity)
                      ~= sum_s v_s d log p(x, z_s)/d theta,    v_s = w_s / sum_t w_t

a ratio of means, and biased by order 1/S. What differs is where the draws come from:

    prior     w_s = p(x | z_s)                    needs no q
    q         w_s = p(x, z_s) / q(z_s | x)        better with a better q, exact with q the posterior

From the prior it fails as soon as the posterior is much narrower than the prior: almost every draw explains x
badly, and a few draws dominate the average (Burda et al. 2016, section 3).
"""

from elbo_lab.arrays import Floats
from elbo_lab.bounds import importance_evidence, prior_evidence
from elbo_lab.estimators.base import (
    NO_STATE,
    Estimate,
    Estimator,
    mean_over_rows,
    posterior_draws,
    prior_draws,
    weighted_draws,
)
from elbo_lab.exact.problem import Problem
from elbo_lab.special import softmax

__all__ = [
    "ImportanceSampling",
    "ImportanceWeighted",
    "PriorMonteCarlo",
    "PriorMonteCarloPathwise",
    "PriorMonteCarloScore",
]


class PriorMonteCarlo(Estimator):
    """Naive Monte Carlo: average p(x | z) over draws from the prior, then take the logarithm.

        log p(x) ~= log (1/S) sum_s p(x | z_s),   z_s ~ p(z)

    Helps: needs no q. Fails: as soon as the posterior is much narrower than the prior, almost every draw
    explains x badly, a few draws dominate the average, and the logarithm is usually far too low. Biased low
    by Jensen's inequality (Burda et al. 2016, section 3).
    """

    name = "prior-monte-carlo"
    title = "prior Monte Carlo"
    synonyms = ("naive-monte-carlo", "simple-monte-carlo")
    target = "log-evidence"
    unbiased = False
    summary = "log mean of p(x | z) over draws from the prior; biased low"
    draws_from = "prior"
    independent_draws = True

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        z = prior_draws(problem, noise)
        return mean_over_rows(prior_evidence(problem.model, problem.theta, problem.x, z)), state


class ImportanceSampling(Estimator):
    """Importance sampling of the evidence with q as proposal.

        log p(x) ~= log (1/S) sum_s w_s,   w_s = p(x, z_s) / q(z_s | x),   z_s ~ q

    Helps: with q near the posterior the weights are nearly equal and few draws suffice. Fails: if q is
    narrower than the posterior the weights have heavy tails. Biased low for log p(x) (its mean is the
    importance-weighted bound of Burda et al. 2016, eq. 8).
    """

    name = "importance-sampling"
    title = "importance sampling"
    target = "log-evidence"
    unbiased = False
    summary = "log mean of the weights p(x, z) / q(z) over draws from q; biased low"
    independent_draws = True

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        model, posterior, theta, _, x = problem
        eta, z = posterior_draws(problem, noise)
        return mean_over_rows(importance_evidence(model, theta, x, posterior.family, eta, z)), state


class PriorMonteCarloScore(Estimator):
    """Gradient of the naive Monte Carlo evidence, score form.

        sum_s v_s d/d theta [log p(x | z_s) + log p(z_s)],   v_s = p(x | z_s) / sum_t p(x | z_t),   z_s ~ p(z)

    The draws are held fixed; the parameters of the prior enter through log p(z; theta). Fails like the
    evidence itself: one draw takes all the weight.

    Helps: needs no q, and any prior.
    """

    name = "prior-monte-carlo-score"
    title = "prior Monte Carlo, score form"
    target = "grad-theta-log-evidence"
    unbiased = False
    summary = "prior draws weighted by p(x | z); the prior's parameters through log p(z)"
    draws_from = "prior"
    independent_draws = True

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        model, _, theta, _, x = problem
        z = prior_draws(problem, noise)
        weights = softmax(model.log_likelihood(theta, x, z), axis=-2)
        return model.log_joint_vjp(theta, x, z, weights / len(x))[0], state


class PriorMonteCarloPathwise(Estimator):
    """Gradient of log mean p(x | z(theta, eps)) with the noise frozen: the pathwise form.

        log p(x) ~= log (1/S) sum_s p(x | z(theta, eps_s)),   z = mu + tau * eps for a Gaussian prior
        gradient  = sum_s v_s [d log p(x | z_s)/d theta + (dz_s/d theta)^T d log p(x | z_s)/dz]

    with v_s as in the score form: the exact gradient of the sampled log-evidence, so the parameters of the
    prior move the draws. The bias has the same source (a ratio of means). If the prior has no parameters it
    is the score form. A categorical prior has no such path.

    Helps: needs no q, and may have less noise than the score form. Fails: like the evidence itself, when one
    draw takes all the weight; and for discrete z.
    """

    name = "prior-monte-carlo-pathwise"
    title = "prior Monte Carlo, pathwise"
    target = "grad-theta-log-evidence"
    unbiased = False
    summary = "prior draws weighted by p(x | z); the prior's parameters through z = mu + tau eps"
    draws_from = "prior"
    needs_pathwise = True
    independent_draws = True

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        model, _, theta, _, x = problem
        prior_eta = model.prior_eta(theta)
        z = model.family.sample(prior_eta, noise)
        weights = softmax(model.log_likelihood(theta, x, z), axis=-2)
        direct, grad_z = model.log_likelihood_vjp(theta, x, z, weights / len(x))
        assert grad_z is not None  # z is continuous
        grad_eta = model.family.sample_vjp(prior_eta, noise, grad_z).sum(axis=-2)
        return direct + model.prior_eta_vjp(theta, grad_eta), state


class ImportanceWeighted(Estimator):
    """Gradient of the evidence in theta by self-normalised importance sampling from q.

        d log p(x)/d theta ~= sum_s v_s d log p(x, z_s)/d theta,   v_s = w_s / sum_t w_t,   z_s ~ q

    (the gradient of the importance-weighted bound in theta; Burda et al. 2016, eq. 14). Better with more
    draws, exact with q the posterior; biased as a ratio of means, by order 1/S.

    Helps: with q near the posterior a few draws follow the slope of log p(x) itself, not that of a bound.
    Fails: with q narrower than the posterior the weights have heavy tails, and one draw takes over.
    """

    name = "importance-weighted"
    title = "self-normalised importance sampling"
    synonyms: tuple[str, ...] = ("snis", "self-normalized-importance-sampling")
    target = "grad-theta-log-evidence"
    unbiased = False
    summary = "draws from q, self-normalised weights; biased by order 1/S"
    independent_draws = True

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        model, _, theta, _, x = problem
        _, z, log_w = weighted_draws(problem, noise)
        weights = softmax(log_w, axis=-2)
        return model.log_joint_vjp(theta, x, z, weights / len(x))[0], state
