"""Gaussian with any covariance: q(z; m, L) = N(z; m, L L^T), L lower triangular with a positive diagonal.

    z = m + L eps,   log q(z) = -|u|^2 / 2 - sum_k log L_kk - (K / 2) log 2 pi,   L u = z - m

(Titsias and Lazaro-Gredilla 2014; Kucukelbir et al. 2017, the full-rank family.) eta holds the
mean, the logarithm of the diagonal of L and the entries below it, row by row: every real vector is a valid
member. Where the coordinates of a posterior are correlated, the ELBO of the diagonal family stays below
log p(x) however good the fit; that of this family need not, at the price of K (K - 1) / 2 more parameters per
datum.

A diagonal Gaussian is the member with zeros below the diagonal of L, so that the KL to and from the priors of
the models is that of two members.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from elbo_lab.arrays import Floats, Integers
from elbo_lab.distributions.base import Family, MeanAndRoot, Projection, shortened
from elbo_lab.distributions.diagonal_gaussian import DiagonalGaussian
from elbo_lab.distributions.noise import NoiseSpec
from elbo_lab.layout import Layout
from elbo_lab.special import LOG_2PI


def _forward(lower: Floats, u: Floats) -> Floats:
    """Return L^-1 u for u (..., S, N, K), which is overwritten, by forward substitution."""
    for i in range(u.shape[-1]):
        u[..., i] -= np.einsum("nj,...snj->...sn", lower[:, i, :i], u[..., :i])
        u[..., i] /= lower[:, i, i]
    return u


def _backward(lower: Floats, v: Floats) -> Floats:
    """Return L^-T v for v (..., S, N, K), which is overwritten, by back substitution."""
    for i in reversed(range(v.shape[-1])):
        v[..., i] -= np.einsum("nj,...snj->...sn", lower[:, i + 1 :, i], v[..., i + 1 :])
        v[..., i] /= lower[:, i, i]
    return v


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
    title = "Gaussian, full covariance"
    synonyms = ("full", "full-covariance", "full-rank", "multivariate-gaussian", "multivariate-normal")
    discrete = False
    event_axes = 1
    gaussian = True
    has_covariance = True
    has_natural_step = True

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

    def holds(self, family: Family) -> bool:
        """Whether the family is this one, or that of diagonal Gaussians of this size."""
        return family in (self, self.diagonal)

    @cached_property
    def _below(self) -> tuple[Integers, Integers]:
        """Rows and columns of the entries below the diagonal."""
        return np.tril_indices(self.size, -1)

    def split(self, eta: Floats) -> tuple[Floats, ...]:
        """Return the views (mean (..., K), log_diagonal (..., K), below (..., K (K - 1) / 2)) of eta."""
        return eta[..., : self.size], eta[..., self.size : 2 * self.size], eta[..., 2 * self.size :]

    def from_diagonal(self, eta: Floats) -> Floats:
        """Return the member (N, E) that equals a member (N, 2K) of the diagonal family."""
        return self._embedded(eta)

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

    def mean_and_root(self, eta: Floats) -> MeanAndRoot:
        """Return the mean and L itself."""
        mean, _, _ = self.split(eta)
        return mean, self.factor(eta), lambda by_mean, by_root: self._eta_grad(by_mean, by_root, eta)

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
        return _forward(self.factor(eta), z - self.split(eta)[0])

    def _pulled(self, eta: Floats, u: Floats) -> Floats:
        """Return v with L^T v = u, by back substitution: -v is the slope of log q in z."""
        return _backward(self.factor(eta), u.copy())

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
        """Return R (N, K, K) and r (N, K), L' R = L and L' r = m - m': q in the coordinates of `other`."""
        shift = self.split(eta)[0] - self.split(other)[0]
        lower = np.broadcast_to(self.factor(eta), (len(shift), self.size, self.size))
        # The columns of L, and the shift, take the place of draws.
        solved = _forward(self.factor(other), np.concatenate([np.moveaxis(lower, -1, 0), shift[None]]))
        return np.moveaxis(solved[:-1], 0, -1), solved[-1]

    def kl(self, eta: Floats, other: Floats) -> Floats:
        """Return sum_k [log L'_kk / L_kk + (R_kk^2 + r_k^2 - 1) / 2] + (sum of R_ij^2, i > j) / 2.

        R and r are L and the shift of the mean in the coordinates of `other`: the trace of the usual formula
        is the sum of the squares of R.
        """
        relative, shift = self._against(eta, other)
        log_ratio, below = self.split(eta)[1] - self.split(other)[1], relative[..., *self._below]
        # expm1 keeps the sum exact where the two members nearly agree.
        terms = 0.5 * np.expm1(2.0 * log_ratio) - log_ratio + 0.5 * shift * shift
        return terms.sum(axis=-1) + 0.5 * (below * below).sum(axis=-1)

    def kl_grad(self, eta: Floats, other: Floats) -> tuple[Floats, Floats]:
        """Return L'^-T (r, R) and -L'^-T (r, R R^T + r r^T), and the slopes -1 and 1 of the logarithms."""
        relative, shift = self._against(eta, other)
        moments = relative @ np.swapaxes(relative, -1, -2) + shift[..., :, None] * shift[..., None, :]
        columns = np.concatenate([shift[..., None], relative, moments], axis=-1)
        pulled = np.moveaxis(_backward(self.factor(other), np.moveaxis(columns, -1, 0).copy()), 0, -1)
        by_mean, by_factor, by_other_factor = np.split(pulled, [1, 1 + self.size], axis=-1)
        by_eta = self._eta_grad(by_mean[..., 0], by_factor, eta) - self.entropy_grad(eta)
        by_other = self._eta_grad(by_mean[..., 0], by_other_factor, other) - self.entropy_grad(other)
        return by_eta, -by_other

    def near(self, eta: Floats) -> Floats:
        """Return mean + L (0.5, ..., 0.5), L * 0.8: the shift of the diagonal family, in units of L."""
        mean, log_diagonal, below = self.split(eta)
        shift = 0.5 * self.factor(eta).sum(axis=-1)
        return np.concatenate([mean + shift, log_diagonal + np.log(0.8), 0.8 * below], axis=-1)

    def natural_step(self, eta: Floats, gradient: Floats, rate: float) -> Floats:
        """Return P <- L^-T (I - rate A) L^-1 and mean <- mean + rate P^-1 d/d mean, with the new P.

        A is L^T dF/dL, its lower triangle mirrored: the slope in log s of the diagonal family as a matrix.
        """
        by_mean, by_log_diagonal, below = self.split(gradient)
        lower = self.factor(eta)
        by_lower = np.zeros_like(lower)
        k = np.arange(self.size)
        by_lower[..., k, k] = by_log_diagonal / lower[..., k, k]
        by_lower[..., *self._below] = below
        pulled = np.tril(np.swapaxes(lower, -1, -2) @ by_lower)
        slope = pulled + np.swapaxes(np.tril(pulled, -1), -1, -2)
        rates = shortened(rate, np.linalg.eigvalsh(slope)[..., -1])[..., None]
        left = np.eye(self.size) - rates[..., None] * slope
        covariance = lower @ np.linalg.solve(left, np.swapaxes(lower, -1, -2))
        covariance = 0.5 * (covariance + np.swapaxes(covariance, -1, -2))
        mean = self.split(eta)[0] + rates * (covariance @ by_mean[..., None])[..., 0]
        return self.from_factor(mean, np.linalg.cholesky(covariance))
