"""Logistic: the distribution function is the sigmoid, F(z; m, s) = sigmoid((z - m) / s).

z = m + s (log u - log(1 - u)). The difference of two Gumbel variables of equal scale is logistic, which is
why relaxed binary latents use it. Tails fall like exp(-|z| / s), slower than a Gaussian's. KL between two
members of different scales has no closed form.

Source: N. Balakrishnan (ed.), "Handbook of the Logistic Distribution" (1992), chapter 1.
"""

from dataclasses import dataclass

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions.location_scale import LocationScale


@dataclass(frozen=True)
class Logistic(LocationScale):
    """Logistic over K coordinates; eta = (location (K,), log scale (K,)).

    Parameters
    ----------
    size : int
        K, the number of latent dimensions.
    """

    size: int
    name = "logistic"
    closed_kl = False

    def standard_quantile(self, lower: Floats, upper: Floats) -> Floats:
        return np.log(lower) - np.log(upper)

    def standard_log_density(self, u: Floats) -> Floats:
        """Return log sigmoid(u) sigmoid(-u), which is even in u."""
        return -np.abs(u) - 2.0 * np.log1p(np.exp(-np.abs(u)))

    def standard_slope(self, u: Floats) -> Floats:
        return -np.tanh(0.5 * u)

    def standard_deviation(self) -> tuple[float, tuple[Floats, ...]]:
        return float(np.pi / np.sqrt(3.0)), ()

    def standard_entropy(self) -> Floats | float:
        return 2.0
