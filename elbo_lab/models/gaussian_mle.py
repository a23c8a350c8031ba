"""The first case: x ~ N(mu, sigma^2 I), with a latent mean for each datum.

    z_n ~ N(mu, tau^2 I),   x_n | z_n ~ N(z_n, s^2 I)   =>   x_n ~ N(mu, (tau^2 + s^2) I).

The evidence is the plain Gaussian likelihood, so the maximum is known (Bishop 2006, eqs. 2.121 and
2.122, pooled over the columns), and yet every estimator of the lab applies. theta = (mu, log tau,
log s). The parameters of the prior enter through log p(z; theta) (score form) or through
z = mu + tau * eps (pathwise form). Only sigma^2 = tau^2 + s^2 is identified; a fit that starts at
tau = s stays there by symmetry, and sigma^2 is reported.

Helps: as a first case, in which everything is known. Fails: for data that are not one round cloud.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from elbo_lab.arrays import Draws, Floats
from elbo_lab.distributions import DiagonalGaussian
from elbo_lab.errors import check_count
from elbo_lab.layout import Layout
from elbo_lab.models.base import ClosedForm, Pullback, fold_shared
from elbo_lab.special import LOG_2PI


@dataclass(frozen=True)
class GaussianMLE(ClosedForm):
    """z ~ N(mu, tau^2 I), x | z ~ N(z, s^2 I).

    Parameters
    ----------
    n_columns : int
        D, which is also the latent dimension K.
    """

    n_columns: int
    name = "gaussian-mle"
    title = "Gaussian with latent mean"
    synonyms = ("isotropic-gaussian",)
    summary = "x ~ N(mu, sigma^2 I), with a latent Gaussian mean per datum"
    default_data = "faithful"
    quadratic = True
    must_vary = "one"

    def __post_init__(self) -> None:
        check_count("n_columns", self.n_columns)

    @classmethod
    def for_data(cls, x: Floats, variant: str | None = None, latent: int | None = None) -> Self:  # noqa: ARG003 - one latent mean per column
        return cls(x.shape[1])

    @cached_property
    def family(self) -> DiagonalGaussian:
        return DiagonalGaussian(self.n_columns)

    @cached_property
    def layout(self) -> Layout:
        return Layout((("mu", (self.n_columns,)), ("log_tau", ()), ("log_s", ())))

    def sigma2(self, theta: Floats) -> float:
        """Return sigma^2 = tau^2 + s^2, the variance of x."""
        t = self.layout.views(theta)
        return float(np.exp(2.0 * t["log_tau"]) + np.exp(2.0 * t["log_s"]))

    def prior_eta(self, theta: Floats) -> Floats:
        t = self.layout.views(theta)
        return self.family.join(t["mu"], np.full(self.n_columns, t["log_tau"]))[None]

    def prior_eta_vjp(self, theta: Floats, grad_eta: Floats) -> Floats:  # noqa: ARG002 - the map is linear
        mean, log_std = self.family.split(grad_eta)
        parts = {"mu": mean, "log_tau": log_std.sum(axis=-1)}
        return self.layout.pack(parts, lead=grad_eta.shape[:-1])

    def likelihood(self, theta: Floats, x: Floats, z: Draws) -> tuple[Floats, Pullback]:
        """log N(x; z, s^2 I); d/dz = r / s and d/dlog s = |r|^2 - D, with r = (x - z) / s."""
        log_s = self.layout.views(theta)["log_s"]
        r = (x - z) * np.exp(-log_s)
        squares = np.einsum("...d,...d->...", r, r)
        value = -0.5 * squares - self.n_columns * (log_s + 0.5 * LOG_2PI)

        def pullback(cotangent: Floats) -> tuple[Floats, Floats | None]:
            by_log_s = (cotangent * (squares - self.n_columns)).sum(axis=(-2, -1))
            grad_z = cotangent[..., None] * r * np.exp(-log_s)
            grad_theta = self.layout.pack({"log_s": by_log_s}, lead=cotangent.shape[:-2])
            return grad_theta, fold_shared(grad_z, z)

        return value, pullback

    def expected_x(self, theta: Floats, z: Draws) -> Floats:
        """Return E[x | z] = z (..., D)."""
        return z.astype(theta.dtype, copy=False)

    def random_theta(self, x: Floats, rng: np.random.Generator) -> Floats:
        """The mean at a randomly chosen datum, half of the variance of all data in either scale."""
        log_scale = 0.5 * np.log(0.5 * max(x.var(axis=0).mean(), np.finfo(float).tiny))
        return self.layout.pack({"mu": x[rng.integers(len(x))], "log_tau": log_scale, "log_s": log_scale})

    def sample_x(self, theta: Floats, z: Draws, rng: np.random.Generator) -> Floats:
        return z + np.exp(self.layout.views(theta)["log_s"]) * rng.standard_normal(z.shape)

    def theta_of(self, mean: Floats, sigma2: float) -> Floats:
        """Return the theta (P,) of a mean (D,) and a variance of x, with tau^2 = s^2 = sigma^2 / 2."""
        log_scale = 0.5 * np.log(0.5 * sigma2)
        return self.layout.pack({"mu": mean, "log_tau": log_scale, "log_s": log_scale})

    def described(self, theta: Floats) -> dict[str, Floats] | None:
        """Return {'mean' (D,), 'sigma' (), 'sigma2' ()}: theta in the units of the data."""
        sigma2 = np.asarray(self.sigma2(theta))
        return {"mean": self.layout.views(theta)["mu"].copy(), "sigma": np.sqrt(sigma2), "sigma2": sigma2}

    @property
    def closed_form_maximum(self) -> bool:
        return True

    def maximum_likelihood(self, x: Floats) -> Floats:
        """Return the maximum: the mean, and the variance about it pooled over the columns (over N D).

        Raises
        ------
        ValueError
            If no column varies: the variance at the maximum would be zero and the density infinite.
        """
        x = self.check_data(x)
        return self._maximum(x, 0.0)

    def _maximum(self, x: Floats, floor: float) -> Floats:
        mean = x.mean(axis=0)
        return self.theta_of(mean, max(np.mean((x - mean) ** 2), floor))

    def initial_theta(self, x: Floats) -> Floats:
        """Return the closed-form maximum; data without any spread have the smallest positive variance."""
        return self._maximum(x, np.finfo(float).tiny)

    def log_evidence(self, theta: Floats, x: Floats) -> Floats:
        """log N(x; mu, sigma^2 I)."""
        sigma2, mu = self.sigma2(theta), self.layout.views(theta)["mu"]
        squares = ((x - mu) ** 2).sum(axis=-1)
        return -0.5 * (squares / sigma2 + self.n_columns * (np.log(sigma2) + LOG_2PI))

    def log_evidence_grad(self, theta: Floats, x: Floats, weights: Floats) -> Floats:
        t, sigma2 = self.layout.views(theta), self.sigma2(theta)
        squares = ((x - t["mu"]) ** 2).sum(axis=-1)
        by_sigma2 = 0.5 * (weights * (squares / sigma2 - self.n_columns)).sum() / sigma2
        return self.layout.pack(
            {
                "mu": weights @ (x - t["mu"]) / sigma2,
                "log_tau": by_sigma2 * 2.0 * np.exp(2.0 * t["log_tau"]),
                "log_s": by_sigma2 * 2.0 * np.exp(2.0 * t["log_s"]),
            }
        )

    def posterior_eta(self, theta: Floats, x: Floats) -> Floats:
        """N(mu + (tau^2 / sigma^2)(x - mu), tau^2 s^2 / sigma^2)."""
        t, sigma2 = self.layout.views(theta), self.sigma2(theta)
        mean = t["mu"] + np.exp(2.0 * t["log_tau"]) / sigma2 * (x - t["mu"])
        log_std = t["log_tau"] + t["log_s"] - 0.5 * np.log(sigma2)
        return self.family.join(mean, np.full_like(mean, log_std))

    def expected_log_joint(self, theta: Floats, x: Floats, eta: Floats) -> Floats:
        """E_q log N(x; z, s^2) + E_q log N(z; mu, tau^2), each by its second moment."""
        t = self.layout.views(theta)
        mean, log_std = self.family.split(eta)
        variance = np.exp(2.0 * log_std)
        from_x = ((x - mean) ** 2 + variance).sum(axis=-1) * np.exp(-2.0 * t["log_s"])
        from_mu = ((mean - t["mu"]) ** 2 + variance).sum(axis=-1) * np.exp(-2.0 * t["log_tau"])
        constant = self.n_columns * (t["log_s"] + t["log_tau"] + LOG_2PI)
        return -0.5 * (from_x + from_mu) - constant

    def expected_log_joint_vjp(
        self, theta: Floats, x: Floats, eta: Floats, weights: Floats
    ) -> tuple[Floats, Floats]:
        t = self.layout.views(theta)
        mean, log_std = self.family.split(eta)
        variance, w = np.exp(2.0 * log_std), weights[:, None]
        precision_x, precision_z = np.exp(-2.0 * t["log_s"]), np.exp(-2.0 * t["log_tau"])
        from_x = (x - mean) ** 2 + variance
        from_mu = (mean - t["mu"]) ** 2 + variance
        grad_theta = self.layout.pack(
            {
                "mu": (w * (mean - t["mu"])).sum(axis=0) * precision_z,
                "log_tau": (w * (from_mu * precision_z - 1.0)).sum(),
                "log_s": (w * (from_x * precision_x - 1.0)).sum(),
            }
        )
        by_mean = (x - mean) * precision_x - (mean - t["mu"]) * precision_z
        by_log_std = -variance * (precision_x + precision_z)
        return grad_theta, w * self.family.join(by_mean, by_log_std)
