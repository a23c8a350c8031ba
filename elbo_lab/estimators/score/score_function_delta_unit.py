"""Score function with the delta-method control variate, its coefficient one.

    G = (1/S) sum_i (f_i - f(m) - l_i) s_i + E[l s],   l(z) = g . (z - m)

(a Taylor expansion as control variate: Paisley, Blei and Jordan 2012, there of second order; see
`linearised`.) What is left to the draws is the remainder of the expansion, and one draw is enough.

It helps where q has the width of the posterior and its mean is off: the curvatures of log p and of -log q
then cancel, and log w is nearly linear. It hurts where the width is wrong, or where a bent decoder has
another slope at the mean than on average: f(m) lies off the mean of f, l off what f does, and both *add*
variance. Then the coefficients have to be estimated (`score-function-delta`).
"""

from elbo_lab.bounds import log_weight
from elbo_lab.estimators.base import NO_STATE, Estimator, posterior_draws
from elbo_lab.estimators.score.linearised import linear_part, refuse_without_mean


class ScoreFunctionDeltaUnit(Estimator):
    """Score function of what the linearisation leaves over, plus the mean of the rest."""

    name = "score-function-delta-unit"
    target = "grad-phi-elbo"
    summary = "REINFORCE minus log w linearised at the mean of q, coefficient one; can hurt"

    def check_pairing(self, model, posterior):
        super().check_pairing(model, posterior)
        refuse_without_mean(posterior.family)

    def estimate(self, problem, noise, state=NO_STATE):
        model, posterior, theta, phi, x = problem
        eta, z = posterior_draws(problem, noise)
        family = posterior.family
        linear, _, by_score = linear_part(model, theta, x, family, eta, z)
        at_mean = log_weight(model, theta, x, family, eta, family.split(eta)[0][None])
        remainder = log_weight(model, theta, x, family, eta, z) - at_mean - linear
        by_draws = (remainder[..., None] * family.score(eta, z)).mean(axis=-3)
        return posterior.eta_vjp(phi, x, (by_draws + by_score) / len(x)), state
