"""Gibbs sampling of bits by single flips: each bit in turn is drawn given all others.

With z' the point whose bit k is the other one, the conditional probability of z' is

    p(z'_k | the other bits) = f(z') / (f(z) + f(z')) = sigmoid(log f(z') - log f(z))

so that a uniform below it flips the bit (Geman and Geman 1984; Neal 1992 for belief networks). One move goes
once through all K bits, with one evaluation of the density for each. It leaves f invariant, needs no slope
and has no step to tune.

Helps: for bits that are too many to sum over. Fails: where bits are strongly coupled, since no single flip
leads from one mode to the next.

Source: S. Geman and D. Geman, "Stochastic relaxation, Gibbs distributions, and the Bayesian restoration of
images", IEEE PAMI 6 (1984).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy
from numpy.typing import NDArray

from elbo_lab.arrays import Draws, Floats
from elbo_lab.chains.metropolis import MoveNoise, P
from elbo_lab.chains.target import Target
from elbo_lab.special import sigmoid


@dataclass(frozen=True)
class SingleFlips:
    """Gibbs sampling of one bit after the other; the step of a `Transition` has no meaning for it."""

    step: ClassVar[float] = 1.0
    acceptance_goal: ClassVar[float] = 0.5

    @staticmethod
    def start(target: Target[P], z: Draws) -> P:
        """Return the point at which chains begin."""
        return target.at(z)

    def move(
        self,
        target: Target[P],
        point: P,
        step: Floats,  # noqa: ARG002 - the contract of a transition
        noise: MoveNoise,
    ) -> tuple[P, NDArray[np.bool_]]:
        """As `Transition.move`: the uniform of a bit is the distribution function of its normal number."""
        uniform, any_moved = scipy.special.ndtr(noise.normal), np.zeros(noise.uniform.shape, dtype=bool)
        for k in range(point.z.shape[-1]):
            flipped = point.z.copy()
            flipped[..., k] = 1.0 - flipped[..., k]
            proposal = target.at(flipped)
            moved = uniform[..., k] < sigmoid(target.value(proposal) - target.value(point))
            point = point.where(moved, proposal)
            any_moved |= moved
        return point, any_moved
