"""What the batches of a study say: intervals, signal against noise, and how heavy a tail is.

**Intervals.** The repeats of a study fall into B batches. What is studied, T, is smooth in the batch means,
so each batch has an influence d_b on it (a deviation with weighted mean zero), and se(T) = sd(d) / sqrt(B)
(delta method), with Student's t for B - 1 degrees of freedom. Nothing is assumed about the draws but that
the batches are alike and independent.

Gradient draws have heavy tails, and the batches inherit their skewness: a long tail is seen in few batches,
most others miss it. The t of an end that lies on the side of the tail is therefore raised with the skewness
(Hall 1992; `skewed_limit`), by at most 2.5 times.

    a positive number v     v exp(+- t se / v), the upper t raised
    a ratio r = v / u       r exp(+- t se), se of log r, both raised; exchanging v and u turns the interval
                            around exactly
    a signal-to-noise s     on the scale of s^2, both raised, cut at 0

The intervals of the variance, made for 0.95, cover 0.937 to 0.972 on draws from a normal to its fourth power
and the log-normal (sd 1), with 200 repeats as with 1000; 0.88 on log-normals of sd 1.5 with 200.

**Numbers of a row** beside bias and variance, each with its uncertainty.

    bias    standard error of the mean, as a norm: a bias below about twice this was not seen
    mse     E |g - exact|^2 per batch, hence an interval
    snr     |E g| / sqrt(Var g), with an interval and per block of parameters. The norm of a mean contains its
            own noise, E |mean|^2 = |E g|^2 + Var g / R, which is taken out; what is left may be 0
    tail    Pareto k-hat of |g - exact| over single estimates: one number per row, dominated, like the
            variance, by the noisiest coordinates. At 1/2 the variance is infinite; from 1/4 its own standard
            error is, and its interval is worth little

**Pareto k-hat.** Above a high threshold most distributions look like a generalised Pareto distribution
(Pickands 1975), whose shape k tells which moments exist: those of order below 1 / k. A k above 1/2 means an
infinite variance, above 1 an infinite mean. k-hat fits that shape to the largest draws, 3 sqrt(n) of n
(Vehtari, Simpson, Gelman, Yao and Gabry 2024, Pareto smoothed importance sampling; the fit is that of Zhang
and Stephens 2009). Their rule: importance weights with k-hat above 0.7 are not to be trusted, whatever their
variance looks like. It is an estimate: from 1000 draws its standard error is about 0.13, and a weak prior
pulls it towards 0.5. The computation is that of `arviz-stats`, an optional package
(`pip install 'elbo-lab[diagnostics]'`); without it there is no k-hat.
"""

from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from elbo_lab.arrays import Floats
from elbo_lab.estimators import Answer
from elbo_lab.layout import Layout

if TYPE_CHECKING:  # moments are made of batches, whose intervals are formed here
    from elbo_lab.study.moments import Moments

# Fewer draws have hardly a tail.
LEAST_DRAWS = 100
# exp() of a log-weight further below the largest is lost in float64.
FLOAT_RANGE = 700.0
# Draws that agree to this are equal but for rounding.
EQUAL = 1e-9
# A sample of a heavy tail underrates its skewness; with this factor the measured rates are held.
UNDERRATED = 1.5
# How far the t of an end of an interval is raised, as a factor.
FURTHEST = 2.5
# Half the width of a 95 % interval of a normal number, in standard deviations.
NORMAL_95 = 1.96
INSTALL = "pip install 'elbo-lab[diagnostics]'"


# -- intervals ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spread:
    """What the batches say about an estimate.

    Attributes
    ----------
    half : float
        t times the standard error.
    upper, lower : float
        The distances to the two ends with the skewness of the batches; at least `half`.
    """

    half: float
    upper: float
    lower: float


