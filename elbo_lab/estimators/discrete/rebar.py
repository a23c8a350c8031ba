"""REBAR: the score function with the Concrete relaxation as control variate, made unbiased.

    g = [f(b) - f(y~)] d log q(b)/dl + df/dy (y) dy/dl - df/dy (y~) dy~/dl

(Tucker et al. 2017, section 3, with the coefficient of the control variate at 1.) b, y = sigmoid(zeta / t)
and y~ = sigmoid(zeta~ / t) come from the continuous variable behind a bit, and from a second one given b:

    zeta = l + log((1 - u) / u),   b = [zeta > 0]
    zeta~ ~ p(zeta | b):   with s = 2 b - 1,   zeta~ = s (softplus(s l + log(1 - v)) - log v)

(their section 3 and appendix; the formula is the inverse of the truncated logistic distribution.) Both are
logistic around l once b is averaged over, and both move with l:

    dzeta / dl = 1,   dzeta~ / dl = sigmoid(s l + log(1 - v))

y~ is close to b, so that f(y~) cancels most of f(b). The two pathwise terms correct the mean: their
expectations differ by exactly the score-function gradient of f(y). Unbiased at every temperature, which
affects only the variance. Three evaluations of f and two of its slope. Fails where f between the corners
says little about f at the corners; `relax` learns its control variate.
"""

from dataclasses import dataclass

import numpy as np

from elbo_lab.arrays import Draws, Floats
from elbo_lab.distributions import NoiseSpec
from elbo_lab.distributions.base import Family
from elbo_lab.distributions.relaxations import inside, logistic
from elbo_lab.estimators.base import NO_STATE, Estimate, log_weight_at, mean_gradient
from elbo_lab.estimators.discrete.bits import BitEstimator, WithTemperature, slope_at
from elbo_lab.exact.problem import Problem
from elbo_lab.special import sigmoid, softplus

__all__ = ["Rebar"]


@dataclass(frozen=True, eq=False)
class ConditionalPair:
    """Bits b and the two continuous variables behind them, relaxed; all (..., S, N, K).

    Attributes
    ----------
    b : ndarray
    y, y_given : ndarray
        sigmoid(zeta / t) and sigmoid(zeta~ / t).
    path, path_given : ndarray
        dy / dl and dy~ / dl, b held fixed.
    """

    b: Draws
    y: Floats
    y_given: Floats
    path: Floats
    path_given: Floats


def conditional_pair(family: Family, eta: Floats, noise: Floats, temperature: float) -> ConditionalPair:
    """Return the ConditionalPair of logits (N, K) and noise (..., S, N, K, 2)."""
    u, v = noise[..., 0], inside(noise[..., 1])
    b = family.sample(eta, u)
    sign = 2.0 * b - 1.0
    within = sign * eta + np.log1p(-v)
    y = sigmoid((eta + logistic(u)) / temperature)
    y_given = sigmoid(sign * (softplus(within) - np.log(v)) / temperature)
    path = y * (1.0 - y) / temperature
    path_given = y_given * (1.0 - y_given) / temperature * sigmoid(within)
    return ConditionalPair(b, y, y_given, path, path_given)


class ConditionalPairs(BitEstimator):
    """An estimator that draws conditional pairs: two uniforms for every bit."""

    def noise_spec(self, family: Family, n_draws: int, n_data: int) -> NoiseSpec:
        """Return the noise (S, N, K, 2): u and v of every bit."""
        return NoiseSpec("uniform", (n_draws, n_data, family.size, 2))

    def evaluations(self, n_draws: int, family: Family) -> int:  # noqa: ARG002
        return 3 * n_draws  # at b, y and y~


@dataclass(frozen=True)
class Rebar(WithTemperature, ConditionalPairs):
    """Score function, relaxed control variate, pathwise correction.

    Helps: most of f(b) cancels where f(y~) is close to it, at any temperature without bias.
    """

    stem = "rebar"
    title = "REBAR"
    summary = "score function with a relaxed control variate, corrected to be unbiased"

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        family, eta = problem.posterior.family, problem.posterior.eta(problem.phi, problem.x)
        pair = conditional_pair(family, eta, noise, self.temperature)
        difference = log_weight_at(problem, eta, pair.b) - log_weight_at(problem, eta, pair.y_given)
        grad_eta = (
            difference[..., None] * family.score(eta, pair.b)
            + slope_at(problem, eta, pair.y) * pair.path
            - slope_at(problem, eta, pair.y_given) * pair.path_given
        )
        return mean_gradient(problem, grad_eta), state
