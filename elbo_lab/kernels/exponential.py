"""exp, expm1 and log1p as straight-line formulas, which a compiler turns into vector code.

The idea
--------
A call to the C library's `exp` handles one number (20 ns); a loop over plain sums and products
handles four or eight at once. So the three functions are written here without a call, a table or a
branch, only for the arguments that are needed.

**Exponential.** After whole powers of two are factored out, the remainder is small enough for a short series:

    n = round(x / log 2),   r = x - n log 2,   |r| <= log(2) / 2
    exp(x) = 2^n exp(r),    exp(r) = 1 + r + r^2 (1/2! + r/3! + r^2/4! + ... + r^11/13!)

- *Rounding without a call*: adding 1.5 * 2^52 leaves no bits for a fraction, and the low bits of the sum
  then hold n as an integer (Hecker's trick).
- *log 2 in two parts* (Cody and Waite): the first has 33 bits, so that n times it is exact.
- *2^n by an integer*: n + 1023 shifted left by 52 bits *is* the float64 2^n.

**log1p** on [0, 1] by the inverse hyperbolic tangent, whose series has only odd powers:

    log(1 + t) = 2 atanh(s),   s = t / (2 + t) <= 1/3,   z = s^2
    2 atanh(s) = w + w z (1/3 + z/5 + z^2/7 + ...),      w = 2 s

The series would need 17 terms at z = 1/9; ten coefficients interpolated at the Chebyshev nodes of
[0, 1/9] leave a relative error of 7e-18, a fifteenth of the last bit.

**In float32** the formulas are the same with the shorter series that 24 bits need (exp(r) up to r^7/7!, to
6e-9; log1p with five coefficients, to 4e-10). Each follows its float64 version, with `_32` in its name. A
vector register holds eight float32 where it holds four float64, and the series are half as long. Every
constant is a float32: beside a Python number, Numba would compute in float64. The first part of log 2 has
nine bits there, so that n times it is exact for all powers of two in range.

Both polynomials are summed as even plus odd part: two short chains of multiply-adds, which the
processor runs side by side, take half as long as one.

Measured (AMD Zen 3, AVX2, float64): exp 1.3 ns per element (NumPy 5 to 9, C library 20), at most
1.0 unit in the last place. The gains of the kernels built on it are listed in `elementwise`.

Sources
-------
W. J. Cody, W. Waite, "Software Manual for the Elementary Functions" (1980), chapter 6.
J.-M. Muller, "Elementary Functions: Algorithms and Implementation", 3rd ed. (2016), chapters 3, 11.
C. Hecker, "Let's get to the (floating) point", Game Developer (Feb. 1996).
"""

import math

import numpy as np

from elbo_lab.kernels.compiling import formula

ROUND = 1.5 * 2.0**52
LOG2_E = 1.0 / math.log(2.0)
# The digits of fdlibm (Sun, 1993): the sum of the two is log 2 to 2^-86.
LN2_HIGH = 6.93147180369123816490e-01
LN2_LOW = 1.90821492927058770002e-10

ROUND_32 = np.float32(1.5 * 2.0**23)
LOG2_E_32 = np.float32(1.0 / math.log(2.0))
LN2_HIGH_32 = np.float32(355.0 / 512.0)
LN2_LOW_32 = np.float32(math.log(2.0) - 355.0 / 512.0)
ONE, TWO, QUARTER = np.float32(1.0), np.float32(2.0), np.float32(0.25)
LOWEST_32, DOWN_32 = np.float32(-105.0), np.float32(2.0**-64)

# exp(r) = 1 + r + r^2 (E[0] + E[1] r + ...), the Taylor coefficients 1/2!, 1/3!, ..., 1/13! or 1/7!
E = tuple(1.0 / math.factorial(k) for k in range(2, 14))
E_32 = tuple(np.float32(1.0 / math.factorial(k)) for k in range(2, 8))

# atanh(s)/s = 1 + z (A[0] + A[1] z + ...): near 1/3, 1/5, 1/7, ..., adjusted to fit all of [0, 1/9].
A = (
    0.3333333333333333,
    0.20000000000007292,
    0.1428571428355438,
    0.11111111358713932,
    0.09090894718066429,
    0.07692785032479312,
    0.06657072104827468,
    0.06000536404795356,
    0.04400369243072337,
    0.08082022805971766,
)
A_32 = tuple(
    np.float32(value) for value in (0.3333333366, 0.1999985317, 0.1429617899, 0.1085328802, 0.1161216420)
)


@formula
def power_of_two(n: int | np.int64) -> np.float64:
    """Return 2^n for an integer -1022 <= n <= 1023, by writing the exponent bits."""
    return np.int64((n + 1023) << 52).view(np.float64)


@formula
def power_of_two_32(n: int | np.int32) -> np.float32:
    """Return 2^n for an integer -126 <= n <= 127, by writing the exponent bits."""
    return np.int32((n + 127) << 23).view(np.float32)


