"""A directed graphical model: p(v_1, ..., v_M) = prod_m p(v_m | parents of m), any of them hidden.

    log p(v) = sum_m log p(v_m | pa_m),     d/d theta_m = d log p(v_m | pa_m) / d theta_m,
    d/d v_m = d log p(v_m | pa_m) / d v_m + sum over the children c of m of d log p(v_c | pa_c) / d v_m

A `BayesNet` is a list of named nodes, each with its parents and a kind of conditional. Everything about it
acts on a dict of values by name, since different rows may miss different variables and the hidden ones may be
of several kinds: in general a graph is no `Model`, which has one z of one family in every row. Where the
hidden variables are the same in all rows and of one kind, `as_model` makes it one.

Fully observed data split log p(data) into one term for each conditional, so that each is fitted by itself: by
counting (tables), by least squares (linear-Gaussian), or by ascent (everything else).

Sources: J. Pearl, "Probabilistic Reasoning in Intelligent Systems" (1988), section 3.2; Koller and Friedman
(2009), definition 3.4 and section 17.2.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Protocol

import numpy as np

from elbo_lab.arrays import Draws, Floats
from elbo_lab.errors import BadColumn, bad_value, check_count, check_table, unknown_name
from elbo_lab.layout import Layout
from elbo_lab.models.graphs.conditionals import Completed, Conditional
from elbo_lab.models.graphs.gaussian import ConditionalGaussian, StandardNormal
from elbo_lab.models.graphs.predicted import (
    LinearGaussian,
    Logistic,
    NetworkBernoulli,
    NetworkCategorical,
    NetworkGaussian,
    NetworkPredicted,
    Softmax,
)
from elbo_lab.models.graphs.table import Table
from elbo_lab.models.graphs.variables import Values, Variable
from elbo_lab.networks import ACTIVATIONS

CONDITIONALS: dict[str, type[Conditional]] = {
    kind.name: kind
    for kind in (
        Table,
        Softmax,
        Logistic,
        StandardNormal,
        LinearGaussian,
        ConditionalGaussian,
        NetworkBernoulli,
        NetworkCategorical,
        NetworkGaussian,
    )
}


class JointPullback(Protocol):
    """cotangent (..., S, N) of log p -> gradients in theta (..., P) and in the wanted values, by name."""

    def __call__(
        self, cotangent: Floats, wanted: Collection[str] = ()
    ) -> tuple[Floats, dict[str, Floats]]: ...


@dataclass(frozen=True)
class Node:
    """One variable as people describe it.

    Parameters
    ----------
    name : str
    kind : str
        Of its conditional: a key of `CONDITIONALS`.
    parents : sequence of str
    states : int or sequence of str
        Number or names of the states of a category.
    size : int
        Components of bits or reals.
    hidden, activation
        Of a network.
    """

    name: str
    kind: str
    parents: tuple[str, ...] = ()
    states: int | tuple[str, ...] = 2
    size: int = 1
    hidden: tuple[int, ...] = (16,)
    activation: str = "tanh"

    def __post_init__(self) -> None:
        for name in ("parents", "states", "hidden"):
            value = getattr(self, name)
            object.__setattr__(self, name, tuple(value) if isinstance(value, list) else value)
        if self.kind not in CONDITIONALS:
            known = list(CONDITIONALS)
            raise unknown_name(f"kind of {self.name!r}", self.kind, known, ", ".join(known))
        for name in self.repeated(self.parents):
            raise bad_value(f"parents of {self.name!r}", "different names", f"{name!r} twice")
        if isinstance(self.states, int):
            check_count(f"states of {self.name!r}", self.states)
        for state in self.repeated(self.states if isinstance(self.states, tuple) else ()):
            raise bad_value(f"states of {self.name!r}", "different names", f"{state!r} twice")
        check_count(f"size of {self.name!r}", self.size)
        for width in self.hidden:
            check_count(f"hidden of {self.name!r}", width)
        if self.activation not in ACTIVATIONS:
            raise unknown_name(
                f"activation of {self.name!r}", self.activation, list(ACTIVATIONS), ", ".join(ACTIVATIONS)
            )

    @staticmethod
    def repeated(names: Sequence[str]) -> list[str]:
        """Return the names that come more than once."""
        return [name for i, name in enumerate(names) if name in names[:i]]

    @property
    def variable(self) -> Variable:
        """The variable that this describes."""
        kind = CONDITIONALS[self.kind].kind
        if kind != "category":
            return Variable(self.name, kind, self.size)
        if isinstance(self.states, int):
            return Variable(self.name, kind, self.states)
        return Variable(self.name, kind, len(self.states), self.states)


@dataclass(frozen=True)
class BayesNet:
    """A directed acyclic graph of named variables.

    Parameters
    ----------
    nodes : sequence of Node
        In any order; columns of tables and parameters keep it.

    Raises
    ------
    ValueError
        For a name twice, an unknown parent, a cycle (named by its nodes), or parents that a kind of
        conditional cannot have.

    Examples
    --------
    >>> net = BayesNet((Node("rain", "table"), Node("wet", "table", ("rain",))))
    >>> theta = net.theta({"rain": {"probabilities": [0.8, 0.2]},
    ...                    "wet": {"probabilities": [[0.9, 0.1], [0.2, 0.8]]}})
    >>> float(np.exp(net.log_joint(theta, {"rain": np.array([1]), "wet": np.array([1])})[0, 0]).round(3))
    0.16
    """

    nodes: tuple[Node, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", tuple(self.nodes))
        if not self.nodes:
            raise bad_value("graph", "at least one variable", "none")
        names = [node.name for node in self.nodes]
        for name in Node.repeated(names):
            raise bad_value("graph", "different names of variables", f"{name!r} twice")
        if not all(names):
            raise bad_value("graph", "a name of every variable", "''")
        for column in Node.repeated(self.columns):
            raise bad_value("graph", "different names of columns", f"{column!r} twice", "rename a variable")
        for node in self.nodes:
            for parent in node.parents:
                if parent not in names:
                    raise unknown_name(
                        f"parents of {node.name!r}", parent, names, f"known: {', '.join(names)}"
                    )
        _ = self.order, self.conditionals  # which refuse a cycle, and parents of the wrong kind

    @cached_property
    def variables(self) -> dict[str, Variable]:
        """The variables by name."""
        return {node.name: node.variable for node in self.nodes}

    @cached_property
    def parents(self) -> dict[str, tuple[str, ...]]:
        """Names of the parents of every variable."""
        return {node.name: node.parents for node in self.nodes}

    @cached_property
    def children(self) -> dict[str, tuple[str, ...]]:
        """Names of the children of every variable."""
        return {
            one: tuple(c for c, parents in self.parents.items() if one in parents) for one in self.parents
        }

    @cached_property
    def order(self) -> tuple[str, ...]:
        """A topological order: parents before their children, otherwise as given (Kahn 1962)."""
        waiting, order = list(self.parents), []
        while waiting:
            free = next((one for one in waiting if all(p in order for p in self.parents[one])), None)
            if free is None:
                raise bad_value(
                    "graph", "no cycle", " -> ".join(self._cycle(waiting)), "reverse one arrow of it"
                )
            order.append(free)
            waiting.remove(free)
        return tuple(order)

    def _cycle(self, waiting: list[str]) -> list[str]:
        """Return a cycle in the direction of its arrows, among variables that each wait for a parent."""
        path = [waiting[0]]
        while path.count(path[-1]) == 1:
            path.append(next(parent for parent in self.parents[path[-1]] if parent in waiting))
        return path[path.index(path[-1]) :][::-1]

    @cached_property
    def conditionals(self) -> dict[str, Conditional]:
        """The conditionals by the name of their variable."""
        built = {}
        for node in self.nodes:
            kind, parents = CONDITIONALS[node.kind], tuple(self.variables[one] for one in node.parents)
            network = (node.hidden, node.activation) if issubclass(kind, NetworkPredicted) else ()
            built[node.name] = kind(self.variables[node.name], parents, *network)
        return built

    @cached_property
    def layout(self) -> Layout:
        """Names and shapes of theta: 'rain.logits' and so on, node by node."""
        entries = [one.layout.prefixed(name) for name, one in self.conditionals.items()]
        return Layout(tuple(entry for part in entries for entry in part))

    @cached_property
    def parts(self) -> dict[str, slice]:
        """Where the parameters of each conditional lie in theta."""
        where, start = {}, 0
        for name, conditional in self.conditionals.items():
            where[name] = slice(start, start + conditional.layout.size)
            start += conditional.layout.size
        return where

    # -- tables of data ---------------------------------------------------------------------------

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of a table of all variables."""
        return tuple(column for variable in self.variables.values() for column in variable.columns)

    @cached_property
    def places(self) -> dict[str, slice]:
        """Where the columns of each variable lie in a table of all."""
        where, start = {}, 0
        for name, variable in self.variables.items():
            where[name] = slice(start, start + variable.n_components)
            start += variable.n_components
        return where

    def values_of(self, table: Floats) -> dict[str, Draws]:
        """Return the values by name of a table (N, D) without missing cells."""
        return {name: one.of_columns(table[:, self.places[name]]) for name, one in self.variables.items()}

    def table_of(self, values: Values) -> Floats:
        """Return the table (N, D) of values by name."""
        return np.concatenate([one.as_columns(values[name]) for name, one in self.variables.items()], axis=1)

    def check_table(self, table: Floats, argument: str = "data") -> Floats:
        """Return a table (N, D) as floats, nan where a cell is missing, or refuse what no variable can be.

        Raises
        ------
        ValueError
            For infinite numbers, and for a state or bit that there is not.
        """
        table = np.asarray(table)
        gaps = np.isnan(table) if table.dtype.kind == "f" else np.zeros(table.shape, bool)
        full = check_table(np.where(gaps, 0.0, table) if gaps.any() else table, argument, len(self.columns))
        for name, variable in self.variables.items():
            if variable.kind == "real":
                continue
            n_states = variable.size if variable.kind == "category" else 2
            part = full[:, self.places[name]]
            wrong = np.argwhere((part < 0) | (part >= n_states) | (part != np.floor(part)))
            if len(wrong):
                n, d = wrong[0]
                got = f"{part[n, d]:g} at row {n},"
                expected = f"states 0 to {n_states - 1} of {name!r}"
                raise BadColumn(
                    argument, expected, got, int(self.places[name].start + d), "rows count from 0"
                )
        return np.where(gaps, np.nan, full).astype(np.float64)

    # -- the joint density ------------------------------------------------------------------------

    def log_joint(self, theta: Floats, values: Values) -> Floats:
        """Return log p(v) (..., S, N) in nats at values of all variables."""
        return self.joint(theta, values)[0]

    def joint(
        self,
        theta: Floats,
        values: Values,
        weights: Values | None = None,
        names: Collection[str] | None = None,
    ) -> tuple[Floats, JointPullback]:
        """Return log p(v) (..., S, N) and its pullback.

        Parameters
        ----------
        theta : ndarray (P,)
        values : dict of ndarray
            Of all variables; see `variables`.
        weights : dict of ndarray, optional
            {name: factors (..., n) of its components, one for a category}.
        names : collection of str, optional
            Variables whose conditionals count; those with weights if they are given, else all.

        Returns
        -------
        value : ndarray (..., S, N)
        pullback : callable
            (cotangent (..., S, N), names of reals and bits) -> gradient in theta (..., P), and in the values
            of these names, each (..., S, N, n).
        """
        names = self.order if names is None and weights is None else names or tuple(weights or ())
        terms = {}
        for one in self.order:
            if one in names:
                own = None if weights is None else weights[one]
                terms[one] = self.conditionals[one].log_prob(theta[self.parts[one]], values, own)
        value = reduce(np.add, [term for term, _ in terms.values()])

        def pullback(cotangent: Floats, wanted: Collection[str] = ()) -> tuple[Floats, dict[str, Floats]]:
            grad_theta = np.zeros((*cotangent.shape[:-2], self.layout.size))
            grads: dict[str, Floats] = {}
            for name, (_, back) in terms.items():
                slopes = back(cotangent)
                grad_theta[..., self.parts[name]] = slopes.theta
                own = {} if slopes.value is None else {name: slopes.value}
                for one, part in (own | slopes.parents).items():
                    if one in wanted:
                        grads[one] = grads[one] + part if one in grads else part
            return grad_theta, grads

        return value, pullback

    def sample(self, theta: Floats, n_data: int, rng: np.random.Generator) -> dict[str, Draws]:
        """Draw values of all variables, (N,) or (N, n), parents before their children."""
        values: dict[str, Draws] = {}
        for name in self.order:
            values[name] = self.conditionals[name].sample(theta[self.parts[name]], values, n_data, rng)
        return values

    # -- parameters -------------------------------------------------------------------------------

    def theta(self, parameters: dict[str, dict[str, object]], start: Floats | None = None) -> Floats:
        """Return theta (P,) of parameters by name as people write them.

        Parameters
        ----------
        parameters : dict
            {variable: {'probabilities': ...} or {'W': ..., 'b': ..., 'sigma': ...}}.
        start : ndarray (P,), optional
            Of variables that are not given; all must be without it.

        Raises
        ------
        ValueError
            For an unknown variable, a missing one, a wrong shape, or probabilities that do not sum to one.
        """
        for name in parameters:
            if name not in self.parents:
                raise unknown_name("parameters", name, list(self.parents), "see the graph")
        theta = np.zeros(self.layout.size) if start is None else start.copy()
        for name, conditional in self.conditionals.items():
            if name in parameters or start is None:
                theta[self.parts[name]] = conditional.packed(parameters.get(name, {}), f"{name!r}")
        return theta

    def described(self, theta: Floats) -> dict[str, dict[str, Floats]]:
        """Return the parameters by name as people write them: the inverse of `theta`."""
        return {name: one.described(theta[self.parts[name]]) for name, one in self.conditionals.items()}

    def start(self, rng: np.random.Generator) -> Floats:
        """Return random parameters (P,) to start from."""
        return np.concatenate([one.start(rng) for one in self.conditionals.values()])

    def fit_formulas(
        self, theta: Floats, values: Values, weights: Floats | None = None, floor: float = 0.0
    ) -> Floats:
        """Return theta (P,) with the maximum of every conditional that has a formula, from complete rows.

        Parameters
        ----------
        theta : ndarray (P,)
            Kept by the conditionals without a formula, and in rows of tables that no datum has seen.
        values : dict of ndarray
            (N,) or (N, n) each.
        weights : ndarray (N,), optional
        floor : float
            Least variance.
        """
        n_data = len(next(iter(values.values())))
        by_row = np.ones(n_data) if weights is None else weights
        theta = theta.copy()
        for name, conditional in self.conditionals.items():
            if conditional.closed_form:
                part, n = self.parts[name], self.variables[name].n_components
                rows = Completed(values, np.repeat(by_row[:, None], n, axis=1))
                theta[part] = conditional.maximise(theta[part], rows, floor)
        return theta
