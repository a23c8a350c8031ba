"""A fitted Gaussian-process latent-variable model as a model of single rows.

    z ~ N(0, I_Q),   x | z ~ N(b + W^T k(z), v(z) I_D),   v(z) = k(z, z) - |R k(z)|^2 + sigma^2

with k(z) = k(z, U) (M,), the covariances with M points U at which the functions are known. Before the fit,
the rows depend on each other through the functions. Given what the table has taught about these, a new row
has its own z, and this is a model like any other with a Gaussian decoder: its mean is curved, and its
variance grows where no row has been.

Of the collapsed bound, U are the inducing inputs, and with S = K + beta psi2 (Titsias and Lawrence 2010,
section 4)

    W = beta S^-1 psi1^T Y,     R^T R = K^-1 - S^-1.

Of latents at their mode, U are these latents, and with C = k(U, U) + sigma^2 I: W = C^-1 Y, R^T R = C^-1
(Rasmussen and Williams 2006, eqs. 2.25 and 2.26). Left out is only what a new row would itself teach
about the functions.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Self

import numpy as np

from elbo_lab.arrays import Draws, Floats
from elbo_lab.distributions import DiagonalGaussian
from elbo_lab.layout import Layout
from elbo_lab.models.base import Pullback, StandardNormalPrior, fold_shared
from elbo_lab.models.gplvm.collapsed import JITTER, factorise
from elbo_lab.models.gplvm.covariance_functions import COVARIANCE_FUNCTIONS, CovarianceFunction
from elbo_lab.models.gplvm.model import GPLVM, cholesky
from elbo_lab.models.gplvm.psi import Rows, psi_statistics
from elbo_lab.special import LOG_2PI


@dataclass(frozen=True)
class GPLVMRows(StandardNormalPrior):
    """D columns of one row, each a function of Q latents that is known at M points.

    Parameters
    ----------
    shift : tuple of float
        b, of length D.
    n_latent, n_points : int
        Q and M.
    variant : str
        The covariance function.
    """

    shift: tuple[float, ...]
    n_latent: int
    n_points: int
    variant: str = "rbf"
    name = GPLVM.name
    title = GPLVM.title
    summary = "z ~ N(0, I), x | z ~ N(mean and variance of the fitted functions at z)"
    variants = GPLVM.variants
    default_latent = GPLVM.default_latent
    default_data = GPLVM.default_data
    natural_views = GPLVM.natural_views

    @classmethod
    def of(cls, model: GPLVM, n_points: int) -> Self:
        """Return the model of a single row of the table of a `GPLVM`."""
        return cls(model.shift, model.n_latent, n_points, model.variant)

    @property
    def n_columns(self) -> int:
        """D."""
        return len(self.shift)

    @cached_property
    def family(self) -> DiagonalGaussian:
        return DiagonalGaussian(self.n_latent)

    @cached_property
    def covariance(self) -> CovarianceFunction:
        """k, over Q inputs."""
        return COVARIANCE_FUNCTIONS[self.variant](self.n_latent)

    @cached_property
    def layout(self) -> Layout:
        M = self.n_points
        learned = ("points", (M, self.n_latent)), ("weights", (M, self.n_columns)), ("reduction", (M, M))
        return Layout((*self.covariance.entries, ("log_sigma", ()), *learned))

    @property
    def must_vary(self) -> Literal["one"]:
        """All columns have one noise scale."""
        return "one"

    # -- what the fit has taught ---------------------------------------------------------------------

    def theta_of_bound(self, model: GPLVM, theta: Floats, y: Floats, rows: Rows) -> Floats:
        """Return theta (P,) of the functions under the best q of the collapsed bound.

        Parameters
        ----------
        model : GPLVM
        theta : ndarray
            Of the model.
        y : ndarray (N, D)
            The centred table.
        rows : Rows
            q(Z) and the inducing inputs.
        """
        t = model.layout.views(theta)
        beta = float(np.exp(-2.0 * t["log_sigma"]))
        K = model.covariance.matrix(t, rows.inducing, rows.inducing)[0]
        K = K + JITTER * np.trace(K) / len(K) * np.eye(len(K))
        found = factorise(psi_statistics(model.covariance, t, rows)[0], K, beta)
        inverse_root = np.linalg.inv(found.root)
        # With B = V diag(b) V^T: K^-1 - S^-1 = L^-T V diag(1 - 1/b) V^T L^-1.
        b, V = np.linalg.eigh(np.eye(len(K)) + beta * found.white)
        half = V.T @ inverse_root
        weights = beta * (half.T / b) @ (half @ (found.psi.psi1.T @ y))
        reduction = np.sqrt(np.maximum(1.0 - 1.0 / b, 0.0))[:, None] * half
        return self.layout.pack({**t, "points": rows.inducing, "weights": weights, "reduction": reduction})

    def theta_of_mode(self, model: GPLVM, theta: Floats, y: Floats, z: Floats) -> Floats:
        """Return theta (P,) of the functions given the latents z (N, Q) of the centred table y (N, D)."""
        t = model.layout.views(theta)
        C = model.covariance.matrix(t, z, z)[0] + np.exp(2.0 * t["log_sigma"]) * np.eye(len(z))
        inverse_root = np.linalg.inv(cholesky(C, "theta", "raise log_sigma, the noise"))
        weights = inverse_root.T @ (inverse_root @ y)
        return self.layout.pack({**t, "points": z, "weights": weights, "reduction": inverse_root})

    # -- the formula ---------------------------------------------------------------------------------

    def moments_of_x(self, theta: Floats, z: Draws) -> tuple[Floats, Floats]:
        """Return the mean (..., D) and the variance (...) of every column of a row, the noise included."""
        t, codes = self.layout.views(theta), z.astype(theta.dtype, copy=False)
        k = self.covariance.matrix(t, codes, t["points"])[0]
        variance = np.maximum(self._variance(t, codes, k @ t["reduction"].T), 0.0)
        return self._mean(t, k), variance + np.exp(2.0 * t["log_sigma"])

    def _mean(self, t: dict[str, Floats], k: Floats) -> Floats:
        """Return b + W^T k (..., D)."""
        return k @ t["weights"] + np.asarray(self.shift, dtype=k.dtype)

    def _variance(self, t: dict[str, Floats], z: Floats, reduced: Floats) -> Floats:
        """Return k(z, z) - |R k|^2 (...), which in a fit is not negative but for rounding."""
        return self.covariance.diagonal(t, z) - np.vecdot(reduced, reduced)

    def likelihood(self, theta: Floats, x: Floats, z: Draws) -> tuple[Floats, Pullback]:
        """log N(x; b + W^T k, v I), with r = x - b - W^T k.

        With dv = (|r|^2 / v - D) / (2 v), the derivative in v: d/dk = W r / v - 2 dv R^T R k,
        d/dW = k r^T / v, d/dR = -2 dv (R k) k^T, d/dlog sigma = 2 sigma^2 dv; and dv reaches k(z, z).
        """
        t, D = self.layout.views(theta), self.n_columns
        codes = z.astype(theta.dtype, copy=False)
        k, pull_k = self.covariance.matrix(t, codes, t["points"])
        reduced = k @ t["reduction"].T
        of_functions, noise = self._variance(t, codes, reduced), np.exp(2.0 * t["log_sigma"])
        v = np.maximum(of_functions, 0.0) + noise
        r = x.astype(theta.dtype, copy=False) - self._mean(t, k)
        squares = np.vecdot(r, r)
        value = -0.5 * (squares / v + D * (np.log(v) + LOG_2PI))

        def pullback(cotangent: Floats) -> tuple[Floats, Floats | None]:
            lead = cotangent.shape[:-2]
            by_noise = cotangent * 0.5 * (squares / v - D) / v
            dv = np.where(of_functions > 0.0, by_noise, 0.0)
            by_mean = (cotangent / v)[..., None] * r
            by_k = by_mean @ t["weights"].T - 2.0 * dv[..., None] * (reduced @ t["reduction"])
            shape = cotangent.shape
            full_k, full_reduced = (np.broadcast_to(a, (*shape, a.shape[-1])) for a in (k, reduced))
            # A draw that all rows share has one k: what the rows say about it is added.
            own = by_k.sum(axis=-2, keepdims=True) if k.shape[-2] < shape[-1] else by_k
            grads, by_z, by_points = pull_k(own)
            summed = {
                name: grad.sum(axis=-1 - np.ndim(t[name]))
                if grad.ndim > len(lead) + np.ndim(t[name])
                else grad
                for name, grad in {**grads, "points": by_points}.items()
            }
            by_diagonal, by_z_of_diagonal = self._diagonal_vjp(t, codes, dv)
            for name, grad in by_diagonal.items():
                summed[name] = summed[name] + grad
            summed["log_sigma"] = 2.0 * noise * by_noise.sum(axis=(-2, -1))
            summed["weights"] = np.einsum("...snm,...snd->...md", full_k, by_mean, optimize=True)
            weighted = -2.0 * dv[..., None] * full_reduced
            summed["reduction"] = np.einsum("...snm,...snl->...ml", weighted, full_k, optimize=True)
            grad_theta = self.layout.pack(summed, lead=lead)
            return grad_theta, by_z + fold_shared(by_z_of_diagonal, z)

        return value, pullback

    def _diagonal_vjp(self, t: dict[str, Floats], z: Floats, dv: Floats) -> tuple[dict[str, Floats], Floats]:
        """Pull a cotangent (..., S, N) of k(z, z) back to its parameters and to z (..., S, N, Q)."""
        if "log_amplitude" in t:
            by_amplitude = 2.0 * np.exp(2.0 * t["log_amplitude"]) * dv.sum(axis=(-2, -1))
            return {"log_amplitude": by_amplitude}, np.zeros((*dv.shape, self.n_latent))
        relevance = np.exp(t["log_relevance"])
        by_relevance = (dv[..., None] * z * z).sum(axis=(-3, -2)) * relevance
        return {"log_relevance": by_relevance}, 2.0 * dv[..., None] * relevance * z

    def expected_x(self, theta: Floats, z: Draws) -> Floats:
        """Return E[x | z] (..., D) at z (..., Q)."""
        return self.moments_of_x(theta, z)[0]

    def sample_x(self, theta: Floats, z: Draws, rng: np.random.Generator) -> Floats:
        mean, variance = self.moments_of_x(theta, z)
        return mean + np.sqrt(variance)[:, None] * rng.standard_normal(mean.shape)

    def initial_theta(self, x: Floats) -> Floats:
        """Return functions known nowhere: their prior, with a tenth of the variance of x as noise."""
        table = GPLVM(len(x), self.shift, min(self.n_latent, *x.shape), self.variant)
        start = table.layout.views(table.initial_theta(table.as_data(x)))
        start = {name: np.resize(part, dict(self.layout.entries)[name]) for name, part in start.items()}
        return self.layout.pack(start)

    def described(self, theta: Floats) -> dict[str, Floats]:
        """Return {'relevance' (Q,), 'amplitude' (unless linear), 'sigma'}: what the functions are like."""
        shown = {name: part for name, part in self.layout.views(theta).items() if name.startswith("log_")}
        return {name.removeprefix("log_"): np.exp(part) for name, part in shown.items()}
