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

from typing import NamedTuple

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.em.base import EMProblem
from elbo_lab.exact.graphs import (
    Completions,
    RowEvidence,
    check_possible,
    completions,
    patterns,
    sum_by_row,
)
from elbo_lab.exact.graphs.completions import where_entering
from elbo_lab.exact.rules import Flags
from elbo_lab.models.graphs import BayesNet, Completed, Conditional
from elbo_lab.optimise.ascent import ascend
from elbo_lab.special import LOG_2PI

# Steps of L-BFGS in one M-step of a conditional without a formula, from the present parameters.
M_STEPS = 25
# Rungs whose posterior is a list of values, with a normal distribution of the reals for each.
LISTED = ("closed-form", "enumeration")


class GraphPosterior(NamedTuple):
    """The E-step: completions with their posterior probabilities.

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


class GraphEM(EMProblem[Floats, GraphPosterior]):
    """EM of a graph on a table with missing cells.

    Parameters
    ----------
    net : BayesNet
    table : ndarray (N, D)
        nan where a cell is missing.
    floor : float
        Least variance of a real variable.
    """

    def __init__(self, net: BayesNet, table: Floats, floor: float = 0.0) -> None:
        self.net, self.table, self.floor = net, net.check_table(table), floor
        self.n_data = len(self.table)
        self.groups = list(patterns(net, self.table))
        self._last: GraphPosterior | None = None

    def e_step(self, theta: Floats) -> GraphPosterior:
        """Return the completions and their posterior probabilities.

        Raises
        ------
        ValueError
            For a row of probability zero.
        """
        # The log-likelihood after an M-step is that of the next E-step.
        if self._last is None or not np.array_equal(self._last.theta, theta):
            parts = list(completions(self.net, theta, self.table, self.groups))
            evidence = sum_by_row(parts, self.n_data)
            check_possible(self.net, self.table, evidence.value)
            shares = [np.exp(part.log_weights - evidence.value[part.rows]) for part in parts]
            self._last = GraphPosterior(theta.copy(), parts, shares, evidence)
        return self._last

    def log_likelihood(self, theta: Floats) -> float:
        return float(self.e_step(theta).evidence.value.sum())

    def m_step(self, q: GraphPosterior) -> Floats:
        """Return theta of the greatest expected log p; where there is no formula, of a greater one."""
        theta = q.theta.copy()
        for name, conditional in self.net.conditionals.items():
            rows, where = self._completed(name, q.parts, q.shares), self.net.parts[name]
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
        value = self._expected(theta, q.parts, q.shares)
        for part, shares in zip(q.parts, q.shares, strict=True):
            if part.rung[0] in LISTED:
                value += _entropy(part, shares)
            else:
                evidence = q.evidence.value[np.unique(part.rows)].sum()
                value += evidence - self._expected(q.theta, [part], [shares])
        return value

    def _expected(self, theta: Floats, parts: list[Completions], shares: list[Floats]) -> float:
        """Return E_q log p_theta over completions."""
        value = 0.0
        for name, conditional in self.net.conditionals.items():
            rows, own = self._completed(name, parts, shares), theta[self.net.parts[name]]
            if rows is None:
                continue
            value += conditional.log_prob(own, rows.values, rows.weights)[0].sum()
            if rows.covariance is not None:
                form = conditional.linear_form(own, rows.values)
                W = np.broadcast_to(form.W[0], (len(rows.weights), *form.W.shape[2:]))
                identity = np.broadcast_to(np.eye(W.shape[1]), (len(W), W.shape[1], W.shape[1]))
                both = np.concatenate([-W, identity], axis=2)
                variance = np.einsum("rni,rij,rnj->rn", both, rows.covariance, both)
                value -= 0.5 * (rows.weights * variance * np.exp(-2.0 * form.log_sigma[0])).sum()
        return float(value)

    def _completed(self, name: str, parts: list[Completions], shares: list[Floats]) -> Completed | None:
        """Return the weighted rows from which one conditional learns; None if there are none."""
        tables, weights, covariances = [], [], []
        for part, own in zip(parts, shares, strict=True):
            if name in part.counted:
                by_component = own[:, None] * part.counted[name]
                kept = np.any(by_component > 0.0, axis=1)
                tables.append(part.table[kept])
                weights.append(by_component[kept])
                covariances.append(self._covariance(name, part, kept))
        if not sum(map(len, tables)):
            return None
        values, covariance = self.net.values_of(np.concatenate(tables)), None
        some = [one for one in covariances if one is not None]
        if some:
            zeros = [np.zeros((len(one), *some[0].shape[1:])) for one in tables]
            covariance = np.concatenate(
                [z if one is None else one for one, z in zip(covariances, zeros, strict=True)]
            )
        return Completed(values, np.concatenate(weights), covariance)

    def _covariance(self, name: str, part: Completions, kept: Flags) -> Floats | None:
        """Return Cov[(inputs, variable)] (R, I + n, I + n) within completed rows, None if nothing varies."""
        if part.covariance is None:
            return None
        cells, places = [], []
        width = sum(parent.size for parent in self.net.conditionals[name].entering)
        for k, cell in enumerate(part.reals):
            own = width + cell[1] if cell[0] == name else where_entering(self.net, name, cell)
            if own is not None:
                cells.append(k)
                places.append(own)
        if not cells:
            return None
        width += self.net.variables[name].n_components
        covariance = np.zeros((int(kept.sum()), width, width))
        of_reals = part.covariance[kept][:, np.array(cells)[:, None], cells]
        covariance[:, np.array(places)[:, None], places] = of_reals
        return covariance


def _ascended(conditional: Conditional, start: Floats, rows: Completed) -> Floats:
    """Return parameters of a higher weighted log p than those of the start, or these."""

    def objective(own: Floats) -> tuple[float, Floats]:
        value, pullback = conditional.log_prob(own, rows.values, rows.weights)
        return float(value.sum()), pullback(np.ones(value.shape)).theta

    higher = ascend(objective, start, M_STEPS)
    return higher if objective(higher)[0] > objective(start)[0] else start


def _entropy(part: Completions, shares: Floats) -> float:
    """Return the entropy of q on listed values, and of the normal distribution of the reals given each."""
    here = shares > 0.0
    entropy = -(shares[here] @ np.log(shares[here]))
    if part.covariance is not None:
        log_det = np.linalg.slogdet(part.covariance[here])[1]
        entropy += 0.5 * shares[here] @ (len(part.reals) * (1.0 + LOG_2PI) + log_det)
    return float(entropy)
