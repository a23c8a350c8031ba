"""A proposal for posteriors of many correlated latents: Student-t around the mode of a log-concave
posterior.

    q(z) = t_nu(z; z*, H^-1),   z* = argmax log p(x, z),   H = -d^2 log p(x, z) / dz^2 at z*

Where x depends on linear forms of z (`LinearPredictor`), Newton's method finds z* and H is available. A
Gaussian with this covariance (Laplace's approximation; Bishop 2006, section 4.4) has the correlations that a
diagonal q lacks; the heavier tails of the t keep the weights p / q bounded in directions in which the
likelihood saturates and only the wider prior is left (Geweke 1989). Importance sampling from it serves the
evidence and posterior means where there are too many latents for a grid; like every long run it reports its
standard error.
"""

import math
from typing import TypeGuard

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.exact import long_run
from elbo_lab.exact.answer import Evidence
from elbo_lab.models import LinearPredictor
from elbo_lab.models.base import Model

DEGREES = 8.0
MOST_STEPS = 200
# Of the Newton decrement, half of which is about the distance to the maximum in nats.
TOLERANCE = 1e-16


def applies(model: Model) -> TypeGuard[LinearPredictor]:
    """Whether log p(x, z) is concave in z with a known Hessian."""
    return isinstance(model, LinearPredictor)


def mode_and_precision(model: LinearPredictor, x: Floats) -> tuple[Floats, Floats]:
    """Return the mode (N, K) of p(z | x_n) and minus the Hessian (N, K, K) of log p(x_n, z) there.

    Newton's steps are halved until they raise the log-joint, so that they cannot overshoot.
    """
    directions, factor = model.predictors(x)
    maxima = [_maximum(model, rows, factor) for rows in directions]
    return np.stack([mode for mode, _ in maxima]), np.stack([precision for _, precision in maxima])


def _maximum(model: LinearPredictor, rows: Floats, factor: float) -> tuple[Floats, Floats]:
    """Return mode (K,) and precision (K, K) for the rows (M, K) of one datum."""
    z = np.zeros(rows.shape[1])

    def log_joint(z: Floats) -> float:
        return factor * model.link(rows @ z).sum() - 0.5 * z @ z

    for _ in range(MOST_STEPS):
        a = rows @ z
        gradient = factor * (model.link_slope(a) @ rows) - z
        precision = np.eye(len(z)) - factor * (rows.T * model.link_curvature(a)) @ rows
        step = np.linalg.solve(precision, gradient)
        decrement = gradient @ step
        share, start = 1.0, log_joint(z)
        if decrement <= TOLERANCE * (1.0 + abs(start)):
            break
        while share > 1e-10 and log_joint(z + share * step) < start + 1e-4 * share * decrement:
            share *= 0.5
        z = z + share * step
    return z, precision


def _log_constant(size: int) -> float:
    """Return the log of the constant of the standard t density in `size` dimensions."""
    log_ratio = math.lgamma(0.5 * (DEGREES + size)) - math.lgamma(0.5 * DEGREES)
    return log_ratio - 0.5 * size * math.log(DEGREES * math.pi)


class Proposal:
    """The Student-t of each datum.

    Parameters
    ----------
    model : LinearPredictor
    x : ndarray (N, D)
    """

    def __init__(self, model: LinearPredictor, x: Floats) -> None:
        self.mode, precision = mode_and_precision(model, x)
        self.root = np.linalg.cholesky(precision)  # precision = L L^T
        self.log_det = np.log(np.diagonal(self.root, axis1=1, axis2=2)).sum(axis=-1)

    def draw(self, n_draws: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Return z (S, N, K) and log q(z) (S, N)."""
        n_data, size = self.mode.shape
        normal = rng.standard_normal((n_data, n_draws, size))
        stretch = np.sqrt(DEGREES / rng.chisquare(DEGREES, (n_data, n_draws, 1)))
        u = stretch * normal
        # Solving with L^T turns unit covariance into that of the inverse precision.
        z = self.mode[:, None] + np.swapaxes(
            np.linalg.solve(np.swapaxes(self.root, -1, -2), np.swapaxes(u, -1, -2)), -1, -2
        )
        tail = np.log1p(np.einsum("nsk,nsk->ns", u, u) / DEGREES)
        log_q = _log_constant(size) + self.log_det[:, None] - 0.5 * (DEGREES + size) * tail
        return np.swapaxes(z, 0, 1), log_q.T


def evidence(model: LinearPredictor, theta: Floats, x: Floats, rng: np.random.Generator) -> Evidence:
    """Return log p(x) and its gradient in theta by importance sampling from the Student-t."""
    proposal = Proposal(model, x)
    batches = (proposal.draw(long_run.DRAWS_PER_BATCH, rng) for _ in range(long_run.BATCHES))
    return long_run.evidence_from(model, theta, x, ([batch] for batch in batches))
