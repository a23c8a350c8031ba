"""Streaming mean and variance of a vector, with an honest interval for the variance.

Repeats arrive in batches; per coordinate the mean and the sum of squared deviations are merged batch by
batch (Chan, Golub and LeVeque 1983), so memory does not grow with repeats. What is reported is the
trace of the covariance. Gradient draws have heavy tails, and the chi-square interval, made for Gaussian
draws, would cover far too little; so every batch gives its own trace, and the spread of the batches gives the
standard error, on the log scale because a variance is positive and skewed:

    log v +- t_{B-1} * se(v) / v,   se(v) = sd of the B batch traces / sqrt(B).

Where the batches themselves are skewed to the right the true variance lies above such an interval too
often, so its upper end is at least that of Hall's skewness-corrected t (Hall 1992, eq. 2.6), whichever is
higher. Measured coverage on heavy-tailed score functions: 0.93 to 0.95 (`tests/test_moments.py`).
"""

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Moments:
    """Running moments of repeats (R, P).

    Attributes
    ----------
    count : int
        R so far.
    mean, squares : ndarray (P,)
        Mean, and sum of squared deviations from it.
    traces : list of (int, float)
        Size of each batch and the unbiased trace of its covariance.
    """

    count: int = 0
    mean: np.ndarray | None = None
    squares: np.ndarray | None = None
    traces: list = field(default_factory=list)

    def add(self, values):
        """Add repeats (R, P) to the batch at hand."""
        mean = values.mean(axis=0)
        self._merge(len(values), mean, ((values - mean) ** 2).sum(axis=0))

    def close_batch(self):
        """Note the trace of the batch that `add` has filled."""
        if self.count > 1:
            self.traces.append((self.count, float(self.squares.sum() / (self.count - 1))))

    def merge(self, other):
        """Add a closed batch; the caller merges in a fixed order, whatever order they finish in."""
        self._merge(other.count, other.mean, other.squares)
        self.traces += other.traces

    def _merge(self, count, mean, squares):
        if self.count == 0:
            self.count, self.mean, self.squares = count, mean.copy(), squares.copy()
            return
        total = self.count + count
        shift = mean - self.mean
        self.mean = self.mean + shift * (count / total)
        self.squares = self.squares + squares + shift**2 * (self.count * count / total)
        self.count = total

    @property
    def standard_error(self):
        """Standard error of the mean (P,)."""
        return np.sqrt(self.squares / (self.count - 1) / self.count)

    @property
    def variance(self):
        """Trace of the covariance of one repeat, or None for fewer than two repeats."""
        return float(self.squares.sum() / (self.count - 1)) if self.count > 1 else None

    def interval(self, level=0.95):
        """Return (low, high) for the variance, or (None, None) for fewer than two batches."""
        from scipy.special import stdtrit  # heavy: loaded on use

        if len(self.traces) < 2:
            return None, None
        variance, n_batches = self.variance, len(self.traces)
        if variance == 0.0:
            return 0.0, 0.0
        sizes, traces = np.array(self.traces).T
        weights = (sizes - 1) / (sizes - 1).sum()
        deviations = traces - weights @ traces
        spread = weights @ deviations**2
        error = np.sqrt(spread / (n_batches - 1))
        quantile = float(stdtrit(n_batches - 1, 0.5 + 0.5 * level))
        skewness = weights @ deviations**3 / max(spread**1.5, np.finfo(float).tiny)
        low = variance * np.exp(-quantile * error / variance)
        high = variance * np.exp(quantile * error / variance)
        skewed = variance + error * _skewed_quantile(quantile, skewness, n_batches)
        return float(low), float(max(high, skewed))


def _skewed_quantile(quantile, skewness, n_batches):
    """Return -g^{-1}(-q), Hall's transformed quantile for the upper end, for right-skewed batches.

    g(x) = x + a x^2 / 3 + a^2 x^3 / 27 + a / 6 removes the skewness of a studentised mean; here
    a = 1.5 skewness / sqrt(B), the factor for a skewness that B batches of a heavy tail still underrate.
    """
    a = 1.5 * max(float(skewness), 0.0) / np.sqrt(n_batches)
    if a < 1e-6:
        return quantile
    return -3.0 / a * (np.cbrt(1.0 + a * (-quantile - a / 6.0)) - 1.0)
