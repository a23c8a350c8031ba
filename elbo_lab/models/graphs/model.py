"""A graph as a model of the lab: which of its variables are z, and what is x.

In general a graph has no single z: every row may miss other cells, and the hidden variables may be of several
kinds. Two cases meet the contract of a `Model`, and this class is both:

**Hidden cells anywhere** (`latent` empty): x is a table of all variables in which nan is a missing cell. z is
nothing (one category of probability one). log p(x) is the exact evidence of the observed cells
(`exact.graphs`), which is all that `fit` needs: EM, and ascent of log p.

**The same hidden variables in every row** (`latent` names them), all of one kind: one category, bits, or
reals. They are z, with the family of that kind, and every estimator applies. No arrow may lead from an
observed variable to a hidden one. The prior is p(z) where the hidden variables have no parents. One with
hidden parents has the reference p_0 = fair bits or N(0, 1) as its part of the prior, and log p - log p_0 is
added to the likelihood: log p(x, z) is that of the graph, and only its split into two terms is a convention.

Without a description the graph is that of latent classes: one hidden category is the parent of all columns,
which are then independent given the class.

Sources: J. Pearl, "Probabilistic Reasoning in Intelligent Systems" (1988), section 3.2; D. B. Rubin,
"Inference and missing data", Biometrika 63 (1976), for what "missing at random" asks.

Helps: where it is known which variables act on which, and cells are missing. Fails: where the graph is wrong:
no fit says so; compare held-out log p with that of other graphs.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from elbo_lab.arrays import Draws, Floats
from elbo_lab.distributions import Categorical, DiagonalGaussian, Family, IndependentBernoulli
from elbo_lab.errors import NotApplicable, bad_value, check_count, unknown_name
from elbo_lab.files import StrPath
from elbo_lab.layout import Layout
from elbo_lab.models.base import Model, Pullback, RelaxedPullback
from elbo_lab.models.graphs.description import Parameters, description, graph_of, read_graph
from elbo_lab.models.graphs.gaussian import StandardNormal
from elbo_lab.models.graphs.net import BayesNet, Node
from elbo_lab.models.graphs.predicted import LinearGaussian, Logistic
from elbo_lab.models.graphs.table import Table
from elbo_lab.models.graphs.variables import Variable, folded
from elbo_lab.special import LOG_2PI

# Share of a uniform distribution in the tables of a start: EM never leaves a probability of zero.
BLURRED = 0.1
# Least variance of a start, relative to the largest mean variance of a real variable.
START_FLOOR = 1e-3


@dataclass(frozen=True)
class GraphModel(Model):
    """A directed graph, with missing cells anywhere, or with the same hidden variables in every row.

    Parameters
    ----------
    description : str
        The graph as JSON, as in a file that `read_graph` reads, with or without parameters.
    latent : tuple of str
        Variables that are z in every row; none if cells may be missing anywhere.
    """

    description: str
    latent: tuple[str, ...] = ()
    name = "bayes-net"
    title = "directed graphical model"
    synonyms = ("bayesian-network", "graphical-model", "dag")
    summary = "p(v) = prod_m p(v_m | parents of m), any cells hidden"
    default_data = "faithful"
    default_latent = 2
    natural_views = ("binary", "dequantised")
    compared = False
    allows_missing = True

    def __post_init__(self) -> None:
        for name in self.latent:
            if name not in self.net.parents:
                raise unknown_name("latent", name, list(self.net.parents), ", ".join(self.net.parents))
            for parent in self.net.parents[name]:
                if parent not in self.latent:
                    expected = f"no observed parent of the hidden {name!r}"
                    raise bad_value("latent", expected, repr(parent), "leave latent empty")
        kinds = {variable.kind for variable in self.hidden_variables}
        if len(kinds) > 1 or (kinds == {"category"} and len(self.latent) > 1):
            expected = "one category, or only bits, or only reals, as z"
            raise bad_value("latent", expected, ", ".join(self.latent), "leave latent empty")

    @classmethod
    def of(cls, net: BayesNet, theta: Floats | None = None, latent: tuple[str, ...] = ()) -> Self:
        """Return the model of a graph; with theta (P,) its start has these parameters."""
        return cls(json.dumps(description(net, theta)), latent)

    @classmethod
    def read(cls, path: StrPath) -> Self:
        """Return the model of a graph in a JSON file, or raise in one line."""
        net, parameters = read_graph(path)
        described = description(net)
        for name, own in parameters.items():
            described["variables"][name]["parameters"] = own
        return cls(json.dumps(described))

    @classmethod
    def for_data(cls, x: Floats, variant: str | None = None, latent: int | None = None) -> Self:  # noqa: ARG003
        """Return the graph of latent classes for columns of bits, or of real numbers."""
        n_classes = check_count("latent", cls.default_latent if latent is None else latent)
        kind = "logistic" if np.isin(x, (0.0, 1.0)).all() else "conditional-gaussian"
        net = BayesNet(
            (Node("class", "table", states=n_classes), Node("x", kind, ("class",), size=x.shape[1]))
        )
        return cls.of(net, latent=("class",))

    @cached_property
    def _described(self) -> tuple[BayesNet, Parameters]:
        return graph_of(json.loads(self.description))

    @property
    def net(self) -> BayesNet:
        """The graph."""
        return self._described[0]

    @cached_property
    def layout(self) -> Layout:
        return self.net.layout

    @cached_property
    def observed(self) -> tuple[str, ...]:
        """The variables that are x, in the order of the graph."""
        return tuple(name for name in self.net.variables if name not in self.latent)

    @property
    def hidden_variables(self) -> tuple[Variable, ...]:
        """The variables that are z."""
        return tuple(self.net.variables[name] for name in self.latent)

    @cached_property
    def n_columns(self) -> int:
        return sum(self.net.variables[name].n_components for name in self.observed)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of x."""
        return tuple(column for name in self.observed for column in self.net.variables[name].columns)

    @property
    def states(self) -> dict[str, tuple[str, ...]]:
        """Names of the states of the categories that have some."""
        return {name: self.net.variables[name].states for name in self.observed}

    @cached_property
    def family(self) -> Family:
        if not self.latent:
            return Categorical(1)
        size, kind = sum(variable.size for variable in self.hidden_variables), self.hidden_variables[0].kind
        if kind == "category":
            return Categorical(size)
        return IndependentBernoulli(size) if kind == "bits" else DiagonalGaussian(size)

    # -- tables -----------------------------------------------------------------------------------

    @cached_property
    def _where(self) -> list[int]:
        """Places of the columns of x in a table of all variables."""
        columns = range(len(self.net.columns))
        return [i for name in self.observed for i in columns[self.net.places[name]]]

    def table(self, x: Floats) -> Floats:
        """Return x (N, D) as a table of all variables (N, D + K), nan where z belongs."""
        if not self.latent:
            return x
        table = np.full((len(x), len(self.net.columns)), np.nan)
        table[:, self._where] = x
        return table

    def check_support(self, x: Floats, argument: str = "data") -> Floats:
        """Return x as floats, nan where a cell is missing, or refuse states that there are not."""
        x = np.asarray(x)
        if x.ndim == 2 and x.shape[1] == self.n_columns and x.dtype.kind in "biuf":
            return self.net.check_table(self.table(x), argument)[:, self._where]
        return super().check_support(x, argument)

    def check_data(self, x: Floats, argument: str = "data") -> Floats:
        """Return x as `check_support` does; a column without any value is a hidden variable."""
        return self.check_support(x, argument)

    # -- p(z) p(x | z) ----------------------------------------------------------------------------

    def _own_eta(self, name: str) -> str | None:
        """Return the parameter that is eta of a hidden variable without parents, None for a reference."""
        conditional = self.net.conditionals[name]
        if conditional.parents or isinstance(conditional, StandardNormal):
            return None
        return {Table: "logits", Logistic: "b", LinearGaussian: "b"}.get(type(conditional))

    def _eta_pairs(self) -> list[tuple[str, slice]]:
        """Return [(name of a block of theta, its place in eta)]."""
        pairs, start, total = [], 0, self.family.size
        for name, variable in zip(self.latent, self.hidden_variables, strict=True):
            own = self._own_eta(name)
            if own is not None:
                pairs.append((f"{name}.{own}", slice(start, start + variable.size)))
                if variable.kind == "real":
                    place = slice(total + start, total + start + variable.size)
                    pairs.append((f"{name}.log_sigma", place))
            start += variable.size
        return pairs

    def prior_eta(self, theta: Floats) -> Floats:
        """Return eta of the hidden variables without parents, and zeros: the reference of the others."""
        eta = np.zeros((1, self.family.eta_size), theta.dtype)
        for block, place in self._eta_pairs():
            eta[0, place] = self.layout.view(theta, block)
        return eta

    def prior_eta_vjp(self, theta: Floats, grad_eta: Floats) -> Floats:  # noqa: ARG002 - the map is linear
        grads = {block: grad_eta[..., place] for block, place in self._eta_pairs()}
        return self.layout.pack(grads, grad_eta.shape[:-1])

    def likelihood(self, theta: Floats, x: Floats, z: Draws) -> tuple[Floats, Pullback]:
        """Return log p of the observed variables, and of hidden ones with parents less their reference.

        Raises
        ------
        ValueError
            If a cell is missing: the evidence of such rows is that of `exact.graphs`.
        """
        if np.isnan(x).any():
            raise bad_value("x", "no missing cells for draws of z", "nan", "use exact.graphs.log_evidence")
        values = self._values(x, z)
        inner = [name for name in self.latent if self.net.parents[name]]
        names = [name for name in self.net.order if name in self.observed or name in inner]
        value, back = self.net.joint(theta.astype(np.float64), values, names=names)
        for name in inner:
            value = value - _reference(self.net.variables[name], values[name])
        batch = np.broadcast_shapes(value.shape, z.shape[: z.ndim - self.family.event_axes], (len(x),))

        def pullback(cotangent: Floats) -> tuple[Floats, Floats | None]:
            grad_theta, grads = back(cotangent.astype(np.float64), self.latent)
            if not self.family.event_axes:
                return grad_theta, None
            for name in inner:
                if self.net.variables[name].kind == "real":
                    *_, S, N, _ = values[name].shape
                    grads[name] = grads[name] + folded(cotangent[..., None] * values[name], (S, N))
            shape = (*cotangent.shape[:-2], *z.shape[-3:-1])
            parts = [
                np.broadcast_to(grads.get(one.name, np.zeros(1)), (*shape, one.size))
                for one in self.hidden_variables
            ]
            return grad_theta, np.concatenate(parts, axis=-1)

        return np.broadcast_to(value, batch), pullback

    @property
    def relaxes(self) -> bool:
        """Whether z is one category."""
        return not self.family.event_axes

    def relaxed_likelihood(self, theta: Floats, x: Floats, y: Floats) -> tuple[Floats, RelaxedPullback]:
        """Return sum_c y_c log p(x | z = c), which is log p(x | z) where y (..., S, N, C) indicates z."""
        states = np.repeat(np.arange(self.family.size)[:, None], len(x), axis=1)
        by_state, back = self.likelihood(theta, x, states)
        table = by_state.T

        def pullback(cotangent: Floats) -> tuple[Floats, Floats]:
            shares = np.moveaxis((cotangent[..., None] * y).sum(axis=-3), -1, -2)
            return back(shares)[0], cotangent[..., None] * table

        return (y * table).sum(axis=-1), pullback

    def _values(self, x: Floats, z: Draws) -> dict[str, NDArray[Any]]:
        """Return the values of all variables."""
        values: dict[str, NDArray[Any]] = {}
        start = 0
        for name in self.observed:
            variable = self.net.variables[name]
            values[name] = variable.of_columns(x[:, start : start + variable.n_components])
            start += variable.n_components
        start = 0
        for variable in self.hidden_variables:
            category = variable.kind == "category"
            values[variable.name] = z if category else z[..., start : start + variable.size].astype(float)
            start += variable.size
        return values

    # -- draws and starts -------------------------------------------------------------------------

    def sample(self, theta: Floats, n_data: int, rng: np.random.Generator) -> tuple[Floats, Draws]:
        """Draw (x (N, D), z) from the graph, parents first."""
        values = self.net.sample(theta, n_data, rng)
        x = self.net.table_of(values)[:, self._where]
        if not self.latent:
            return x, np.zeros(n_data, np.intp)
        if not self.family.event_axes:
            return x, values[self.latent[0]]
        return x, np.concatenate([values[name] for name in self.latent], axis=1)

    def sample_x(self, theta: Floats, z: Draws, rng: np.random.Generator) -> Floats:
        values = self._values(np.zeros((len(z), self.n_columns)), z)
        for name in self.net.order:
            if name in self.observed:
                own = theta[self.net.parts[name]]
                values[name] = self.net.conditionals[name].sample(own, values, len(z), rng)
        return self.net.table_of(values)[:, self._where]

    def initial_theta(self, x: Floats) -> Floats:
        """`random_theta` from a fixed seed."""
        return self.random_theta(x, np.random.default_rng(0))

    def random_theta(self, x: Floats, rng: np.random.Generator) -> Floats:
        """Return the parameters of the description, and for other variables what random completions give.

        A missing cell is completed by one that was observed in its column, a column without any by random
        values; conditionals with a formula are fitted to these rows, and tables are blurred.
        """
        net, parameters = self._described
        table, start = self.table(x).copy(), net.start(rng)
        for name, variable in net.variables.items():
            for i in range(len(net.columns))[net.places[name]]:
                gaps = np.isnan(table[:, i])
                seen = table[~gaps, i]
                if variable.kind == "real":
                    pool = seen if len(seen) else rng.standard_normal(len(table))
                else:
                    n_states = variable.size if variable.kind == "category" else 2
                    pool = seen if len(seen) else np.arange(n_states, dtype=np.float64)
                table[gaps, i] = rng.choice(pool, gaps.sum())
        reals = [net.places[name] for name, one in net.variables.items() if one.kind == "real"]
        spread = max((float(table[:, place].var(axis=0).mean()) for place in reals), default=1.0)
        start = net.fit_formulas(start, net.values_of(table), floor=START_FLOOR * (spread or 1.0))
        for name, conditional in net.conditionals.items():
            if isinstance(conditional, Table):
                own = net.parts[name]
                p = conditional.described(start[own])["probabilities"].ravel()
                start[own] = np.log((1.0 - BLURRED) * p + BLURRED / conditional.variable.size)
        return net.theta(parameters, start)

    @property
    def closed_form_maximum(self) -> bool:
        """Whether counts and least squares are all that complete rows need."""
        return not self.latent and all(one.closed_form for one in self.net.conditionals.values())

    def maximum_likelihood(self, x: Floats) -> Floats:
        """Return the maximum for complete rows, each conditional by itself: counts, and least squares.

        A row of a table that no datum has seen is uniform, or as the graph describes it.
        """
        if not self.closed_form_maximum:
            return super().maximum_likelihood(x)
        x = self.check_data(x)
        n_missing = int(np.isnan(x).sum())
        if n_missing:
            expected = "complete rows for a formula"
            raise bad_value("data", expected, f"missing cells ({n_missing})", "use method em")
        net, parameters = self._described
        return net.fit_formulas(net.theta(parameters, np.zeros(net.layout.size)), net.values_of(x))

    def described(self, theta: Floats) -> dict[str, Floats]:
        """Return {'rain.probabilities': ..., 'x.sigma': ...}."""
        named: Mapping[str, dict[str, Floats]] = self.net.described(theta)
        return {
            f"{name}.{key}": array for name, own in named.items() for key, array in own.items() if array.size
        }

    @property
    def cautions(self) -> tuple[str, ...]:
        categories = [one.name for one in self.hidden_variables if one.kind == "category"]
        if categories:
            return (f"the states of the hidden {categories[0]!r} may be permuted without any change in p(x)",)
        return ()


def _reference(variable: Variable, z: NDArray[Any]) -> Floats:
    """Return log p_0 of a hidden variable with parents (..., S, N): fair bits or N(0, I)."""
    if variable.kind == "bits":
        return np.full(z.shape[:-1], -variable.size * np.log(2.0))
    if variable.kind == "real":
        return -0.5 * np.einsum("...k,...k->...", z, z) - 0.5 * variable.size * LOG_2PI
    raise NotApplicable(f"the hidden category {variable.name!r} has parents")
