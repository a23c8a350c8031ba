"""Gumbel: the limiting law of a maximum, F(z; m, s) = exp(-exp(-(z - m) / s)).

z = m - s log(-log u). The largest of K logits with standard Gumbel noise is that of category k with
probability softmax_k, the basis of relaxed categorical latents. The left tail falls doubly exponentially, the
right one like exp(-z / s): the score of the log-scale is heavy on the left only.

KL between two members is closed: with c = (m - m') / s' and r = s / s' it is
c - log r + gamma (r - 1) + exp(-c) Gamma(1 + r) - 1 (gamma is Euler's constant), since E exp(-z / s') is a
Gamma function. The logarithm of a Weibull variable is minus a Gumbel one, so the two share the formula.

Source: N. L. Johnson, S. Kotz, N. Balakrishnan, "Continuous Univariate Distributions" 2 (1995), chapter 22.
"""

from dataclasses import dataclass

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions.exponential import standard_exponential
from elbo_lab.distributions.independent import Parameters
from elbo_lab.distributions.location_scale import LocationScale
from elbo_lab.distributions.special_functions import gammaln, psi


def extreme_value_kl(shift: Floats, log_ratio: Floats) -> Floats:
    """Return KL between two extreme-value distributions from c and log r (see the module)."""
    ratio = np.exp(log_ratio)
    above = np.exp(-shift + gammaln(1.0 + ratio)) - 1.0
    return shift - log_ratio + np.euler_gamma * (ratio - 1.0) + above


def extreme_value_kl_slopes(shift: Floats, log_ratio: Floats) -> tuple[Floats, Floats]:
    """Return (dKL/dc, dKL/dlog r)."""
    ratio = np.exp(log_ratio)
    weight = np.exp(-shift + gammaln(1.0 + ratio))
    return 1.0 - weight, -1.0 + ratio * (np.euler_gamma + weight * psi(1.0 + ratio))


@dataclass(frozen=True)
class Gumbel(LocationScale):
    """Gumbel (of the largest) over K coordinates; eta = (location (K,), log scale (K,)).

    Parameters
    ----------
    size : int
        K, the number of latent dimensions.
    """

    size: int
    name = "gumbel"
    standard_mean = float(np.euler_gamma)

    def standard_quantile(self, lower: Floats, upper: Floats) -> Floats:
        """Return -log(-log u); -log u is exponential with the tails exchanged."""
        return -np.log(standard_exponential(upper, lower))

    def standard_log_density(self, u: Floats) -> Floats:
        return -u - np.exp(-u)

    def standard_slope(self, u: Floats) -> Floats:
        return np.expm1(-u)

    def standard_deviation(self) -> tuple[float, tuple[Floats, ...]]:
        return float(np.pi / np.sqrt(6.0)), ()

    def standard_entropy(self) -> Floats | float:
        return 1.0 + np.euler_gamma

    def _compared(self, ours: Parameters, others: Parameters) -> tuple[Floats, ...]:
        (location, log_scale), (location_o, log_scale_o) = ours, others
        return (location - location_o) * np.exp(-log_scale_o), log_scale - log_scale_o

    def divergences(self, ours: Parameters, others: Parameters) -> Floats:
        return extreme_value_kl(*self._compared(ours, others))

    def divergence_slopes(self, ours: Parameters, others: Parameters) -> tuple[Parameters, Parameters]:
        shift, log_ratio = self._compared(ours, others)
        by_shift, by_ratio = extreme_value_kl_slopes(shift, log_ratio)
        pull = by_shift * np.exp(-others[1])
        return (pull, by_ratio), (-pull, -by_shift * shift - by_ratio)
