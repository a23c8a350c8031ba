"""The posterior of hidden cells, and expectations of log p under it.

By Fisher's identity the gradient of the evidence is that of an expectation,

    d/d theta log p(observed) = E_{p(hidden | observed)} d/d theta log p(observed, hidden),

conditional by conditional, since log p of all cells is a sum over them.
"""

from typing import NamedTuple

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.exact.answer import Evidence
from elbo_lab.exact.graphs.completions import Completions, Group, where_entering
from elbo_lab.exact.graphs.evidence import RowEvidence, completions, sum_by_row
from elbo_lab.exact.quadrature import ToleranceMissed
from elbo_lab.exact.rules import Flags
from elbo_lab.models.base import Model
from elbo_lab.models.graphs import BayesNet, Completed, GraphModel

RUNG = "enumeration"
# From the top of the ladder down.
LADDER = ("closed-form", "enumeration", "quadrature", "long-run")


class GraphPosterior(NamedTuple):
    """Completions with their posterior probabilities.

    Attributes
    ----------
    theta : ndarray (P,)
        At which it is the posterior.
    parts : list of Completions
    shares : list of ndarray (R,)
        p(completion | observed cells of its row).
    evidence : RowEvidence
    """

    theta: Floats
    parts: list[Completions]
    shares: list[Floats]
    evidence: RowEvidence


def posterior(
    net: BayesNet, theta: Floats, table: Floats, groups: list[Group] | None = None
) -> GraphPosterior:
    """Return the posterior of the missing cells of a table (N, D), nan where a cell is missing."""
    parts = list(completions(net, theta, table, groups))
    evidence = sum_by_row(parts, len(table))
    possible = np.where(evidence.value > -np.inf, evidence.value, 0.0)
    shares = [np.exp(part.log_weights - possible[part.rows]) for part in parts]
    return GraphPosterior(theta.copy(), parts, shares, evidence)


def expected_log_joint(
    net: BayesNet, theta: Floats, parts: list[Completions], shares: list[Floats]
) -> tuple[float, Floats]:
    """Return E log p_theta(observed, hidden) over all rows, a number, and its gradient (P,)."""
    total, gradient = 0.0, np.zeros(net.layout.size)
    for name, conditional in net.conditionals.items():
        rows, where = completed(net, name, parts, shares), net.parts[name]
        if rows is not None:
            value, gradient[where] = conditional.expected(theta[where], rows)
            total += float(value)
    return total, gradient


def completed(net: BayesNet, name: str, parts: list[Completions], shares: list[Floats]) -> Completed | None:
    """Return the weighted rows from which one conditional learns; None if there are none."""
    tables, weights, covariances = [], [], []
    for part, own in zip(parts, shares, strict=True):
        if name in part.counted:
            by_component = own[:, None] * part.counted[name]
            kept = np.any(by_component > 0.0, axis=1)
            tables.append(part.table[kept])
            weights.append(by_component[kept])
            covariances.append(_covariance(net, name, part, kept))
    if not sum(map(len, tables)):
        return None
    values, covariance = net.values_of(np.concatenate(tables)), None
    some = [one for one in covariances if one is not None]
    if some:
        zeros = [np.zeros((len(one), *some[0].shape[1:])) for one in tables]
        covariance = np.concatenate(
            [z if one is None else one for one, z in zip(covariances, zeros, strict=True)]
        )
    return Completed(values, np.concatenate(weights), covariance)


def _covariance(net: BayesNet, name: str, part: Completions, kept: Flags) -> Floats | None:
    """Return Cov[(inputs, variable)] (R, I + n, I + n) within completed rows, None if nothing varies."""
    if part.covariance is None:
        return None
    cells, places = [], []
    width = sum(parent.size for parent in net.conditionals[name].entering)
    for k, cell in enumerate(part.reals):
        own = width + cell[1] if cell[0] == name else where_entering(net, name, cell)
        if own is not None:
            cells.append(k)
            places.append(own)
    if not cells:
        return None
    width += net.variables[name].n_components
    covariance = np.zeros((int(kept.sum()), width, width))
    of_reals = part.covariance[kept][:, np.array(cells)[:, None], cells]
    covariance[:, np.array(places)[:, None], places] = of_reals
    return covariance


# -- a rung of the ladder: rows of a graph as a model -----------------------------------------------


def applies(model: Model, family: object = None) -> bool:
    """Whether the model is a graph, and its evidence is asked for."""
    return isinstance(model, GraphModel) and family is None


def log_evidence(model: GraphModel, theta: Floats, x: Floats) -> tuple[Floats, Floats]:
    """Return log p of the observed cells (N,) and its error (N,), or raise ToleranceMissed for draws."""
    found = sum_by_row(list(completions(model.net, theta, model.table(x))), len(x))
    if LADDER[-1] in found.rung:
        raise ToleranceMissed
    return found.value, found.error


def evidence(model: GraphModel, theta: Floats, x: Floats) -> Evidence:
    """Return log p of the observed cells and its gradient; the rung is the lowest of all rows."""
    q = posterior(model.net, theta, model.table(x))
    _, gradient = expected_log_joint(model.net, theta, q.parts, q.shares)
    value, error, rung = q.evidence
    rungs = max(rung.tolist(), key=LADDER.index)
    # Relative to the weights: of log p, and so of every share.
    of_gradient = np.abs(gradient) * error.max(initial=0.0) / len(x)
    return Evidence(rungs, value, error, gradient / len(x), of_gradient)
