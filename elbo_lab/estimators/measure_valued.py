"""Measure-valued gradients of the ELBO in phi: differences of log w under pairs of measures.

The derivative of a Gaussian density in one of its parameters is a difference of two densities, times a
constant (Mohamed et al. 2020, section 6), and each of the two can be sampled. For coordinate k of a diagonal
Gaussian with mean m_k and scale s_k,

    d/d m_k E_q[f]     = 1 / (s_k sqrt(2 pi)) (E[f(z, z_k = m_k + s_k W)] - E[f(z, z_k = m_k - s_k W)])
    d/d log s_k E_q[f] =                       E[f(z, z_k = m_k + s_k M)] - E[f(z, z_k = m_k + s_k n)]

with W of density w exp(-w^2 / 2) on w > 0 (Weibull of shape 2), M of density m^2 exp(-m^2 / 2) / sqrt(2 pi)
(double-sided Maxwell), n ~ N(0, 1), and the other coordinates from q.

f = log p(x, z) - log q(z) is held fixed: its derivative through -log q has expectation zero.
Like the score function it needs only values of f, no slope; unlike it, f enters as a difference, so that a
constant in f drops out. Each draw of z costs 3 K + 1 evaluations of f: one at z, which is the last term of
all K scales, and three moves of each coordinate. The cost grows with K because every coordinate is moved
separately.

The length of two standard normals has the Weibull and that of three the Maxwell density. The two estimators
differ in how many normals they spend: independent ones for the two measures of a pair, or the same for both.
"""

from collections.abc import Sequence
from typing import cast

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions import DiagonalGaussian, LogNormal, NoiseSpec
from elbo_lab.distributions.base import Family
from elbo_lab.estimators.base import NO_STATE, Estimate, Estimator, log_weight_at
from elbo_lab.exact.problem import Problem
from elbo_lab.special import LOG_2PI

__all__ = ["MeasureValued", "MeasureValuedCoupled"]

MOVES = 3
# Rows of the model at once: each draw and datum has 3 K + 1, whose likelihood then fits in the cache.
ROWS_PER_PASS = 4096


class CoordinateMoves(Estimator):
    """Base of both estimators: standard normals for every coordinate of q.

    q is a diagonal Gaussian, or a function of one coordinate by coordinate, as the log-normal.
    """

    target = "grad-phi-elbo"
    latents = "gaussian-noise"
    normals: int

    def noise_spec(self, family: Family, n_draws: int, n_data: int) -> NoiseSpec:
        return NoiseSpec("normal", (n_draws, n_data, family.size, self.normals))

    def evaluations(self, n_draws: int, family: Family) -> int:
        return n_draws * (1 + MOVES * family.size)


class MeasureValued(CoordinateMoves):
    """Difference of f under the two measures of each parameter, drawn independently.

    The noise of coordinate k is six standard normals (a, b, c, d, e, g):

        z_k = m_k + s_k a,   W = |(b, c)|,   W' = |(e, g)|,   M = sign(d) |(b, c, d)|

    W, W' are independent, and so are M and a.

    Helps: needs values of log p(x, z) only, and a constant in f is no noise. Fails: by its price, 3 K + 1
    evaluations a draw.
    """

    name = "measure-valued"
    title = "measure-valued gradient"
    synonyms = ("mvd", "measure-valued-derivative", "weak-derivative")
    summary = "differences of log w under Weibull and Maxwell moves of one coordinate at a time"
    normals = 6

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        a, b, c, d, e, g = np.moveaxis(noise, -1, 0)
        up, down = np.hypot(b, c), np.hypot(e, g)
        maxwell = np.copysign(np.hypot(up, d), d)
        return measure_valued_gradient(problem, a, up, down, maxwell), state


