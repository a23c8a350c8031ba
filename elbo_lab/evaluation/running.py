"""Sums of weights that only their logarithms can represent, updated pass by pass.

Per datum four numbers summarise all draws so far: the sum of the log-weights, the greatest one m, and
relative to it

    sum_s exp(log w_s - m),   sum_s exp(log w_s - m)^2.

A new greatest one, m', scales both by exp(m - m') and its square. So 10^6 draws take the memory of one pass.
They give the log of the mean weight, its standard error by the delta method and the effective sample size,

    standard_error^2 = (S |w|^2 / (sum w)^2 - 1) / (S - 1),   (sum w)^2 / |w|^2   (Kong 1992).

The error gives no warning of large weights that have not been drawn: they cannot show up in it.
"""

from typing import Self

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.kernels import compiled_twin, contiguous_arrays


@compiled_twin("running", fits=contiguous_arrays)
def add_exponentials(log_w: Floats, shift: Floats, total: Floats, squares: Floats) -> None:
    """Add sum_s exp(log_w - shift) and the sum of its squares to total and squares, in place.

    Parameters
    ----------
    log_w : ndarray (S, N)
        At most `shift` in each column, or the sums of that column are meaningless.
    shift, total, squares : ndarray (N,)
        float64.
    """
    weights = np.exp(log_w.astype(np.float64, copy=False) - shift)
    total += weights.sum(axis=0)
    squares += np.einsum("sn,sn->n", weights, weights)


class RunningWeights:
    """Greatest log-weight, sum and sum of squares of the weights of N data, in float64."""

    def __init__(self, n_data: int) -> None:
        self.count = 0
        self.peak = np.full(n_data, -np.inf)
        self.total, self.squares, self.logs = np.zeros((3, n_data))

    @classmethod
    def of(cls, log_w: Floats) -> Self:
        """Return the sums of log-weights (S, N)."""
        running = cls(log_w.shape[1])
        running.add(log_w)
        return running

    # An infinite weight makes the sums overflow: `_mark_infinite` overwrites them at the end.
    @np.errstate(over="ignore", invalid="ignore")
    def add(self, log_w: Floats) -> None:
        """Add log-weights (S, N)."""
        shift = self._raise_peak(log_w.max(axis=0))
        add_exponentials(log_w, shift, self.total, self.squares)
        self._mark_infinite()
        self.logs += log_w.sum(axis=0, dtype=np.float64)
        self.count += len(log_w)

    @np.errstate(over="ignore", invalid="ignore")
    def add_sums(self, other: Self) -> None:
        """Add the sums of another RunningWeights of the same N data."""
        shift = self._raise_peak(other.peak)
        scale = np.exp(other.peak - shift)
        self.total += other.total * scale
        self.squares += other.squares * scale**2
        self._mark_infinite()
        self.logs += other.logs
        self.count += other.count

    def _raise_peak(self, peak: Floats) -> Floats:
        """Raise the peak to `peak` (N,), scale the sums to it, and return the shift of log-weights."""
        peak = np.maximum(self.peak, peak.astype(np.float64, copy=False))
        # Where all weights so far are zero there is nothing to scale.
        shift = np.where(np.isfinite(peak), peak, 0.0)
        scale = np.exp(self.peak - shift)
        self.total *= scale
        self.squares *= scale**2
        self.peak = peak
        return shift

    def _mark_infinite(self) -> None:
        """Overwrite the sums by a weight that is infinite or nan."""
        wrong = ~(self.peak < np.inf)
        self.total[wrong] = self.squares[wrong] = self.peak[wrong]

    def log_mean(self) -> Floats:
        """Return log of the mean weight (N,)."""
        with np.errstate(divide="ignore"):
            return self.peak + np.log(self.total) - np.log(self.count)

    def mean_log(self) -> Floats:
        """Return the mean log-weight (N,), at most `log_mean`: an ELBO where z comes from q."""
        return self.logs / self.count

    def effective_sample_size(self) -> Floats:
        """Return (sum w)^2 / sum w^2 (N,); zero where all weights are zero, nan where one is infinite."""
        none = self.squares == 0.0
        with np.errstate(invalid="ignore"):  # of a weight that is infinite
            return np.where(none, 0.0, self.total**2 / np.where(none, 1.0, self.squares))

    def standard_error(self) -> Floats:
        """Return the standard error of `log_mean` (N,): inf where all weights are zero, nan for one draw."""
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = self.count / self.effective_sample_size() - 1.0
            return np.sqrt(np.maximum(relative, 0.0) / (self.count - 1))
