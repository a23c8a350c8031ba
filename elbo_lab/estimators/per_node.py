"""One estimator for each hidden variable of a graph, in one ELBO.

q(z) = prod_m q_m(z_m; eta_m), one factor for each hidden variable, and

    ELBO = E_q log p(x, z) + sum_m H(q_m),      d ELBO / d eta_m = d/d eta_m E_q log p + d H(q_m) / d eta_m

The entropies have formulas. Only d/d eta_m E_q log p is estimated, and every variable may have its own way,
since all of them are unbiased given draws of the others:

    score-function         log p(x, z) d log q_m(z_m) / d eta_m                            any variable
    score-function-local   the same with the terms of log p in which z_m stands: its own   any variable
                           conditional and those of its children; the others have mean zero
    enumeration            sum_k q_m(k) [d log q_m(k) / d eta_m] log p(x, z_m = k, rest)   category, bits
    pathwise               d log p / d z_m through z_m = T(eta_m, eps)                     reals

One hidden category among reals then costs no pathwise derivative: the reals keep theirs, and the category is
summed over. The noise of the gradient can be told for each variable, exactly where all draws can be listed.

Sources: R. Ranganath, S. Gerrish and D. M. Blei, "Black box variational inference", AISTATS 2014, eq. 6 and 7
for the local terms; M. K. Titsias and M. Lazaro-Gredilla, "Local expectation gradients for black box
variational inference", NeurIPS 2015, for the sum over one variable with draws of the others.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from elbo_lab.arrays import Draws, Floats
from elbo_lab.distributions import Categorical, DiagonalGaussian, Family, IndependentBernoulli, draw_noise
from elbo_lab.errors import NotApplicable, bad_value, unknown_name
from elbo_lab.exact.rules import hermite_rule
from elbo_lab.models.graphs import BayesNet, Values
from elbo_lab.models.graphs.variables import Variable

METHODS = ("score-function", "score-function-local", "enumeration", "pathwise")
# Nodes for every real of a rule for all draws; combinations of all hidden variables at most.
NODES, MOST_COMBINATIONS = 24, 1 << 18

Etas = Mapping[str, Floats]
"""{hidden variable: parameters of its q (N, E)}."""


class NodeDraws(NamedTuple):
    """Draws of all hidden variables.

    Attributes
    ----------
    z : dict of ndarray
        {variable: (S, N) or (S, N, n)}.
    noise : dict of ndarray
        Of the reals, (S, N, n).
    weights : ndarray (S, N) or None
        Where the draws are all there are: their probabilities.
    """

    z: dict[str, Draws]
    noise: dict[str, Floats]
    weights: Floats | None = None


class NodeNoise(NamedTuple):
    """The noise of the gradient of one variable, summed over rows and coordinates.

    Attributes
    ----------
    variable, estimator : str
    squared_norm : float
        |E g|^2.
    variance : float
        E |g - E g|^2 of one draw for each row.
    """

    variable: str
    estimator: str
    squared_norm: float
    variance: float


def family_of(variable: Variable) -> Family:
    """Return the family of q of a hidden variable: the one of its kind with independent components."""
    if variable.kind == "category":
        return Categorical(variable.size)
    return IndependentBernoulli(variable.size) if variable.kind == "bits" else DiagonalGaussian(variable.size)


@dataclass(frozen=True)
class PerNode:
    """The gradient of the ELBO of a graph, with an estimator for each hidden variable.

    Parameters
    ----------
    net : BayesNet
    estimators : dict of str
        {hidden variable: one of `METHODS`}; all other variables are observed in every row.

    Raises
    ------
    NotApplicable
        For a pathwise category, or a sum over the values of a real.

    Examples
    --------
    >>> from elbo_lab.models.graphs import BayesNet, Node
    >>> net = BayesNet((Node("k", "table"), Node("h", "conditional-gaussian", ("k",)),
    ...                 Node("x", "linear-gaussian", ("h",))))
    >>> sorted(PerNode(net, {"k": "enumeration", "h": "pathwise"}).families)
    ['h', 'k']
    """

    net: BayesNet
    estimators: Mapping[str, str]

    def __post_init__(self) -> None:
        if not self.estimators:
            raise bad_value("estimators", "at least one hidden variable", "none")
        for name, estimator in self.estimators.items():
            if name not in self.net.variables:
                raise unknown_name("estimators", name, list(self.net.variables), "see the graph")
            if estimator not in METHODS:
                raise unknown_name(f"estimator of {name!r}", estimator, METHODS)
            discrete = self.net.variables[name].discrete
            if discrete and estimator == "pathwise":
                raise NotApplicable(
                    f"pathwise: {name!r} is discrete, and no path leads from one value to another"
                )
            if not discrete and estimator == "enumeration":
                raise NotApplicable(f"enumeration: the values of the real {name!r} cannot be listed")

    @cached_property
    def families(self) -> dict[str, Family]:
        """The family of q of every hidden variable."""
        return {name: family_of(self.net.variables[name]) for name in self.estimators}

    def near(self, n_data: int, rng: np.random.Generator, scale: float = 0.5) -> dict[str, Floats]:
        """Return random parameters of q for every row."""
        return {name: scale * rng.standard_normal((n_data, f.eta_size)) for name, f in self.families.items()}

    def draw(self, etas: Etas, n_draws: int, rng: np.random.Generator) -> NodeDraws:
        """Return S draws of all hidden variables for every row."""
        z, noise = {}, {}
        for name, family in self.families.items():
            own = draw_noise(family.noise_spec(n_draws, len(etas[name])), rng)
            z[name] = family.sample(etas[name], own)
            if not family.discrete:
                noise[name] = own
        return NodeDraws(z, noise)

    def all_draws(self, etas: Etas) -> NodeDraws:
        """Return every combination of values, with nodes of Gauss-Hermite for reals, and its probability.

        Raises
        ------
        NotApplicable
            If there are too many.
        """
        lists: list[tuple[Draws, Draws, Floats]] = []
        n_data = len(next(iter(etas.values())))
        for name, family in self.families.items():
            if family.discrete:
                values = np.repeat(family.values()[:, None], n_data, axis=1)
                lists.append((values, values, np.exp(family.log_prob(etas[name], values))))
            else:
                nodes, of_nodes = hermite_rule(NODES, family.size)
                eps = np.repeat(nodes[:, None], n_data, axis=1)
                lists.append(
                    (family.sample(etas[name], eps), eps, np.repeat(of_nodes[:, None], n_data, axis=1))
                )
        sizes = [len(own) for _, _, own in lists]
        if np.prod(sizes, dtype=float) > MOST_COMBINATIONS:
            raise NotApplicable(f"{np.prod(sizes, dtype=float):.0f} combinations are too many to list")
        chosen = np.array(list(itertools.product(*map(range, sizes)))).T
        z: dict[str, Draws] = {}
        noise: dict[str, Floats] = {}
        weights: Floats = np.ones((chosen.shape[1], n_data))
        for i, (name, family) in enumerate(self.families.items()):
            listed, of_draws, own = lists[i]
            index = chosen[i]
            z[name] = listed[index]
            weights = weights * own[index]
            if not family.discrete:
                noise[name] = of_draws[index].astype(np.float64)
        return NodeDraws(z, noise, weights)

    def log_joint(self, theta: Floats, observed: Values, draws: NodeDraws) -> Floats:
        """Return log p(x, z) (S, N)."""
        return self.net.log_joint(theta, {**observed, **draws.z})

    def gradients(self, theta: Floats, etas: Etas, observed: Values, draws: NodeDraws) -> dict[str, Floats]:
        """Return the estimate of d ELBO / d eta_m of every draw by itself, {variable: (S, N, E)}.

        Parameters
        ----------
        theta : ndarray (P,)
        etas : dict
        observed : dict of ndarray
            Values of all other variables, (N,) or (N, n).
        draws : NodeDraws
        """
        values = {**observed, **draws.z}
        value, pullback = self.net.joint(theta, values)
        reals = [name for name, way in self.estimators.items() if way == "pathwise"]
        slopes = pullback(np.ones(value.shape), reals)[1] if reals else {}
        found: dict[str, Floats] = {}
        estimate: Floats
        for name, way in self.estimators.items():
            family, eta = self.families[name], etas[name]
            if way == "pathwise":
                # Every draw is a repeat of its own, so that no sum is taken over draws.
                by_draw = draws.noise[name][:, None], slopes[name][:, None]
                estimate = family.sample_vjp(eta, *by_draw)
            elif way == "enumeration":
                estimate = self._summed(name, theta, eta, values)
            else:
                local = self._local(name) if way == "score-function-local" else None
                f = value if local is None else self.net.joint(theta, values, names=local)[0]
                estimate = f[..., None] * family.score(eta, draws.z[name])
            found[name] = estimate + family.entropy_grad(eta)
        return found

    def _local(self, name: str) -> tuple[str, ...]:
        """Return the variables in whose conditionals one stands."""
        return (name, *self.net.children[name])

    def _summed(self, name: str, theta: Floats, eta: Floats, values: Values) -> Floats:
        """Return sum_k q(k) score(k) log p(x, z_m = k, rest) of every draw of the rest (S, N, E)."""
        family = self.families[name]
        total: Floats = np.zeros(())
        batch = values[name].shape[:2]
        for value in family.values():
            z = np.broadcast_to(value, (*batch, *np.shape(value))).copy()
            f = self.net.joint(theta, {**values, name: z}, names=self._local(name))[0]
            one = z[:1]
            weight = np.exp(family.log_prob(eta, one))[..., None] * family.score(eta, one)
            total = total + np.broadcast_to(f, batch)[..., None] * weight
        return total

    def elbo(self, theta: Floats, etas: Etas, observed: Values) -> Floats:
        """Return the exact ELBO of every row (N,): a sum, or a rule for reals."""
        draws = self.all_draws(etas)
        assert draws.weights is not None
        log_p = self.log_joint(theta, observed, draws)
        # A value that q excludes counts nothing, although log p may be -inf there.
        expected = np.where(draws.weights > 0.0, draws.weights * log_p, 0.0).sum(axis=0)
        return expected + sum(family.entropy(etas[name]) for name, family in self.families.items())

    def noise(
        self,
        theta: Floats,
        etas: Etas,
        observed: Values,
        draws: NodeDraws | None = None,
    ) -> list[NodeNoise]:
        """Return the noise of the gradient of every hidden variable.

        Parameters
        ----------
        draws : NodeDraws, optional
            Those of `draw` for an estimate of the noise; by default all there are, and the noise is exact.
        """
        draws = self.all_draws(etas) if draws is None else draws
        found = self.gradients(theta, etas, observed, draws)
        weights = draws.weights
        if weights is None:
            weights = np.full(next(iter(found.values())).shape[:2], 1.0 / len(next(iter(draws.z.values()))))
        rows = []
        for name, gradient in found.items():
            mean = np.einsum("sn,sne->ne", weights, gradient)
            spread = np.einsum("sn,sne->", weights, (gradient - mean) ** 2)
            rows.append(NodeNoise(name, self.estimators[name], float((mean**2).sum()), float(spread)))
        return rows


def noise_table(rows: list[NodeNoise]) -> str:
    """Return a table of the noise: a line for each variable."""
    lines = [f"{'variable':<14}{'estimator':<22}{'|mean|^2':>12}{'variance':>12}"]
    lines += [f"{r.variable:<14}{r.estimator:<22}{r.squared_norm:>12.4g}{r.variance:>12.4g}" for r in rows]
    return "\n".join(lines)
