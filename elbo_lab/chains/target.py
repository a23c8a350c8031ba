"""What a chain moves under: an unnormalised log-density f(z), its slope, and the points that chains stand at.

The target of a posterior is the joint density, log f(z) = log p(x, z): its constant log p(x) cancels in every
ratio. The chains of all data move at once, z (S, N, K): S chains for each of N data, each with a density of
its own.
"""

from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from elbo_lab.arrays import Draws, Floats
from elbo_lab.errors import NotApplicable
from elbo_lab.models import Model


class Point(Protocol):
    """Where chains stand: z, and what is already known of the density there."""

    @property
    def z(self) -> Draws:
        """z (S, N, K)."""

    def where(self, moved: NDArray[np.bool_], proposal: Any) -> Self:
        """Return the point that is `proposal` where `moved` (S, N), else this one."""


P = TypeVar("P", bound=Point)


class Target(Protocol[P]):
    """An unnormalised density of each datum."""

    def at(self, z: Draws) -> P:
        """Return the point z (S, N, K) without a slope."""

    def with_slope(self, z: Draws) -> P:
        """Return the point z (S, N, K) with a slope."""

    def value(self, point: P) -> Floats:
        """Return log f (S, N)."""

    def slope(self, point: P) -> Floats:
        """Return d log f / dz (S, N, K) of a point that has one."""

    def slope_at(self, z: Draws) -> Floats:
        """Return d log f / dz (S, N, K) alone, where no value is needed."""


@dataclass(frozen=True)
class JointPoint:
    """A point of chains under a joint density.

    Attributes
    ----------
    z : ndarray (S, N, K)
    log_joint : ndarray (S, N)
    grad_z : ndarray (S, N, K) or None
    """

    z: Draws
    log_joint: Floats
    grad_z: Floats | None = None

    def where(self, moved: NDArray[np.bool_], proposal: "JointPoint") -> "JointPoint":
        """Return the point that is `proposal` where `moved` (S, N), else this one."""
        rows = moved[..., None]
        return JointPoint(
            z=np.where(rows, proposal.z, self.z),
            log_joint=np.where(moved, proposal.log_joint, self.log_joint),
            grad_z=chosen(rows, self.grad_z, proposal.grad_z),
        )


def chosen(moved: NDArray[np.bool_], present: Floats | None, proposed: Floats | None) -> Floats | None:
    """Return `proposed` where `moved`, else `present`; None where a slope is missing."""
    return None if present is None or proposed is None else np.where(moved, proposed, present)


@dataclass(frozen=True, eq=False)
class PosteriorTarget:
    """The posterior of each datum, up to its constant: log f(z) = log p(x, z).

    Parameters
    ----------
    model : Model
        With continuous z.
    theta : ndarray (P,)
    x : ndarray (N, D)
    """

    model: Model
    theta: Floats
    x: Floats

    def __post_init__(self) -> None:
        if self.model.family.discrete:
            reason = "its posterior is a plain sum over the values of z"
            raise NotApplicable(f"{self.model.family.name} z does not move along a slope: {reason}")

    def at(self, z: Draws) -> JointPoint:
        """Return the point z (S, N, K) without a slope."""
        return JointPoint(z, self.model.log_joint(self.theta, self.x, z))

    def with_slope(self, z: Draws) -> JointPoint:
        """Return the point z (S, N, K) with a slope: value and slope from one pass."""
        model, theta = self.model, self.theta
        log_likelihood, pullback = model.likelihood(theta, self.x, z)
        ones = np.ones(log_likelihood.shape)
        grad_z = pullback(ones)[1]
        if grad_z is None:
            raise NotApplicable(f"log p(x | z) of {model.label} has no slope in z")
        log_joint = log_likelihood + model.log_prior(theta, z)
        return JointPoint(z, log_joint, grad_z + model.log_prior_grad_z(theta, z, ones))

    def value(self, point: JointPoint) -> Floats:
        """Return log p(x, z) (S, N)."""
        return point.log_joint

    def slope(self, point: JointPoint) -> Floats:
        """Return d log p(x, z) / dz (S, N, K) of a point that has one."""
        if point.grad_z is None:
            raise ValueError("a point without derivatives has no slope: make it by with_slope")
        return point.grad_z

    def slope_at(self, z: Draws) -> Floats:
        """Return d log p(x, z) / dz (S, N, K) without the value."""
        return self.model.log_joint_grad_z(self.theta, self.x, z, np.ones(z.shape[:-1]))
