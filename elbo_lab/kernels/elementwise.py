"""Loops for the squashing functions: the compiled twins of `tanh`, `softplus` and `sigmoid`.

The formulas are those of `elbo_lab.special`, on the vectorising core of `exponential`:

    tanh(x)     = sign(x) e / (e + 2),                e = expm1(2 |x|)
    softplus(x) = max(x, 0) + log1p(t),               t = exp(-|x|)
    sigmoid(x)  = (t where x < 0, else 1) / (1 + t),  t = exp(-|x|)

float32 arrays have the same formulas on its core for float32: series half as long, registers that
hold twice as many. Worst error over all arguments, in units in the last place: float64 2.6 (the definitions
2.3), float32 2.5 (the definitions 3.0), subnormal results included; inf, nan and the sign of zero are those
of the definition.

Compared with the definition, call included (AMD EPYC, AVX2, one thread, ns per element):

                        10^2 elements     10^4 elements     10^6 elements
    float64 tanh         19.4 -> 14.8      13.3 -> 1.8       25.4 -> 1.7
            softplus     43.1 -> 16.1      12.5 -> 2.8       25.7 -> 2.8
            sigmoid      55.0 -> 14.5       7.7 -> 1.6       16.6 -> 1.6
    float32 tanh          8.7 -> 13.6       2.6 -> 0.7        2.7 -> 0.6
            softplus     40.4 -> 14.7       9.4 -> 1.1       12.0 -> 1.0
            sigmoid      57.4 -> 13.9       3.5 -> 0.6       11.1 -> 0.5

A call costs 1.5 to 3 microseconds before the first element. Without AVX2 and fused multiply-add
(plain SSE2) the gain in float64 falls to 1.4 to 4, and float32 `tanh` is slower than NumPy's.
The first call in a process imports Numba (0.7 s); the first on a machine compiles (0.1 to 0.7 s).
"""

import math

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.kernels.compiling import formula, loop
from elbo_lab.kernels.exponential import (
    exp_of_negative,
    exp_of_negative_32,
    expm1_of_positive,
    expm1_of_positive_32,
    log1p_of_fraction,
    log1p_of_fraction_32,
)

# Bytes of a float32: the compiler drops the branch of the other dtype.
FLOAT32 = 4
ZERO, ONE, TWO, TEN, TWENTY = (np.float32(value) for value in (0.0, 1.0, 2.0, 10.0, 20.0))


@formula
def _tanh(x: float) -> float:
    size = abs(x)
    # tanh(22) rounds to one; nan fails the comparison and stays.
    size = 22.0 if size > 22.0 else size
    e = expm1_of_positive(size + size)
    return math.copysign(e / (e + 2.0), x)


@formula
def _softplus(x: float) -> float:
    positive_part = 0.0 if x < 0.0 else x
    return positive_part + log1p_of_fraction(exp_of_negative(-abs(x)))


@formula
def _sigmoid(x: float) -> float:
    t = exp_of_negative(-abs(x))
    return (t if x < 0.0 else 1.0) / (1.0 + t)


@formula
def _tanh_32(x: np.float32) -> float:
    size = abs(x)
    # tanh(10) rounds to one.
    size = TEN if size > TEN else size
    e = expm1_of_positive_32(size + size)
    return math.copysign(e / (e + TWO), x)


@formula
def _softplus_32(x: np.float32) -> np.float32:
    positive_part = ZERO if x < ZERO else x
    return positive_part + log1p_of_fraction_32(exp_of_negative_32(-abs(x)))


@formula
def _sigmoid_32(x: np.float32) -> np.float32:
    t = exp_of_negative_32(-abs(x))
    return (t if x < ZERO else ONE) / (ONE + t)


@formula
def _rise(a: float) -> float:
    # exp(40) rounds the quotient to one.
    e = expm1_of_positive(40.0 if a > 40.0 else a)
    return e / (e + 1.0)


@formula
def _rise_32(a: np.float32) -> np.float32:
    # exp(20) rounds the quotient to one.
    e = expm1_of_positive_32(TWENTY if a > TWENTY else a)
    return e / (e + ONE)


@loop
def tanh(x: Floats, out: Floats) -> None:
    """Write tanh(x) into `out`; both (n,) and contiguous."""
    if x.itemsize == FLOAT32:
        for i in range(x.shape[0]):
            out[i] = _tanh_32(np.float32(x[i]))
    else:
        for i in range(x.shape[0]):
            out[i] = _tanh(np.float64(x[i]))


@loop
def softplus(x: Floats, out: Floats) -> None:
    """Write log(1 + exp(x)) into `out`; both (n,) and contiguous."""
    if x.itemsize == FLOAT32:
        for i in range(x.shape[0]):
            out[i] = _softplus_32(np.float32(x[i]))
    else:
        for i in range(x.shape[0]):
            out[i] = _softplus(np.float64(x[i]))


@loop
def sigmoid(x: Floats, out: Floats) -> None:
    """Write 1 / (1 + exp(-x)) into `out`; both (n,) and contiguous."""
    if x.itemsize == FLOAT32:
        for i in range(x.shape[0]):
            out[i] = _sigmoid_32(np.float32(x[i]))
    else:
        for i in range(x.shape[0]):
            out[i] = _sigmoid(np.float64(x[i]))


@loop
def times_softplus_slope(a: Floats, delta: Floats) -> None:
    """Multiply delta by 1 - exp(-a), the slope of softplus where its value is a >= 0; vectors (n,)."""
    if a.itemsize == FLOAT32:
        for i in range(a.shape[0]):
            delta[i] *= _rise_32(np.float32(a[i]))
    else:
        for i in range(a.shape[0]):
            delta[i] *= _rise(np.float64(a[i]))
