"""The Metropolis rule, and the random walk under it.

A move proposes z', and takes it with probability min(1, ratio) (Metropolis et al. 1953). For a proposal as
likely forth as back, as of the random walk,

    z' = z + h e,   e ~ N(0, I),      ratio = f(z') / f(z)

leaves f invariant. A random walk needs no gradient, but about K moves for one independent draw; `hmc` follows
the slope. Each move takes its randomness as an array, `MoveNoise`.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from elbo_lab.arrays import Draws, Floats
from elbo_lab.chains.target import Point, Target
from elbo_lab.errors import check_positive

P = TypeVar("P", bound=Point)


class MoveNoise(NamedTuple):
    """The randomness of one move of every chain.

    Attributes
    ----------
    normal : ndarray (S, N, K)
        Standard normal: of the step of a random walk, or the momentum.
    uniform : ndarray (S, N)
        On [0, 1), of the decision.
    """

    normal: Floats
    uniform: Floats


def draw_move_noise(shape: tuple[int, ...], rng: np.random.Generator) -> MoveNoise:
    """Return the MoveNoise for z of a shape (S, N, K)."""
    return MoveNoise(rng.standard_normal(shape), rng.random(shape[:-1]))


def accept(point: P, proposal: P, log_ratio: Floats, uniform: Floats) -> tuple[P, NDArray[np.bool_]]:
    """Return the point after the decision, and which chains moved (S, N).

    Parameters
    ----------
    point, proposal : Point
    log_ratio : ndarray (S, N)
        One that is nan, from an overflow, is refused.
    uniform : ndarray (S, N)
    """
    moved = np.log1p(-uniform) < log_ratio
    return point.where(moved, proposal), moved


class Transition(Protocol):
    """A move that leaves the target invariant.

    Attributes
    ----------
    step : float
        h, in units of z.
    acceptance_goal : float
        The share of accepted moves at which h is best.
    """

    @property
    def step(self) -> float: ...

    @property
    def acceptance_goal(self) -> float: ...

    def start(self, target: Target[P], z: Draws) -> P:
        """Return the point at which chains begin."""

    def move(
        self, target: Target[P], point: P, step: Floats, noise: MoveNoise
    ) -> tuple[P, NDArray[np.bool_]]:
        """Return the point after one move of every chain, and which moved (S, N).

        Parameters
        ----------
        target : Target
        point : Point
        step : ndarray (N,)
            Of each datum.
        noise : MoveNoise
        """


@dataclass(frozen=True)
class RandomWalk:
    """Gaussian random-walk Metropolis.

    Parameters
    ----------
    step : float
        h, in units of z.
    acceptance_goal : float
        Roberts et al. (1997), for few latents.
    """

    step: float = 0.5
    acceptance_goal: float = 0.3

    def __post_init__(self) -> None:
        check_positive("step", self.step)

    @staticmethod
    def start(target: Target[P], z: Draws) -> P:
        """Return the point at which chains begin."""
        return target.at(z)

    def move(
        self, target: Target[P], point: P, step: Floats, noise: MoveNoise
    ) -> tuple[P, NDArray[np.bool_]]:
        """As `Transition.move`."""
        proposal = target.at(point.z + step[:, None] * noise.normal)
        with np.errstate(invalid="ignore"):
            log_ratio = target.value(proposal) - target.value(point)
        return accept(point, proposal, log_ratio, noise.uniform)
