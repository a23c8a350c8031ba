"""z ~ N(0, I), and whole numbers x given z: counts without a limit, or values 0 ... C - 1 of each column.

    Poisson:      log p(x | z) = sum_d [x_d l_d - exp(l_d) - log x_d!],   d/dl = x - exp(l)
    categorical:  log p(x | z) = sum_d [l_{x_d, d} - log sum_c exp(l_{c, d})],
                  d/dl_{c, d} = [x_d = c] - p_{c, d}

(Bishop 2006, section 4.3.6: logarithm and logits are the canonical links, so that a slope is always the data
less their mean.) The decoder gives a log rate l_d for every column, or C logits: those of the value 0 for all
columns first.

These are probabilities and not densities: log p(x | z) <= 0, no floor is needed, and the values of different
models of the same counts can be compared. Of dequantised grey values a density gives a lower bound on them
(Theis, van den Oord and Bethge 2016, section 3.1).

Helps: `Poisson` for counts whose variance grows with their mean; `categorical` for any distribution over few
values, also one of several peaks, as grey values at an edge have (van den Oord, Kalchbrenner and Kavukcuoglu
2016, section 3.1). Fails: a Poisson rate makes the variance equal to the mean, which grey values do not have;
C logits for every column do not know that 3 is near 4, and need data to learn it.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions.special_functions import gammaln
from elbo_lab.errors import BadColumn, bad_value
from elbo_lab.models.deep import DeepModel, Observation
from elbo_lab.special import log_sum_exp, softmax

# The most values of a column: as many as a grey value of eight bits has.
MOST_VALUES = 256


def refuse_others(x: Floats, wrong: Floats, argument: str, expected: str) -> Floats:
    """Return x (N, D), or raise ValueError with the first entry that is wrong (N, D)."""
    places = np.argwhere(wrong)
    if len(places):
        n, d = places[0]
        remedy = "rows count from 0; take counts (for digits: digits:raw), or fit deep-gaussian"
        raise BadColumn(argument, expected, f"{x[n, d]:g} at row {n},", int(d), remedy)
    return x


@dataclass(frozen=True)
class DeepPoisson(DeepModel):
    """Decoder for the log rates of independent counts."""

    name = "deep-poisson"
    title = "Poisson VAE"
    summary = "z ~ N(0, I), x | z ~ Poisson(exp(MLP(z)))"
    default_data = "digits:raw"
    natural_views = ("raw",)
    compared = False

    def check_support(self, x: Floats, argument: str = "data") -> Floats:
        """Refuse anything but whole numbers from 0."""
        x = super().check_support(x, argument)
        return refuse_others(x, (x < 0) | (x % 1 != 0), argument, f"whole numbers from 0 for {self.name}")

    def observe(self, extra: Floats, outputs: Floats, x: Floats) -> Observation:
        value = self.inner(x, outputs) - np.exp(outputs).sum(axis=-1) - gammaln(x + 1.0).sum(axis=-1)
        return value, lambda: self.observe_slopes(extra, outputs, x), self.no_extra_vjp

    def observe_slopes(self, extra: Floats, outputs: Floats, x: Floats) -> Floats:  # noqa: ARG002
        return x - np.exp(outputs)

    def observe_sample(self, extra: Floats, outputs: Floats, rng: np.random.Generator) -> Floats:  # noqa: ARG002
        return rng.poisson(np.exp(outputs)).astype(np.float64)

    def observe_mean(self, outputs: Floats) -> Floats:
        """Return the rates."""
        return np.exp(outputs)

    def output_bias(self, x: Floats) -> Floats:
        """Return the logarithms of the column means, half a count added to each sum."""
        return np.log((x.sum(axis=0) + 0.5) / len(x))


@dataclass(frozen=True)
class DeepCategorical(DeepModel):
    """Decoder for the logits of independent categories.

    Parameters
    ----------
    n_values : int
        C, the same for all columns.

    Raises
    ------
    ValueError
        If there are fewer than two values, or more than 256.
    """

    n_values: int = 2
    name = "deep-categorical"
    title = "categorical VAE of pixels"
    summary = "z ~ N(0, I), x_d | z ~ Categorical(softmax(MLP(z)_d)) over 0 ... C - 1"
    default_data = "digits:raw"
    natural_views = ("raw",)
    compared = False

    def __post_init__(self) -> None:
        if not 2 <= self.n_values <= MOST_VALUES:
            expected = f"2 to {MOST_VALUES} whole numbers from 0 on for {self.name}"
            raise bad_value("data", expected, f"{self.n_values} values")
        super().__post_init__()

    @classmethod
    def for_data(cls, x: Floats, variant: str | None = None, latent: int | None = None) -> Self:
        return replace(super().for_data(x, variant, latent), n_values=max(2, int(np.max(x)) + 1))

    @property
    def n_outputs(self) -> int:
        return self.n_values * self.n_columns

    @property
    def row_width(self) -> int:
        return super().row_width + self.n_outputs

    def check_support(self, x: Floats, argument: str = "data") -> Floats:
        """Refuse anything but whole numbers from 0 to C - 1."""
        x = super().check_support(x, argument)
        expected = f"whole numbers from 0 to {self.n_values - 1} for this {self.name}"
        return refuse_others(x, (x < 0) | (x >= self.n_values) | (x % 1 != 0), argument, expected)

    def _by_value(self, outputs: Floats) -> Floats:
        """Return the logits (..., C, D)."""
        return outputs.reshape(*outputs.shape[:-1], self.n_values, self.n_columns)

    def _indicators(self, x: Floats) -> Floats:
        """Return [x_d = c] (N, C D), in the order of the outputs."""
        return (x[:, None, :] == np.arange(self.n_values)[:, None]).reshape(len(x), -1).astype(x.dtype)

    def observe(self, extra: Floats, outputs: Floats, x: Floats) -> Observation:
        constants = log_sum_exp(self._by_value(outputs), axis=-2).sum(axis=-1)
        value = self.inner(self._indicators(x), outputs) - constants
        return value, lambda: self.observe_slopes(extra, outputs, x), self.no_extra_vjp

    def observe_slopes(self, extra: Floats, outputs: Floats, x: Floats) -> Floats:  # noqa: ARG002
        return self._indicators(x) - softmax(self._by_value(outputs), axis=-2).reshape(outputs.shape)

    def observe_sample(self, extra: Floats, outputs: Floats, rng: np.random.Generator) -> Floats:  # noqa: ARG002
        below = np.cumsum(softmax(self._by_value(outputs), axis=-2), axis=-2)[..., :-1, :]
        u = rng.random((*outputs.shape[:-1], 1, self.n_columns))
        return (u >= below).sum(axis=-2).astype(np.float64)

    def observe_mean(self, outputs: Floats) -> Floats:
        """Return the means of the values."""
        values = np.arange(self.n_values, dtype=outputs.dtype)
        return np.einsum("c,...cd->...d", values, softmax(self._by_value(outputs), axis=-2))

    def output_bias(self, x: Floats) -> Floats:
        """Return the log frequencies of the values, half a count added to each."""
        counts = self._indicators(x).sum(axis=0)
        return np.log((counts + 0.5) / (len(x) + 0.5 * self.n_values))
