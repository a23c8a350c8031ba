"""Factor analysis: x | z ~ N(W z + b, Psi), a noise variance for each column.

No closed form for the maximum (Rubin and Thayer 1982 climb it by EM), but nothing changes when a column
changes its unit, as it does for principal components (Bishop 2006, section 12.2.4).
"""

from dataclasses import dataclass

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.models.base import refuse_constant
from elbo_lab.models.linear_gaussian import LinearGaussian, principal_start


@dataclass(frozen=True)
class FactorAnalysis(LinearGaussian):
    """Factor analysis: a noise scale per column. Constant columns make the density unbounded."""

    name = "factor-analysis"
    summary = "z ~ N(0, I), x | z ~ N(W z + b, Psi) with diagonal Psi"
    default_data = "digits:dequantised"
    natural_views = ("dequantised",)

    @property
    def _noise_shape(self) -> tuple[int, ...]:
        return (self.n_columns,)

    def check_data(self, x: Floats, argument: str = "data") -> Floats:
        """Refuse constant columns, each of which has a noise scale of its own."""
        return refuse_constant(super().check_data(x, argument), argument, self.label, every_column=True)

    def initial_theta(self, x: Floats) -> Floats:
        """Start from principal directions, with half of each column's variance as noise."""
        mean, directions, eigenvalues = principal_start(x, self.n_latent)
        scale = np.sqrt(0.5 * eigenvalues[: self.n_latent])
        return self.layout.pack(
            {
                "W": directions * scale,
                "b": mean,
                "log_sigma": 0.5 * np.log(np.maximum(0.5 * x.var(axis=0), np.finfo(float).tiny)),
            }
        )
