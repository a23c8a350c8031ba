"""Score function with a fitted control-variate coefficient, the score itself as control variate.

The score has mean zero, so a multiple of it can be taken off. The multiple of least variance, summed over
the E coordinates of eta of one datum, is

    a = sum_j Cov(f s_j, s_j) / sum_j Var(s_j)

and is estimated by sample covariances (Ranganath et al. 2014, section 3.2, one coefficient per factor of q,
here per datum). Draw i takes its coefficient from the other draws, so the estimate stays unbiased:

    g = (1/S) sum_i (f_i - a_{-i}) s_i

The optimal baseline (`score-function-optimal-baseline`) aims at the same optimum in another way: it has a
coefficient for every coordinate, and knows that E[s] = 0, so that its ratio of second moments is a weighted
mean of the other f. Here the means are estimated as well, which costs a draw (three at least), and a may lie
outside of the range of the f. One coefficient per datum is more than thrift: with one per coordinate two
other draws of the same score and different f send the ratio to infinity, and for continuous z its variance
is infinite below five draws.

It approaches the best common multiple as S grows. At few draws the plain mean of the others does better.
"""

import numpy as np

from elbo_lab.bounds import log_weight
from elbo_lab.estimators.base import NO_STATE, Estimator, posterior_draws

# Other draws whose scores vary by less than this, relative to their squares, are one draw.
COINCIDENT = 1e-9


class ScoreFunctionControlVariate(Estimator):
    """Score function minus a fitted multiple of the score, each draw's multiple from the others."""

    name = "score-function-control-variate"
    target = "grad-phi-elbo"
    summary = "REINFORCE minus a multiple of the score, one fitted per datum on the other draws"
    independent_draws = True
    minimum_draws = 3

    def estimate(self, problem, noise, state=NO_STATE):
        model, posterior, theta, phi, x = problem
        eta, z = posterior_draws(problem, noise)
        f = log_weight(model, theta, x, posterior.family, eta, z)
        score = posterior.family.score(eta, z)
        # Centring by all draws is a shift of f and a alike: it changes rounding, not the estimate.
        f = f - f.mean(axis=-2, keepdims=True)
        weighted = f[..., None] * score
        variance = _over_others(score, score)
        # Where the others are one draw there is no slope: the multiple is then the mean of their f.
        squares = (score * score).sum(axis=-1)
        apart = variance > COINCIDENT * (squares.sum(axis=-2, keepdims=True) - squares)
        slope = _over_others(weighted, score) / np.where(apart, variance, 1.0)
        multiple = np.where(apart, slope, f / (1 - f.shape[-2]))
        grad_eta = ((f - multiple)[..., None] * score).mean(axis=-3) / len(x)
        return posterior.eta_vjp(phi, x, grad_eta), state


def _over_others(a, b):
    """Return sum_j sum_k (a_kj - mean a_j) (b_kj - mean b_j) over the draws k != i: (..., S, N).

    The sum over all draws, minus what draw i adds to it.
    """
    n_draws = a.shape[-3]
    a, b = a - a.mean(axis=-3, keepdims=True), b - b.mean(axis=-3, keepdims=True)
    products = (a * b).sum(axis=-1)
    return products.sum(axis=-2, keepdims=True) - products * (n_draws / (n_draws - 1))
