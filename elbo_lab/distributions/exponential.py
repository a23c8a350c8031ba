"""Exponential: memoryless waiting times, q(z; s) = exp(-z / s) / s for z > 0.

z = -s log(1 - u), hence dz/dlog s = z. The parameter is the logarithm of the scale, which is the mean; a rate
is its reciprocal. Entropy and KL are in closed form; the KL is a Weibull's or Gamma's with shape one.

Source: L. Devroye, "Non-Uniform Random Variate Generation" (1986), section II.2 (inversion).
"""

from dataclasses import dataclass

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions.independent import IndependentFamily, MomentsOfOne, Parameters


def standard_exponential(lower: Floats, upper: Floats) -> Floats:
    """Return -log(upper), by log1p where the draw is small and only `lower` is precise."""
    # np.where evaluates both forms everywhere; the bound keeps the unused one finite.
    return np.where(lower < upper, -np.log1p(-np.minimum(lower, 0.5)), -np.log(upper))


@dataclass(frozen=True)
class Exponential(IndependentFamily):
    """Exponential over K coordinates; eta = log scale (K,).

    Parameters
    ----------
    size : int
        K, the number of latent dimensions.
    """

    size: int
    name = "exponential"
    parameters = ("log_scale",)
    has_covariance = True
    support = (0.0, np.inf)

    def quantiles(self, lower: Floats, upper: Floats, log_scale: Floats) -> Floats:
        return np.exp(log_scale) * standard_exponential(lower, upper)

    def velocities(self, z: Floats, log_scale: Floats) -> tuple[Floats, ...]:  # noqa: ARG002 - one signature for all families
        return (z,)

    def log_densities(self, z: Floats, log_scale: Floats) -> Floats:
        return -z * np.exp(-log_scale) - log_scale

    def slopes(self, z: Floats, log_scale: Floats) -> Floats:
        return -np.exp(-log_scale) * np.ones_like(z)

    def scores(self, z: Floats, log_scale: Floats) -> tuple[Floats, ...]:
        return (z * np.exp(-log_scale) - 1.0,)

    def moments_of_one(self, log_scale: Floats) -> MomentsOfOne:
        scale = np.exp(log_scale)
        return scale, scale, (scale,), (scale,)

    def entropies(self, log_scale: Floats) -> Floats:
        return 1.0 + log_scale

    def entropy_slopes(self, log_scale: Floats) -> tuple[Floats | float, ...]:
        return (np.ones_like(log_scale),)

    def divergences(self, ours: Parameters, others: Parameters) -> Floats:
        """Return r - 1 - log r, r = s/s'."""
        log_ratio = ours[0] - others[0]
        return np.expm1(log_ratio) - log_ratio

    def divergence_slopes(self, ours: Parameters, others: Parameters) -> tuple[Parameters, Parameters]:
        slope = np.expm1(ours[0] - others[0])
        return (slope,), (-slope,)

    def neighbours(self, log_scale: Floats) -> tuple[Floats, ...]:
        """Return a mean that is larger by half."""
        return (log_scale + np.log(1.5),)