@formula
def reduce_by_log2(x: float) -> tuple[np.int64, float]:
    """Return n (integer) and expm1(r), where x = n log 2 + r; |x| up to about 10^5."""
    shifted = x * LOG2_E + ROUND
    n = shifted - ROUND
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    r2 = r * r
    even = E[0] + r2 * (E[2] + r2 * (E[4] + r2 * (E[6] + r2 * (E[8] + r2 * E[10]))))
    odd = E[1] + r2 * (E[3] + r2 * (E[5] + r2 * (E[7] + r2 * (E[9] + r2 * E[11]))))
    # The low bits of `shifted` are n; `power_of_two` shifts the others out.
    return np.float64(shifted).view(np.int64), r + r2 * (even + r * odd)


@formula
def reduce_by_log2_32(x: np.float32) -> tuple[np.int32, np.float32]:
    """Return n (integer) and expm1(r), where x = n log 2 + r; |x| up to about 10^3."""
    shifted = x * LOG2_E_32 + ROUND_32
    n = shifted - ROUND_32
    r = (x - n * LN2_HIGH_32) - n * LN2_LOW_32
    r2 = r * r
    even = E_32[0] + r2 * (E_32[2] + r2 * E_32[4])
    odd = E_32[1] + r2 * (E_32[3] + r2 * E_32[5])
    return np.float32(shifted).view(np.int32), r + r2 * (even + r * odd)


@formula
def exp_of_negative(x: float) -> float:
    """Return exp(x) for x <= 0, down to the smallest subnormal; 0 at -inf, nan at nan."""
    # Written so that nan fails the comparison and stays.
    x = -746.0 if x < -746.0 else x
    n, tail = reduce_by_log2(x)
    # 2^n may be subnormal, 2^(n + 600) is not: one more product, and no branch.
    scale = power_of_two(n + 600)
    return (scale * tail + scale) * 2.0**-600


@formula
def exp_of_negative_32(x: np.float32) -> np.float32:
    """Return exp(x) for x <= 0, down to the smallest subnormal; 0 at -inf, nan at nan."""
    x = LOWEST_32 if x < LOWEST_32 else x
    n, tail = reduce_by_log2_32(x)
    scale = power_of_two_32(n + 64)
    return (scale * tail + scale) * DOWN_32


@formula
def expm1_of_positive(x: float) -> float:
    """Return exp(x) - 1 for 0 <= x <= 700, with small relative error near 0 too; nan at nan."""
    n, tail = reduce_by_log2(x)
    scale = power_of_two(n)
    return scale * tail + (scale - 1.0)


@formula
def expm1_of_positive_32(x: np.float32) -> np.float32:
    """Return exp(x) - 1 for 0 <= x <= 80, with small relative error near 0 too; nan at nan."""
    n, tail = reduce_by_log2_32(x)
    scale = power_of_two_32(n)
    return scale * tail + (scale - ONE)


@formula
def log1p_of_fraction(t: float) -> float:
    """Return log(1 + t) for 0 <= t <= 1; nan at nan."""
    # 2t and not t / (1 + t/2): a doubled subnormal is exact, a halved one is not.
    w = (t + t) / (2.0 + t)
    z = 0.25 * w * w
    z2 = z * z
    even = A[0] + z2 * (A[2] + z2 * (A[4] + z2 * (A[6] + z2 * A[8])))
    odd = A[1] + z2 * (A[3] + z2 * (A[5] + z2 * (A[7] + z2 * A[9])))
    return w + w * z * (even + z * odd)


@formula
def log1p_of_fraction_32(t: np.float32) -> np.float32:
    """Return log(1 + t) for 0 <= t <= 1; nan at nan."""
    w = (t + t) / (TWO + t)
    z = QUARTER * w * w
    z2 = z * z
    even = A_32[0] + z2 * (A_32[2] + z2 * A_32[4])
    odd = A_32[1] + z2 * A_32[3]
    return w + w * z * (even + z * odd)


@formula
def log_of_at_least_one(s: float) -> float:
    """Return log(s) for s >= 1, from its exponent and its fraction; nan at nan and at inf."""
    bits = np.float64(s).view(np.uint64)
    # The exponent, written into the fraction of 2^52, becomes a float64 without a conversion, which AVX2
    # lacks.
    power = np.uint64((bits >> np.uint64(52)) | np.uint64(0x4330000000000000)).view(np.float64)
    one_to_two = np.uint64((bits & np.uint64(0x000FFFFFFFFFFFFF)) | np.uint64(0x3FF0000000000000))
    # s - s is zero, or nan.
    n = power - (2.0**52 + 1023.0) + (s - s)
    return n * LN2_HIGH + (n * LN2_LOW + log1p_of_fraction(one_to_two.view(np.float64) - 1.0))