class MeasureValuedCoupled(CoordinateMoves):
    """Difference of f under the two measures of each parameter, on common random numbers.

    The difference of f under two measures has little noise where both see nearly the same z (Mohamed et al.
    2020, section 6, on coupling). In the mean both signs take the same Weibull draw; in the scale the normal
    draw is the Maxwell draw times a uniform one, n = M U.

    Three standard normals (a, b, c) per coordinate suffice:

        z_k = m_k + s_k a,   W = |(b, c)|,   M = sign(a) |(a, b, c)|

    a / M is uniform on (0, 1), since a coordinate of a random point on a sphere is uniform (Archimedes): so a
    is itself the coupled normal draw. Helps: where f curves alike on both sides of the mean, as near an
    optimum, the common part cancels. Fails: where f is linear it does not: f(W) - f(-W) = 2 f(W) has twice
    the variance of f(W) - f(-W'), and there the coupling of the mean costs more than it gains.
    """

    name = "measure-valued-coupled"
    title = "measure-valued gradient, coupled"
    summary = "measure-valued gradient, both measures of a pair on the same random numbers"
    normals = 3

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        a, b, c = np.moveaxis(noise, -1, 0)
        weibull = np.hypot(b, c)
        maxwell = np.copysign(np.hypot(weibull, a), a)
        return measure_valued_gradient(problem, a, weibull, weibull, maxwell), state


def moved_draws(u: Floats, moves: Sequence[Floats]) -> Floats:
    """Return the standardised draws and all their moves as draws: (..., S (3 K + 1), N, K).

    Parameters
    ----------
    u : ndarray (..., S, N, K)
        Draws from N(0, I).
    moves : three ndarray (..., S, N, K)
        Replacements of coordinate k of a draw, one k at a time.
    """
    is_moved = np.eye(u.shape[-1], dtype=bool)[:, None, :]
    draws = [u[..., None, :, :]]
    for move in moves:
        # (..., S, K, N, K): the first K says which coordinate is moved.
        draws.append(np.where(is_moved, move[..., None, :, :], u[..., None, :, :]))
    stacked = np.concatenate(draws, axis=-3)
    return stacked.reshape(*u.shape[:-3], -1, *u.shape[-2:])


def measure_valued_gradient(problem: Problem, u: Floats, up: Floats, down: Floats, maxwell: Floats) -> Floats:
    """Return the gradient of the mean ELBO in phi (..., P).

    Parameters
    ----------
    problem : Problem
    u : ndarray (..., S, N, K)
        Standardised draws from q.
    up, down, maxwell : ndarray (..., S, N, K)
        W of the raised and of the lowered mean, and M.
    """
    posterior, phi, x = problem.posterior, problem.phi, problem.x
    family, n_latent = cast(DiagonalGaussian | LogNormal, posterior.family), u.shape[-1]
    eta = posterior.eta(phi, x)
    # (R, S, N, K): draws are evaluated a few at a time, whichever repeat they belong to.
    every = [part.reshape(-1, *u.shape[-2:]) for part in (u, up, -down, maxwell)]
    per_pass = max(1, ROWS_PER_PASS // ((1 + MOVES * n_latent) * len(x)))
    passes = []
    for start in range(0, len(every[0]), per_pass):
        own, *moves = (part[start : start + per_pass] for part in every)
        passes.append(log_weight_at(problem, eta, family.sample(eta, moved_draws(own, moves))))
    f = np.concatenate(passes).reshape(*u.shape[:-2], 1 + MOVES * n_latent, len(x)).mean(axis=-3)
    # (..., 1 + 3 K, N) -> (..., N, K) for each of the three moves.
    at_z = f[..., 0, :, None]
    raised, lowered, widened = np.split(np.moveaxis(f[..., 1:, :], -2, -1), MOVES, axis=-1)
    _, log_std = family.split(eta)
    by_mean = np.exp(-log_std - 0.5 * LOG_2PI) * (raised - lowered)
    return posterior.eta_vjp(phi, x, family.join(by_mean, widened - at_z) / len(x))
