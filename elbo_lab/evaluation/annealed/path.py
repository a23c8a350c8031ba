"""The geometric path from q to the posterior, and the state of chains on it.

    log f_beta(z) = (1 - beta) log q(z) + beta log p(x, z)

normalised at beta = 0, with integral p(x) at beta = 1. With q the prior this is the prior times the
likelihood to the power of beta.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from elbo_lab.arrays import Draws, Floats
from elbo_lab.chains.target import chosen
from elbo_lab.distributions import BernoulliChain, Family, IndependentBernoulli
from elbo_lab.errors import NotApplicable
from elbo_lab.models import Model


@dataclass(frozen=True)
class Point:
    """The present state of the chains.

    Attributes
    ----------
    z : ndarray (S, N, K)
    log_q, log_joint : ndarray (S, N)
    grad_q, grad_joint : ndarray (S, N, K) or None
        Derivatives of the two in z; None without (`AnnealedPath.at`).
    """

    z: Draws
    log_q: Floats
    log_joint: Floats
    grad_q: Floats | None = None
    grad_joint: Floats | None = None

    def value(self, beta: float) -> Floats:
        """Return log f_beta (S, N)."""
        return (1.0 - beta) * self.log_q + beta * self.log_joint

    def slope(self, beta: float) -> Floats:
        """Return d log f_beta / dz (S, N, K), of a point with derivatives."""
        if self.grad_q is None or self.grad_joint is None:
            raise ValueError("a point without derivatives has no slope: make it by with_slope")
        return (1.0 - beta) * self.grad_q + beta * self.grad_joint

    def where(self, moved: NDArray[np.bool_], proposal: "Point") -> "Point":
        """Return the point that is `proposal` where `moved` (S, N), else this one."""
        rows = moved[..., None]
        return Point(
            z=np.where(rows, proposal.z, self.z),
            log_q=np.where(moved, proposal.log_q, self.log_q),
            log_joint=np.where(moved, proposal.log_joint, self.log_joint),
            grad_q=chosen(rows, self.grad_q, proposal.grad_q),
            grad_joint=chosen(rows, self.grad_joint, proposal.grad_joint),
        )


@dataclass(frozen=True, eq=False)
class AnnealedPath:
    """The densities of one model on some data, and of a q.

    Parameters
    ----------
    model : Model
        With continuous z, or bits.
    theta : ndarray (P,)
    x : ndarray (N, D)
    family : Family
        Of q.
    eta : ndarray (N, E) or (1, E)
    """

    model: Model
    theta: Floats
    x: Floats
    family: Family
    eta: Floats

    def __post_init__(self) -> None:
        if self.family.discrete and not isinstance(self.family, (IndependentBernoulli, BernoulliChain)):
            reason = "its log p(x) is a plain sum (exact.evidence)"
            raise NotApplicable(f"{self.family.name} z is not annealed: {reason}")

    @classmethod
    def from_q(
        cls, model: Model, theta: Floats, x: Floats, eta: Floats | None = None, family: Family | None = None
    ) -> Self:
        """Return the path from q to the posterior of each datum, checked.

        Parameters
        ----------
        model : Model
            With continuous z, or bits.
        theta : ndarray (P,)
        x : ndarray (N, D)
        eta : ndarray (N, E), optional
            Of q; the prior if not given.
        family : Family, optional
            Of q; the model's own if not given.
        """
        x, theta = model.check_support(x), model.check_theta(theta)
        if eta is None:
            return cls(model, theta, x, model.family, model.prior_eta(theta))
        return cls(model, theta, x, family or model.posterior_family, eta)

    def at(self, z: Draws) -> Point:
        """Return the Point of z (S, N, K) without derivatives."""
        log_joint = self.model.log_joint(self.theta, self.x, z)
        return Point(z, self.family.log_prob(self.eta, z), log_joint)

    def with_slope(self, z: Draws) -> Point:
        """Return the Point of z (S, N, K) with derivatives."""
        model, theta = self.model, self.theta
        log_likelihood, pullback = model.likelihood(theta, self.x, z)
        ones = np.ones(log_likelihood.shape)
        grad_likelihood = pullback(ones)[1]
        if grad_likelihood is None:
            raise NotApplicable(f"log p(x | z) of {model.label} has no slope in z")
        grad_joint = grad_likelihood + model.log_prior_grad_z(theta, z, ones)
        log_joint = log_likelihood + model.log_prior(theta, z)
        log_q, grad_q = self.family.log_prob(self.eta, z), self.family.log_prob_grad_z(self.eta, z)
        return Point(z, log_q, log_joint, grad_q, grad_joint)


@dataclass(frozen=True, eq=False)
class Tempered:
    """One temperature of a path: the density f_beta under which chains move.

    Parameters
    ----------
    path : AnnealedPath
    beta : float
    """

    path: AnnealedPath
    beta: float

    def at(self, z: Draws) -> Point:
        """As `AnnealedPath.at`."""
        return self.path.at(z)

    def with_slope(self, z: Draws) -> Point:
        """As `AnnealedPath.with_slope`."""
        return self.path.with_slope(z)

    def value(self, point: Point) -> Floats:
        """Return log f_beta (S, N)."""
        return point.value(self.beta)

    def slope(self, point: Point) -> Floats:
        """Return d log f_beta / dz (S, N, K)."""
        return point.slope(self.beta)

    def slope_at(self, z: Draws) -> Floats:
        """Return d log f_beta / dz (S, N, K) at z (S, N, K)."""
        return self.path.with_slope(z).slope(self.beta)
