"""Score functions with control variates: a multiple of a variable of known mean is subtracted.

    the score itself, of mean zero                           score-function-control-variate
    log w linearised at the mean of q, its mean put back     score-function-delta, score-function-delta-unit

For the second, log w is expanded around the mean m of a Gaussian q,

    f(z) ~ f(m) + l(z),   l(z) = g . (z - m),   g = d log p(x, z) / dz at z = m

(log q is flat at its mean; a Taylor expansion as control variate: Paisley, Blei and Jordan 2012, there of
second order.) With z = m + s u and score (u / s, u^2 - 1) the expectations are moments of a normal u:

    E[l] = 0,   Var(l) = |g s|^2,   E[l score] = (g, 0)

so that any multiple of l can be subtracted from the draws and its share of the gradient put back exactly. It
needs d log p / dz at the mean, so it is for continuous z, where the reparameterised gradient usually has
even less variance.
"""

from typing import cast

import numpy as np

from elbo_lab.arrays import Draws, Floats
from elbo_lab.distributions import DiagonalGaussian, Laplace, Logistic
from elbo_lab.distributions.base import Family
from elbo_lab.estimators.base import (
    NO_STATE,
    Estimate,
    Estimator,
    log_weight_at,
    mean_gradient,
    weighted_draws,
)
from elbo_lab.exact.problem import Problem

__all__ = ["ScoreFunctionControlVariate", "ScoreFunctionDelta", "ScoreFunctionDeltaUnit"]

# Other draws whose scores vary by less than this, relative to their squares, count as one draw.
COINCIDENT = 1e-9


class ScoreFunctionControlVariate(Estimator):
    """Score function minus a fitted multiple of the score, each draw's multiple from the others.

    The score has mean zero, so a multiple of it can be subtracted. The multiple of least variance, summed
    over the E coordinates of eta of one datum, is

        a = sum_j Cov(f s_j, s_j) / sum_j Var(s_j)

    and is estimated by sample covariances (Ranganath et al. 2014, section 3.2, one coefficient per factor of
    q, here per datum). Draw i takes its coefficient from the other draws, so the estimate stays unbiased:

        g = (1/S) sum_i (f_i - a_{-i}) s_i

    The optimal baseline (`score-function-optimal-baseline`) aims at the same optimum in another way: it has a
    coefficient for every coordinate, and uses E[s] = 0, so that its ratio of second moments is a
    weighted mean of the other f. Here the means are estimated as well, which costs a draw (three at least),
    and a may lie outside the range of the f. There is a reason for one coefficient per datum: with one per
    coordinate two other draws of the same score and different f send the ratio to infinity, and for
    continuous z its variance is infinite below five draws.

    Helps: with many draws, since it approaches the best common multiple as S grows. Fails: with few, where
    the plain mean of the others does better.
    """

    name = "score-function-control-variate"
    title = "REINFORCE, control variate"
    target = "grad-phi-elbo"
    summary = "REINFORCE minus a multiple of the score, one fitted per datum on the other draws"
    minimum_draws = 3
    independent_draws = True

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        eta, z, f = weighted_draws(problem, noise)
        score = problem.posterior.family.score(eta, z)
        # Centring with all draws shifts f and a alike: it changes rounding, not the estimate.
        f = f - f.mean(axis=-2, keepdims=True)
        weighted = f[..., None] * score
        variance = _over_others(score, score)
        # Where the other draws coincide there is no slope: the multiple is then the mean of their f.
        squares = (score * score).sum(axis=-1)
        apart = variance > COINCIDENT * (squares.sum(axis=-2, keepdims=True) - squares)
        slope = _over_others(weighted, score) / np.where(apart, variance, 1.0)
        multiple = np.where(apart, slope, f / (1 - f.shape[-2]))
        return mean_gradient(problem, (f - multiple)[..., None] * score), state


def _over_others(a: Floats, b: Floats) -> Floats:
    """Return sum_j sum_k (a_kj - mean a_j) (b_kj - mean b_j) over the draws k != i: (..., S, N).

    The sum over all draws, minus what draw i adds to it.
    """
    n_draws = a.shape[-3]
    a, b = a - a.mean(axis=-3, keepdims=True), b - b.mean(axis=-3, keepdims=True)
    products = (a * b).sum(axis=-1)
    return products.sum(axis=-2, keepdims=True) - products * (n_draws / (n_draws - 1))


Symmetric = DiagonalGaussian | Laplace | Logistic


