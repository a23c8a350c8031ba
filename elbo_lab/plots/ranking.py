"""What is drawn of all estimators of one target: work or error, models side by side, the best on top.

**Work.** Variance times evaluations of log p(x, z) is the variance that one evaluation buys: an estimate that
is an average of S independent parts keeps it for any S, so that twice as much work means twice as many
evaluations for the same accuracy. A biased estimator has no such number, since no number of draws takes its
bias away: its mean squared error at the given draws takes the place of the variance, and its marker is
hollow.

**Error.** Where every estimator is biased (a logarithm of a mean always is), the root mean squared error at
the given draws is shown with its two parts, bias and standard deviation: RMSE^2 = bias^2 + variance. A small
variance alone would recommend what never comes near the exact value.

Gradients of two models have different units, so work and errors of gradients are relative to the best
estimator of the model; errors of values are nats. Models that admit about the same estimators share a line of
panels, so that few places say "n/a".
"""

import math
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

import numpy as np

from elbo_lab.errors import bad_value
from elbo_lab.estimators.targets import parse
from elbo_lab.registry import display_name
from elbo_lab.report import Row, Rows, group_rows, order_targets
from elbo_lab.report.grouping import full_name

Blocks = dict[tuple[Any, ...], Rows]
"""Rows by block, as `group_rows` returns them."""
COLUMNS = 4
ALIKE = 0.75
"""Share of the estimators that two models of one line have in common."""
ALWAYS = ("score-function", "score-function-loo", "reparameterization")
"""Shown even where only a few are: what every course compares."""


def only_target(rows: Rows) -> str:
    """Return the target of the rows, without numbers of draws, or raise if they have several or none."""
    targets = order_targets(rows)
    if len({parse(target)[0] for target in targets}) != 1:
        raise bad_value("rows", "rows of one target", ", ".join(targets) or "none")
    return parse(targets[0])[0]


def band_labels(rows: Rows) -> dict[tuple[Any, ...], str]:
    """Return the name of each block {group_key: label}.

    Model and variant; posterior and data are added where they tell two blocks apart.
    """
    first = {key: block[0] for key, block in group_rows(rows).items()}
    labels = {key: display_name(full_name(row)) for key, row in first.items()}
    for name in ("posterior", "data", "latent_dim", "n_data"):
        for label in set(labels.values()):
            keys = [key for key in labels if labels[key] == label]
            if len({first[key].get(name) for key in keys}) > 1:
                word = {"latent_dim": "K = ", "n_data": "N = "}.get(name, "")
                labels.update({key: f"{label}, {word}{first[key].get(name)}" for key in keys})
    return labels


class Point(NamedTuple):
    """The numbers of one row in the unit of the axis; nan where there is none."""

    value: float
    low: float
    high: float
    marks: tuple[float, ...] = ()
    """Bias and standard deviation beside an error."""


def admitted(block: Rows) -> set[str]:
    """Return the estimators that are defined on the model of a block, without the exact answer."""
    return {row["estimator"] for row in block if row["applicable"]} - {"exact"}


def alike(first: Rows, second: Rows) -> bool:
    """Tell whether two blocks of rows share most of the estimators that either of them admits."""
    names = admitted(first), admitted(second)
    return len(names[0] & names[1]) >= ALIKE * len(names[0] | names[1])


def panel_lines(blocks: Blocks) -> list[Blocks]:
    """Return the blocks of each line of panels; a block on which nothing is defined has no panel."""
    groups: list[Blocks] = []
    for key, block in blocks.items():
        if not admitted(block):
            continue
        home = next((group for group in groups if alike(next(iter(group.values())), block)), None)
        if home is None:
            groups.append(home := {})
        home[key] = block
    lines: list[Blocks] = []
    for group in groups:
        # As many panels in each line as in the others, within one: no line ends with a hole.
        count = math.ceil(len(group) / COLUMNS)
        for part in np.array_split(np.arange(len(group)), count):
            keys = list(group)
            lines.append({keys[i]: group[keys[i]] for i in part})
    return lines


def shows_errors(rows: Rows) -> bool:
    """Tell whether all estimators of the rows are biased, so that errors are shown and not work."""
    return not any(row["unbiased"] for row in rows if row["applicable"] and row["estimator"] != "exact")


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def work_point(row: Row) -> Point:
    """Return variance x evaluations of a row with its interval."""
    key = "variance" if row["unbiased"] else "mse"
    evaluations = row.get("evaluations") or row["draws"]
    value, low, high = (_number(row.get(f"{key}{end}")) for end in ("", "_low", "_high"))
    return Point(evaluations * value, evaluations * low, evaluations * high)


def error_point(row: Row) -> Point:
    """Return the root mean squared error of a row with its interval, its bias and standard deviation."""
    squares = np.array([_number(row.get(key)) for key in ("mse", "mse_low", "mse_high", "variance")])
    value, low, high, deviation = map(float, np.sqrt(squares))
    return Point(value, low, high, (_number(row.get("bias_norm")), deviation))


def block_points(block: Rows, errors: bool, relative: bool) -> dict[str, Point]:
    """Return the Point of each estimator of a block, relative to the best one (unbiased, if there is one)."""
    shown = [row for row in block if row["applicable"] and row["estimator"] != "exact"]
    points = {row["estimator"]: (error_point if errors else work_point)(row) for row in shown}
    if not relative:
        return points
    ranked = [row for row in shown if row["unbiased"]] or shown
    values = [points[row["estimator"]].value for row in ranked]
    best = min((value for value in values if value > 0), default=1.0)
    return {
        name: Point(value / best, low / best, high / best, tuple(mark / best for mark in marks))
        for name, (value, low, high, marks) in points.items()
    }


def ranking(
    panels: Iterable[dict[str, Point]], most: int | None = None, always: Collection[str] = ALWAYS
) -> list[str]:
    """Return the estimators of some panels, the best on top: by the mean logarithm of their numbers.

    With `most` only so many of them: those that are `always` shown, and the best others.
    """
    found: dict[str, list[float]] = {}
    for points in panels:
        for name, point in points.items():
            found.setdefault(name, []).append(point.value)

    def place(name: str) -> float:
        values = np.array(found[name])
        values = values[np.isfinite(values)]
        if not len(values):
            return math.inf
        return float(np.log(np.maximum(values, 1e-300)).mean())

    ranked = sorted(found, key=place)
    if most is None:
        return ranked
    kept = sorted(ranked, key=lambda name: name not in always)[:most]
    return [name for name in ranked if name in kept]


def row_names(rows: Rows) -> dict[str, str]:
    """Return {estimator: words}: with the number of draws of its bound where bounds of several are shown."""
    counts = {row["estimator"]: parse(row["target"])[1] for row in rows}
    several = len(set(counts.values())) > 1
    return {name: display_name(name) + (f", K = {k}" if several else "") for name, k in counts.items()}
