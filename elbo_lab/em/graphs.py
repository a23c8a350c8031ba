"""EM for a graph with missing cells: complete the rows under the posterior, then learn as from complete ones.

    E-step   q(hidden) = p(hidden | observed; theta), as weighted completions of every row
    M-step   theta_m = argmax sum over completions of weight * log p(v_m | pa_m; theta_m), conditional by
             conditional: expected counts, expected least squares, ascent where there is no formula

(Lauritzen 1995; Koller and Friedman 2009, section 19.2.2.) The posterior is exact on every rung above the
long run: a sum over values, a normal distribution for linear-Gaussian reals within each value, nodes of a
grid. The log-likelihood then never falls. On the long run it may: the draws change with theta.

Expected counts that are zero make a probability of zero, which EM never leaves again, and log p = -inf where
it is met: such completions have weight zero and drop out of every sum, so that nothing is nan. A conditional
whose parents no row can have keeps its parameters.

The E-step completes only what is needed (`exact.graphs.patterns`): a missing cell that nothing observed
depends on says nothing about theta, and counting it would only make EM slower.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.em.base import ModelProblem
from elbo_lab.errors import NotApplicable
from elbo_lab.exact.graphs import Completions, check_possible, patterns
from elbo_lab.exact.graphs.posterior import GraphPosterior, completed, expected_log_joint, posterior
from elbo_lab.exact.rules import Flags
from elbo_lab.held import Held
from elbo_lab.models.graphs import Completed, Conditional, GraphModel
from elbo_lab.optimise.ascent import ascend
from elbo_lab.priors import Prior
from elbo_lab.special import LOG_2PI

# Steps of L-BFGS in one M-step of a conditional without a formula, from the present parameters.
M_STEPS = 25
# Rungs whose posterior is a list of values, with a normal distribution of the reals for each.
LISTED = ("closed-form", "enumeration")


class GraphEM(ModelProblem[GraphPosterior]):
    """EM of a graph on a table with missing cells.

    Parameters
    ----------
    model : GraphModel
    x : ndarray (N, D)
        nan where a cell is missing.
    floor : float
        Least variance of a real variable.
    threads : int
        Without effect.
    prior : None
        There is no MAP for graphs.
    """

    model: GraphModel

    def __init__(
        self, model: GraphModel, x: Floats, floor: float = 0.0, threads: int = 1, prior: Prior | None = None
    ) -> None:
        if prior is not None:
            raise NotApplicable(f"prior: no MAP for {model.label}")
        self.model, self.net, self.floor, self.threads = model, model.net, floor, threads
        self.table = model.table(x)
        self.n_data = len(x)
        self.groups = list(patterns(self.net, self.table))
        self._last: GraphPosterior | None = None

    @classmethod
    def mean_variance(cls, model: GraphModel, x: Floats) -> float:
        """Return the mean variance of the observed cells of real variables, 1 without any."""
        table, variances = model.table(x), [1.0]
        for name, variable in model.net.variables.items():
            for column in table[:, model.net.places[name]].T if variable.kind == "real" else ():
                seen = column[~np.isnan(column)]
                if len(seen) > 1 and np.ptp(seen) > 0.0:
                    variances.append(float(seen.var()))
        return float(np.mean(variances[1:] or variances))

    @classmethod
    def cannot_hold(cls, model: GraphModel, held: Held) -> str:
        """Return '' where conditionals are held whole: the others keep their formulas."""
        for name, masks in _masks(model, held).items():
            if masks.any() != masks.all():
                return f"em holds the conditional of {name} whole or not at all"
        return ""

    def prepared(self, theta: Floats) -> Floats:
        return theta if self.held is None else self.held.put(theta)

    def start(self, x: Floats, run: int, rng: np.random.Generator) -> Floats:  # noqa: ARG002
        return self.model.random_theta(x, rng)

    def at_floor(self, theta: Floats) -> tuple[int, ...]:
        """Return which of the real components, counted through the graph, have the least variance."""
        sigma = [t["sigma"].ravel() for t in self.net.described(theta).values() if "sigma" in t]
        variances = np.concatenate([*sigma, np.zeros(0)]) ** 2
        return tuple(np.flatnonzero(variances <= self.floor * (1.0 + 1e-9)).tolist())

    def low_variance(
        self,
        low: Sequence[int],
        where: str,
        consequence: str,
        columns: Sequence[str] | None,  # noqa: ARG002 - a table of variances has its own names
    ) -> str:
        blocks = self.net.described(np.zeros(self.net.layout.size)).items()
        names = [name for name, t in blocks if "sigma" in t for _ in t["sigma"].ravel()]
        found = ", ".join(dict.fromkeys(names[i] for i in low))
        return f"the variance of {found} is {where}{consequence}"

    def e_step(self, theta: Floats) -> GraphPosterior:
        """Return the completions and their posterior probabilities.

        Raises
        ------
        ValueError
            For a row of probability zero.
        """
        # The log-likelihood after an M-step is that of the next E-step.
        if self._last is None or not np.array_equal(self._last.theta, theta):
            self._last = posterior(self.net, theta, self.table, self.groups)
            check_possible(self.net, self.table, self._last.evidence.value)
        return self._last

    def log_likelihood(self, theta: Floats) -> float:
        return float(self.e_step(theta).evidence.value.sum())

    def m_step(self, q: GraphPosterior) -> Floats:
        """Return theta of the greatest expected log p; where there is no formula, of a greater one."""
        theta = q.theta.copy()
        held = {} if self.held is None else _masks(self.model, self.held)
        for name, conditional in self.net.conditionals.items():
            if name in held and held[name].any():
                continue
            rows, where = completed(self.net, name, q.parts, q.shares), self.net.parts[name]
            if rows is None:
                continue
            if conditional.closed_form:
                theta[where] = conditional.maximise(theta[where], rows, self.floor)
            else:
                theta[where] = _ascended(conditional, theta[where], rows)
        return theta

    def elbo(self, theta: Floats, q: GraphPosterior) -> float:
        """Return E_q[log p_theta(observed, hidden)] + H(q).

        The entropy of a grid or of draws is what makes the bound tight at the theta of q.
        """
        value, _ = expected_log_joint(self.net, theta, q.parts, q.shares)
        for part, shares in zip(q.parts, q.shares, strict=True):
            if part.rung[0] in LISTED:
                value += _entropy(part, shares)
            else:
                evidence = q.evidence.value[np.unique(part.rows)].sum()
                value += evidence - expected_log_joint(self.net, q.theta, [part], [shares])[0]
        return float(value)

    def warnings(self, theta: Floats, columns: Sequence[str] | None) -> Iterator[str]:  # noqa: ARG002
        """Yield how many rows were drawn, which makes the E-step inexact."""
        n_drawn = int((self.e_step(theta).evidence.rung == "long-run").sum())
        if n_drawn:
            yield (
                f"{n_drawn} of {self.n_data} rows miss too much for an exact posterior: theirs is sampled, "
                "and the log-likelihood may fall"
            )


def _masks(model: GraphModel, held: Held) -> dict[str, Flags]:
    """Return which parameters of each conditional are held, of those that have some."""
    masks: dict[str, list[Flags]] = {}
    for block, _ in model.layout.entries:
        masks.setdefault(block.rpartition(".")[0], []).append(held.mask(block).ravel())
    return {name: np.concatenate(parts) for name, parts in masks.items()}


def _ascended(conditional: Conditional, start: Floats, rows: Completed) -> Floats:
    """Return parameters of a higher weighted log p than those of the start, or these."""
    higher = ascend(lambda own: conditional.expected(own, rows), start, M_STEPS)
    return higher if conditional.expected(higher, rows)[0] > conditional.expected(start, rows)[0] else start


def _entropy(part: Completions, shares: Floats) -> float:
    """Return the entropy of q on listed values, and of the normal distribution of the reals given each."""
    here = shares > 0.0
    entropy = -(shares[here] @ np.log(shares[here]))
    if part.covariance is not None:
        log_det = np.linalg.slogdet(part.covariance[here])[1]
        entropy += 0.5 * shares[here] @ (len(part.reals) * (1.0 + LOG_2PI) + log_det)
    return float(entropy)
