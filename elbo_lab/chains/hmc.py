"""Hamiltonian Monte Carlo: z slides along the slope of log f with a momentum r ~ N(0, I).

    r <- r + (h / 2) d log f(z)/dz,   z <- z + h r,   r <- r + (h / 2) d log f(z)/dz         (leapfrog)
    accept z after L such steps with probability min(1, f(z') N(r') / (f(z) N(r)))

The leapfrog preserves volume (its Jacobian determinant is 1) and is its own inverse once the momentum is
turned round, so that the ratio has no further factor. It errs by h^2 in the energy, which the decision
repairs. On a Gaussian of one latent the move is linear, and the acceptance an integral over two Gaussians
(`tests/test_chains.py`).

Helps: continuous z of any number, whose slope costs little more than the value: each move goes far. Fails:
where h is too large for the sharpest direction all proposals are refused; between separate modes no chain
crosses; categories have no slope.

Sources: S. Duane, A. D. Kennedy, B. J. Pendleton and D. Roweth, "Hybrid Monte Carlo" (1987); R. M. Neal,
"MCMC using Hamiltonian dynamics" (2011), section 5.2.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from elbo_lab.arrays import Draws, Floats
from elbo_lab.chains.metropolis import MoveNoise, accept
from elbo_lab.chains.target import Point, Target
from elbo_lab.errors import MOST_STEPS, check_count, check_positive

P = TypeVar("P", bound=Point)


def leapfrog(
    target: Target[P], point: P, momentum: Floats, step: Floats, n_leapfrog: int
) -> tuple[P, Floats]:
    """Return the point and the momentum (S, N, K) after L leapfrog steps.

    Parameters
    ----------
    target : Target
    point : Point
        With a slope.
    momentum : ndarray (S, N, K)
    step : ndarray (N,)
        h of each datum.
    n_leapfrog : int
        L.
    """
    h = step[:, None]
    z, momentum = point.z, momentum + 0.5 * h * target.slope(point)
    for _ in range(n_leapfrog - 1):
        z = z + h * momentum
        momentum = momentum + h * target.slope_at(z)
    end = target.with_slope(z + h * momentum)
    return end, momentum + 0.5 * h * target.slope(end)


@dataclass(frozen=True)
class HamiltonianMonteCarlo:
    """Hamiltonian Monte Carlo with unit masses.

    Parameters
    ----------
    step : float
        h, in units of z.
    n_leapfrog : int
        L, leapfrog steps of one move.
    acceptance_goal : float
        Neal (2011), section 5.4.4.
    """

    step: float = 0.2
    n_leapfrog: int = 5
    acceptance_goal: float = 0.65

    def __post_init__(self) -> None:
        check_positive("step", self.step)
        check_count("n_leapfrog", self.n_leapfrog, maximum=MOST_STEPS)

    @staticmethod
    def start(target: Target[P], z: Draws) -> P:
        """Return the point at which chains begin."""
        return target.with_slope(z)

    def move(
        self, target: Target[P], point: P, step: Floats, noise: MoveNoise
    ) -> tuple[P, NDArray[np.bool_]]:
        """As `Transition.move`."""
        momentum = noise.normal
        # A step that is far too large overflows, and is refused.
        with np.errstate(over="ignore", invalid="ignore"):
            proposal, after = leapfrog(target, point, momentum, step, self.n_leapfrog)
            kinetic = 0.5 * ((momentum**2).sum(axis=-1) - (after**2).sum(axis=-1))
            log_ratio = target.value(proposal) - target.value(point) + kinetic
        return accept(point, proposal, log_ratio, noise.uniform)
