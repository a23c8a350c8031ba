"""Score function with the exact optimal baseline of every coordinate: a reference, not available in practice.

The constant baseline of least variance for coordinate j of eta is, per datum,

    b_j = E[f s_j^2] / E[s_j^2]

(Greensmith et al. 2004), since Var((f - b) s) = E[f^2 s^2] - 2 b E[f s^2] + b^2 E[s^2] - E[f s]^2. Here both
expectations are computed: a sum over all values of a discrete z, or quadrature over the noise of one or two
latents, with finer rules until b converges. The same sums would give the gradient itself, so this row is not
a practical estimator: it shows the least variance that a constant baseline can reach. To go below it takes a
baseline that depends on z (`score-function-delta`), or other draws (`score-function-unordered-set`).

The integral is computed once per problem and cached, so that the time in a table excludes it.

It is optimal in eta. An encoder mixes the gradients of coordinates and data, so the optimum in phi differs.
"""

from collections.abc import Iterable
from functools import lru_cache

import numpy as np

from elbo_lab.arrays import Draws, Floats
from elbo_lab.bounds import log_weight
from elbo_lab.distributions.base import Family
from elbo_lab.estimators.base import NO_STATE, Estimate, Estimator, mean_gradient, weighted_draws
from elbo_lab.estimators.score.values import MOST_VALUES
from elbo_lab.exact.enumeration import all_values
from elbo_lab.exact.problem import Problem
from elbo_lab.exact.quadrature import passes_under_q
from elbo_lab.exact.rules import Rule, noise_rules
from elbo_lab.models.base import Model

__all__ = ["ScoreFunctionOracleBaseline"]

# Of the last change of b, in units of the spread of f, which a constant in log p leaves as it is.
# The variance is flat at its minimum: an error of 1e-4 spreads changes it by 1e-8 of itself, and the mean
# does not depend on b.
TOLERANCE = 1e-4


class ScoreFunctionOracleBaseline(Estimator):
    """Score function minus the optimal constant baseline of each coordinate, computed exactly.

    Helps: as a yardstick, the least variance of a constant baseline. Fails: in practice, since its sums would
    give the gradient itself.
    """

    name = "score-function-oracle-baseline"
    title = "REINFORCE, oracle baseline"
    target = "grad-phi-elbo"
    summary = "REINFORCE with the exact optimal baseline; a reference, not available in practice"
    is_reference = True
    most_values = MOST_VALUES
    most_dimensions = 2

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        model, posterior, theta, _, x = problem
        eta, z, log_w = weighted_draws(problem, noise)
        baseline = optimal_baseline(model, theta, x, posterior.family, eta)
        score = posterior.family.score(eta, z)
        return mean_gradient(problem, (log_w[..., None] - baseline) * score), state


def optimal_baseline(model: Model, theta: Floats, x: Floats, family: Family, eta: Floats) -> Floats:
    """Return E[f s^2] / E[s^2] (N, E), in nats; read-only."""
    return _computed(model, family, *((a.dtype.str, a.shape, a.tobytes()) for a in (theta, x, eta)))


@lru_cache(maxsize=16)
def _computed(model: Model, family: Family, *stored: tuple[str, tuple[int, ...], bytes]) -> Floats:
    """Return the baseline for arrays (dtype, shape, bytes): a study asks for the same one in every pass."""
    theta, x, eta = (np.frombuffer(data, dtype).reshape(shape) for dtype, shape, data in stored)
    baseline = _exact(model, theta, x, family, eta)
    baseline.flags.writeable = False
    return baseline


def _exact(model: Model, theta: Floats, x: Floats, family: Family, eta: Floats) -> Floats:
    if family.discrete:
        z = all_values(family, len(x))
        return _ratio(model, theta, x, family, eta, [(np.exp(family.log_prob(eta, z)), z)])[0]
    rules = noise_rules(family.size)
    baseline, _ = _by_rule(model, theta, x, family, eta, rules[0])
    for rule in rules[1:]:
        previous, (baseline, spread) = baseline, _by_rule(model, theta, x, family, eta, rule)
        if np.abs(baseline - previous).max() <= TOLERANCE * spread.max():
            break
    # If the rules do not converge, the finest serves: any constant baseline leaves the mean unchanged.
    return baseline


def _by_rule(
    model: Model, theta: Floats, x: Floats, family: Family, eta: Floats, rule: Rule
) -> tuple[Floats, Floats]:
    nodes = ((weights, z) for _, weights, z in passes_under_q(family, eta, rule))
    return _ratio(model, theta, x, family, eta, nodes)


def _ratio(
    model: Model, theta: Floats, x: Floats, family: Family, eta: Floats, nodes: Iterable[tuple[Floats, Draws]]
) -> tuple[Floats, Floats]:
    """Return b = sum w f s^2 / sum w s^2 over the (weights, z) of a rule, 0 where a score is always zero.

    And the spread, the standard deviation of f about b under the weights w s^2.
    """
    weighted, second, squares = np.zeros((3, *eta.shape))
    for weights, z in nodes:
        f = log_weight(model, theta, x, family, eta, z)
        mass = weights[..., None] * family.score(eta, z) ** 2
        weighted += (f[..., None] * mass).sum(axis=0)
        second += (f[..., None] ** 2 * mass).sum(axis=0)
        squares += mass.sum(axis=0)
    squares = np.where(squares > 0.0, squares, 1.0)
    baseline = weighted / squares
    return baseline, np.sqrt(np.maximum(second / squares - baseline**2, 0.0))
