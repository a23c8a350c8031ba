"""Sums and ratios of exponentials, and sigmoids, that keep their digits.

The idea
--------
Probabilities of whole data sets are far too small for floating point, so this package keeps their
logarithms and only ever exponentiates *differences* that cannot overflow. Every function here is
one textbook formula, rearranged so that no intermediate leaves the range of the number type:

    log_sum_exp     log sum_i exp(a_i)  = m + log sum_i exp(a_i - m),        m = max_i a_i
    log_mean_exp    log (1/n) sum_i exp(a_i)
    softmax         exp(a_i) / sum_j exp(a_j)
    log_softmax     a_i - log sum_j exp(a_j)
    softplus        log(1 + exp(x))     = max(x, 0) + log1p(exp(-|x|))
    sigmoid         1 / (1 + exp(-x))   = exp(min(x, 0)) / (1 + exp(-|x|))
    tanh            (exp(2x) - 1) / (exp(2x) + 1)
    log1mexp        log(1 - exp(-x))
    log_integral_exp  log int_0^1 exp(x t) dt

`softplus`, `sigmoid` and `tanh` have compiled twins of the same name in
`elbo_lab.kernels.elementwise`; `elbo_lab.kernels.use_kernels` chooses between the two.

No function warns on -inf, +inf or nan: log-weights may well be -inf (a draw of probability zero), and
each docstring says what the function then returns.

Sources
-------
P. Blanchard, D. J. Higham, N. J. Higham, "Accurately computing the log-sum-exp and softmax
functions", IMA J. Numer. Anal. 41 (2021), eq. (1.1), (1.2) and their shifted forms.
M. Maechler, "Accurately computing log(1 - exp(-|a|))", vignette of the R package Rmpfr (2012).
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from elbo_lab.arrays import Floats
from elbo_lab.kernels import compiled_twin, float_array, into_new_array

Axis = int | tuple[int, ...] | None

LOG_2PI = math.log(2.0 * math.pi)


def log_sum_exp(a: ArrayLike, axis: Axis) -> Floats:
    """Return the logarithm of a sum of exponentials, log sum_i exp(a_i).

    Stable because the peak m is factored out: every exponent a_i - m is at most zero and the largest
    term is exactly one, so nothing overflows and the sum cannot vanish.

    Parameters
    ----------
    a : array (...)
        Logarithms; may hold -inf (a term of zero) and +inf.
    axis : int, tuple of int or None
        Axes summed over; None sums over all.

    Returns
    -------
    array (... without `axis`)
        -inf where every term is -inf, +inf where one is +inf, nan where one is nan. The error is
        a few units in the last place of max(1, m), not of a result that happens to be near zero.
    """
    a = np.asarray(a)
    peak = np.maximum.reduce(a, axis=axis, keepdims=True)
    # An infinite peak would give inf - inf; without a shift the infinities come out right, and
    # log(0) = -inf and exp(1000) = inf beside a +inf are then correct results.
    peak = np.where(np.isfinite(peak), peak, 0)
    with np.errstate(divide="ignore", over="ignore"):
        total = np.log(np.add.reduce(np.exp(a - peak), axis=axis))
    return total + peak.reshape(total.shape)


def log_mean_exp(a: ArrayLike, axis: Axis) -> Floats:
    """Return the logarithm of a mean of exponentials, log (1/n) sum_i exp(a_i).

    Stable as `log_sum_exp`. This is the importance-weighted estimate of the log-evidence when `a`
    holds log-weights and `axis` is the axis of the draws.

    Parameters
    ----------
    a : array (...)
        Logarithms; may hold -inf and +inf.
    axis : int, tuple of int or None
        Axes averaged over; None averages over all.

    Returns
    -------
    array (... without `axis`)
    """
    a = np.asarray(a)
    total = log_sum_exp(a, axis)
    # math.log gives a Python float, which keeps float32 in float32.
    return total - math.log(a.size / max(np.size(total), 1))


def softmax(a: ArrayLike, axis: Axis) -> Floats:
    """Return weights proportional to exp(a) that sum to one, exp(a_i) / sum_j exp(a_j).

    Stable because numerator and denominator are both divided by exp(max a), which cancels.

    Parameters
    ----------
    a : array (...)
        Logits or log-weights; -inf gives weight zero.
    axis : int, tuple of int or None
        Axes along which the weights sum to one.

    Returns
    -------
    array (...)
        nan along a slice whose peak is not finite (all -inf: there is no mass to share; a +inf:
        the limit depends on the path).
    """
    weights = np.exp(below_peak(a, axis))
    return weights / np.add.reduce(weights, axis=axis, keepdims=True)


def log_softmax(a: ArrayLike, axis: Axis) -> Floats:
    """Return the logarithm of `softmax`, a_i - log sum_j exp(a_j).

    Stable because the logarithm of a small weight is never taken: log softmax is accurate for
    weights far below the smallest float, where log(softmax(a)) is -inf.

    Parameters
    ----------
    a : array (...)
        Logits or log-weights; -inf stays -inf.
    axis : int, tuple of int or None
        Axes along which the weights sum to one.

    Returns
    -------
    array (...)
        nan along a slice whose peak is not finite, as in `softmax`.
    """
    shifted = below_peak(a, axis)
    return shifted - np.log(np.add.reduce(np.exp(shifted), axis=axis, keepdims=True))


@np.errstate(invalid="ignore")
def below_peak(a: ArrayLike, axis: Axis) -> Floats:
    """Return a - max(a), the logarithms of weights of which the largest is one.

    Parameters
    ----------
    a : array (...)
    axis : int, tuple of int or None
        Axes of the maximum.

    Returns
    -------
    array (...)
        nan (quietly) along a slice whose peak is infinite.
    """
    a = np.asarray(a)
    return a - np.maximum.reduce(a, axis=axis, keepdims=True)


@compiled_twin("elementwise", fits=float_array, run=into_new_array)
def softplus(x: ArrayLike) -> Floats:
    """Return log(1 + exp(x)), as max(x, 0) + log1p(exp(-|x|)).

    Stable because the argument of exp is -|x| <= 0, and log1p keeps the digits of a tiny exp(-|x|). Its
    slope is `sigmoid`; softplus(x) - softplus(-x) = x.

    Parameters
    ----------
    x : array (...)

    Returns
    -------
    array (...)
        0 at -inf, inf at +inf.
    """
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


@compiled_twin("elementwise", fits=float_array, run=into_new_array)
def sigmoid(x: ArrayLike) -> Floats:
    """Return 1 / (1 + exp(-x)), as exp(min(x, 0)) / (1 + exp(-|x|)).

    Stable because the argument of exp is -|x| <= 0; for negative x numerator and denominator are
    multiplied by exp(x), so that small probabilities keep all their digits.

    Parameters
    ----------
    x : array (...)

    Returns
    -------
    array (...)
        0 at -inf, 1 at +inf.
    """
    t = np.exp(-np.abs(x))
    return np.where(np.less(x, 0), t, 1.0) / (1.0 + t)


@compiled_twin("elementwise", fits=float_array, run=into_new_array)
def tanh(x: ArrayLike) -> Floats:
    """Return (exp(2x) - 1) / (exp(2x) + 1), the hyperbolic tangent.

    NumPy's function is the stable definition; it is wrapped here to have a twin (`elbo_lab.kernels`).

    Parameters
    ----------
    x : array (...)

    Returns
    -------
    array (...)
        -1 at -inf, 1 at +inf.
    """
    return np.tanh(x)


def log1mexp(x: ArrayLike) -> Floats:
    """Return log(1 - exp(-x)) for x >= 0: the log-probability of the complement of exp(-x).

    Stable because expm1 performs the subtraction where exp(-x) is near one (x <= log 2), and log1p
    where it is small; Maechler shows that log 2 is the best place to change.

    Parameters
    ----------
    x : array (...)
        Minus a log-probability.

    Returns
    -------
    array (...)
        -inf at 0, 0 at +inf, nan below zero (no probability is above one).
    """
    # np.where evaluates both forms everywhere; warnings of the one that is not used are silenced.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        near_one = np.log(-np.expm1(np.negative(x)))
        small = np.log1p(-np.exp(np.negative(x)))
    return np.where(np.less_equal(x, math.log(2.0)), near_one, small)[()]


def log_integral_exp(x: ArrayLike) -> Floats:
    """Return log int_0^1 exp(x t) dt = log((e^x - 1) / x), the log-normaliser of the continuous Bernoulli.

    Stable as max(x, 0) + log((1 - exp(-|x|)) / |x|): nothing overflows, and expm1 keeps the digits of the
    ratio down to the smallest |x|; at 0 it is one. The first formula is 0 / 0 there (in lambda = sigmoid(x)
    that is lambda = 1/2, where Loaiza-Ganem and Cunningham 2019 use a Taylor series).

    Parameters
    ----------
    x : array (...)

    Returns
    -------
    array (...)
        -inf at -inf, inf at +inf, as -log |x| and x - log x.
    """
    x = np.asarray(x)
    size = np.abs(x)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(size > 0, -np.expm1(-size) / size, np.ones_like(size))
        return np.maximum(x, 0) + np.log(ratio)


# B_2n / (2 n)! of the Bernoulli numbers, n = 1 ... 7.
SLOPE_SERIES = (
    1 / 12,
    -1 / 720,
    1 / 30240,
    -1 / 1209600,
    1 / 47900160,
    -691 / 1307674368000,
    1 / 74724249600,
)


def log_integral_exp_slope(x: ArrayLike) -> Floats:
    """Return d/dx log int_0^1 exp(x t) dt = 1 / (1 - e^-x) - 1 / x, the mean of the continuous Bernoulli.

    Near 0 two large numbers would cancel; for |x| < 1/2 the series 1/2 + sum_n B_2n x^(2n - 1) / (2n)! takes
    their place, with seven terms to 2e-17. For x < 0 it is 1 - slope(-x), so that nothing overflows.

    Parameters
    ----------
    x : array (...)

    Returns
    -------
    array (...)
        0 at -inf, 1 at +inf.
    """
    x = np.asarray(x)
    size = np.abs(x)
    small = np.minimum(size, 0.5)
    series = np.zeros_like(small)
    for coefficient in SLOPE_SERIES[::-1]:
        series = series * (small * small) + coefficient
    far = np.maximum(size, 0.5)
    above = np.where(size < 0.5, 0.5 + small * series, 1.0 / -np.expm1(-far) - 1.0 / far)
    return np.where(x < 0, 1.0 - above, above)
