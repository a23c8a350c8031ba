"""The geometric path from q to the posterior, and what a chain knows at a point of it.

    log f_beta(z) = (1 - beta) log q(z) + beta log p(x, z)

normalised at beta = 0, of integral p(x) at beta = 1. With q the prior this is the prior times the likelihood
to the power of beta.
"""

from dataclasses import dataclass

import numpy as np

from elbo_lab.errors import NotApplicable


@dataclass(frozen=True)
class Point:
    """Where the chains stand.

    Attributes
    ----------
    z : ndarray (S, N, K)
    log_q, log_joint : ndarray (S, N)
    grad_q, grad_joint : ndarray (S, N, K) or None
        Derivatives of the two in z, if somebody asked.
    """

    z: np.ndarray
    log_q: np.ndarray
    log_joint: np.ndarray
    grad_q: np.ndarray | None = None
    grad_joint: np.ndarray | None = None

    def value(self, beta):
        """Return log f_beta (S, N)."""
        return (1.0 - beta) * self.log_q + beta * self.log_joint

    def slope(self, beta):
        """Return d log f_beta / dz (S, N, K)."""
        return (1.0 - beta) * self.grad_q + beta * self.grad_joint

    def where(self, accept, other):
        """Return the point that is `other` where `accept` (S, N), else this one."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Point(*(_chosen(accept, mine, theirs) for mine, theirs in pairs))


def _chosen(accept, mine, theirs):
    if mine is None:
        return None
    return np.where(accept if mine.ndim == accept.ndim else accept[..., None], theirs, mine)


@dataclass(frozen=True, eq=False)
class Path:
    """The densities of one model on some data, and of a q.

    Parameters
    ----------
    model : Model
        With continuous z.
    theta : ndarray (P,)
    x : ndarray (N, D)
    family : Family
        Of q.
    eta : ndarray (N, E) or (1, E)
    """

    model: object
    theta: np.ndarray
    x: np.ndarray
    family: object
    eta: np.ndarray

    def __post_init__(self):
        if self.family.discrete:
            raise NotApplicable(
                f"{self.family.name} z is not annealed: its log p(x) is a plain sum (exact.evidence)"
            )

    def at(self, z):
        """Return the Point of z (S, N, K) without derivatives."""
        log_joint = self.model.log_joint(self.theta, self.x, z)
        return Point(z, self.family.log_prob(self.eta, z), log_joint)

    def with_slope(self, z):
        """Return the Point of z (S, N, K) with derivatives."""
        model, theta = self.model, self.theta
        log_likelihood, pullback = model.likelihood(theta, self.x, z)
        prior = model.prior_eta(theta)
        grad_joint = pullback(np.ones(log_likelihood.shape))[1] + model.family.log_prob_grad_z(prior, z)
        log_joint = log_likelihood + model.family.log_prob(prior, z)
        log_q, grad_q = self.family.log_prob(self.eta, z), self.family.log_prob_grad_z(self.eta, z)
        return Point(z, log_q, log_joint, grad_q, grad_joint)
