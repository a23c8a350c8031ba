"""How heavy is a tail? Pareto k-hat of importance weights and of gradients.

Above a high threshold most distributions look like a generalised Pareto distribution (Pickands 1975), whose
shape k tells which moments exist: those of order below 1 / k. A k above 1/2 means an infinite variance, above
1 an infinite mean. k-hat fits that shape to the largest draws, 3 sqrt(n) of n (Vehtari, Simpson, Gelman, Yao
and Gabry 2024, Pareto smoothed importance sampling; the fit is that of Zhang and Stephens 2009). Their rule:
importance weights with k-hat above 0.7 are not to be trusted, whatever their variance looks like.

It is an estimate: from 1000 draws its standard error is about 0.13, and a weak prior pulls it towards 0.5.
The computation is that of `arviz-stats`, an optional package (`pip install 'elbo-lab[diagnostics]'`);
without it there is no k-hat.
"""

from functools import cache
from importlib.metadata import PackageNotFoundError, version

import numpy as np

# Fewer draws have hardly a tail.
LEAST_DRAWS = 100
# exp() of a log-weight further below the largest is lost in float64.
FLOAT_RANGE = 700.0
# Draws that agree to this are equal but for rounding.
EQUAL = 1e-9
INSTALL = "pip install 'elbo-lab[diagnostics]'"


@cache
def pareto_source():
    """Return name and version of what computes k-hat, or None where it is not installed."""
    try:
        return f"arviz-stats {version('arviz-stats')}"
    except PackageNotFoundError:
        return None


def pareto_k(log_values):
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
