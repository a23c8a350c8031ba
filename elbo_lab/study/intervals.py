"""Intervals from batches: for a positive number, for a ratio of two, for a signal against its noise.

The repeats of a study fall into B batches. What is studied, T, is smooth in the batch means, so each batch
has an influence d_b on it (a deviation with weighted mean zero), and se(T) = sd(d) / sqrt(B) (delta
method), with Student's t for B - 1 degrees of freedom. Nothing is assumed about the draws but that the
batches are alike and independent.

Gradient draws have heavy tails, and the batches inherit their skewness: a long tail is seen in few batches,
most others miss it. An end that lies on the side of the tail is therefore pushed out to that of Hall's
skewness-corrected t (Hall 1992, eq. 2.6), if that is further.

    a positive number v     v exp(+- t se / v), the upper end at least Hall's
    a ratio r = v / u       r exp(+- t se), se of log r, both ends at least Hall's; exchanging v and u
                            turns the interval around exactly
    a signal-to-noise s     on the scale of s^2, both ends Hall's, cut at 0
"""

from dataclasses import dataclass

import numpy as np


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


def batch_weights(sizes):
    """Return the weights (B,) of batches of these sizes, by their degrees of freedom."""
    freedom = np.asarray(sizes) - 1
    return freedom / freedom.sum()


def spread(deviations, weights, level=0.95):
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
    variance = weights @ deviations**2
    error = np.sqrt(variance / (n_batches - 1))
    quantile = float(stdtrit(n_batches - 1, 0.5 + 0.5 * level))
    skewness = weights @ deviations**3 / max(variance**1.5, np.finfo(float).tiny)
    ends = (error * _skewed_quantile(quantile, sign * skewness, n_batches) for sign in (1.0, -1.0))
    return Spread(float(quantile * error), *map(float, ends))


def positive_interval(value, batches, weights, level=0.95):
    """Return (low, high) for a positive number that has the values `batches` (B,) in the batches."""
    found = spread(batches - weights @ batches, weights, level)
    high = max(value * np.exp(found.half / value), value + found.upper)
    return float(value * np.exp(-found.half / value)), float(high)


def ratio_interval(ratio, top, bottom, weights, level=0.95):
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
    high = max(np.exp(found.half), 1.0 + found.upper)
    low = max(np.exp(found.half), 1.0 + found.lower)
    return float(ratio / low), float(ratio * high)


def _skewed_quantile(quantile, skewness, n_batches):
    """Return -g^{-1}(-q), Hall's transformed quantile for the upper end, for right-skewed batches.

    g(x) = x + a x^2 / 3 + a^2 x^3 / 27 + a / 6 removes the skewness of a studentised mean; here
    a = 1.5 skewness / sqrt(B), the factor for a skewness that B batches of a heavy tail still underrate.
    """
    a = 1.5 * max(float(skewness), 0.0) / np.sqrt(n_batches)
    if a < 1e-6:
        return quantile
    return -3.0 / a * (np.cbrt(1.0 + a * (-quantile - a / 6.0)) - 1.0)
