"""Weibull: a power of an exponential variable, z = l w^(1/k), w ~ Exp(1).

The density is q(z) = p(w) |dw/dz| with w = (z / l)^k, so log q = -w + log(k w / z): the Jacobian term is
log(k w / z). Shape k < 1 gives heavy tails and a pole at zero, k = 1 the exponential, k > 1 a mode above
zero. Both derivatives of the path are formulas: dz/dlog l = z and dz/dlog k = -z log(z / l). Its support is
(0, inf), as that of the Gamma, but it needs no implicit derivative. -log z is a Gumbel variable, which gives
the KL.

Source: N. L. Johnson, S. Kotz, N. Balakrishnan, "Continuous Univariate Distributions" 1 (1994), chapter 21.
"""

from dataclasses import dataclass

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions.exponential import standard_exponential
from elbo_lab.distributions.gumbel import extreme_value_kl, extreme_value_kl_slopes
from elbo_lab.distributions.independent import IndependentFamily, MomentsOfOne, Parameters
from elbo_lab.distributions.location_scale import NARROWER, SHIFT
from elbo_lab.distributions.special_functions import gammaln, psi


@dataclass(frozen=True)
class Weibull(IndependentFamily):
    """Weibull over K coordinates; eta = (log scale (K,), log shape (K,)).

    Parameters
    ----------
    size : int
        K, the number of latent dimensions.
    """

    size: int
    name = "weibull"
    parameters = ("log_scale", "log_shape")
    has_covariance = True
    support = (0.0, np.inf)

    def quantiles(self, lower: Floats, upper: Floats, log_scale: Floats, log_shape: Floats) -> Floats:
        return np.exp(log_scale + np.exp(-log_shape) * np.log(standard_exponential(lower, upper)))

    def velocities(self, z: Floats, log_scale: Floats, log_shape: Floats) -> tuple[Floats, ...]:  # noqa: ARG002 - one signature for all families
        return z, -z * (np.log(z) - log_scale)

    def log_densities(self, z: Floats, log_scale: Floats, log_shape: Floats) -> Floats:
        """Return log p(w) + log |dw/dz| with log w = k log(z / l)."""
        log_w = np.exp(log_shape) * (np.log(z) - log_scale)
        return -np.exp(log_w) + log_shape + log_w - np.log(z)

    def slopes(self, z: Floats, log_scale: Floats, log_shape: Floats) -> Floats:
        shape = np.exp(log_shape)
        return -(shape * np.expm1(shape * (np.log(z) - log_scale)) + 1.0) / z

    def scores(self, z: Floats, log_scale: Floats, log_shape: Floats) -> tuple[Floats, ...]:
        """Return (k (w - 1), 1 - (w - 1) log w)."""
        shape = np.exp(log_shape)
        log_w = shape * (np.log(z) - log_scale)
        return shape * np.expm1(log_w), 1.0 - log_w * np.expm1(log_w)

    def moments_of_one(self, log_scale: Floats, log_shape: Floats) -> MomentsOfOne:
        """E z^n = l^n Gamma(1 + n / k)."""
        inverse = np.exp(-log_shape)
        mean = np.exp(log_scale + gammaln(1.0 + inverse))
        square = np.exp(2.0 * log_scale + gammaln(1.0 + 2.0 * inverse))
        std = np.sqrt(square - mean * mean)
        by_shape = -inverse * mean * psi(1.0 + inverse)
        of_square = -2.0 * inverse * square * psi(1.0 + 2.0 * inverse)
        return mean, std, (mean, by_shape), (std, (0.5 * of_square - mean * by_shape) / std)

    def entropies(self, log_scale: Floats, log_shape: Floats) -> Floats:
        return 1.0 + log_scale - log_shape - np.euler_gamma * np.expm1(-log_shape)

    def entropy_slopes(self, log_scale: Floats, log_shape: Floats) -> tuple[Floats | float, ...]:
        return np.ones_like(log_scale), -1.0 + np.euler_gamma * np.exp(-log_shape)

    def _compared(self, ours: Parameters, others: Parameters) -> tuple[Floats, ...]:
        (log_scale, log_shape), (log_scale_o, log_shape_o) = ours, others
        return np.exp(log_shape_o) * (log_scale_o - log_scale), log_shape_o - log_shape

    def divergences(self, ours: Parameters, others: Parameters) -> Floats:
        """Return KL of -log z, a Gumbel variable with location -log l and scale 1 / k."""
        return extreme_value_kl(*self._compared(ours, others))

    def divergence_slopes(self, ours: Parameters, others: Parameters) -> tuple[Parameters, Parameters]:
        shift, log_ratio = self._compared(ours, others)
        by_shift, by_ratio = extreme_value_kl_slopes(shift, log_ratio)
        pull = by_shift * np.exp(others[1])
        return (-pull, -by_ratio), (pull, by_shift * shift + by_ratio)

    def neighbours(self, log_scale: Floats, log_shape: Floats) -> tuple[Floats, ...]:
        """Return log z shifted by half of its width 1/k, and narrowed to 0.8 of it."""
        return log_scale + SHIFT * np.exp(-log_shape), log_shape - NARROWER
