"""Gaussian with any covariance: q(z; m, L) = N(z; m, L L^T), L lower triangular with a positive diagonal.

    z = m + L eps,   log q(z) = -|u|^2 / 2 - sum_k log L_kk - (K / 2) log 2 pi,   L u = z - m

(Titsias and Lazaro-Gredilla 2014; Kucukelbir et al. 2017, the full-rank family.) eta holds the
mean, the logarithm of the diagonal of L and the entries below it, row by row: every real vector is a valid
member. Where the coordinates of a posterior are correlated, the ELBO of the diagonal family stays below
log p(x) however good the fit; that of this family need not, at the price of K (K - 1) / 2 more parameters per
datum.

Priors of the models are diagonal Gaussians, so that `kl` is taken to a member of `DiagonalGaussian`.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from elbo_lab.arrays import Floats, Integers
from elbo_lab.distributions.base import Family, Projection
from elbo_lab.distributions.diagonal_gaussian import DiagonalGaussian
from elbo_lab.distributions.noise import NoiseSpec
from elbo_lab.layout import Layout
from elbo_lab.special import LOG_2PI


@dataclass(frozen=True)
class FullGaussian(Family):
    """Gaussian over K dimensions; eta = (mean (K,), log diagonal of L (K,), L below it (K (K - 1) / 2,)).

    Parameters
    ----------
    size : int
        K, the number of latent dimensions.
    """

    size: int
    name = "full-gaussian"
    discrete = False
    event_axes = 1
    gaussian = True

    @property
    def eta_size(self) -> int:
        return 2 * self.size + self.size * (self.size - 1) // 2

    @cached_property
    def eta_layout(self) -> Layout:
        below = self.size * (self.size - 1) // 2
        return Layout((("mean", (self.size,)), ("log_diagonal", (self.size,)), ("below", (below,))))

    @cached_property
    def diagonal(self) -> DiagonalGaussian:
        """The family of diagonal Gaussians of this size, that of the priors."""
        return DiagonalGaussian(self.size)

    def has_kl_to(self, other: Family) -> bool:
        """Whether the other family is that of diagonal Gaussians of this size."""
        return other == self.diagonal

    @cached_property
    def _below(self) -> tuple[Integers, Integers]:
        """Rows and columns of the entries below the diagonal."""
        return np.tril_indices(self.size, -1)

    def split(self, eta: Floats) -> tuple[Floats, ...]:
        """Return the views (mean (..., K), log_diagonal (..., K), below (..., K (K - 1) / 2)) of eta."""
        return eta[..., : self.size], eta[..., self.size : 2 * self.size], eta[..., 2 * self.size :]

    def from_diagonal(self, eta: Floats) -> Floats:
        """Return the member (N, E) that equals a member (N, 2K) of the diagonal family."""
        below = np.zeros((*eta.shape[:-1], self.eta_size - 2 * self.size))
        return np.concatenate([eta, below], axis=-1)

    def from_factor(self, mean: Floats, lower: Floats) -> Floats:
        """Return the member (N, E) with this mean (N, K) and lower triangular L (N, K, K)."""
        log_diagonal = np.log(np.diagonal(lower, axis1=-2, axis2=-1))
        return np.concatenate([mean, log_diagonal, lower[..., *self._below]], axis=-1)

    def projected(self, eta: Floats, directions: Floats) -> Projection:
        """a_m ~ N(A_m . mean, |L^T A_m|^2)."""
        spread = directions @ self.factor(eta)  # (N, M, K)
        std = np.sqrt(np.einsum("nmk,nmk->nm", spread, spread))

        def pullback(by_mean: Floats, by_std: Floats) -> Floats:
            by_factor = np.swapaxes(directions * (by_std / std)[..., None], -1, -2) @ spread
            return self._eta_grad((by_mean[:, None, :] @ directions)[:, 0, :], by_factor, eta)

        return (directions @ self.split(eta)[0][..., None])[..., 0], std, pullback

    def factor(self, eta: Floats) -> Floats:
        """Return L (..., K, K)."""
        _, log_diagonal, below = self.split(eta)
        lower = np.zeros((*eta.shape[:-1], self.size, self.size), dtype=eta.dtype)
        k = np.arange(self.size)
        lower[..., k, k] = np.exp(log_diagonal)
        lower[..., *self._below] = below
        return lower

    def moments(self, eta: Floats) -> tuple[Floats, Floats]:
        """Return the mean and the root of the diagonal of L L^T."""
        return self.split(eta)[0], np.sqrt((self.factor(eta) ** 2).sum(axis=-1))

    def _eta_grad(self, by_mean: Floats, by_factor: Floats, eta: Floats) -> Floats:
        """Return a cotangent of eta from those of the mean (..., N, K) and of L (..., N, K, K)."""
        k = np.arange(self.size)
        by_diagonal = by_factor[..., k, k] * np.exp(self.split(eta)[1])
        return np.concatenate([by_mean, by_diagonal, by_factor[..., *self._below]], axis=-1)

    def closest_to(self, mean: Floats, precision: Floats) -> Floats:
        """Return the eta (N, E) of N(mean, precision^-1), from (N, K) and (N, K, K)."""
        return self.from_factor(mean, np.linalg.cholesky(np.linalg.inv(precision)))

    def noise_spec(self, n_draws: int, n_data: int) -> NoiseSpec:
        return self.diagonal.noise_spec(n_draws, n_data)

    def sample(self, eta: Floats, noise: Floats) -> Floats:
        """Return z = mean + L noise (..., S, N, K)."""
        return self.split(eta)[0] + np.einsum("nij,...snj->...sni", self.factor(eta), noise)

    def sample_vjp(self, eta: Floats, noise: Floats, grad_z: Floats) -> Floats:
        """Pull grad_z (..., S, N, K) back through `sample`, summed over draws: (..., N, E).

        dz_i / dL_ij = noise_j.
        """
        noise = np.broadcast_to(noise, grad_z.shape)
        by_factor = np.einsum("...sni,...snj->...nij", grad_z, noise)
        return self._eta_grad(grad_z.sum(axis=-3), by_factor, eta)

    def standardise(self, eta: Floats, z: Floats) -> Floats:
        """Return u with L u = z - mean, by forward substitution."""
        lower, u = self.factor(eta), z - self.split(eta)[0]
        for i in range(self.size):
            u[..., i] -= np.einsum("nj,...snj->...sn", lower[:, i, :i], u[..., :i])
            u[..., i] /= lower[:, i, i]
        return u

    def _pulled(self, eta: Floats, u: Floats) -> Floats:
        """Return v with L^T v = u, by back substitution: -v is the slope of log q in z."""
        lower, v = self.factor(eta), u.copy()
        for i in reversed(range(self.size)):
            v[..., i] -= np.einsum("nj,...snj->...sn", lower[:, i + 1 :, i], v[..., i + 1 :])
            v[..., i] /= lower[:, i, i]
        return v

    def log_prob(self, eta: Floats, z: Floats) -> Floats:
        """Return -|u|^2 / 2 - sum_k log L_kk - (K / 2) log 2 pi (..., S, N)."""
        u = self.standardise(eta, z)
        constant = self.split(eta)[1].sum(axis=-1) + 0.5 * self.size * LOG_2PI
        return -0.5 * np.einsum("...k,...k->...", u, u) - constant

    def log_prob_grad_z(self, eta: Floats, z: Floats) -> Floats:
        """Return d log q / dz = -L^-T u (..., S, N, K)."""
        return -self._pulled(eta, self.standardise(eta, z))

    def score(self, eta: Floats, z: Floats) -> Floats:
        """Return (v, L_kk v_k u_k - 1, v_i u_j) with L^T v = u (..., S, N, E)."""
        u = self.standardise(eta, z)
        v = self._pulled(eta, u)
        score = self._eta_grad(v, v[..., :, None] * u[..., None, :], eta)
        score[..., self.size : 2 * self.size] -= 1.0
        return score

    def entropy(self, eta: Floats) -> Floats:
        """Return sum_k [log L_kk + (1 + log 2 pi) / 2]."""
        return self.split(eta)[1].sum(axis=-1) + 0.5 * self.size * (1.0 + LOG_2PI)

    def entropy_grad(self, eta: Floats) -> Floats:
        grad = np.zeros_like(eta)
        grad[..., self.size : 2 * self.size] = 1.0
        return grad

    def _against(self, eta: Floats, other: Floats) -> tuple[Floats, Floats]:
        """Return L (N, K, K) and the shift of the mean (N, K), in units of the std of a diagonal Gaussian."""
        mean_o, log_std_o = self.diagonal.split(other)
        scale = np.exp(-log_std_o)
        return self.factor(eta) * scale[..., :, None], (self.split(eta)[0] - mean_o) * scale

    def kl(self, eta: Floats, other: Floats) -> Floats:
        """Return KL to a *diagonal* Gaussian `other` = (mean, log_std).

        It is the KL of the diagonals plus half the squares of L below its diagonal, in units of the std of
        `other`.
        """
        mean, log_diagonal, _ = self.split(eta)
        on_diagonal = self.diagonal.kl(self.diagonal.join(mean, log_diagonal), other)
        below = self._against(eta, other)[0][..., *self._below]
        return on_diagonal + 0.5 * (below * below).sum(axis=-1)

    def kl_grad(self, eta: Floats, other: Floats) -> tuple[Floats, Floats]:
        """Return (dKL / d eta (N, E), dKL / d other (N, 2K)), the second in the diagonal's parameters."""
        relative, shift = self._against(eta, other)
        scale = np.exp(-self.diagonal.split(other)[1])
        by_eta = self._eta_grad(shift * scale, relative * scale[..., :, None], eta)
        by_eta = by_eta - self.entropy_grad(eta)
        spread = (relative * relative).sum(axis=-1)
        return by_eta, self.diagonal.join(-shift * scale, 1.0 - spread - shift * shift)

    def near(self, eta: Floats) -> Floats:
        """Return mean + L (0.5, ..., 0.5), L * 0.8: the shift of the diagonal family, in units of L."""
        mean, log_diagonal, below = self.split(eta)
        shift = 0.5 * self.factor(eta).sum(axis=-1)
        return np.concatenate([mean + shift, log_diagonal + np.log(0.8), 0.8 * below], axis=-1)
