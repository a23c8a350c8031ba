"""Closed form: Gaussian q with independent coordinates, log p(x, z) quadratic in z.

In the noise, z = m + s * eps, everything is a quadratic form:

    log p(x, z) = const + a^T eps - eps^T B eps / 2,      a_k = s_k d log p(m) / dz_k,
                                                          B_kj = -s_k s_j d^2 log p / dz_k dz_j
    f = log w   = const + a^T eps + eps^T H eps / 2,      H = I - B

since -log q adds eps^T eps / 2. At the exact posterior a = 0 and H = 0: f is constant.

*Pathwise.* The derivative in m_k is (a - B eps)_k / s_k and in log s_k it is eps_k (a - B eps)_k + 1, hence

    Var = |B_k|^2 / s_k^2,      Var = a_k^2 + B_kk^2 + |B_k|^2,

with B_k the k-th row. Sticking the landing has H in the place of -B, and integrating the KL in closed form
leaves the B of the likelihood alone. None of them knows the *size* of f; that is the whole difference.

*Score function.* Given eps_k = e, the rest of f is Gaussian noise plus a quadratic form: its mean given e
is a polynomial of degree 2 and so is its variance, and every moment of f and the score e / s_k or e^2 - 1
is a one-dimensional Gaussian moment of a polynomial. Through E[f^2 s^2] the variance grows with the
square of f, hence with the number of latent dimensions: Var f = |a|^2 + |H|^2 / 2 sums over all of them.
"""

from collections.abc import Callable

import numpy as np

from elbo_lab.arrays import Draws, Floats
from elbo_lab.distributions import DiagonalGaussian
from elbo_lab.exact.rules import hermite_rule
from elbo_lab.models import Model
from elbo_lab.theory.score import DrawMoments, ScoreMoments

# Exact for polynomials up to degree 15; the highest here is 8.
NODES = 8
TOLERANCE = 1e-8


def slopes(
    log_density_grad_z: Callable[[Floats, Floats, Draws, Floats], Floats],
    theta: Floats,
    x: Floats,
    n_latent: int,
) -> tuple[Floats, Floats] | None:
    """Return (grad at zero (N, K), Hessian (N, K, K)) in z of a log-density, or None if not quadratic.

    Parameters
    ----------
    log_density_grad_z : callable
        `model.log_joint_grad_z` or `model.log_likelihood_grad_z`.
    """

    def gradient(z: Floats) -> Floats:
        z = np.broadcast_to(z[:, None, :], (len(z), len(x), n_latent))
        return log_density_grad_z(theta, x, z, np.ones(z.shape[:-1]))

    units = np.eye(n_latent)
    at_zero = gradient(np.zeros((1, n_latent)))[0]
    hessian = np.moveaxis(gradient(units) - at_zero, 0, -1)
    # A gradient is linear in z if it is so at points off the axes as well.
    probes = np.linspace(-2.0, 3.0, 3 * n_latent).reshape(3, n_latent)
    expected = at_zero + np.einsum("nij,gj->gni", hessian, probes)
    scale = 1.0 + np.abs(expected).max()
    if np.abs(gradient(probes) - expected).max() > TOLERANCE * scale:
        return None
    return at_zero, hessian


def _in_noise(parts: tuple[Floats, Floats], mean: Floats, std: Floats) -> tuple[Floats, Floats]:
    """Return a (N, K) and B (N, K, K) of a quadratic log-density at z = mean + std eps."""
    at_zero, hessian = parts
    slope = at_zero + np.einsum("nij,nj->ni", hessian, mean)
    return std * slope, -std[:, :, None] * hessian * std[:, None, :]


def _path_variance(family: DiagonalGaussian, a: Floats, B: Floats, std: Floats) -> Floats:
    """Return the variance (N, 2K) of the pathwise derivative of const + a^T eps - eps^T B eps / 2."""
    rows = (B**2).sum(axis=-1)
    diagonal = np.einsum("nkk->nk", B)
    return family.join(rows / std**2, a**2 + diagonal**2 + rows)


def _score_moments(
    family: DiagonalGaussian, constant: Floats, a: Floats, H: Floats, std: Floats
) -> ScoreMoments:
    """Return the ScoreMoments (N, 2K) of f = constant + a^T eps + eps^T H eps / 2."""
    e, weights = hermite_rule(NODES, 1)
    e, weights = e[:, :, None], weights[:, None, None]
    diagonal, rows = np.einsum("nkk->nk", H), (H**2).sum(axis=-1)
    total, across = rows.sum(axis=-1, keepdims=True), np.einsum("nkj,nj->nk", H, a)
    others = (a**2).sum(axis=-1, keepdims=True) - a**2
    # Given eps_k = e: mean of f, minus its mean; and its variance.
    mean = a * e + 0.5 * diagonal * (e**2 - 1.0)
    variance = others + 2.0 * e * (across - a * diagonal) + e**2 * (rows - diagonal**2)
    variance = variance + 0.5 * (total - 2.0 * rows + diagonal**2)

    def moments(score: Floats) -> tuple[Floats, ...]:
        expect = [weights * score, weights * score**2]
        f_s = (expect[0] * mean).sum(axis=0)
        f_s2, f2_s2 = ((expect[1] * part).sum(axis=0) for part in (mean, mean**2 + variance))
        return f_s, f_s2, f2_s2, np.broadcast_to(expect[1].sum(axis=0), f_s.shape)

    by_mean, by_scale = moments(e / std), moments(e**2 - 1.0)
    joined = [family.join(m, s) for m, s in zip(by_mean, by_scale, strict=True)]
    trace = diagonal.sum(axis=-1, keepdims=True)
    spread = (a**2).sum(axis=-1, keepdims=True) + 0.5 * total
    return ScoreMoments(constant[:, None] + 0.5 * trace, spread, *joined)


def draw_moments(
    model: Model, theta: Floats, x: Floats, family: DiagonalGaussian, eta: Floats
) -> DrawMoments | None:
    """Return the DrawMoments of q, or None if log p(x, z) is not quadratic in z."""
    joint, likelihood = (
        slopes(by_z, theta, x, model.latent_dim)
        for by_z in (model.log_joint_grad_z, model.log_likelihood_grad_z)
    )
    if joint is None or likelihood is None:
        return None
    mean, log_std = family.split(eta)
    std = np.exp(log_std)
    a, B = _in_noise(joint, mean, std)
    H = np.eye(model.latent_dim) - B
    constant = model.log_joint(theta, x, mean[None])[0] - family.log_prob(eta, mean[None])[0]
    pathwise = {
        "reparameterization": (a, B),
        "reparameterization-analytic-kl": _in_noise(likelihood, mean, std),
        "sticking-the-landing": (a, -H),
    }
    score = _score_moments(family, constant, a, H, std)
    return DrawMoments(score, {name: _path_variance(family, *ab, std) for name, ab in pathwise.items()})
