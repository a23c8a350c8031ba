"""Linear-Gaussian models: what probabilistic PCA and factor analysis share.

    z ~ N(0, I_K),   x | z ~ N(W z + b, Psi),   Psi = sigma^2 I (PPCA) or diagonal (factor analysis)
    =>  x ~ N(b, W W^T + Psi),   z | x ~ N(M^-1 A^T y, M^-1),
    with  A = Psi^{-1/2} W,  y = Psi^{-1/2} (x - b),  M = I_K + A^T A.

(Tipping and Bishop 1999, eqs. 3 to 6; Bishop 2006, eqs. 12.41 to 12.42 and 12.66 to 12.67.) Everything
goes through K x K matrices: |W W^T + Psi| = |M| |Psi| and the Woodbury identity replace the D x D
inverse. theta = (W, b, log_sigma), log_sigma the logarithm of the noise standard deviation.

W and W R have the same evidence for every rotation R. `canonical` picks the one in which W^T Psi^-1 W
is diagonal: there the exact posterior has independent coordinates and is a member of the diagonal
Gaussian family.
"""

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Self

import numpy as np

from elbo_lab.arrays import Draws, Floats
from elbo_lab.distributions import DiagonalGaussian
from elbo_lab.errors import NotApplicable, Reason, bad_value, check_count
from elbo_lab.layout import Layout
from elbo_lab.models.base import ClosedForm, Pullback, StandardNormalPrior, fold_shared
from elbo_lab.special import LOG_2PI


