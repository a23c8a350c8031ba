"""Integrals of implicit reparameterisation: how a distribution function moves with its shape.

The idea
--------
For Gamma, Beta and Student t the inverse of F has no formula. Its derivative needs none: at fixed noise
F(z; eta) = u, so that

    dz/deta = -(dF/deta) / q(z),        dF/deta = int_{-inf}^z q(t) s(t) dt,      s = dlog q/deta

(Figurnov, Mohamed and Mnih 2018, section 2). The score s integrates to zero over the whole line, so the same
number is minus the integral over the upper tail. That leaves two ways, and the right one has an integrand
of one sign: no digits cancel.

After a change of variable t = t(tau) that starts at z, the integrand over either tail is
exp(phi(tau)) times the score, with phi(0) = 0 and phi concave and falling. So we look for the point where
phi has fallen by 40 nats, and apply one Gauss-Legendre rule up to there, for all draws at once.

Where it fails: shapes below about 1e-3, where a tail may have a plateau of many nats and then a cliff.

Source
------
M. Figurnov, S. Mohamed, A. Mnih, "Implicit Reparameterization Gradients", NeurIPS 2018.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from elbo_lab.arrays import Floats

# What lies further down than this adds less than 1e-17.
NEGLIGIBLE = 40.0
N_NODES = 96


def _unit_rule() -> tuple[Floats, Floats]:
    """Return nodes and weights of Gauss-Legendre on (0, 1)."""
    nodes, weights = np.polynomial.legendre.leggauss(N_NODES)
    return 0.5 * (1.0 + nodes), 0.5 * weights


NODES, WEIGHTS = _unit_rule()


def span_integral(integrand: Callable[[Floats], Floats], length: Floats) -> Floats:
    """Return the integral of a smooth integrand from 0 to `length`.

    Parameters
    ----------
    integrand : callable
        tau (...) -> values (...).
    length : ndarray (...)

    Returns
    -------
    ndarray (...)
    """
    # Node by node: the draws may be many, and this keeps one array of their size.
    total = np.zeros_like(length)
    for node, weight in zip(NODES, WEIGHTS, strict=True):
        total += weight * integrand(node * length)
    return total * length


def tail_integral(
    exponent: Callable[[Floats], Floats], factor: Callable[[Floats], Floats], reach: Floats
) -> Floats:
    """Return the integral of exp(exponent(tau)) factor(tau) over tau > 0.

    Parameters
    ----------
    exponent : callable
        tau (...) -> nats (...); zero at zero, concave, falling.
    factor : callable
        tau (...) -> values (...) of one sign that grow slowly.
    reach : ndarray (...)
        Where the exponent has fallen by `NEGLIGIBLE`, or anywhere beyond.

    Returns
    -------
    ndarray (...)
    """
    too_far = exponent(0.5 * reach) < -NEGLIGIBLE
    while too_far.any():
        reach = np.where(too_far, 0.5 * reach, reach)
        too_far = exponent(0.5 * reach) < -NEGLIGIBLE
    return span_integral(lambda tau: np.exp(exponent(tau)) * factor(tau), reach)


def on_either_side(
    below: NDArray[np.bool_], first: Callable[..., Floats], second: Callable[..., Floats], *arrays: Floats
) -> Floats:
    """Return first(*arrays) where `below` holds and second(*arrays) elsewhere, each on its entries only."""
    below, *entries = np.broadcast_arrays(below, *arrays)
    out = np.empty(below.shape)
    for mask, function in ((below, first), (~below, second)):
        out[mask] = function(*(array[mask] for array in entries))
    return out
