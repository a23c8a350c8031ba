"""exp, expm1 and log1p in float32: the formulas of `exponential` with the shorter series that 24 bits need.

    exp(r) = 1 + r + r^2 (1/2! + r/3! + ... + r^5/7!),   the rest below 6e-9 for |r| <= log(2) / 2
    2 atanh(s) = w + w z (A0 + z A1 + ... + z^4 A4),   by Chebyshev nodes in [0, 1/9], to 4e-10

A vector register holds eight float32 where it holds four float64, and the series are half as long. Every
constant is a float32: beside a number of Python's, Numba would compute in float64. The first part of log 2
has nine bits, so that n times it is exact for all powers of two in range.

Sources: those of `exponential`.
"""

import math

import numpy as np

from elbo_lab.kernels.compiling import formula

ROUND = np.float32(1.5 * 2.0**23)
LOG2_E = np.float32(1.0 / math.log(2.0))
LN2_HIGH = np.float32(355.0 / 512.0)
LN2_LOW = np.float32(math.log(2.0) - 355.0 / 512.0)
ONE, TWO, QUARTER = np.float32(1.0), np.float32(2.0), np.float32(0.25)
SMALLEST, DOWN = np.float32(-105.0), np.float32(2.0**-64)

# exp(r) = 1 + r + r^2 (E0 + E1 r + ...), the Taylor coefficients 1/2!, ..., 1/7!
E0, E1, E2, E3, E4, E5 = (np.float32(1.0 / math.factorial(k)) for k in range(2, 8))

# atanh(s)/s = 1 + z (A0 + A1 z + ...)
A0 = np.float32(0.3333333366)
A1 = np.float32(0.1999985317)
A2 = np.float32(0.1429617899)
A3 = np.float32(0.1085328802)
A4 = np.float32(0.1161216420)


@formula
def power_of_two(n):
    """Return 2^n for an integer -126 <= n <= 127, by writing the exponent bits."""
    return np.int32((n + 127) << 23).view(np.float32)


@formula
def reduce_by_log2(x):
    """Return n (integer) and expm1(r), where x = n log 2 + r; |x| up to about 10^3."""
    shifted = x * LOG2_E + ROUND
    n = shifted - ROUND
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    r2 = r * r
    even = E0 + r2 * (E2 + r2 * E4)
    odd = E1 + r2 * (E3 + r2 * E5)
    return np.float32(shifted).view(np.int32), r + r2 * (even + r * odd)


@formula
def exp_of_negative(x):
    """Return exp(x) for x <= 0, down to the smallest subnormal; 0 at -inf, nan at nan."""
    x = SMALLEST if x < SMALLEST else x
    n, tail = reduce_by_log2(x)
    # As in float64: 2^n may be below the normal numbers, 2^(n + 64) is not.
    scale = power_of_two(n + 64)
    return (scale * tail + scale) * DOWN


@formula
def expm1_of_positive(x):
    """Return exp(x) - 1 for 0 <= x <= 80, with small relative error near 0 too; nan at nan."""
    n, tail = reduce_by_log2(x)
    scale = power_of_two(n)
    return scale * tail + (scale - ONE)


@formula
def log1p_of_fraction(t):
    """Return log(1 + t) for 0 <= t <= 1; nan at nan."""
    w = (t + t) / (TWO + t)
    z = QUARTER * w * w
    z2 = z * z
    even = A0 + z2 * (A2 + z2 * A4)
    odd = A1 + z2 * A3
    return w + w * z * (even + z * odd)
