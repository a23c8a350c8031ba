"""The first-order Taylor expansion of log w around the mean m of a Gaussian q, and what q makes of it.

    f(z) ~ f(m) + l(z),   l(z) = g . (z - m),   g = d log p(x, z) / dz at z = m

(log q is flat at its mean.) With z = m + s u and score (u / s, u^2 - 1) the expectations are moments of a
normal u:

    E[l] = 0,   Var(l) = |g s|^2,   E[l score] = (g, 0)
"""

import numpy as np

from elbo_lab.distributions import DiagonalGaussian
from elbo_lab.errors import NotApplicable


def refuse_without_mean(family):
    """Refuse a q around whose mean nothing can be expanded, or whose moments are not written down here.

    Raises
    ------
    NotApplicable
    """
    if not isinstance(family, DiagonalGaussian):
        raise NotApplicable(f"{family.name} q: log w is expanded around the mean of a diagonal Gaussian")


def linear_part(model, theta, x, family, eta, z):
    """Return l(z) (..., S, N) in nats, its variance (N,) and E[l score] (N, E)."""
    mean, log_std = family.split(eta)
    at_mean = mean[None]
    slope = model.log_joint_grad_z(theta, x, at_mean, np.ones_like(at_mean[..., 0]))[0]
    variance = ((slope * np.exp(log_std)) ** 2).sum(axis=-1)
    by_score = family.join(slope, np.zeros_like(slope))
    return (slope * (z - mean)).sum(axis=-1), variance, by_score
