"""log p(observed cells) of rows with missing cells, each on the highest rung that its missing cells allow."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elbo_lab.arrays import Floats
from elbo_lab.errors import bad_value
from elbo_lab.exact.graphs.completions import (
    Completions,
    Group,
    integrated_completions,
    listed_completions,
)
from elbo_lab.exact.graphs.grid import grid_completions
from elbo_lab.exact.graphs.patterns import patterns
from elbo_lab.exact.graphs.sampled import sampled_completions
from elbo_lab.exact.quadrature import RUNG as QUADRATURE
from elbo_lab.models.graphs import BayesNet


class RowEvidence(NamedTuple):
    """The evidence of every row.

    Attributes
    ----------
    value, error : ndarray (N,)
        In nats. The error is zero for formulas and sums, the last change of a grid, or a standard error.
    rung : ndarray of str (N,)
        'closed-form', 'enumeration', 'quadrature' or 'long-run'.
    """

    value: Floats
    error: Floats
    rung: NDArray[np.str_]


def completions(
    net: BayesNet, theta: Floats, table: Floats, groups: Sequence[Group] | None = None
) -> Iterator[Completions]:
    """Yield weighted completions of all rows of a table (N, D) with nan where a cell is missing.

    `groups`, the `patterns` of the table, spares finding them again.
    """
    groups = list(patterns(net, table)) if groups is None else groups
    exact = ("closed-form", "enumeration")
    yield from listed_completions(
        net, theta, [one for one in groups if one[0].rung in exact and not one[0].reals], table
    )
    for pattern, rows in groups:
        if pattern.rung in exact:
            if pattern.reals:
                yield from integrated_completions(net, theta, pattern, table, rows)
            continue
        if pattern.rung == QUADRATURE:
            converged, rows = grid_completions(net, theta, pattern, table, rows)
            yield from converged
        yield from sampled_completions(net, theta, pattern, table, rows)


def sum_by_row(parts: list[Completions], n_rows: int) -> RowEvidence:
    """Return the evidence of the rows that completions are of."""
    peak, total, error = np.full(n_rows, -np.inf), np.zeros(n_rows), np.zeros(n_rows)
    rung = np.full(n_rows, "closed-form")
    for part in parts:
        np.maximum.at(peak, part.rows, part.log_weights)
        rung[part.rows] = part.rung
    for part in parts:
        shift = np.where(np.isfinite(peak), peak, 0.0)[part.rows]
        weights = np.exp(part.log_weights - shift)
        np.add.at(total, part.rows, weights)
        np.add.at(error, part.rows, weights * part.error)
    with np.errstate(divide="ignore"):
        value = np.where(np.isfinite(peak), peak, 0.0) + np.log(total)
    return RowEvidence(value, np.divide(error, total, out=np.zeros(n_rows), where=total > 0), rung)


def log_evidence(net: BayesNet, theta: Floats, table: Floats) -> RowEvidence:
    """Return log p(observed cells) of every row of a table (N, D), nan where a cell is missing.

    Cells are missing at random: the mechanism depends on observed cells at most.

    Parameters
    ----------
    net : BayesNet
    theta : ndarray (P,)
    table : ndarray (N, D)
        In the order of `net.columns`.

    Returns
    -------
    RowEvidence
        A value of -inf for a row that the graph excludes.

    Raises
    ------
    ValueError
        For a table that is not one of the graph.
    """
    table = net.check_table(table)
    return sum_by_row(list(completions(net, theta, table)), len(table))


def check_possible(net: BayesNet, table: Floats, value: Floats) -> None:
    """Refuse evidence of probability zero: no theta with these zeros explains the row."""
    impossible = np.flatnonzero(value == -np.inf)
    if len(impossible):
        row = int(impossible[0])
        seen = [(c, v) for c, v in zip(net.columns, table[row], strict=True) if not np.isnan(v)]
        cells = ", ".join(f"{column} = {v:g}" for column, v in seen)
        expected = "rows that are possible under the graph"
        got = f"probability 0 for {len(impossible)} of them, first row {row} ({cells})"
        raise bad_value("data", expected, got, "put a small probability in place of a zero")
