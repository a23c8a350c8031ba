"""The parameters of a fitted model as a small table: what a textbook would name, as much as a screen holds.

Rows are the columns of the data under their names. Of many rows those with the largest numbers are shown,
and of many components or latents as many as fit the width, the heaviest components first; a last line counts
the rest.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from elbo_lab.report.blocks import name_cell, wrapped
from elbo_lab.report.cells import clean_text, number_text

Parameters = Mapping[str, NDArray[np.floating]]

MOST_ROWS, WIDEST_NAME = 8, 24


class ParameterTable(NamedTuple):
    """What is shown of the parameters.

    Attributes
    ----------
    facts : tuple of str
        What stands above the table, in sentences.
    titles : tuple of str
        Of the columns of numbers.
    rows : tuple of (str, tuple of str)
        Name and cells, those to be shown first at the top.
    unit : str
        What a column of numbers belongs to, for the line that counts what is not shown.
    weights : tuple of float
        Of the columns of numbers: where not all of them fit, the heaviest are shown, in this order.
    """

    facts: tuple[str, ...]
    titles: tuple[str, ...] = ()
    rows: tuple[tuple[str, tuple[str, ...]], ...] = ()
    unit: str = "columns"
    weights: tuple[float, ...] = ()

    def lines(self, width: int, most_rows: int = MOST_ROWS) -> list[str]:
        """Return the lines to print, each at most `width` characters."""
        lines = [line for fact in self.facts for line in wrapped(fact, width, hang=2)]
        if not self.rows:
            return lines
        shown = self.rows if len(self.rows) <= most_rows + 1 else self.rows[:most_rows]
        lead = min(WIDEST_NAME, max(len(clean_text(name)) for name, _ in shown))
        sizes = np.array([[len(cell) for cell in cells] for cells in (self.titles, *(r[1] for r in shown))])
        order, room = np.arange(len(self.titles)), sizes.max(axis=0) + 2
        if self.weights and lead + room.sum() > width:
            order = np.argsort(-np.array(self.weights), kind="stable")
        fit = max(1, int((lead + np.cumsum(room[order]) <= width).sum()))
        for name, cells in (("", self.titles), *shown):
            padded = (cells[i].rjust(room[i] - 2) for i in order[:fit])
            lines.append("  ".join((name_cell(name, lead), *padded)).rstrip())
        rest = [
            f"{count} more {what if count > 1 else what[:-1]}"
            for count, what in (
                (len(self.rows) - len(shown), "rows"),
                (len(self.titles) - fit, self.unit),
            )
            if count
        ]
        if rest:
            lines += wrapped(f"{' and '.join(rest)}: result.parameters in Python, --json FILE", width)
        return lines


def parameter_table(parameters: Parameters, columns: Sequence[str] | None = None) -> ParameterTable:
    """Return the table of the parameters of a fit.

    Parameters
    ----------
    parameters : dict
        As `FitResult.parameters`: by the names of `Model.described`, else as stored.
    columns : sequence of str, optional
        Names of the columns of the data; 'column 0' and so on by default.
    """
    # A model of a user may describe itself by some of these names, and mean other things.
    for names, table in TABLES:
        if names <= set(parameters):
            return table(parameters, columns)
    return ParameterTable((_stored(parameters),))


def _names(columns: Sequence[str] | None, count: int) -> list[str]:
    if columns is None or len(columns) != count:
        return [f"column {i}" for i in range(count)]
    return list(columns)


def _cells(*arrays: NDArray[np.floating]) -> list[tuple[str, ...]]:
    """Return the cells of each row of arrays (D,) or (D, n) side by side."""
    return [tuple(number_text(float(value)) for value in row) for row in np.column_stack(arrays)]


def _mixture(p: Parameters, columns: Sequence[str] | None) -> ParameterTable:
    means, deviations = p["means"], p["standard_deviations"]
    titles = tuple(f"component {c}" for c in range(len(means)))
    rows = [("mixing weight", tuple(map(number_text, p["weights"].tolist())))]
    for d, name in enumerate(_names(columns, means.shape[1])):
        pairs = zip(means[:, d].tolist(), deviations[:, d].tolist(), strict=True)
        rows.append((name, tuple(f"{number_text(m)} (sd {number_text(s)})" for m, s in pairs)))
    weights = tuple(p["weights"].tolist())
    return ParameterTable(("means, with standard deviations:",), titles, tuple(rows), "components", weights)


def _largest_first(rows: list[tuple[str, tuple[str, ...]]], size: NDArray[np.floating]) -> tuple[str, list]:
    """Return a remark and the rows, sorted by size if they are too many to be shown."""
    if len(rows) <= MOST_ROWS + 1:
        return "", rows
    return ", largest first", [rows[i] for i in np.argsort(-size, kind="stable")]


def _linear(p: Parameters, columns: Sequence[str] | None) -> ParameterTable:
    W, b, sigma = p["W"], p["b"], p["sigma"]
    latents = tuple(f"z{k}" for k in range(W.shape[1]))
    names = _names(columns, len(W))
    if "uniquenesses" in p:
        share = 1.0 - p["sigma2"].sum() / (p["sigma2"].sum() + np.sum(W**2))
        facts = [f"the factors explain {100 * share:.1f} % of the variance"]
        titles = ("mean", "uniqueness", *latents)
        rows = list(zip(names, _cells(b, p["uniquenesses"], W), strict=True))
    else:
        ratios = p["explained_variance_ratio"]
        parts = ", ".join(f"{100 * ratio:.1f}" for ratio in ratios[:MOST_ROWS]) if len(ratios) > 1 else ""
        each = f": {parts}{', ...' if len(ratios) > MOST_ROWS else ''} %" if parts else ""
        facts = [
            f"noise sigma {number_text(float(sigma))}",
            f"principal components explain {100 * ratios.sum():.1f} % of the variance{each}",
        ]
        titles = ("mean", *latents)
        rows = list(zip(names, _cells(b, W), strict=True))
    remark, rows = _largest_first(rows, np.sum(W**2, axis=1))
    return ParameterTable((*facts, f"means and loadings W{remark}:"), titles, tuple(rows), "latents")


def _one_gaussian(p: Parameters, columns: Sequence[str] | None) -> ParameterTable:
    mean, sigma = p["mean"], number_text(float(p["sigma"]))
    rows = zip(_names(columns, len(mean)), _cells(mean), strict=True)
    return ParameterTable((f"noise sigma {sigma}",), ("mean",), tuple(rows))


def _kernel(p: Parameters, columns: Sequence[str] | None) -> ParameterTable:
    fact = f"bandwidths, {number_text(float(p['factor']))} x the standard deviations:"
    cells = _cells(p["deviations"], p["bandwidths"])
    rows = list(zip(_names(columns, len(cells)), cells, strict=True))
    return ParameterTable((fact,), ("sd", "bandwidth"), tuple(rows))


def _histogram(p: Parameters, columns: Sequence[str] | None) -> ParameterTable:
    share = p["probabilities"]
    fact = f"{share.size} cells, {int((share == 0).sum())} of them empty:"
    cells = [
        (str(int(bins)), *row)
        for bins, row in zip(p["bins"], _cells(p["widths"], p["low"], p["high"]), strict=True)
    ]
    rows = zip(_names(columns, len(cells)), cells, strict=True)
    return ParameterTable((fact,), ("bins", "width", "from", "to"), tuple(rows))


def _regression(p: Parameters, columns: Sequence[str] | None) -> ParameterTable:
    mean, deviation = p["coefficients"], p["standard_deviations"]
    # The last column of the table is the label.
    names = [*_names(None if columns is None else columns[:-1], len(mean) - 1), "intercept"]
    rows = list(zip(names, _cells(mean, deviation), strict=True))
    remark, rows = _largest_first(rows, np.abs(mean))
    fact = f"coefficients of the standardised features under q{remark}:"
    return ParameterTable((fact,), ("mean", "sd"), tuple(rows))


def _stored(parameters: Parameters) -> str:
    """Return what a model without natural units consists of."""
    networks: dict[str, int] = {}
    for name, array in parameters.items():
        part, dot, _ = name.partition(".")
        shape = " x ".join(map(str, np.shape(array))) or "1"
        key = part if dot else f"{name} ({shape})"
        networks[key] = networks.get(key, 0) + (np.size(array) if dot else 0)
    words = [f"{key} ({count:,} numbers)" if count else key for key, count in networks.items()]
    return f"parameters, as stored: {', '.join(words)}: result.parameters in Python, --json FILE"


# The names of the parameters, and the table of a model that has all of them.
TABLES = (
    ({"weights", "means", "standard_deviations"}, _mixture),
    ({"coefficients", "standard_deviations"}, _regression),
    ({"W", "b", "sigma", "sigma2", "uniquenesses"}, _linear),
    ({"W", "b", "sigma", "sigma2", "explained_variance_ratio"}, _linear),
    ({"mean", "sigma", "sigma2"}, _one_gaussian),
    ({"factor", "deviations", "bandwidths"}, _kernel),
    ({"bins", "widths", "low", "high", "probabilities"}, _histogram),
)
