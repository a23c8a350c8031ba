"""Exact values, gradients and their errors: what the rungs of the ladder return, and what callers get."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from elbo_lab.arrays import Floats


@dataclass(frozen=True)
class Evidence:
    """log p(x) and its gradient.

    Attributes
    ----------
    rung : {'closed-form', 'enumeration', 'quadrature', 'long-run'}
    value, value_error : ndarray (N,)
        log p(x_n) in nats and its standard error, or the last change of a quadrature.
    grad_theta, grad_theta_error : ndarray (P,)
        Gradient of the mean over the rows.
    theta_batches : ndarray (B, P), optional
        The same from each batch of a long run: their spread is the error along any direction.
    """

    rung: str
    value: Floats
    value_error: Floats
    grad_theta: Floats
    grad_theta_error: Floats
    theta_batches: Floats | None = None


@dataclass(frozen=True)
class Expectation:
    """E_q log p(x, z) and its gradients; adding the entropy of q makes it the ELBO.

    Attributes
    ----------
    rung : str
    value, value_error : ndarray (N,)
    grad_theta, grad_theta_error : ndarray (P,)
        Gradient of the mean over the rows.
    grad_eta, grad_eta_error : ndarray (N, E)
        Gradient of the mean over the rows.
    theta_batches, eta_batches : ndarray (B, P) and (B, N, E), optional
        The same from each batch of a long run: their spread is the error along any direction.
    """

    rung: str
    value: Floats
    value_error: Floats
    grad_theta: Floats
    grad_theta_error: Floats
    grad_eta: Floats
    grad_eta_error: Floats
    theta_batches: Floats | None = None
    eta_batches: Floats | None = None


class Bound(Expectation):
    """A bound of several draws, `value`, and its gradients; no entropy is to be added."""


@dataclass(frozen=True)
class Answer:
    """An exact quantity, its error, and the rung of the ladder that gave it.

    Attributes
    ----------
    value : ndarray (P,)
        One number for each datum, or the coordinates of a gradient.
    error : ndarray (P,)
        Zero for formulas and sums, the last change of a quadrature, or the standard error of a long run.
    rung : {'closed-form', 'enumeration', 'quadrature', 'long-run'}
    batches : ndarray (B, P), optional
        The values of the batches of a long run, whose spread is the error.
    """

    value: Floats
    error: Floats
    rung: str
    batches: Floats | None = None

    def error_along(self, direction: Floats) -> float:
        """Return the error of the projection on a unit vector (P,).

        From the batches of a long run; for other rungs the sum of |u_j| error_j, which no dependence between
        the coordinates exceeds.
        """
        if self.batches is None:
            return float(np.abs(direction) @ self.error)
        along = self.batches @ direction
        return float(along.std(ddof=1) / np.sqrt(len(along)))


Kind = TypeVar("Kind", Evidence, Expectation, Bound)


def without_error(kind: type[Kind], rung: str, *parts: Floats) -> Kind:
    """Return kind(rung, part, zeros, part, zeros, ...)."""
    interleaved = []
    for part in parts:
        interleaved += [part, np.zeros_like(part)]
    return kind(rung, *interleaved)
