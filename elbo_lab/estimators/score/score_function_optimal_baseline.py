"""Score function with the estimated optimal baseline of every coordinate.

The constant baseline of least variance for coordinate j of eta is E[f s_j^2] / E[s_j^2], with s_j the
score (Greensmith et al. 2004; Ranganath et al. 2014, eq. 8, there as a control-variate coefficient).
Here, per datum and coordinate, from the other draws only:

    b_ij = sum_{k != i} f_k s_kj^2 / sum_{k != i} s_kj^2

so that draw i does not see its own baseline and the estimate stays unbiased. At two draws the weights
cancel and it is the leave-one-out baseline. With few draws the ratio is noisy itself, and the plain mean
of the others often does better; the optimum is approached as S grows.
"""

import numpy as np

from elbo_lab.bounds import log_weight
from elbo_lab.estimators.base import NO_STATE, Estimator, posterior_draws


class ScoreFunctionOptimalBaseline(Estimator):
    """Score function, each draw's baseline estimated from the others, per coordinate."""

    name = "score-function-optimal-baseline"
    target = "grad-phi-elbo"
    summary = "REINFORCE with the variance-optimal baseline of each coordinate, from the other draws"
    independent_draws = True
    minimum_draws = 2

    def estimate(self, problem, noise, state=NO_STATE):
        model, posterior, theta, phi, x = problem
        eta, z = posterior_draws(problem, noise)
        f = log_weight(model, theta, x, posterior.family, eta, z)[..., None]
        score = posterior.family.score(eta, z)
        # Centring by all draws is a shift of f and b alike: it changes rounding, not the estimate.
        f = f - f.mean(axis=-3, keepdims=True)
        squares = score * score
        weighted = f * squares
        numerator = weighted.sum(axis=-3, keepdims=True) - weighted
        denominator = squares.sum(axis=-3, keepdims=True) - squares
        # Where no other draw has any score the baseline is free, but it must not see draw i: zero would
        # be the mean of all (f is centred), so it is the mean of the others.
        safe = np.where(denominator > 0.0, denominator, 1.0)
        others = f / (1 - f.shape[-3])
        baseline = np.where(denominator > 0.0, numerator / safe, others)
        grad_eta = ((f - baseline) * score).mean(axis=-3) / len(x)
        return posterior.eta_vjp(phi, x, grad_eta), state
