"""Gradient of the naive Monte Carlo evidence, score form.

    d log p(x)/d theta = E_{p(z | x)}[d log p(x, z)/d theta]        (Fisher's identity)
                      ~= sum_s v_s d/d theta [log p(x | z_s) + log p(z_s)],
    v_s = p(x | z_s) / sum_t p(x | z_t),   z_s ~ p(z)

The draws are held fixed; parameters of the prior are reached through log p(z; theta). Self-normalised
weights make a ratio of means, which is biased. Fails like the evidence itself: one draw takes all the
weight.
"""

from elbo_lab.estimators.base import NO_STATE, Estimator, prior_draws
from elbo_lab.special import softmax


class PriorMonteCarloScore(Estimator):
    """Self-normalised average of the joint's gradient over prior draws."""

    name = "prior-monte-carlo-score"
    target = "grad-theta-log-evidence"
    unbiased = False
    summary = "prior draws weighted by p(x | z); the prior's parameters through log p(z)"
    independent_draws = True
    draws_from = "prior"

    def estimate(self, problem, noise, state=NO_STATE):
        model, _, theta, _, x = problem
        z = prior_draws(model, theta, noise)
        weights = softmax(model.log_likelihood(theta, x, z), axis=-2)
        return model.log_joint_vjp(theta, x, z, weights / len(x))[0], state
