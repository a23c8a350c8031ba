"""Gaussian conditionals beside the linear one: fixed at N(0, I), and a linear form for each row of a table.

    standard-normal        x ~ N(0, I)                      no parents, no parameters
    conditional-gaussian   x ~ N(W_r u + b_r, diag s_r^2)   row r of the parents' categories, u of the others

The second makes a mixture of Gaussians when its category is hidden, and mixtures of regressions with more
parents (Lauritzen and Wermuth 1989, the conditional Gaussian distribution). Given all categories both are
linear-Gaussian, so that evidence and posterior have closed forms.

    with e = (x - mean) / s_r:   d/dW_r = (e / s_r) u^T,   d/db_r = e / s_r,   d/dlog s_r = e^2 - 1

Helps: where a category decides between regimes. Fails: when a regime has fewer rows than inputs: its variance
then vanishes and the density has no maximum; a floor under the variance keeps it away.
"""

from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from elbo_lab.arrays import Draws, Floats
from elbo_lab.errors import bad_value
from elbo_lab.layout import Layout
from elbo_lab.models.graphs.conditionals import Completed, Conditional, LinearForm, LogProb, Slopes, weighted
from elbo_lab.models.graphs.outputs import NormalOutput
from elbo_lab.models.graphs.predicted import in_natural_units, regress
from elbo_lab.models.graphs.variables import Values, Variable, folded, inputs_of, rows_of
from elbo_lab.special import LOG_2PI

NORMAL = NormalOutput()


@dataclass(frozen=True)
class StandardNormal(Conditional):
    """The prior of a deep model: N(0, I), without parameters."""

    name = "standard-normal"
    kind = "real"
    summary = "x ~ N(0, I)"

    def __post_init__(self) -> None:
        if self.parents:
            expected = f"no parents of the standard normal {self.variable.name!r}"
            raise bad_value(
                "parents", expected, repr(self.parents[0].name), "describe it with linear-gaussian"
            )

    @cached_property
    def layout(self) -> Layout:
        return Layout(())

    def linear_form(self, theta: Floats, values: Values) -> LinearForm:  # noqa: ARG002
        """Return zero means and log standard deviations."""
        n = self.variable.size
        return LinearForm(np.zeros((1, 1, n, 0)), np.zeros((1, 1, n)), np.zeros((1, 1, n)))

    def log_prob(self, theta: Floats, values: Values, weights: Floats | None = None) -> LogProb:
        """Return -|x|^2 / 2 - n log(2 pi) / 2, in the operations of `StandardNormalPrior`."""
        x = self.variable.batch(values[self.variable.name])

        def pullback(cotangent: Floats) -> Slopes:
            *_, S, N, _ = x.shape
            by_value = -x * cotangent[..., None] * (1.0 if weights is None else weights)
            return Slopes(np.zeros((*cotangent.shape[:-2], 0)), {}, folded(by_value, (S, N)))

        if weights is not None:
            return weighted(self.components(theta, values), weights), pullback
        return -0.5 * np.einsum("...k,...k->...", x, x) - 0.5 * self.variable.size * LOG_2PI, pullback

    def moments(self, theta: Floats, values: Values) -> tuple[Floats, Floats]:  # noqa: ARG002
        n = self.variable.size
        return np.zeros((1, 1, n)), np.ones((1, 1, n))

    def linear_form_vjp(self, values: Values, by_W: Floats, by_log_sigma: Floats) -> Floats:  # noqa: ARG002
        return np.zeros(0)

    def components(self, theta: Floats, values: Values) -> Floats:  # noqa: ARG002
        x = self.variable.batch(values[self.variable.name])
        return -0.5 * x * x - 0.5 * LOG_2PI

    def sample(self, theta: Floats, values: Values, n_data: int, rng: np.random.Generator) -> Draws:  # noqa: ARG002
        return rng.standard_normal((n_data, self.variable.size))

    def maximise(self, theta: Floats, rows: Completed, floor: float = 0.0) -> Floats:  # noqa: ARG002
        return theta

    def start(self, rng: np.random.Generator) -> Floats:  # noqa: ARG002
        return np.zeros(0)

    def described(self, theta: Floats) -> dict[str, Floats]:  # noqa: ARG002
        return {}


