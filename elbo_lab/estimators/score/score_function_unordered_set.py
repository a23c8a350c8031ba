"""Score function from a set of different values: sampling without replacement.

With replacement, a peaked q draws the same value over and over and learns nothing new from it. Here S
different values are drawn, and their order is averaged out. With p(S) the probability of the set in any
order, the leave-one-out ratio R(S, s) = p^{without s}(S \\ s) / p(S) weighs every member,

    g = sum_{s in S} q(s) R(S, s) score(s) (f(s) - B_s)
    B_s = q(s) f(s) + sum_{t in S \\ s} q(t) R^{without s}(S, t) f(t)

(Kool, van Hoof and Welling 2020, the unordered set policy gradient estimator with built-in baseline.) The
product q(s) R(S, s) is the probability that s was drawn first, given the set (`sets`). B_s is such an
estimate of E f itself, from the other members and s with its exact weight, so that the mean of B_s given s
is E f for every s, and the baseline leaves no bias. Its weights sum to one, so that only differences count:

    f(s) - B_s = sum_{t in S \\ s} q(t) R^{without s}(S, t) (f(s) - f(t))

At two draws: g = (1 - q_s)(1 - q_t) / (2 - q_s - q_t) (f_s - f_t) (score_s - score_t).

It needs a discrete z with few values. With as many draws as values it is the exact sum; near that it beats
every estimator that draws with replacement. With far more values than draws it hardly ever would have drawn
one twice, and is close to the leave-one-out baseline. Work and memory double with each draw, up to 16.
"""

import numpy as np

from elbo_lab.bounds import log_weight
from elbo_lab.distributions.noise import NoiseSpec
from elbo_lab.estimators.base import NO_STATE, Estimator
from elbo_lab.estimators.score.few_values import log_table, refuse_many_values
from elbo_lab.estimators.score.sets import draw_set, first_draw, log_subset_probabilities
from elbo_lab.special import log_sum_exp


class ScoreFunctionUnorderedSet(Estimator):
    """Score function over different values, weighted as a set."""

    name = "score-function-unordered-set"
    target = "grad-phi-elbo"
    summary = "REINFORCE over a set of different values, drawn without replacement"
    independent_draws = True
    minimum_draws = 2

    def noise_spec(self, family, n_draws, n_data):  # noqa: ARG002
        """One uniform per draw: it picks among what is left."""
        return NoiseSpec("uniform", (n_draws, n_data))

    def check_pairing(self, model, posterior):
        super().check_pairing(model, posterior)
        refuse_many_values(posterior.family)

    def estimate(self, problem, noise, state=NO_STATE):
        model, posterior, theta, phi, x = problem
        family, eta = posterior.family, posterior.eta(phi, x)
        numbers, left = draw_set(log_table(family, eta), noise)
        z = family.values()[numbers]
        f = log_weight(model, theta, x, family, eta, z)
        log_q = np.moveaxis(family.log_prob(eta, z), -2, 0)  # (k, ..., N): members in front
        log_w = log_subset_probabilities(log_q, log_sum_exp(left, axis=-1))
        first, after = first_draw(log_q, log_w)
        f = np.moveaxis(f, -2, 0)
        weights = first * (after * (f[:, None] - f)).sum(axis=1)
        weights = np.moveaxis(weights, 0, -2)
        grad_eta = (weights[..., None] * family.score(eta, z)).sum(axis=-3) / len(x)
        return posterior.eta_vjp(phi, x, grad_eta), state
