"""Gaussian with independent coordinates: q(z; m, log s) = prod_k N(z_k; m_k, s_k^2).

Sampling is z = m + s * eps with eps ~ N(0, I) (Kingma and Welling 2014, eq. 10), hence dz/dm = 1 and
dz/dlog s = s * eps. KL and entropy are in closed form (Kingma and Welling 2014, appendix B, here
against any diagonal Gaussian). The scale is stored as its logarithm, so that every real vector eta is
a valid member.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions.base import Family, Projection, shortened
from elbo_lab.distributions.noise import NoiseSpec
from elbo_lab.layout import Layout
from elbo_lab.special import LOG_2PI


@dataclass(frozen=True)
class DiagonalGaussian(Family):
    """Diagonal Gaussian over K dimensions; eta = (mean (K,), log standard deviation (K,)).

    Parameters
    ----------
    size : int
        K, the number of latent dimensions.
    """

    size: int
    name = "diagonal-gaussian"
    title = "Gaussian, diagonal covariance"
    synonyms = ("mean-field-gaussian", "factorised-gaussian")
    discrete = False
    event_axes = 1
    gaussian = True
    has_natural_step = True

    @property
    def eta_size(self) -> int:
        return 2 * self.size

    @cached_property
    def eta_layout(self) -> Layout:
        return Layout((("mean", (self.size,)), ("log_std", (self.size,))))

    def split(self, eta: Floats) -> tuple[Floats, ...]:
        """Return the views (mean, log_std) of eta, each (..., K)."""
        return eta[..., : self.size], eta[..., self.size :]

    def join(self, mean: Floats, log_std: Floats) -> Floats:
        """Return eta (N, 2K) from mean and log_std (N, K)."""
        return np.concatenate([mean, log_std], axis=-1)

    def closest_to(self, mean: Floats, precision: Floats) -> Floats:
        """Return the eta (N, E) of least KL(q || N(mean, precision^-1)), from (N, K) and (N, K, K).

        Each coordinate has its precision given the others (Bishop 2006, section 10.1.2).
        """
        return self.join(mean, -0.5 * np.log(np.diagonal(precision, axis1=1, axis2=2)))

    def noise_spec(self, n_draws: int, n_data: int) -> NoiseSpec:
        return NoiseSpec("normal", (n_draws, n_data, self.size))

    def sample(self, eta: Floats, noise: Floats) -> Floats:
        """Return z = mean + std * noise (..., S, N, K)."""
        mean, log_std = self.split(eta)
        z = np.exp(log_std) * noise
        z += mean
        return z

    def sample_vjp(self, eta: Floats, noise: Floats, grad_z: Floats) -> Floats:
        """Pull grad_z (..., S, N, K) back through `sample`, summed over draws: (..., N, 2K).

        dz/dmean = 1 and dz/dlog_std = std * noise.
        """
        _, log_std = self.split(eta)
        through_std = np.exp(log_std) * (grad_z * noise).sum(axis=-3)
        return self.join(grad_z.sum(axis=-3), through_std)

    def standardise(self, eta: Floats, z: Floats) -> Floats:
        """Return u = (z - mean) / std."""
        mean, log_std = self.split(eta)
        u = z - mean
        u *= np.exp(-log_std)
        return u

    def log_prob(self, eta: Floats, z: Floats) -> Floats:
        """Return sum_k [-u_k^2 / 2 - log s_k - log(2 pi) / 2] (..., S, N)."""
        return self._log_density(eta, self.standardise(eta, z))

    def _log_density(self, eta: Floats, u: Floats) -> Floats:
        constant = self.split(eta)[1].sum(axis=-1) + 0.5 * self.size * LOG_2PI
        return -0.5 * np.einsum("...k,...k->...", u, u) - constant

    def log_prob_grad_z(self, eta: Floats, z: Floats) -> Floats:
        """Return d log q / dz = -u / s (..., S, N, K)."""
        _, log_std = self.split(eta)
        return -self.standardise(eta, z) * np.exp(-log_std)

    def score(self, eta: Floats, z: Floats) -> Floats:
        """Return (u / s, u^2 - 1) (..., S, N, 2K)."""
        _, log_std = self.split(eta)
        u = self.standardise(eta, z)
        return self.join(u * np.exp(-log_std), u * u - 1.0)

    def log_prob_vjp(self, eta: Floats, z: Floats, cotangent: Floats) -> Floats:
        return self._summed_score(eta, self.standardise(eta, z), cotangent)

    def _summed_score(self, eta: Floats, u: Floats, cotangent: Floats) -> Floats:
        """Return (sum c u / s, sum c u^2 - sum c) over draws, without an array of scores."""
        weighted = cotangent[..., None] * u
        by_mean = weighted.sum(axis=-3) * np.exp(-self.split(eta)[1])
        weighted *= u
        return self.join(by_mean, weighted.sum(axis=-3) - cotangent.sum(axis=-2)[..., None])

    def log_prob_vjps(self, eta: Floats, z: Floats, cotangent: Floats) -> tuple[Floats, Floats]:
        u = self.standardise(eta, z)
        by_z = cotangent[..., None] * u
        by_z *= -np.exp(-self.split(eta)[1])
        return self._summed_score(eta, u, cotangent), by_z

    def draw(self, eta: Floats, noise: Floats) -> tuple[Floats, Floats, Callable[[Floats], Floats]]:
        """Use the noise, which is the standardised draw."""
        log_q = self._log_density(eta, noise)
        return self.sample(eta, noise), log_q, lambda cotangent: self._summed_score(eta, noise, cotangent)

    def moments(self, eta: Floats) -> tuple[Floats, Floats]:
        mean, log_std = self.split(eta)
        return mean, np.exp(log_std)

    def entropy(self, eta: Floats) -> Floats:
        """Return sum_k [log s_k + (1 + log 2 pi) / 2]."""
        _, log_std = self.split(eta)
        return log_std.sum(axis=-1) + 0.5 * self.size * (1.0 + LOG_2PI)

    def entropy_grad(self, eta: Floats) -> Floats:
        mean, log_std = self.split(eta)
        return self.join(np.zeros_like(mean), np.ones_like(log_std))

    def kl(self, eta: Floats, other: Floats) -> Floats:
        """Return sum_k [log s'/s + (s^2 + (m - m')^2) / (2 s'^2) - 1/2]."""
        (mean, log_std), (mean_o, log_std_o) = self.split(eta), self.split(other)
        log_ratio = log_std - log_std_o
        shift = (mean - mean_o) * np.exp(-log_std_o)
        # expm1 keeps the sum exact where the two members nearly agree.
        terms = 0.5 * np.expm1(2.0 * log_ratio) - log_ratio + 0.5 * shift * shift
        return terms.sum(axis=-1)

    def kl_grad(self, eta: Floats, other: Floats) -> tuple[Floats, Floats]:
        (mean, log_std), (mean_o, log_std_o) = self.split(eta), self.split(other)
        ratio = np.exp(2.0 * (log_std - log_std_o))
        pull = (mean - mean_o) * np.exp(-2.0 * log_std_o)
        shift2 = (mean - mean_o) * pull
        return self.join(pull, ratio - 1.0), self.join(-pull, 1.0 - ratio - shift2)

    def projected(self, eta: Floats, directions: Floats) -> Projection:
        """a_m ~ N(A_m . mean, sum_k A_mk^2 s_k^2)."""
        mean, log_std = self.split(eta)
        squares, variance_z = directions**2, np.exp(2.0 * log_std)
        std = np.sqrt((squares @ variance_z[..., None])[..., 0])

        def pullback(by_mean: Floats, by_std: Floats) -> Floats:
            by_variance = 0.5 * by_std / std
            through_mean = (by_mean[:, None, :] @ directions)[:, 0, :]
            through_log_std = 2.0 * variance_z * (by_variance[:, None, :] @ squares)[:, 0, :]
            return self.join(through_mean, through_log_std)

        return (directions @ mean[..., None])[..., 0], std, pullback

    def near(self, eta: Floats) -> Floats:
        """Return mean + 0.5 std, std * 0.8."""
        mean, log_std = self.split(eta)
        return self.join(mean + 0.5 * np.exp(log_std), log_std + np.log(0.8))

    def natural_step(self, eta: Floats, gradient: Floats, rate: float) -> Floats:
        """Return 1/s^2 <- (1 - rate d/d log s) / s^2 and mean <- mean + rate s^2 d/d mean, with the new s."""
        (mean, log_std), (by_mean, by_log_std) = self.split(eta), self.split(gradient)
        rates = shortened(rate, by_log_std)
        log_std = log_std - 0.5 * np.log1p(-rates * by_log_std)
        return self.join(mean + rates * np.exp(2.0 * log_std) * by_mean, log_std)
