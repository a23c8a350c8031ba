"""Integrals of implicit reparameterisation: derivatives of distribution functions in their shapes.

The idea
--------
For Gamma, Beta and Student t the inverse of F has no formula. Its derivative needs none: at fixed noise
F(z; eta) = u, so that

    dz/deta = -(dF/deta) / q(z),        dF/deta = int_{-inf}^z q(t) s(t) dt,      s = dlog q/deta

(Figurnov, Mohamed and Mnih 2018, section 2). The score s integrates to zero over the whole line, so the same
number is minus the integral over the upper tail. Of these two forms we choose the one whose integrand has one
sign: no digits cancel.

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

# In nats; the part of a tail beyond a fall of this size contributes less than 1e-17.
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
    # Node by node: there may be many draws, and this needs only one array of their number.
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
    condition: NDArray[np.bool_],
    if_true: Callable[..., Floats],
    if_false: Callable[..., Floats],
    *arrays: Floats,
) -> Floats:
    """Return if_true(*arrays) where the condition holds, if_false(*arrays) elsewhere, each only there."""
    condition, *entries = np.broadcast_arrays(condition, *arrays)
    out = np.empty(condition.shape)
    for mask, function in ((condition, if_true), (~condition, if_false)):
        out[mask] = function(*(array[mask] for array in entries))
    return out
