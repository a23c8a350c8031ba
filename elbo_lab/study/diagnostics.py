"""What a row says beside bias and variance: each number with its uncertainty.

bias    standard error of the mean, as a norm: a bias below about twice this was not seen
mse     E |g - exact|^2 per batch, hence an interval
snr     |E g| / sqrt(Var g), with an interval and per block of parameters. The norm of a mean contains its
        own noise, E |mean|^2 = |E g|^2 + Var g / R, which is taken out; what is left may be 0
tail    Pareto k-hat of |g - exact| over single estimates: one number per row, which the noisiest
        coordinates dominate as they dominate the variance. At 1/2 the variance is infinite; from 1/4 its own
        standard error is, and its interval is worth little
"""

import numpy as np

from elbo_lab.study.intervals import batch_weights, positive_interval, spread
from elbo_lab.study.tails import pareto_k


def bias_error(moments, answer):
    """Return the norm of the standard errors of mean minus exact, or None for a single repeat."""
    if moments.count < 2:
        return None
    return float(np.sqrt((moments.standard_error**2 + answer.error**2).sum()))


def mse_interval(moments, answer, mse):
    """Return the 95 % interval of the mean squared error, from the batches; the reference counts as exact."""
    if len(moments.traces) < 2:
        return None, None
    sizes, traces = np.array(moments.traces).T
    errors = traces * (sizes - 1) / sizes + ((np.array(moments.means) - answer.value) ** 2).sum(axis=1)
    return positive_interval(mse, errors, batch_weights(sizes))


def _snr(mean, variance, count):
    """Return the square of the signal-to-noise ratio, the noise of the mean taken out; may be negative."""
    return float((mean**2).sum() / variance - 1.0 / count)


def snr(moments):
    """Return the signal-to-noise ratio, or None without noise."""
    variance = moments.variance
    return float(np.sqrt(max(0.0, _snr(moments.mean, variance, moments.count)))) if variance else None


def snr_interval(moments, level=0.95):
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


def snr_groups(moments, layout):
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


def error_tail(moments):
    """Return k-hat of the norms of single errors, or None."""
    with np.errstate(divide="ignore"):
        return pareto_k(np.log(np.array(moments.errors)))
