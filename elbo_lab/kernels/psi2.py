"""Sums of Gaussians over pairs of inducing points: the twins of `elbo_lab.models.gplvm.pairs`.

    e_np = exp(c_n + base_p - sum_q r_nq (m_nq - o_pq)^2),       p = 1, ..., P pairs

Rows come one after the other, and every inner loop runs down the pairs, whose coordinates are contiguous
(Q, P): vector code, with the exponents of one row in the fastest cache. Coordinates are taken in twos, so
that an exponent is read and written half as often. The centres, Q P numbers, stay in the second cache.

The weights e_np are not kept between the value and its slopes: to store and to read N P numbers takes
as long as to compute them again.

The gain over NumPy, a factor of 30 to 50 on one core, is listed in `elbo_lab.models.gplvm.pairs`.
"""

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.kernels.compiling import formula, loop, sum_loop
from elbo_lab.kernels.exponential import exp_of_negative


@formula
def _subtract_two(
    centres: Floats, q: int, m0: float, m1: float, r0: float, r1: float, exponent: Floats
) -> None:
    """Subtract two terms r (m - o)^2 from the exponents (P,)."""
    o0, o1 = centres[q], centres[q + 1]
    for p in range(exponent.size):
        d0 = m0 - o0[p]
        d1 = m1 - o1[p]
        exponent[p] -= r0 * d0 * d0 + r1 * d1 * d1


@formula
def _subtract_one(centres: Floats, q: int, m: float, r: float, exponent: Floats) -> None:
    o = centres[q]
    for p in range(exponent.size):
        d = m - o[p]
        exponent[p] -= r * d * d


@formula
def _gaussians(mean: Floats, rate: Floats, shift: float, centres: Floats, base: Floats, e: Floats) -> None:
    """Write e_np of one row into e (P,): mean (Q,), rate (Q,)."""
    for p in range(e.size):
        e[p] = shift + base[p]
    n_inputs = mean.size
    for q in range(0, n_inputs - 1, 2):
        _subtract_two(centres, q, mean[q], mean[q + 1], rate[q], rate[q + 1], e)
    if n_inputs % 2:
        _subtract_one(centres, n_inputs - 1, mean[n_inputs - 1], rate[n_inputs - 1], e)
    for p in range(e.size):
        # An exponent is at most zero but for rounding.
        e[p] = exp_of_negative(e[p])


@loop
def add_pair_sums(
    mean: Floats,
    rate: Floats,
    shift: Floats,
    centres: Floats,
    base: Floats,
    start: int,
    stop: int,
    out: Floats,
) -> None:
    """Add sum_n e_np over rows start to stop to out (P,).

    Parameters
    ----------
    mean, rate : ndarray (N, Q)
        m and r.
    shift : ndarray (N,)
        c.
    centres : ndarray (Q, P)
        o.
    base : ndarray (P,)
    start, stop : int
    out : ndarray (P,)
    """
    e = np.empty(base.size)
    for n in range(start, stop):
        _gaussians(mean[n], rate[n], shift[n], centres, base, e)
        for p in range(e.size):
            out[p] += e[p]


@sum_loop
def _weigh(weights: Floats, e: Floats, by_base: Floats) -> float:
    """Turn e into weighted e, add it to by_base, return its sum."""
    total = 0.0
    for p in range(e.size):
        e[p] *= weights[p]
        by_base[p] += e[p]
        total += e[p]
    return total


@sum_loop
def _slopes(e: Floats, o: Floats, by_o: Floats, m: float, r: float) -> tuple[float, float]:
    """Return the sums of e d and e d^2, d = m - o; add 2 r e d to by_o."""
    first, second = 0.0, 0.0
    for p in range(e.size):
        d = m - o[p]
        ed = e[p] * d
        first += ed
        second += ed * d
        by_o[p] += 2.0 * r * ed
    return first, second


@loop
def add_pair_slopes(
    mean: Floats,
    rate: Floats,
    shift: Floats,
    centres: Floats,
    base: Floats,
    weights: Floats,
    start: int,
    stop: int,
    by_mean: Floats,
    by_rate: Floats,
    by_shift: Floats,
    by_centres: Floats,
    by_base: Floats,
) -> None:
    """Write or add the slopes of sum_np weights_p e_np over rows start to stop.

    Parameters
    ----------
    mean, rate, shift, centres, base, start, stop
        As for `add_pair_sums`.
    weights : ndarray (P,)
    by_mean, by_rate : ndarray (N, Q)
        Rows start to stop are written.
    by_shift : ndarray (N,)
        The same.
    by_centres : ndarray (Q, P)
        Added to, as by_base (P,).
    """
    e = np.empty(base.size)
    for n in range(start, stop):
        _gaussians(mean[n], rate[n], shift[n], centres, base, e)
        by_shift[n] = _weigh(weights, e, by_base)
        for q in range(mean.shape[1]):
            first, second = _slopes(e, centres[q], by_centres[q], mean[n, q], rate[n, q])
            by_mean[n, q] = -2.0 * rate[n, q] * first
            by_rate[n, q] = -second
