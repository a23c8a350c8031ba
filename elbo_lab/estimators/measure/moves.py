"""One coordinate of z moved at a time: what both measure-valued gradients have in common.

The derivative of a Gaussian density in one of its parameters is a difference of two densities, times a
constant (Mohamed et al. 2020, section 6). For coordinate k of a diagonal
Gaussian with mean m_k and scale s_k,

    d/d m_k E_q[f]     = 1 / (s_k sqrt(2 pi)) (E[f(z, z_k = m_k + s_k W)] - E[f(z, z_k = m_k - s_k W)])
    d/d log s_k E_q[f] =                       E[f(z, z_k = m_k + s_k M)] - E[f(z, z_k = m_k + s_k n)]

with W of density w exp(-w^2 / 2) on w > 0 (Weibull of shape 2), M of density m^2 exp(-m^2 / 2) / sqrt(2 pi)
(double-sided Maxwell), n ~ N(0, 1), and the other coordinates from q.

f = log p(x, z) - log q(z) is taken as it stands: the derivative of its own -log q has expectation zero. Each
draw of z costs 3 K + 1 evaluations of f: itself, which is the last term of all K scales, and three moves
of each coordinate.
"""

import numpy as np

from elbo_lab.bounds import log_weight
from elbo_lab.distributions import DiagonalGaussian
from elbo_lab.errors import NotApplicable
from elbo_lab.special import LOG_2PI

MOVES = 3


def refuse_other_families(posterior):
    """Raise NotApplicable unless q is a diagonal Gaussian, whose coordinates can be moved one by one."""
    if not isinstance(posterior.family, DiagonalGaussian):
        raise NotApplicable(
            f"a pair of measures is known here for a diagonal Gaussian q, not {posterior.family.name}"
        )


def moved_draws(u, moves):
    """Return the standardised draws and all their moves as draws: (..., S (3 K + 1), N, K).

    Parameters
    ----------
    u : ndarray (..., S, N, K)
        Draws from N(0, I).
    moves : tuple of three ndarray (..., S, N, K)
        What coordinate k of a draw is replaced by, one k at a time.
    """
    own = np.eye(u.shape[-1], dtype=bool)[:, None, :]
    pieces = [u[..., None, :, :]]
    for move in moves:
        # (..., S, K, N, K): the first K says which coordinate is moved.
        pieces.append(np.where(own, move[..., None, :, :], u[..., None, :, :]))
    stacked = np.concatenate(pieces, axis=-3)
    return stacked.reshape(*u.shape[:-3], -1, *u.shape[-2:])


def measure_valued_gradient(model, posterior, theta, phi, x, u, up, down, maxwell):
    """Return the gradient of the mean ELBO in phi (..., P).

    Parameters
    ----------
    u : ndarray (..., S, N, K)
        Standardised draws from q.
    up, down, maxwell : ndarray (..., S, N, K)
        W of the raised and of the lowered mean, and M.
    """
    family, n_latent = posterior.family, u.shape[-1]
    eta = posterior.eta(phi, x)
    z = family.sample(eta, moved_draws(u, (up, -down, maxwell)))
    f = log_weight(model, theta, x, family, eta, z)
    f = f.reshape(*u.shape[:-2], 1 + MOVES * n_latent, len(x)).mean(axis=-3)
    # (..., 1 + 3 K, N) -> (..., N, K) for each of the three moves.
    at_z = f[..., 0, :, None]
    raised, lowered, widened = np.split(np.moveaxis(f[..., 1:, :], -2, -1), MOVES, axis=-1)
    _, log_std = family.split(eta)
    by_mean = np.exp(-log_std - 0.5 * LOG_2PI) * (raised - lowered)
    return posterior.eta_vjp(phi, x, family.join(by_mean, widened - at_z) / len(x))
