"""Probabilistic PCA: x | z ~ N(W z + b, sigma^2 I), one noise scale for all columns.

The maximum of the likelihood is known: the columns of W span the first principal directions, and sigma^2 is
the mean of the remaining variances (Tipping and Bishop 1999, eqs. 7 and 8).

Helps: for linear structure in noise of one size, with exact answers for any number of latents. Fails: where
columns differ in unit or noise (`factor-analysis`), and where data are curved.
"""

from dataclasses import dataclass

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.errors import bad_value
from elbo_lab.models.linear_gaussian import LinearGaussian, principal_start


@dataclass(frozen=True)
class PPCA(LinearGaussian):
    """Probabilistic principal component analysis: one noise scale for all columns."""

    name = "ppca"
    title = "probabilistic PCA"
    synonyms = ("pca",)
    summary = "z ~ N(0, I), x | z ~ N(W z + b, sigma^2 I)"
    default_data = "digits:raw"
    _noise_shape = ()

    def check_data(self, x: Floats, argument: str = "data") -> Floats:
        """Refuse as many latents as columns: the noise variance would be zero, the density unbounded."""
        if self.n_latent >= self.n_columns:
            expected = f"fewer than the {self.n_columns} columns (none is left for the noise)"
            raise bad_value("latent", expected, self.n_latent)
        return super().check_data(x, argument)

    @property
    def closed_form_maximum(self) -> bool:
        return True

    def maximum_likelihood(self, x: Floats) -> Floats:
        """Return the maximum (Tipping and Bishop 1999, eqs. 7 and 8, with R = I).

            sigma^2 = mean of the D - K smallest eigenvalues of the covariance (over N),
            W = U_K (Lambda_K - sigma^2 I)^{1/2},   b = mean.

        If that sigma^2 is zero, the density is unbounded and the data are refused (ValueError).
        """
        x = self.check_data(x)
        mean, directions, eigenvalues = principal_start(x, self.n_latent)
        # A smaller share of the largest eigenvalue (a squared singular value) is rounding.
        rank = int((eigenvalues > (max(x.shape) * np.finfo(float).eps) ** 2 * eigenvalues[0]).sum())
        if rank <= self.n_latent:
            expected = f"a covariance of rank above latent = {self.n_latent} (sigma^2 would be 0)"
            raise bad_value("data", expected, f"rank {rank}", "take a smaller latent, or more data")
        return self._maximum(mean, directions, eigenvalues, 0.0)

    def maximum_at_noise(self, x: Floats, log_sigma: float) -> Floats:
        """Return the maximum over W and b alone, the noise sigma being given.

            W = U_K max(Lambda_K - sigma^2 I, 0)^{1/2},   b = mean

        (Tipping and Bishop 1999, appendix A; Lucas et al. 2019, section 4). A direction in which the data
        vary less than the noise has no loading: its latent is not used. With K latents in use,

            d mean log p / d(-log sigma) = D - K - sum over the other directions of lambda_j / sigma^2.

        Parameters
        ----------
        x : ndarray (N, D)
        log_sigma : float

        Returns
        -------
        ndarray (P,)
        """
        mean, directions, eigenvalues = principal_start(x, self.n_latent)
        return self._with_noise(mean, directions, eigenvalues, np.exp(2.0 * log_sigma))

    def _maximum(self, mean: Floats, directions: Floats, eigenvalues: Floats, floor: float) -> Floats:
        remaining = eigenvalues[self.n_latent :]
        sigma2 = max(remaining.mean() if len(remaining) else floor, floor)
        return self._with_noise(mean, directions, eigenvalues, sigma2)

    def _with_noise(self, mean: Floats, directions: Floats, eigenvalues: Floats, sigma2: float) -> Floats:
        scale = np.sqrt(np.maximum(eigenvalues[: self.n_latent] - sigma2, 0.0))
        return self.layout.pack({"W": directions * scale, "b": mean, "log_sigma": 0.5 * np.log(sigma2)})

    def described(self, theta: Floats) -> dict[str, Floats]:
        """Return W, b, sigma, sigma2, and 'explained_variance_ratio' (K,), the greatest first.

        The K largest eigenvalues of W W^T + sigma^2 I as shares of its trace: at the maximum those of the
        covariance of the data.
        """
        found = super().described(theta)
        along = np.linalg.svd(found["W"], compute_uv=False) ** 2 + found["sigma2"]
        total = np.sum(found["W"] ** 2) + self.n_columns * found["sigma2"]
        return found | {"explained_variance_ratio": along / total}

    def initial_theta(self, x: Floats) -> Floats:
        """Return the closed-form maximum, with a millionth of the mean variance as floor of sigma^2."""
        start = principal_start(x, self.n_latent)
        return self._maximum(*start, floor=1e-6 * max(start[2].mean(), np.finfo(float).tiny))
