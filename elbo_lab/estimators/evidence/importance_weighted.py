"""Gradient of the evidence in theta by self-normalised importance sampling from q.

    d log p(x)/d theta ~= sum_s v_s d log p(x, z_s)/d theta,   v_s = w_s / sum_t w_t,   z_s ~ q

(the gradient of the importance-weighted bound in theta; Burda et al. 2016, eq. 14). Better with more
draws, exact with q the posterior; biased as a ratio of means, by order 1/S.
"""

from elbo_lab.bounds import log_weight
from elbo_lab.estimators.base import NO_STATE, Estimator, posterior_draws
from elbo_lab.special import softmax


class ImportanceWeighted(Estimator):
    """Self-normalised average of the joint's gradient over draws from q."""

    name = "importance-weighted"
    target = "grad-theta-log-evidence"
    unbiased = False
    summary = "draws from q, self-normalised weights; biased by order 1/S"
    independent_draws = True

    def estimate(self, problem, noise, state=NO_STATE):
        model, posterior, theta, _, x = problem
        eta, z = posterior_draws(problem, noise)
        weights = softmax(log_weight(model, theta, x, posterior.family, eta, z), axis=-2)
        return model.log_joint_vjp(theta, x, z, weights / len(x))[0], state