@dataclass(frozen=True)
class LinearGaussian(StandardNormalPrior, ClosedForm):
    """x | z ~ N(W z + b, Psi); the two subclasses define Psi.

    Parameters
    ----------
    n_columns : int
        D.
    n_latent : int
        K, at most D.
    """

    n_columns: int
    n_latent: int
    default_latent = 10
    quadratic = True

    def __post_init__(self) -> None:
        check_count("n_columns", self.n_columns)
        check_count("latent", self.n_latent)
        if self.n_latent > self.n_columns:
            raise bad_value("latent", f"at most the {self.n_columns} columns of the data", self.n_latent)

    @classmethod
    def for_data(cls, x: Floats, variant: str | None = None, latent: int | None = None) -> Self:  # noqa: ARG003
        # K = D leaves no noise to estimate, so the default stays below D.
        default = max(1, min(cls.default_latent, x.shape[1] - 1))
        return cls(x.shape[1], default if latent is None else latent)

    @cached_property
    def family(self) -> DiagonalGaussian:
        return DiagonalGaussian(self.n_latent)

    @cached_property
    def layout(self) -> Layout:
        shape = (self.n_columns, self.n_latent)
        return Layout((("W", shape), ("b", shape[:1]), ("log_sigma", self._noise_shape)))

    @property
    @abstractmethod
    def _noise_shape(self) -> tuple[int, ...]:
        """Shape of log_sigma: () for one noise scale, (D,) for one per column."""

    @property
    def shared_noise(self) -> bool:
        """Whether all columns have one noise scale."""
        return self._noise_shape == ()

    @property
    def must_vary(self) -> Literal["one", "all"]:
        """With one noise scale per column, every column must vary."""
        return "one" if self.shared_noise else "all"

    def _sum_log_sigma(self, t: dict[str, Floats]) -> float:
        """Return the sum of log sigma_d over the columns."""
        columns_per_scale = self.n_columns // t["log_sigma"].size
        return columns_per_scale * t["log_sigma"].sum()

    def _reduce(self, by_column: Floats) -> Floats:
        """Sum a gradient with respect to log sigma_d (..., D) to the shape of log_sigma."""
        return by_column.sum(axis=-1) if self.shared_noise else by_column

    # -- the formula and its derivative ----------------------------------------------------------

    def _standardised(self, t: dict[str, Floats], x: Floats, z: Draws) -> tuple[Floats, Floats]:
        """Return r = y - A z (..., S, N, D), and A (D, K): both in units of sigma."""
        precision_root = np.exp(-t["log_sigma"])
        A = precision_root[..., None] * t["W"]
        # One product of all rows, where leading axes of repeats and draws would make many small ones.
        Az = (z.reshape(-1, self.n_latent) @ A.T).reshape((*z.shape[:-1], self.n_columns))
        return (x - t["b"]) * precision_root - Az, A

    def _pull_to_z(self, A: Floats, weighted: Floats, z: Draws) -> Floats:
        """Return A^T (c r), shaped as z, from the rows c r (..., S, N, D)."""
        rows = weighted.reshape(-1, self.n_columns) @ A
        return fold_shared(rows.reshape((*weighted.shape[:-1], self.n_latent)), z)

    def likelihood(self, theta: Floats, x: Floats, z: Draws) -> tuple[Floats, Pullback]:
        """log N(x; W z + b, Psi), with r = (x - W z - b) / sigma.

        d/dz = W^T r / sigma, d/dW = (r / sigma) z^T, d/db = r / sigma, d/dlog sigma_d = r_d^2 - 1.
        """
        t = self.layout.views(theta)
        r, A = self._standardised(t, x, z)
        constant = self._sum_log_sigma(t) + 0.5 * self.n_columns * LOG_2PI
        value = -0.5 * np.vecdot(r, r) - constant

        def pullback(cotangent: Floats) -> tuple[Floats, Floats | None]:
            lead = cotangent.shape[:-2]
            weighted = cotangent[..., None] * r
            codes = np.broadcast_to(z, cotangent.shape + z.shape[-1:])
            codes = codes.reshape((*lead, -1, self.n_latent))
            by_column = np.einsum("...snd,...snd->...d", weighted, r)
            by_column -= cotangent.sum(axis=(-2, -1))[..., None]
            rows = weighted.reshape((*lead, -1, self.n_columns))
            precision_root = np.exp(-t["log_sigma"])
            grad_theta = self.layout.pack(
                {
                    "W": precision_root[..., None] * (np.swapaxes(rows, -1, -2) @ codes),
                    "b": precision_root * rows.sum(axis=-2),
                    "log_sigma": self._reduce(by_column),
                },
                lead=lead,
            )
            return grad_theta, self._pull_to_z(A, weighted, z)

        return value, pullback

    def log_likelihood_grad_z(self, theta: Floats, x: Floats, z: Draws, cotangent: Floats) -> Floats:
        r, A = self._standardised(self.layout.views(theta), x, z)
        return self._pull_to_z(A, cotangent[..., None] * r, z)

    def expected_x(self, theta: Floats, z: Draws) -> Floats:
        """Return E[x | z] = W z + b (..., D) at z (..., K)."""
        t = self.layout.views(theta)
        return z @ t["W"].T + t["b"]

    def random_theta(self, x: Floats, rng: np.random.Generator) -> Floats:
        """Small random loadings, the column means, and all of the variance as noise."""
        scale = np.maximum(x.std(axis=0), np.finfo(float).tiny)
        loadings = 0.1 * scale[:, None] * rng.standard_normal((self.n_columns, self.n_latent))
        noise = np.sqrt((scale**2).mean()) if self.shared_noise else scale
        return self.layout.pack({"W": loadings, "b": x.mean(axis=0), "log_sigma": np.log(noise)})

    def sample_x(self, theta: Floats, z: Draws, rng: np.random.Generator) -> Floats:
        t = self.layout.views(theta)
        noise = rng.standard_normal((len(z), self.n_columns))
        return z @ t["W"].T + t["b"] + np.exp(t["log_sigma"]) * noise

    def described(self, theta: Floats) -> dict[str, Floats]:
        """Return {'W' (D, K), 'b' (D,), 'sigma', 'sigma2' () or (D,)}: theta in the units of the data."""
        t = self.layout.views(theta)
        log_sigma = np.asarray(t["log_sigma"])
        noise = {"sigma": np.exp(log_sigma), "sigma2": np.exp(2.0 * log_sigma)}
        return {"W": t["W"].copy(), "b": t["b"].copy(), **noise}

    # -- exact answers ---------------------------------------------------------------------------

    def _whitened(self, theta: Floats, x: Floats) -> tuple[Floats, Floats, Floats]:
        """Return (A (D, K), y (N, D), M (K, K))."""
        t = self.layout.views(theta)
        precision_root = np.exp(-t["log_sigma"])
        A = precision_root[..., None] * t["W"]
        return A, (x - t["b"]) * precision_root, np.eye(self.n_latent) + A.T @ A

    def posterior_moments(self, theta: Floats, x: Floats) -> tuple[Floats, Floats]:
        """Return the exact posterior mean (N, K) and its covariance (K, K), the same for all x."""
        A, y, M = self._whitened(theta, x)
        covariance = np.linalg.inv(M)
        return np.linalg.solve(M, A.T @ y.T).T, 0.5 * (covariance + covariance.T)

    def posterior_mean_and_std(self, theta: Floats, x: Floats) -> tuple[Floats, Floats]:
        """Return mean and standard deviation (N, K) each; the coordinates may be correlated."""
        mean, covariance = self.posterior_moments(theta, x)
        return mean, np.tile(np.sqrt(np.diag(covariance)), (len(x), 1))

    def posterior_eta(self, theta: Floats, x: Floats) -> Floats:
        """Return the exact posterior if its coordinates are independent.

        Raises
        ------
        NotApplicable
            If W^T Psi^-1 W is not diagonal; `canonical(theta)` is the remedy.
        """
        mean, covariance = self.posterior_moments(theta, x)
        std = np.sqrt(np.diag(covariance))
        off_diagonal = np.abs(covariance / np.outer(std, std) - np.eye(self.n_latent)).max()
        if off_diagonal > 1e-7:
            raise NotApplicable(
                f"the exact posterior of {self.label} has correlated coordinates here "
                f"(correlation {off_diagonal:.2g}); rotate W with canonical(theta)",
                Reason.NO_POSTERIOR,
            )
        return self.family.join(mean, np.broadcast_to(np.log(std), mean.shape))

    def canonical(self, theta: Floats) -> Floats:
        """Return theta with W rotated so that W^T Psi^-1 W is diagonal; the evidence is unchanged.

        The columns are in decreasing order of their singular values, the largest entry of each positive.
        """
        t = self.layout.views(theta)
        A = np.exp(-t["log_sigma"])[..., None] * t["W"]
        rotation = np.linalg.svd(A, full_matrices=False)[2].T
        W = t["W"] @ rotation
        W = W * np.where(W[np.abs(W).argmax(axis=0), np.arange(self.n_latent)] < 0, -1.0, 1.0)
        return self.layout.pack({"W": W, "b": t["b"], "log_sigma": t["log_sigma"]})

    def log_evidence(self, theta: Floats, x: Floats) -> Floats:
        """log N(x; b, W W^T + Psi) through M: |y|^2 - v^T M^-1 v with v = A^T y."""
        A, y, M = self._whitened(theta, x)
        root = np.linalg.cholesky(M)
        v = np.linalg.solve(root, A.T @ y.T)
        quadratic = (y * y).sum(axis=1) - (v * v).sum(axis=0)
        log_det = 2.0 * (np.log(np.diag(root)).sum() + self._sum_log_sigma(self.layout.views(theta)))
        return -0.5 * (quadratic + log_det + self.n_columns * LOG_2PI)

    def log_evidence_grad(self, theta: Floats, x: Floats, weights: Floats) -> Floats:
        """Fisher's identity: the gradient of log p(x) is the posterior mean of that of log p(x, z)."""
        mean, covariance = self.posterior_moments(theta, x)
        return self._expected_grad(theta, x, weights, mean, weights.sum() * covariance)

    def _expected_grad(
        self, theta: Floats, x: Floats, weights: Floats, mean: Floats, covariance: Floats
    ) -> Floats:
        """Return sum_n w_n E[d log p(x_n | z)/d theta], z_n of mean (N, K), sum_n w_n cov_n (K, K)."""
        t = self.layout.views(theta)
        precision = np.exp(-2.0 * t["log_sigma"])
        residual = x - mean @ t["W"].T - t["b"]
        weighted = weights[:, None] * residual
        spread = t["W"] @ covariance
        by_column = (weighted * residual).sum(axis=0) + (spread * t["W"]).sum(axis=1)
        return self.layout.pack(
            {
                "W": precision[..., None] * (weighted.T @ mean - spread),
                "b": precision * weighted.sum(axis=0),
                "log_sigma": self._reduce(precision * by_column - weights.sum()),
            }
        )

    def expected_log_joint(self, theta: Floats, x: Floats, eta: Floats) -> Floats:
        """Exact, since the log-joint is quadratic in z: E|r|^2 = |r(mean)|^2 + sum_k var_k |A_k|^2."""
        A, y, _ = self._whitened(theta, x)
        mean, log_std = self.family.split(eta)
        variance = np.exp(2.0 * log_std)
        r = y - mean @ A.T
        from_x = (r * r).sum(axis=1) + variance @ (A * A).sum(axis=0)
        from_z = (mean**2 + variance).sum(axis=1)
        constant = 0.5 * (self.n_columns + self.n_latent) * LOG_2PI
        return -0.5 * (from_x + from_z) - self._sum_log_sigma(self.layout.views(theta)) - constant

    def expected_log_joint_vjp(
        self, theta: Floats, x: Floats, eta: Floats, weights: Floats
    ) -> tuple[Floats, Floats]:
        A, y, _ = self._whitened(theta, x)
        mean, log_std = self.family.split(eta)
        variance = np.exp(2.0 * log_std)
        by_mean = (y - mean @ A.T) @ A - mean
        by_log_std = -variance * ((A * A).sum(axis=0) + 1.0)
        grad_theta = self._expected_grad(theta, x, weights, mean, np.diag(weights @ variance))
        return grad_theta, weights[:, None] * self.family.join(by_mean, by_log_std)


def principal_start(x: Floats, n_latent: int) -> tuple[Floats, Floats, Floats]:
    """Return mean (D,), principal directions (D, K) and all eigenvalues (D,) of the covariance / N."""
    mean = x.mean(axis=0)
    _, singular, rows = np.linalg.svd(x - mean, full_matrices=False)
    eigenvalues = np.zeros(x.shape[1])
    eigenvalues[: len(singular)] = singular**2 / len(x)
    directions = np.zeros((x.shape[1], n_latent))
    directions[:, : len(rows)] = rows[:n_latent].T
    return mean, directions, eigenvalues
