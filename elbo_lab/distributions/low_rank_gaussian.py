"""Gaussian whose covariance is a diagonal and a few directions: N(m, diag(s^2) + F F^T), F (K, R).

    z = m + L eps,   L L^T = diag(s^2) + F F^T,   L lower triangular

(Ong, Nott and Smith 2018, there with noise of its own for every direction.) eta holds the mean, log s and F:
K (2 + R) numbers in place of the K (K + 3) / 2 of a full covariance. An encoder learns less, and a posterior
with a few correlated directions is met.

It is a member of the full family, and each formula here is that of `full_gaussian` at L. Cotangents of L come
back through its Cholesky factorisation (Murray 2016):

    Sigma-bar = L^-T Phi(L^T L-bar) L^-1,   made symmetric,   Phi: lower triangle, half of the diagonal,

and from there to log s and F. A draw costs as much as with the full family.

F = 0 is a diagonal Gaussian, and a saddle: no gradient in F leaves it. A fit begins with a small F.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions.base import Family, MeanAndRoot, Projection
from elbo_lab.distributions.diagonal_gaussian import DiagonalGaussian
from elbo_lab.distributions.full_gaussian import FullGaussian
from elbo_lab.distributions.noise import NoiseSpec
from elbo_lab.errors import check_count
from elbo_lab.layout import Layout

# Size of the entries of F at which a fit begins, in standard deviations of the start.
FIRST_FACTOR = 0.1


@dataclass(frozen=True)
class LowRankGaussian(Family):
    """Gaussian over K dimensions; eta = (mean (K,), log s (K,), F (K, R) row by row).

    Parameters
    ----------
    size : int
        K, the number of latent dimensions.
    rank : int
        R, the number of directions beside the diagonal, at most K.
    """

    size: int
    rank: int = 1
    name = "low-rank-gaussian"
    title = "Gaussian, low-rank covariance"
    synonyms = ("factor-covariance",)
    discrete = False
    event_axes = 1
    gaussian = True
    has_covariance = True

    def __post_init__(self) -> None:
        check_count("rank", self.rank, maximum=self.size)

    @property
    def eta_size(self) -> int:
        return (2 + self.rank) * self.size

    @cached_property
    def eta_layout(self) -> Layout:
        k = self.size
        return Layout((("mean", (k,)), ("log_std", (k,)), ("factor", (k, self.rank))))

    @property
    def start(self) -> Floats:
        """N(0, I) with a small F whose columns differ: at F = 0 no gradient would move it."""
        eta = np.zeros(self.eta_size)
        signs = np.cos(np.pi * np.outer(np.arange(self.size) + 0.5, np.arange(self.rank)) / self.size)
        eta[2 * self.size :] = FIRST_FACTOR * signs.ravel()
        return eta

    @cached_property
    def full(self) -> FullGaussian:
        """The family of full covariances of this size, which holds this one."""
        return FullGaussian(self.size)

    def holds(self, family: Family) -> bool:
        """Whether the family is this one, or that of diagonal Gaussians of this size."""
        return family in (self, DiagonalGaussian(self.size))

    def split(self, eta: Floats) -> tuple[Floats, Floats, Floats]:
        """Return the views (mean (..., K), log s (..., K), F (..., K, R)) of eta."""
        factor = eta[..., 2 * self.size :].reshape(*eta.shape[:-1], self.size, self.rank)
        return eta[..., : self.size], eta[..., self.size : 2 * self.size], factor

    def as_full(self, eta: Floats) -> Floats:
        """Return the member (N, E of the full family) with the same mean and covariance."""
        mean, log_std, factor = self.split(eta)
        covariance = factor @ np.swapaxes(factor, -1, -2)
        k = np.arange(self.size)
        covariance[..., k, k] += np.exp(2.0 * log_std)
        return self.full.from_factor(mean, np.linalg.cholesky(covariance))

    def _pulled_back(self, eta: Floats, by_full: Floats) -> Floats:
        """Return a cotangent of eta (..., N, E) from one of `as_full` (..., N, E of the full family)."""
        full = self.as_full(eta)
        lower = self.full.factor(full)
        by_mean, by_log_diagonal, below = self.full.split(by_full)
        k = np.arange(self.size)
        by_lower = np.zeros((*by_full.shape[:-1], self.size, self.size), dtype=by_full.dtype)
        by_lower[..., k, k] = by_log_diagonal / lower[..., k, k]
        by_lower[..., *np.tril_indices(self.size, -1)] = below
        phi = np.tril(np.swapaxes(lower, -1, -2) @ by_lower)
        phi[..., k, k] *= 0.5
        inverse = np.linalg.inv(lower)
        by_covariance = np.swapaxes(inverse, -1, -2) @ phi @ inverse
        by_covariance = 0.5 * (by_covariance + np.swapaxes(by_covariance, -1, -2))
        _, log_std, factor = self.split(eta)
        by_log_std = 2.0 * np.exp(2.0 * log_std) * by_covariance[..., k, k]
        by_factor = 2.0 * by_covariance @ factor
        flat = by_factor.reshape(*by_factor.shape[:-2], -1)
        return np.concatenate([by_mean, by_log_std, flat], axis=-1)

    def noise_spec(self, n_draws: int, n_data: int) -> NoiseSpec:
        return self.full.noise_spec(n_draws, n_data)

    def sample(self, eta: Floats, noise: Floats) -> Floats:
        """Return z = mean + L noise (..., S, N, K)."""
        return self.full.sample(self.as_full(eta), noise)

    def sample_vjp(self, eta: Floats, noise: Floats, grad_z: Floats) -> Floats:
        """Pull grad_z (..., S, N, K) back through `sample`, summed over draws: (..., N, E)."""
        return self._pulled_back(eta, self.full.sample_vjp(self.as_full(eta), noise, grad_z))

    def log_prob(self, eta: Floats, z: Floats) -> Floats:
        return self.full.log_prob(self.as_full(eta), z)

    def log_prob_grad_z(self, eta: Floats, z: Floats) -> Floats:
        return self.full.log_prob_grad_z(self.as_full(eta), z)

    def score(self, eta: Floats, z: Floats) -> Floats:
        return self._pulled_back(eta, self.full.score(self.as_full(eta), z))

    def moments(self, eta: Floats) -> tuple[Floats, Floats]:
        """Return the mean and the root of s^2 and the sum of squares of a row of F."""
        mean, log_std, factor = self.split(eta)
        return mean, np.sqrt(np.exp(2.0 * log_std) + (factor * factor).sum(axis=-1))

    def mean_and_root(self, eta: Floats) -> MeanAndRoot:
        mean, root, pullback = self.full.mean_and_root(self.as_full(eta))
        return mean, root, lambda by_mean, by_root: self._pulled_back(eta, pullback(by_mean, by_root))

    def projected(self, eta: Floats, directions: Floats) -> Projection:
        mean, std, pullback = self.full.projected(self.as_full(eta), directions)
        return mean, std, lambda by_mean, by_std: self._pulled_back(eta, pullback(by_mean, by_std))

    def entropy(self, eta: Floats) -> Floats:
        return self.full.entropy(self.as_full(eta))

    def entropy_grad(self, eta: Floats) -> Floats:
        return self._pulled_back(eta, self.full.entropy_grad(self.as_full(eta)))

    def kl(self, eta: Floats, other: Floats) -> Floats:
        return self.full.kl(self.as_full(eta), self.as_full(other))

    def kl_grad(self, eta: Floats, other: Floats) -> tuple[Floats, Floats]:
        by_eta, by_other = self.full.kl_grad(self.as_full(eta), self.as_full(other))
        others = np.broadcast_to(other, (*by_other.shape[:-1], other.shape[-1]))
        return self._pulled_back(eta, by_eta), self._pulled_back(others, by_other)

    def near(self, eta: Floats) -> Floats:
        """Return the mean moved by half a standard deviation, and all widths times 0.8."""
        mean, log_std, factor = self.split(eta)
        flat = 0.8 * factor.reshape(*factor.shape[:-2], -1)
        return np.concatenate([mean + 0.5 * self.moments(eta)[1], log_std + np.log(0.8), flat], axis=-1)
