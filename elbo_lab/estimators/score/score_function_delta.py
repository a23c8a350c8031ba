"""Score function with the delta-method control variate, its coefficients estimated.

log w is expanded around the mean of q, f(z) ~ constant + l(z) with l(z) = g . (z - m). What l adds to the
gradient is known in closed form (`linearised`), so any multiple of it can be taken off the draws and put
back exactly:

    G = (1/S) sum_i [(f_i - b_i - a_i l_i) s_i + a_i E[l s]]

(a Taylor expansion as control variate: Paisley, Blei and Jordan 2012, there of second order.) The constant
b_i is the mean of the other f, as in `score-function-loo`; the multiple, one per datum, is the slope of the
line through the other draws, so that G stays unbiased:

    a_i = sum_{k != i} (f_k - b_i) l_k / (Var(l) + sum_{k != i} l_k^2)

This is least squares with the known variance of l added, as if one further draw had shown no correlation:
without it the ratio of few draws has infinite variance. At two draws a is zero and the leave-one-out
estimate is left. The slope of f is fitted, not the best multiple for each coordinate: that is a ratio of
moments of higher order, and its noise at a hundred draws still costs more than it gains.

It helps where log w is nearly linear within q: the width of q is about right and its mean is off. At the
best Gaussian g is close to zero and little is left but the baseline. It needs d log p / dz at the mean, so
it is for continuous z, where the reparameterised gradient usually has less variance still.
"""

import numpy as np

from elbo_lab.bounds import log_weight
from elbo_lab.estimators.base import NO_STATE, Estimator, posterior_draws
from elbo_lab.estimators.score.linearised import linear_part, refuse_without_mean


class ScoreFunctionDelta(Estimator):
    """Leave-one-out score function minus a fitted multiple of its linearisation, whose mean is put back."""

    name = "score-function-delta"
    target = "grad-phi-elbo"
    summary = "REINFORCE minus a fitted multiple of log w linearised at the mean of q"
    independent_draws = True
    minimum_draws = 2

    def check_pairing(self, model, posterior):
        super().check_pairing(model, posterior)
        refuse_without_mean(posterior.family)

    def estimate(self, problem, noise, state=NO_STATE):
        model, posterior, theta, phi, x = problem
        eta, z = posterior_draws(problem, noise)
        family = posterior.family
        f = log_weight(model, theta, x, family, eta, z)
        # Centring by all draws is a shift of f and b alike: it changes rounding, not the estimate.
        f = f - f.mean(axis=-2, keepdims=True)
        mean_of_others = f / (1 - f.shape[-2])
        linear, variance, by_score = linear_part(model, theta, x, family, eta, z)
        explained = _sum_of_others(f * linear) - mean_of_others * _sum_of_others(linear)
        squares = variance + _sum_of_others(linear * linear)
        # A slope of exactly zero leaves no control variate.
        multiple = explained / np.where(squares > 0.0, squares, 1.0)
        by_draws = (f - mean_of_others - multiple * linear)[..., None] * family.score(eta, z)
        grad_eta = (by_draws + multiple[..., None] * by_score).mean(axis=-3) / len(x)
        return posterior.eta_vjp(phi, x, grad_eta), state


def _sum_of_others(a):
    """Return the sum over the draws k != i of a (..., S, N)."""
    return a.sum(axis=-2, keepdims=True) - a