def batch_weights(sizes: ArrayLike) -> Floats:
    """Return the weights (B,) of batches of these sizes, by their degrees of freedom."""
    freedom = np.asarray(sizes) - 1
    return freedom / freedom.sum()


def spread(deviations: Floats, weights: Floats, level: float = 0.95) -> Spread:
    """Return the Spread of an estimate with these influences.

    Parameters
    ----------
    deviations : ndarray (B,)
        Influence of each batch, with weighted mean zero.
    weights : ndarray (B,)
    level : float
    """
    from scipy.special import stdtrit  # heavy: loaded on use

    n_batches = len(deviations)
    variance = float(weights @ deviations**2)
    error = np.sqrt(variance / (n_batches - 1))
    quantile = float(stdtrit(n_batches - 1, 0.5 + 0.5 * level))
    skewness = float(weights @ deviations**3) / max(variance**1.5, float(np.finfo(float).tiny))
    of_mean = skewness / np.sqrt(n_batches) * np.array([1.0, -1.0])
    upper, lower = error * np.minimum(skewed_limit(quantile, of_mean), FURTHEST * quantile)
    return Spread(float(quantile * error), float(upper), float(lower))


def positive_interval(
    value: float, batches: Floats, weights: Floats, level: float = 0.95
) -> tuple[float, float]:
    """Return (low, high) for a positive number that has the values `batches` (B,) in the batches."""
    found = spread(batches - weights @ batches, weights, level)
    return float(value * np.exp(-found.half / value)), float(value * np.exp(found.upper / value))


def ratio_interval(
    ratio: float, top: Floats, bottom: Floats, weights: Floats, level: float = 0.95
) -> tuple[float, float]:
    """Return (low, high) for a ratio of two positive numbers from the same batches.

    Parameters
    ----------
    ratio : float
    top, bottom : ndarray (B,)
        Numerator and denominator in every batch, both from the same random numbers or not.
    weights : ndarray (B,)
    """
    influence = top / (weights @ top) - bottom / (weights @ bottom)
    found = spread(influence, weights, level)
    return float(ratio * np.exp(-found.lower)), float(ratio * np.exp(found.upper))


def skewed_limit(limit: ArrayLike, skewness: ArrayLike) -> Floats:
    """Return the limits of |t| for means that are skewed to the side on which they do not lie.

    A mean of draws that are skewed to the right lies too low, with too small a standard error, as long as the
    large draws have not been seen. Hall's transformation (1992, eq. 2.6; here without its shift of the
    median) x + a x^2 / 3 + a^2 x^3 / 27 removes the skewness a of a studentised mean. The x whose
    transform is -L is minus

        L 3 / (1 - s + s^2),   s = cbrt(a L - 1),   a = 1.5 skewness of the mean,

    from L at a = 0 to 4 L at a L = 9/8; beyond that it would fall again, and is held.

    Parameters
    ----------
    limit : ndarray
        L, for means that are not skewed.
    skewness : ndarray
        Of the mean, measured, positive away from where it lies; negative values raise nothing.
    """
    limit = np.asarray(limit)
    s = np.minimum(np.cbrt(UNDERRATED * np.maximum(skewness, 0.0) * limit - 1.0), 0.5)
    return limit * 3.0 / (1.0 - s + s**2)


# -- how heavy a tail is ------------------------------------------------------------------------------


@cache
def pareto_source() -> str | None:
    """Return name and version of what computes k-hat, or None where it is not installed."""
    try:
        return f"arviz-stats {version('arviz-stats')}"
    except PackageNotFoundError:
        return None


