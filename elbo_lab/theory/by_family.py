"""Score function or pathwise, family by family: exact means and variances of one draw of the gradient.

For a cost f(z) of one latent, the gradient of E_q f is the mean of either of

    f(z) dlog q/deta      (score function)        and        f'(z) dz/deta      (pathwise),

with z drawn from q(z; eta). Both means and both variances are sums over nodes of the uniform noise
(`elbo_lab.exact.rules`), so the comparison is without noise. Pathwise has the smaller variance where the
cost is smooth on the scale of q; a cost that oscillates faster has steep slopes and small values, and
reverses the order. The score function has no baseline: f is used as it is.

A heavy tail may leave a mean or a variance without a value (E exp(-z) under a Student t). What a hundred
decades of tail do not settle is reported as infinite.

Source: S. Mohamed, M. Rosca, M. Figurnov, A. Mnih, "Monte Carlo Gradient Estimation in Machine Learning"
(2020), sections 4 and 5, where such variances are compared for Gaussians.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elbo_lab.arrays import Floats
from elbo_lab.distributions import (
    Beta,
    Exponential,
    Gamma,
    Gumbel,
    IndependentFamily,
    Laplace,
    Logistic,
    LogNormal,
    StudentT,
    Weibull,
)
from elbo_lab.errors import bad_kind, bad_value, check_vector
from elbo_lab.exact.rules import tail_rule
from elbo_lab.theory.costs import Cost

# Nodes with a tail below this serve only to check that nothing is left there.
FAR_OUT = 1e-80
# Nodes per half: twice the usual, for costs that oscillate in the tails.
N_NODES = 240
# The share of the whole that may be left there.
SETTLED = 1e-9


COSTS = (
    Cost("z^2", np.square, lambda z: 2.0 * z),
    Cost("cos(z)", np.cos, lambda z: -np.sin(z)),
    Cost("cos(4z)", lambda z: np.cos(4.0 * z), lambda z: -4.0 * np.sin(4.0 * z)),
    Cost("exp(-z)", lambda z: np.exp(-z), lambda z: -np.exp(-z)),
)

# One member of each family, all with mean and width of the order of one.
MEMBERS = (
    (Laplace(1), (1.0, np.log(0.4))),
    (Logistic(1), (1.0, np.log(0.3))),
    (StudentT(1), (1.0, np.log(0.5), np.log(12.0))),
    (Gumbel(1), (1.0, np.log(0.4))),
    (LogNormal(1), (0.0, np.log(0.4))),
    (Exponential(1), (0.0,)),
    (Weibull(1), (0.0, np.log(2.0))),
    (Gamma(1), (np.log(3.0), -np.log(3.0))),
    (Beta(1), (np.log(2.0), np.log(3.0))),
)


@dataclass(frozen=True)
class GradientMoments:
    """Mean and variance of one draw of a gradient, each (E,); infinite where there is none."""

    mean: Floats
    variance: Floats


def _draws(family: IndependentFamily, eta: ArrayLike) -> tuple[Floats, Floats, Floats, NDArray[np.bool_]]:
    """Return (eta (1, E), nodes z (G, 1, 1), weights (G,), which nodes lie far out (G,))."""
    if not isinstance(family, IndependentFamily):
        raise bad_kind("family", "one with independent continuous coordinates", repr(family))
    if family.size != 1:
        raise bad_value(
            "family", "one coordinate", f"{family.size} of them", f"use {type(family).__name__}(1)"
        )
    row = check_vector("eta", eta, family.eta_size)[None, :].astype(np.float64)
    lower, upper, weights = tail_rule(N_NODES)
    z = family.quantile(row, lower[:, None, None], upper[:, None, None])
    return row, z, weights, np.minimum(lower, upper) < FAR_OUT


def _mean(values: Floats, weights: Floats, far: NDArray[np.bool_]) -> Floats:
    """Return the mean of `values` (G, E), infinite where the far nodes still carry some of it."""
    with np.errstate(over="ignore", invalid="ignore"):
        terms = values * weights[:, None]
        size = np.abs(terms).sum(axis=0)
        unsettled = ~np.isfinite(size) | (np.abs(terms[far]).sum(axis=0) > SETTLED * size)
        return np.where(unsettled, np.inf, terms.sum(axis=0))


def _moments(values: Floats, weights: Floats, far: NDArray[np.bool_]) -> GradientMoments:
    """Return the GradientMoments of `values` (G, E)."""
    mean = _mean(values, weights, far)
    with np.errstate(over="ignore", invalid="ignore"):
        variance = _mean((values - mean) ** 2, weights, far)
    return GradientMoments(mean, variance)


def expected_cost(family: IndependentFamily, eta: ArrayLike, cost: Cost) -> float:
    """Return E_q f(z) by quadrature over the noise.

    Parameters
    ----------
    family : IndependentFamily
        With one coordinate.
    eta : array-like (E,)
    cost : Cost

    Returns
    -------
    float
        In the unit of the cost; infinite where there is no expectation.
    """
    _, z, weights, far = _draws(family, eta)
    with np.errstate(over="ignore"):
        values = cost.value(z)[:, 0]
    return float(_mean(values, weights, far)[0])


def score_function_moments(family: IndependentFamily, eta: ArrayLike, cost: Cost) -> GradientMoments:
    """Return the GradientMoments of f(z) dlog q/deta; parameters as in `expected_cost`."""
    eta, z, weights, far = _draws(family, eta)
    with np.errstate(over="ignore", invalid="ignore"):
        values = cost.value(z)[:, 0] * family.score(eta, z)[:, 0]
    return _moments(values, weights, far)


def pathwise_moments(family: IndependentFamily, eta: ArrayLike, cost: Cost) -> GradientMoments:
    """Return the GradientMoments of f'(z) dz/deta; parameters as in `expected_cost`."""
    eta, z, weights, far = _draws(family, eta)
    velocity = np.concatenate(family.velocity(eta, z), axis=-1)[:, 0]
    with np.errstate(over="ignore", invalid="ignore"):
        values = cost.slope(z)[:, 0] * velocity
    return _moments(values, weights, far)


def family_variances(
    members: Sequence[tuple[IndependentFamily, ArrayLike]] = MEMBERS, costs: Sequence[Cost] = COSTS
) -> list[dict[str, Any]]:
    """Return one row per family, cost and parameter: the gradient and both variances of one draw.

    Parameters
    ----------
    members : sequence of (IndependentFamily, eta (E,))
    costs : sequence of Cost

    Returns
    -------
    list of dict
        With the keys 'family', 'cost', 'parameter', 'gradient', 'variance_score_function',
        'variance_pathwise' and 'smaller', which names the estimator of the smaller variance, or is 'neither'
        where both are infinite.
    """
    rows = []
    for family, eta in members:
        for cost in costs:
            score, path = (
                moments(family, eta, cost) for moments in (score_function_moments, pathwise_moments)
            )
            for i, parameter in enumerate(family.parameters):
                by_score, by_path = float(score.variance[i]), float(path.variance[i])
                order = "pathwise" if by_path < by_score else "score-function"
                rows.append(
                    {
                        "family": family.name,
                        "cost": cost.name,
                        "parameter": parameter,
                        "gradient": float(path.mean[i]),
                        "variance_score_function": by_score,
                        "variance_pathwise": by_path,
                        "smaller": order if min(by_score, by_path) < np.inf else "neither",
                    }
                )
    return rows
