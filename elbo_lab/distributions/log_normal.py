"""Log-normal: the exponential of a Gaussian variable, z = exp(m + s eps), eps ~ N(0, 1).

The noise is normal, as for the Gaussian, so that the two share their draws. dz/dm = z and
dz/dlog s = z (log z - m). The density is q(z) = N(log z; m, s^2) |dlog z/dz|, so log q holds the Jacobian
term -log z. The KL of two members is that of the two Gaussians: a common change of variables leaves KL
unchanged, although it changes each density and each entropy.

Source: J. Aitchison and J. A. C. Brown, "The Lognormal Distribution" (1957), chapter 2.
"""

from dataclasses import dataclass

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions.diagonal_gaussian import DiagonalGaussian
from elbo_lab.distributions.independent import IndependentFamily, MomentsOfOne
from elbo_lab.distributions.location_scale import NARROWER, SHIFT
from elbo_lab.distributions.special_functions import ndtri
from elbo_lab.special import LOG_2PI


@dataclass(frozen=True)
class LogNormal(IndependentFamily):
    """Log-normal over K coordinates; eta = (mean of log z (K,), log standard deviation of log z (K,)).

    Parameters
    ----------
    size : int
        K, the number of latent dimensions.
    """

    size: int
    name = "log-normal"
    synonyms = ("lognormal",)
    parameters = ("mean", "log_std")
    has_covariance = True
    support = (0.0, np.inf)
    noise_kind = "normal"

    def sample(self, eta: Floats, noise: Floats) -> Floats:
        """Return z = exp(mean + std * noise) (..., S, N, K)."""
        mean, log_std = self.split(eta)
        with np.errstate(over="ignore"):
            return self.inside(np.exp(mean + np.exp(log_std) * noise))

    def quantiles(self, lower: Floats, upper: Floats, mean: Floats, log_std: Floats) -> Floats:
        eps = np.where(lower < upper, ndtri(lower), -ndtri(upper))
        return np.exp(mean + np.exp(log_std) * eps)

    def velocities(self, z: Floats, mean: Floats, log_std: Floats) -> tuple[Floats, ...]:  # noqa: ARG002 - one signature for all families
        return z, z * (np.log(z) - mean)

    def log_densities(self, z: Floats, mean: Floats, log_std: Floats) -> Floats:
        u = (np.log(z) - mean) * np.exp(-log_std)
        return -0.5 * (u * u + LOG_2PI) - log_std - np.log(z)

    def slopes(self, z: Floats, mean: Floats, log_std: Floats) -> Floats:
        return -(1.0 + (np.log(z) - mean) * np.exp(-2.0 * log_std)) / z

    def scores(self, z: Floats, mean: Floats, log_std: Floats) -> tuple[Floats, ...]:
        u = (np.log(z) - mean) * np.exp(-log_std)
        return u * np.exp(-log_std), u * u - 1.0

    def moments_of_one(self, mean: Floats, log_std: Floats) -> MomentsOfOne:
        """exp(m + s^2 / 2), and that times sqrt(exp(s^2) - 1)."""
        square = np.exp(2.0 * log_std)
        root = np.sqrt(np.expm1(square))
        centre = np.exp(mean + 0.5 * square)
        wider = centre * square * (root + np.exp(square) / root)
        return centre, centre * root, (centre, square * centre), (centre * root, wider)

    def entropies(self, mean: Floats, log_std: Floats) -> Floats:
        return mean + log_std + 0.5 * (1.0 + LOG_2PI)

    def entropy_slopes(self, mean: Floats, log_std: Floats) -> tuple[Floats | float, ...]:
        return np.ones_like(mean), np.ones_like(log_std)

    def kl(self, eta: Floats, other: Floats) -> Floats:
        return DiagonalGaussian(self.size).kl(eta, other)

    def kl_grad(self, eta: Floats, other: Floats) -> tuple[Floats, Floats]:
        return DiagonalGaussian(self.size).kl_grad(eta, other)

    def neighbours(self, mean: Floats, log_std: Floats) -> tuple[Floats, ...]:
        return mean + SHIFT * np.exp(log_std), log_std + NARROWER