def pareto_k(log_values: Floats) -> float | None:
    """Return k-hat of the right tail of positive numbers, given by their logarithms (n,).

    None where there is no tail to speak of (fewer than 100 draws, the largest all equal, not finite numbers),
    and without arviz-stats.

    Parameters
    ----------
    log_values : ndarray (n,)
        -inf stands for zero.

    Returns
    -------
    float or None
    """
    if len(log_values) < LEAST_DRAWS or pareto_source() is None:
        return None
    if not np.isfinite(log_values.max()):  # of a nan among them as well
        return None
    ordered = np.sort(log_values) - log_values.max()
    n_tail = int(3.0 * np.sqrt(len(ordered))) if len(ordered) > 225 else len(ordered) // 5
    cutoff, tail = ordered[-n_tail - 1], ordered[-n_tail:]
    if tail[0] > -EQUAL:
        return None
    if tail[0] < -FLOAT_RANGE:
        # A tail over hundreds of nats exists in logarithms only; Hill's estimate (1975) lives there.
        return None if np.isneginf(cutoff) else float(tail.mean() - cutoff)
    from arviz_stats.base import array_stats  # heavy: loaded on use

    with np.errstate(all="ignore"):
        # It takes log-ratios with the sign of a log-likelihood.
        k = float(array_stats.psislw(-np.maximum(ordered, -FLOAT_RANGE))[1])
    return k if np.isfinite(k) else None


# -- numbers of a row --------------------------------------------------------------------------------


def bias_error(moments: "Moments", answer: Answer) -> float | None:
    """Return the norm of the standard errors of mean minus exact, or None for a single repeat."""
    if moments.count < 2:
        return None
    return float(np.sqrt((moments.standard_error**2 + answer.error**2).sum()))


def mse_interval(moments: "Moments", answer: Answer, mse: float) -> tuple[float, float] | tuple[None, None]:
    """Return the 95 % interval of the mean squared error, from the batches; the reference counts as exact."""
    if len(moments.traces) < 2:
        return None, None
    sizes, traces = np.array(moments.traces).T
    errors = traces * (sizes - 1) / sizes + ((np.array(moments.means) - answer.value) ** 2).sum(axis=1)
    return positive_interval(mse, errors, batch_weights(sizes))


def _snr(mean: Floats, variance: float, count: int) -> float:
    """Return the square of the signal-to-noise ratio, the noise of the mean taken out; may be negative."""
    return float((mean**2).sum() / variance - 1.0 / count)


def snr(moments: "Moments") -> float | None:
    """Return the signal-to-noise ratio, or None without noise."""
    variance = moments.variance
    return float(np.sqrt(max(0.0, _snr(moments.mean, variance, moments.count)))) if variance else None


def snr_interval(moments: "Moments", level: float = 0.95) -> tuple[float, float] | tuple[None, None]:
    """Return (low, high) of the signal-to-noise ratio, (None, None) for fewer than two batches."""
    if len(moments.traces) < 2 or not moments.variance:
        return None, None
    sizes, traces = np.array(moments.traces).T
    weights, mean, variance = batch_weights(sizes), moments.mean, moments.variance
    squared = _snr(mean, variance, moments.count)
    along = (np.array(moments.means) - mean) @ mean
    influence = (2.0 * along - (mean @ mean) * (traces / variance - 1.0)) / variance
    found = spread(influence - weights @ influence, weights, level)
    low, high = max(0.0, squared - found.lower), max(0.0, squared + found.upper)
    return float(np.sqrt(low)), float(np.sqrt(high))


def snr_groups(moments: "Moments", layout: Layout) -> dict[str, float | None] | None:
    """Return {name of a block of parameters: its signal-to-noise ratio, None without noise}."""
    if moments.count < 2:
        return None
    means = layout.views(moments.mean)
    squares = layout.views(moments.squares)
    found = {}
    for name, mean in means.items():
        variance = float(squares[name].sum() / (moments.count - 1))
        found[name] = float(np.sqrt(max(0.0, _snr(mean, variance, moments.count)))) if variance > 0 else None
    return found


def error_tail(moments: "Moments") -> float | None:
    """Return k-hat of the norms of single errors, or None."""
    with np.errstate(divide="ignore"):
        return pareto_k(np.log(np.array(moments.errors)))
