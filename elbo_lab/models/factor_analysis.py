"""Factor analysis: x | z ~ N(W z + b, Psi), a noise variance for each column.

The maximum has no closed form (Rubin and Thayer 1982 find it by EM), but the fit does not depend on the units
of the columns, unlike that of principal components (Bishop 2006, section 12.2.4).

**How many factors the data can identify.** D columns with K factors have D K loadings and D noise variances,
less the K (K - 1) / 2 numbers of a rotation of the factors; the covariance has D (D + 1) / 2 numbers. There
are no more free parameters than numbers as long as

    (D - K)^2 >= D + K,   that is   K <= (2 D + 1 - sqrt(8 D + 1)) / 2

(Ledermann 1937). Above it whole families of loadings and noise variances give the same density: the
likelihood is meaningful, the loadings are not. Below it they are unique up to a rotation for almost all
parameters, not for all.

Helps: where columns differ in unit or noise. Fails: on constant columns, where the density is unbounded; and
above Ledermann's number of factors its loadings mean nothing.
"""

from dataclasses import dataclass

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.models.linear_gaussian import LinearGaussian, principal_start


def most_factors(n_columns: int) -> int:
    """Return the greatest K within the Ledermann bound of D columns, or 0."""
    return max((k for k in range(n_columns) if (n_columns - k) ** 2 >= n_columns + k), default=0)


@dataclass(frozen=True)
class FactorAnalysis(LinearGaussian):
    """Factor analysis: a noise scale per column. Constant columns make the density unbounded."""

    name = "factor-analysis"
    title = "factor analysis"
    synonyms = ("fa",)
    summary = "z ~ N(0, I), x | z ~ N(W z + b, Psi) with diagonal Psi"
    default_data = "digits:dequantised"
    natural_views = ("dequantised",)

    @property
    def _noise_shape(self) -> tuple[int, ...]:
        return (self.n_columns,)

    @property
    def cautions(self) -> tuple[str, ...]:
        """With more factors than the Ledermann bound the loadings are not identified."""
        most = most_factors(self.n_columns)
        if self.n_latent <= most:
            return ()
        factors = f"{self.n_latent} with {self.n_columns} columns"
        limit = f"above the Ledermann bound, K <= {most}; log p(x) is not affected"
        return (f"the loadings are not identified: K = {factors} is {limit}",)

    def described(self, theta: Floats) -> dict[str, Floats]:
        """Return W, b, sigma, sigma2, and 'uniquenesses' (D,), the shares of noise in the variances."""
        found = super().described(theta)
        return found | {"uniquenesses": found["sigma2"] / (found["sigma2"] + np.sum(found["W"] ** 2, axis=1))}

    def initial_theta(self, x: Floats) -> Floats:
        """Start from principal directions, with half of each column's variance as noise."""
        mean, directions, eigenvalues = principal_start(x, self.n_latent)
        scale = np.sqrt(0.5 * eigenvalues[: self.n_latent])
        log_sigma = 0.5 * np.log(np.maximum(0.5 * x.var(axis=0), np.finfo(float).tiny))
        return self.layout.pack({"W": directions * scale, "b": mean, "log_sigma": log_sigma})