@dataclass(frozen=True)
class ConditionalGaussian(Conditional):
    """A linear-Gaussian conditional for every combination of the categories among the parents."""

    name = "conditional-gaussian"
    kind = "real"
    summary = "x ~ N(W_r u + b_r, diag sigma_r^2), row r chosen by the categories"

    @cached_property
    def choosing(self) -> tuple[Variable, ...]:
        """The categories, which choose the row."""
        return tuple(parent for parent in self.parents if parent.kind == "category")

    @property
    def entering(self) -> tuple[Variable, ...]:
        """The other parents, which enter the linear form."""
        return tuple(parent for parent in self.parents if parent.kind != "category")

    @cached_property
    def layout(self) -> Layout:
        lead = tuple(parent.size for parent in self.choosing)
        n, n_in = self.variable.size, sum(parent.size for parent in self.entering)
        return Layout((("W", (*lead, n, n_in)), ("b", (*lead, n)), ("log_sigma", (*lead, n))))

    def _by_row(self, theta: Floats) -> tuple[Floats, Floats, Floats]:
        """Return views W (R, n, I), b (R, n), log_sigma (R, n)."""
        n, n_rows = self.variable.size, prod(parent.size for parent in self.choosing)
        t = self.layout.views(theta)
        return (
            t["W"].reshape(n_rows, n, t["W"].shape[-1]),
            t["b"].reshape(-1, n),
            t["log_sigma"].reshape(-1, n),
        )

    def linear_form(self, theta: Floats, values: Values) -> LinearForm:
        """Return W, b and log_sigma of the rows that the values choose (..., S, N)."""
        row = rows_of(self.choosing, values)
        return LinearForm(*(part[row] for part in self._by_row(theta)))

    def linear_form_vjp(self, values: Values, by_W: Floats, by_log_sigma: Floats) -> Floats:
        row = np.broadcast_to(rows_of(self.choosing, values)[0], (len(by_W),))
        gradient = np.zeros(self.layout.size)
        W, _, log_sigma = self._by_row(gradient)
        np.add.at(W, row, by_W)
        np.add.at(log_sigma, row, by_log_sigma)
        return gradient

    def moments(self, theta: Floats, values: Values) -> tuple[Floats, Floats]:
        _, form, mean = self._moments(theta, values)
        return mean, np.exp(form.log_sigma)

    def _moments(self, theta: Floats, values: Values) -> tuple[Floats, LinearForm, Floats]:
        """Return inputs u (..., S, N, I), the linear form, and means (..., S, N, n)."""
        u, form = inputs_of(self.entering, values), self.linear_form(theta, values)
        return u, form, np.einsum("...ni,...i->...n", form.W, u) + form.b

    def log_prob(self, theta: Floats, values: Values, weights: Floats | None = None) -> LogProb:
        u, form, mean = self._moments(theta, values)
        x = values[self.variable.name]
        row = rows_of(self.choosing, values)
        n_rows = len(self._by_row(theta)[1])
        factors = np.ones(1) if weights is None else weights

        def pullback(cotangent: Floats) -> Slopes:
            slopes = NORMAL.slopes(mean, form.log_sigma, x)
            by_component = cotangent[..., None] * factors
            by_mean = by_component * slopes.outputs
            by_u = np.einsum("...n,...ni->...i", by_mean, form.W)
            lead, batch = cotangent.shape[:-2], cotangent.shape[-2:]
            rows = np.broadcast_to(row, (*row.shape[:-2], *batch))
            hit = (rows[..., None] == np.arange(n_rows)).astype(np.float64)
            inputs = np.broadcast_to(u, (*u.shape[:-3], *batch, u.shape[-1]))
            assert slopes.extra is not None, "the normal output has a sigma"
            by_log_sigma = by_component * slopes.extra
            grads = {
                "W": np.einsum("...snr,...snd,...sni->...rdi", hit, by_mean, inputs),
                "b": np.einsum("...snr,...snd->...rd", hit, by_mean),
                "log_sigma": np.einsum("...snr,...snd->...rd", hit, by_log_sigma),
            }
            shapes = dict(self.layout.entries)
            packed = self.layout.pack({key: g.reshape(*lead, *shapes[key]) for key, g in grads.items()}, lead)
            parents, start = {}, 0
            for parent in self.entering:
                *_, S, N, _ = parent.batch(values[parent.name]).shape
                parents[parent.name] = folded(by_u[..., start : start + parent.size], (S, N))
                start += parent.size
            *_, S, N, _ = self.variable.batch(x).shape
            return Slopes(packed, parents, folded(-by_mean, (S, N)))

        components = NORMAL.components(mean, form.log_sigma, x)
        return weighted(components, factors), pullback

    def components(self, theta: Floats, values: Values) -> Floats:
        _, form, mean = self._moments(theta, values)
        return NORMAL.components(mean, form.log_sigma, values[self.variable.name])

    def sample(self, theta: Floats, values: Values, n_data: int, rng: np.random.Generator) -> Draws:
        _, form, mean = self._moments(theta, values)
        shape = (n_data, self.variable.size)
        return NORMAL.sample(np.broadcast_to(mean[0], shape), np.broadcast_to(form.log_sigma[0], shape), rng)

    def maximise(self, theta: Floats, rows: Completed, floor: float = 0.0) -> Floats:
        x = rows.values[self.variable.name]
        u = inputs_of(self.entering, rows.values)[0]
        u = np.broadcast_to(u, (len(x), u.shape[-1]))
        row = np.broadcast_to(rows_of(self.choosing, rows.values)[0], (len(x),))
        theta = theta.copy()
        for r, views in enumerate(zip(*self._by_row(theta), strict=True)):
            here = row == r
            if here.any():
                covariance = None if rows.covariance is None else rows.covariance[here]
                own = Completed({}, rows.weights[here], covariance)
                t = dict(zip(("W", "b", "log_sigma"), views, strict=True))
                regress(t, own, u[here], x[here], floor, self.variable.name)
        return theta

    def start(self, rng: np.random.Generator) -> Floats:
        """Return random biases, so that the rows of a hidden category differ."""
        shape = dict(self.layout.entries)["b"]
        return self.layout.pack({"b": rng.standard_normal(shape)})

    def described(self, theta: Floats) -> dict[str, Floats]:
        return in_natural_units(self.layout.views(theta))