class Linearised(Estimator):
    """Base of the two estimators that expand log w around the mean of a q that is symmetric about it.

    For l(z) = g . (z - m) and a location m = E[z] the mean of l times the score is d(g . m)/d eta: g for the
    location, and zero for the scale.
    """

    target = "grad-phi-elbo"
    latents = "symmetric"

    def evaluations(self, n_draws: int, family: Family) -> int:  # noqa: ARG002
        return n_draws + 1  # the slope at the mean of q


def linear_part(problem: Problem, eta: Floats, z: Draws) -> tuple[Floats, Floats, Floats]:
    """Return l(z) (..., S, N) in nats, its squared scale (N,) and E[l score] (N, E).

    The squared scale of a Gaussian is its variance.
    """
    model, posterior, theta, _, x = problem
    family = cast(Symmetric, posterior.family)
    mean, log_scale = family.split(eta)
    at_mean = mean[None]
    slope = model.log_joint_grad_z(theta, x, at_mean, np.ones_like(at_mean[..., 0]))[0]
    variance = ((slope * np.exp(log_scale)) ** 2).sum(axis=-1)
    by_score = family.join(slope, np.zeros_like(slope))
    return (slope * (z - mean)).sum(axis=-1), variance, by_score


class ScoreFunctionDelta(Linearised):
    """Leave-one-out score function minus a fitted multiple of its linearisation, whose mean is put back.

        G = (1/S) sum_i [(f_i - b_i - a_i l_i) s_i + a_i E[l s]]

    The constant b_i is the mean of the other f, as in `score-function-loo`; the multiple, one per datum, is
    the slope of the line through the other draws, so that G stays unbiased:

        a_i = sum_{k != i} (f_k - b_i) l_k / (Var(l) + sum_{k != i} l_k^2)

    This is least squares with the known variance of l added, as if one further draw had shown no correlation:
    without it the ratio of few draws has infinite variance. At two draws a is zero and the leave-one-out
    estimate is left. The slope of f is fitted, not the best multiple for each coordinate: that is a ratio of
    moments of higher order, and its noise at a hundred draws still costs more than it gains.

    It helps where log w is nearly linear within q: the width of q is about right and its mean is off. Fails:
    at the best Gaussian g is close to zero, and little is left but the baseline.
    """

    name = "score-function-delta"
    title = "REINFORCE, linearised"
    summary = "REINFORCE minus a fitted multiple of log w linearised at the mean of q"
    minimum_draws = 2
    independent_draws = True

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        eta, z, f = weighted_draws(problem, noise)
        # Centring with all draws shifts f and b alike: it changes rounding, not the estimate.
        f = f - f.mean(axis=-2, keepdims=True)
        mean_of_others = f / (1 - f.shape[-2])
        linear, variance, by_score = linear_part(problem, eta, z)
        explained = _sum_of_others(f * linear) - mean_of_others * _sum_of_others(linear)
        squares = variance + _sum_of_others(linear * linear)
        # A slope of exactly zero leaves no control variate.
        multiple = explained / np.where(squares > 0.0, squares, 1.0)
        score = problem.posterior.family.score(eta, z)
        by_draws = (f - mean_of_others - multiple * linear)[..., None] * score
        return mean_gradient(problem, by_draws + multiple[..., None] * by_score), state


def _sum_of_others(a: Floats) -> Floats:
    """Return the sum over the draws k != i of a (..., S, N)."""
    return a.sum(axis=-2, keepdims=True) - a


class ScoreFunctionDeltaUnit(Linearised):
    """Score function of the remainder of the linearisation, whose mean is put back: coefficient one.

        G = (1/S) sum_i (f_i - f(m) - l_i) s_i + E[l s],   l(z) = g . (z - m)

    Only the remainder of the expansion is left to the draws, and one draw is enough.

    It helps where q has the width of the posterior and its mean is off: the curvatures of log p and of -log q
    then cancel, and log w is nearly linear. It hurts where the width is wrong, or where a curved decoder has
    another slope at the mean than on average: f(m) is then far from the mean of f and l from the change of f,
    and both *add* variance. Then the coefficients have to be estimated (`score-function-delta`).
    """

    name = "score-function-delta-unit"
    title = "REINFORCE, linearised, coefficient 1"
    summary = "REINFORCE minus log w linearised at the mean of q, coefficient one; can hurt"

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        posterior, phi, x = problem.posterior, problem.phi, problem.x
        eta, z, f = weighted_draws(problem, noise)
        linear, _, by_score = linear_part(problem, eta, z)
        mean = cast(Symmetric, posterior.family).split(eta)[0]
        at_mean = log_weight_at(problem, eta, mean[None])
        remainder = f - at_mean - linear
        by_draws = (remainder[..., None] * posterior.family.score(eta, z)).mean(axis=-3)
        return posterior.eta_vjp(phi, x, (by_draws + by_score) / len(x)), state
