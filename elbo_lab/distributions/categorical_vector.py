"""K independent categories: q(z; l) = prod_k softmax(l_k)[z_k], each z_k one of 0..C-1.

The categorical of `categorical` K times. Sampling inverts each distribution function, with one uniform per
variable. K variables of C categories have C^K joint values, and only K C parameters: a code of several
symbols, as in a categorical variational autoencoder (Jang et al. 2017, section 4).

    log q(z) = sum_k log softmax(l_k)[z_k],   d log q / d l_kc = [z_k = c] - softmax(l_k)[c]

z is piecewise constant in the logits: no pathwise gradient. Expectations are exact by a sum over all C^K
values, which is feasible while they are some ten thousand; a relaxation has K points on simplices instead.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from elbo_lab.arrays import Draws, Floats, Integers
from elbo_lab.distributions.base import Family, count_of_values
from elbo_lab.distributions.categorical import Categorical
from elbo_lab.distributions.noise import NoiseSpec
from elbo_lab.errors import NotApplicable, Reason, check_count
from elbo_lab.layout import Layout
from elbo_lab.special import log_softmax, softmax

# Up to this number all values are listed.
MOST_VALUES = 2**16


@dataclass(frozen=True)
class CategoricalVector(Family):
    """Independent categoricals; eta = logits (K, C), flattened.

    The logits are unconstrained and redundant (adding a constant to those of one variable changes nothing).

    Parameters
    ----------
    size : int
        K, the number of variables.
    n_categories : int
        C, the categories of each.
    """

    size: int
    n_categories: int = 4
    name = "categorical-vector"
    title = "vector of categoricals"
    synonyms = ("independent-categoricals",)
    discrete = True
    has_slope = False
    event_axes = 1

    def __post_init__(self) -> None:
        check_count("latent", self.size)
        check_count("categories", self.n_categories, maximum=MOST_VALUES)

    @property
    def support(self) -> tuple[float, float]:
        return 0.0, self.n_categories - 1.0

    @property
    def eta_size(self) -> int:
        return self.size * self.n_categories

    @cached_property
    def eta_layout(self) -> Layout:
        return Layout((("logits", (self.size, self.n_categories)),))

    @cached_property
    def one(self) -> Categorical:
        """The family of one variable."""
        return Categorical(self.n_categories)

    def blocks(self, eta: Floats) -> Floats:
        """Return a row of each variable (..., K, C) of what has all categories in one (..., K C)."""
        return eta.reshape(*eta.shape[:-1], self.size, self.n_categories)

    def _joined(self, blocks: Floats) -> Floats:
        return blocks.reshape(*blocks.shape[:-2], self.eta_size)

    def noise_spec(self, n_draws: int, n_data: int) -> NoiseSpec:
        return NoiseSpec("uniform", (n_draws, n_data, self.size))

    def sample(self, eta: Floats, noise: Floats) -> Integers:
        """Return z (..., S, N, K), integers in 0..C-1."""
        return self.one.sample(self.blocks(eta), noise)

    @property
    def n_values(self) -> float:
        return count_of_values(self.n_categories, self.size)

    def values(self) -> Integers:
        """Return all rows (C^K, K), the last variable changing fastest."""
        if self.n_values > MOST_VALUES:
            text = f"{self.n_categories}^{self.size} values are too many to list: at most {MOST_VALUES:,}"
            raise NotApplicable(text, Reason.TOO_MANY_VALUES)
        shape = (self.n_categories,) * self.size
        return np.stack(np.unravel_index(np.arange(math.prod(shape)), shape), axis=-1)

    def one_hot(self, z: Draws) -> Floats:
        """Return the indicators [z_k = c] as floats (..., S, N, K C)."""
        return self._joined((z[..., None] == np.arange(self.n_categories)).astype(np.float64))

    def log_table(self, eta: Floats) -> Floats:
        """Return log p_kc (N, K C)."""
        return self._joined(log_softmax(self.blocks(eta), axis=-1))

    def _probabilities(self, eta: Floats) -> Floats:
        return self._joined(softmax(self.blocks(eta), axis=-1))

    def log_prob(self, eta: Floats, z: Integers) -> Floats:
        """Return sum_k log softmax(l_k)[z_k] (..., S, N)."""
        table = self.blocks(self.log_table(eta))
        rows = np.arange(len(table))[:, None]
        return table[rows, np.arange(self.size), z].sum(axis=-1)

    def score(self, eta: Floats, z: Integers) -> Floats:
        """Return [z_k = c] - p_kc (..., S, N, K C)."""
        return self.one_hot(z) - self._probabilities(eta)

    def log_prob_vjp(self, eta: Floats, z: Integers, cotangent: Floats) -> Floats:
        indicators = self.one_hot(z)
        if z.shape[-2] == 1:  # one draw for all data
            by_category = np.swapaxes(cotangent, -1, -2) @ indicators[..., 0, :]
        else:
            by_category = np.einsum("...sn,...snk->...nk", cotangent, indicators)
        return by_category - cotangent.sum(axis=-2)[..., None] * self._probabilities(eta)

    def moments(self, eta: Floats) -> tuple[Floats, Floats]:
        """Return p_kc and sqrt(p_kc (1 - p_kc)) (N, K C), of the indicators."""
        p = self._probabilities(eta)
        return p, np.sqrt(p * (1.0 - p))

    def entropy(self, eta: Floats) -> Floats:
        """Return the sum of the entropies of the variables."""
        return self.one.entropy(self.blocks(eta)).sum(axis=-1)

    def entropy_grad(self, eta: Floats) -> Floats:
        return self._joined(self.one.entropy_grad(self.blocks(eta)))

    def kl(self, eta: Floats, other: Floats) -> Floats:
        """Return the sum of the divergences of the variables."""
        return self.one.kl(self.blocks(eta), self.blocks(other)).sum(axis=-1)

    def kl_grad(self, eta: Floats, other: Floats) -> tuple[Floats, Floats]:
        first, second = self.one.kl_grad(self.blocks(eta), self.blocks(other))
        return self._joined(first), self._joined(second)

    def near(self, eta: Floats) -> Floats:
        """Return the logits times one half, centred for each variable."""
        return self._joined(self.one.near(self.blocks(eta)))
