"""REBAR: the score function with the Concrete relaxation as control variate, made unbiased.

    g = [f(b) - f(y~)] d log q(b)/dl + (dy/dl)^T df/dy (y) - (dy~/dl)^T df/dy (y~)

(Tucker et al. 2017, section 3, with the coefficient of the control variate at 1.) b, y and y~ come from the
continuous variables behind b, and from others given b (`distributions.relaxations`). For bits

    zeta = l + log((1 - u) / u),   b = [zeta > 0],   y = sigmoid(zeta / t)
    zeta~ ~ p(zeta | b),   y~ = sigmoid(zeta~ / t)

and for categories zeta = log p + Gumbels, b = argmax, and softmax in the place of sigmoid; a vector of
categories has a simplex for each. zeta~ has the law of zeta once b is averaged over, and both move with l.

y~ is close to b, so that f(y~) cancels most of f(b). The two pathwise terms correct the mean: their
expectations differ by exactly the score-function gradient of f(y). Unbiased at every temperature, which
affects only the variance. Three evaluations of f and two of its slope. Fails where f between the corners
says little about f at the corners; `relax` learns its control variate.
"""

from dataclasses import dataclass

from elbo_lab.arrays import Floats
from elbo_lab.distributions import NoiseSpec, relaxation_of
from elbo_lab.distributions.base import Family
from elbo_lab.distributions.relaxations import ConditionalPair
from elbo_lab.estimators.base import NO_STATE, Estimate, log_weight_at, mean_gradient
from elbo_lab.estimators.discrete.bits import RelaxingEstimator, WithTemperature, slope_at, value_at
from elbo_lab.exact.problem import Problem

__all__ = ["Rebar"]


def conditional_pair(family: Family, eta: Floats, noise: Floats, temperature: float) -> ConditionalPair:
    """Return the ConditionalPair of logits (N, E) and noise (..., S, N, width, 2)."""
    return relaxation_of(family).pair(eta, noise, temperature)


class ConditionalPairs(RelaxingEstimator):
    """An estimator that draws conditional pairs: two uniforms for every bit, or for every category."""

    def noise_spec(self, family: Family, n_draws: int, n_data: int) -> NoiseSpec:
        """Return the noise (S, N, width, 2): u and v of every bit or category."""
        if not family.discrete:
            return family.noise_spec(n_draws, n_data)
        return NoiseSpec("uniform", (n_draws, n_data, relaxation_of(family).width, 2))

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
        difference = log_weight_at(problem, eta, pair.b) - value_at(problem, eta, pair.y_given)
        grad_eta = (
            difference[..., None] * family.score(eta, pair.b)
            + pair.path.pull(slope_at(problem, eta, pair.y))
            - pair.path_given.pull(slope_at(problem, eta, pair.y_given))
        )
        return mean_gradient(problem, grad_eta), state
