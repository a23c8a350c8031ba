"""Laplace: two exponentials back to back, q(z; m, s) = exp(-|z - m| / s) / (2 s).

z = m + s log(2u) for u < 1/2, m - s log(2(1 - u)) above: each half from its own tail. The density has a
kink at m, so that its log-slope jumps from 1/s to -1/s there; this does not affect pathwise gradients, which
use the slope of the cost and not that of q. KL between two members is in closed form.

Source: S. Kotz, T. J. Kozubowski and K. Podgórski, "The Laplace Distribution and Generalizations" (2001),
chapter 2; the KL is an integral of |z - m'| under q.
"""

from dataclasses import dataclass

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions.independent import Parameters
from elbo_lab.distributions.location_scale import LocationScale


@dataclass(frozen=True)
class Laplace(LocationScale):
    """Laplace over K coordinates; eta = (location (K,), log scale (K,)).

    Parameters
    ----------
    size : int
        K, the number of latent dimensions.
    """

    size: int
    name = "laplace"
    synonyms = ("double-exponential",)

    def standard_quantile(self, lower: Floats, upper: Floats) -> Floats:
        return np.where(lower < upper, np.log(2.0 * lower), -np.log(2.0 * upper))

    def standard_log_density(self, u: Floats) -> Floats:
        return -np.abs(u) - np.log(2.0)

    def standard_slope(self, u: Floats) -> Floats:
        return -np.sign(u)

    def standard_deviation(self) -> tuple[float, tuple[Floats, ...]]:
        return float(np.sqrt(2.0)), ()

    def standard_entropy(self) -> Floats | float:
        return 1.0 + np.log(2.0)

    def divergences(self, ours: Parameters, others: Parameters) -> Floats:
        """Return (r - 1 - log r) + r (exp(-d) - 1 + d), r = s/s', d = |m - m'| / s."""
        (location, log_scale), (location_o, log_scale_o) = ours, others
        log_ratio = log_scale - log_scale_o
        d = np.abs(location - location_o) * np.exp(-log_scale)
        # expm1 keeps the sums exact where the two members nearly agree.
        return np.expm1(log_ratio) - log_ratio + np.exp(log_ratio) * (np.expm1(-d) + d)

    def divergence_slopes(self, ours: Parameters, others: Parameters) -> tuple[Parameters, Parameters]:
        (location, log_scale), (location_o, log_scale_o) = ours, others
        d = np.abs(location - location_o) * np.exp(-log_scale)
        ratio = np.exp(log_scale - log_scale_o)
        pull = -np.sign(location - location_o) * np.expm1(-d) * np.exp(-log_scale_o)
        widening = np.expm1(log_scale - log_scale_o) + ratio * (np.expm1(-d) + d * np.exp(-d))
        narrowing = np.expm1(log_scale - log_scale_o) + ratio * (np.expm1(-d) + d)
        return (pull, widening), (-pull, -narrowing)
