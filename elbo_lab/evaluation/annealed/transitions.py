"""Moves that leave f_beta invariant: random-walk Metropolis and Hamiltonian Monte Carlo.

Both propose and then accept with probability min(1, ratio) (Metropolis et al. 1953):

    random walk   z' = z + h e                      ratio = f(z') / f(z)
    Hamiltonian   z', r' = leapfrog(z, r), r ~ N(0, I)   ratio = f(z') N(r') / (f(z) N(r))

The leapfrog of L steps preserves volume and is its own inverse once the momentum is reversed, so that no
further factor is needed (Duane et al. 1987; Neal 2011). Both are reversible: the same move serves the chain
that runs backwards. A random walk needs no gradient, but about K moves for one independent draw; the
Hamiltonian move follows the gradient, but all proposals fail where h is too large for the sharpest direction.

The step h is a number for each datum; `acceptance_goal` is where it is best (Roberts et al. 1997; Neal 2011).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elbo_lab.arrays import Draws, Floats
from elbo_lab.errors import check_count, check_positive
from elbo_lab.evaluation.annealed.path import AnnealedPath, Point


def _accepted(
    point: Point, proposal: Point, log_ratio: Floats, rng: np.random.Generator
) -> tuple[Point, NDArray[np.bool_]]:
    """Return the point after the decision, and which chains moved (S, N)."""
    # A ratio that is nan, from an overflow, is rejected.
    moved = np.log1p(-rng.random(log_ratio.shape)) < log_ratio
    return point.where(moved, proposal), moved


@dataclass(frozen=True)
class RandomWalk:
    """Gaussian random-walk Metropolis.

    Parameters
    ----------
    step : float
        h, in units of z.
    """

    step: float = 0.5
    acceptance_goal = 0.3

    def __post_init__(self) -> None:
        check_positive("step", self.step)

    @staticmethod
    def start(path: AnnealedPath, z: Draws) -> Point:
        """Return the Point at which chains begin."""
        return path.at(z)

    def move(
        self, path: AnnealedPath, beta: float, point: Point, step: Floats, rng: np.random.Generator
    ) -> tuple[Point, NDArray[np.bool_]]:
        """Return the Point after one move of every chain, and which moved (S, N).

        Parameters
        ----------
        path : AnnealedPath
        beta : float
        point : Point
        step : ndarray (N,)
        rng : numpy.random.Generator
        """
        proposal = path.at(point.z + step[:, None] * rng.standard_normal(point.z.shape))
        with np.errstate(invalid="ignore"):
            log_ratio = proposal.value(beta) - point.value(beta)
        return _accepted(point, proposal, log_ratio, rng)


@dataclass(frozen=True)
class HamiltonianMonteCarlo:
    """Hamiltonian Monte Carlo with unit masses.

    Parameters
    ----------
    step : float
        h, in units of z.
    n_leapfrog : int
        L, leapfrog steps of one move.
    """

    step: float = 0.2
    n_leapfrog: int = 5
    acceptance_goal = 0.65

    def __post_init__(self) -> None:
        check_positive("step", self.step)
        check_count("n_leapfrog", self.n_leapfrog)

    @staticmethod
    def start(path: AnnealedPath, z: Draws) -> Point:
        """Return the Point at which chains begin."""
        return path.with_slope(z)

    def leapfrog(
        self, path: AnnealedPath, beta: float, point: Point, momentum: Floats, step: Floats
    ) -> tuple[Point, Floats]:
        """Return Point and momentum (S, N, K) after L steps of size `step` (N,)."""
        h = step[:, None]
        momentum = momentum + 0.5 * h * point.slope(beta)
        for i in range(self.n_leapfrog):
            point = path.with_slope(point.z + h * momentum)
            last = i == self.n_leapfrog - 1
            momentum = momentum + (0.5 if last else 1.0) * h * point.slope(beta)
        return point, momentum

    def move(
        self, path: AnnealedPath, beta: float, point: Point, step: Floats, rng: np.random.Generator
    ) -> tuple[Point, NDArray[np.bool_]]:
        """As `RandomWalk.move`."""
        momentum = rng.standard_normal(point.z.shape)
        # A step that is far too large overflows, and is rejected.
        with np.errstate(over="ignore", invalid="ignore"):
            proposal, after = self.leapfrog(path, beta, point, momentum, step)
            kinetic = 0.5 * ((momentum**2).sum(axis=-1) - (after**2).sum(axis=-1))
            log_ratio = proposal.value(beta) - point.value(beta) + kinetic
        return _accepted(point, proposal, log_ratio, rng)


Transition = RandomWalk | HamiltonianMonteCarlo
