"""How noisy, or how far off, every estimator of one target is, one small panel per model.

**Work.** Variance times evaluations of log p(x, z) is the variance that one evaluation buys: an estimate that
is an average of S independent parts keeps it for any S, so that twice as much work means twice as many
evaluations for the same accuracy. A biased estimator has no such number, since no number of draws takes its
bias away: its mean squared error at the given draws takes the place of the variance, and its marker is
hollow.

**Error.** Where every estimator is biased (a logarithm of a mean always is), the root mean squared error at
the given draws is shown with its two parts, bias and standard deviation: RMSE^2 = bias^2 + variance. A small
variance alone would recommend what never comes near the exact value.

Gradients of two models have different units, so work and errors of gradients are relative to the best
estimator of the model; errors of values are nats. Either way the panels of a line share one axis. Within a
line the estimators are in the order of their numbers, the best on top; models that admit about the same
estimators share a line, so that few places say "n/a".
"""

import math
import textwrap
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from elbo_lab.estimators.targets import parse
from elbo_lab.plots.style import (
    EXACT_LINE,
    STYLE,
    legend_rows,
    marker_keywords,
    new_figure,
    style_axes,
    write_head,
)
from elbo_lab.plots.variance import FILLED, HOLLOW, band_labels, only_target
from elbo_lab.plots.zero_axis import ZeroAxis, apply_zero_axis, zero_axis
from elbo_lab.registry import display_name
from elbo_lab.report import Row, Rows, group_rows, is_gradient

Blocks = dict[tuple[Any, ...], Rows]
"""Rows by block, as `group_rows` returns them."""
COLUMNS = 4
# Inches, for the sizes of type in `STYLE`.
ROW, ROW_OF_ERRORS, GUTTER, RIGHT = 0.165, 0.27, 0.12, 0.15
ABOVE, BELOW, HEAD, LINE = 0.1, 0.28, 0.3, 0.16
TITLE_CHARACTER, NAME_CHARACTER, LEGEND_CHARACTER = 0.068, 0.065, 0.066
MOST_TICKS = {1: 7, 2: 5, 3: 4, 4: 3}
"""Labelled decades by the number of panels side by side."""

ALIKE = 0.75
"""Share of the estimators that two models of one line have in common."""
ALWAYS = ("score-function", "score-function-loo", "reparameterization")
"""Shown even where only a few are: what every course compares."""

BIAS = {"marker": "v", "markersize": 3.6, "markeredgewidth": 0, "color": STYLE["ink"]}
DEVIATION = {"marker": "^", "markersize": 4.0, "markeredgewidth": 0.8, "color": STYLE["faint"]}
DEVIATION["markerfacecolor"] = STYLE["background"]
ASIDE = 0.3
"""How far above and below its row the marks of bias and deviation stand, in rows."""


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


def ranking(panels: Iterable[dict[str, Point]], most: int | None = None) -> list[str]:
    """Return the estimators of some panels, the best on top: by the mean logarithm of their numbers.

    With `most` only so many of them: those that every course compares, and the best others.
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
    kept = sorted(ranked, key=lambda name: name not in ALWAYS)[:most]
    return [name for name in ranked if name in kept]


def row_names(rows: Rows) -> dict[str, str]:
    """Return {estimator: words}: with the number of draws of its bound where bounds of several are shown."""
    counts = {row["estimator"]: parse(row["target"])[1] for row in rows}
    several = len(set(counts.values())) > 1
    return {name: display_name(name) + (f", K = {k}" if several else "") for name, k in counts.items()}


def plot_by_model(rows: Rows, title: str = "", note: str = "", most: int | None = None) -> Figure:
    """Draw work or errors of all estimators of one target, one panel per model.

    Parameters
    ----------
    rows : list of dict
        Rows of one target, with the keys of the JSON schema.
    title : str
        The target if empty.
    note : str
        A line under the title: data, draws, repeats and what else tells two runs apart.
    most : int, optional
        Number of estimators in a line of panels; all if not given.

    Returns
    -------
    matplotlib.figure.Figure
        8 inches wide, as high as its rows need.
    """
    target = only_target(rows)
    errors, across = shows_errors(rows), STYLE["width"]
    blocks, labels, names = group_rows(rows), band_labels(rows), row_names(rows)
    several = {key: block for key, block in blocks.items() if len(admitted(block)) > 1}
    # One estimator alone is the best of its model, and a panel of it says nothing.
    relative = bool(several) and (is_gradient(target) or not errors)
    blocks = several if relative else blocks
    points = {key: block_points(block, errors, relative) for key, block in blocks.items()}
    lines = panel_lines(blocks)
    order = [ranking([points[key] for key in line], most) for line in lines]
    names_width = 0.2 + NAME_CHARACTER * max((len(names[name]) for line in order for name in line), default=0)
    room = across - names_width - RIGHT
    widths = [(room - (len(line) - 1) * GUTTER) / len(line) for line in lines]
    titles = {
        key: textwrap.wrap(labels[key], int(width / TITLE_CHARACTER), break_on_hyphens=False)
        for line, width in zip(lines, widths, strict=True)
        for key in line
    }
    heights = [max(len(shown), 1) * (ROW_OF_ERRORS if errors else ROW) for shown in order]
    above = [ABOVE + LINE * max(len(titles[key]) for key in line) for line in lines]
    drawn = [
        [points[key][name] for key in line for name in shown if name in points[key]]
        for line, shown in zip(lines, order, strict=True)
    ]
    every = [point for of_line in drawn for point in of_line]
    seen = [row for row in rows if any(row["estimator"] in shown for shown in order)]
    layouts = [
        zero_axis([n for p in of_line for n in (*p[:3], *p.marks)], MOST_TICKS[len(line)], always=False)
        for line, of_line in zip(lines, drawn, strict=True)
    ]
    bars = any(
        shows_bar(point, layout, width)
        for of_line, layout, width in zip(drawn, layouts, widths, strict=True)
        for point in of_line
    )
    legend = legend_rows(key_handles(seen, every, errors, bars), across, LEGEND_CHARACTER)
    note_lines = textwrap.wrap(note, 125)
    head = HEAD + LINE * len(note_lines)
    foot = 0.48 + LINE * len(legend)
    total = head + foot + sum(heights) + sum(above) + len(lines) * BELOW
    figure = new_figure(total)
    # Every place is known in inches: nothing has to be laid out.
    figure.set_layout_engine("none")
    write_head(figure, title or target, "\n".join(note_lines))
    top = total - head
    for line, shown, layout, room, width, height in zip(
        lines, order, layouts, above, widths, heights, strict=True
    ):
        bottom = top - room - height
        for column, key in enumerate(line):
            left = names_width + column * (width + GUTTER)
            ax = figure.add_axes((left / across, bottom / total, width / across, height / total))
            draw_panel(ax, blocks[key], points[key], shown, layout, relative)
            ax.set_title("\n".join(titles[key]), **TITLE)
            if not column:
                ax.set_yticks(range(len(shown)), [names[name] for name in shown])
        top = bottom - BELOW
    place = 1 - RIGHT / across, (foot - 0.04) / total
    look = {"ha": "right", "va": "top", "color": STYLE["ink"], "fontsize": STYLE["label_size"]}
    figure.text(*place, axis_words(target, errors, relative, rows), **look)
    for index, handles in enumerate(reversed(legend)):
        anchor = 0.1 / across, (0.04 + LINE * index) / total
        figure.legend(handles=handles, ncols=len(handles), bbox_to_anchor=anchor, **LEGEND)
    return figure


TITLE = {"fontsize": STYLE["tick_size"], "color": STYLE["ink"], "loc": "left", "pad": 3, "y": 1.0}
LEGEND = {
    "loc": "lower left",
    "borderaxespad": 0.0,
    "borderpad": 0.0,
    "frameon": False,
    "fontsize": STYLE["note_size"],
    "labelcolor": STYLE["ink"],
    "columnspacing": 1.5,
}


def axis_words(target: str, errors: bool, relative: bool, rows: Rows) -> str:
    """Return the label of the axis that all panels share."""
    draws = sorted({row["draws"] for row in rows})
    of = f"{draws[0]} draws" if len(draws) == 1 else "the draws of each row"
    if errors:
        words = f"root mean squared error of an estimate from {of}"
        unit = "nats per unit" if is_gradient(target) else "nats per datum"
    else:
        words = "variance x evaluations of log p(x, z)"
        unit = "nats\u00b2 per unit\u00b2" if is_gradient(target) else "nats\u00b2"
    words += ", as a multiple of the best unbiased estimator's" if relative and not errors else ""
    words += ", as a multiple of the best one's" if relative and errors else ""
    words += "" if relative else f", {unit}"
    return words.replace(" x ", " \u00d7 ")


def draw_panel(
    ax: Axes, block: Rows, points: dict[str, Point], names: list[str], layout: ZeroAxis, relative: bool
) -> None:
    """Draw the estimators of one block, one below the other in the order of `names`.

    All intervals are one artist, and so are all marks of a kind: each costs as much as a marker.
    """
    style_axes(ax, grid="x")
    # Places that are given need not be searched for: the boxes of all tick labels, at every drawing.
    ax.xaxis.set_label_coords(0.5, 0.0)
    ax.yaxis.set_label_coords(0.0, 0.5)
    apply_zero_axis(ax, layout, "x")
    if layout.break_at is not None:
        ax.axvline(layout.zero, zorder=1, **EXACT_LINE)
    if relative:
        ax.axvline(1.0, color=STYLE["faint"], linewidth=0.9, zorder=1)
    unbiased = {row["estimator"]: row["unbiased"] for row in block}
    bars, colors = [], []
    for y, name in enumerate(names):
        point = points.get(name)
        if point is None or not math.isfinite(point.value):
            ax.annotate("n/a" if point is None else "not finite", (layout.limits[1], y), **WORDS)
            continue
        hollow = not point.marks and not unbiased[name]
        color = _draw_marker(ax, name, float(layout.place(point.value)), y, hollow)
        if math.isfinite(point.low) and point.high > 0:
            bars.append([(max(float(layout.place(point.low)), layout.limits[0]), y), (point.high, y)])
            colors.append(color)
    ax.add_collection(LineCollection(bars, colors=colors, linewidths=1.8, zorder=2), autolim=False)
    drawn = [(y, points[name]) for y, name in enumerate(names) if name in points]
    for index, look in enumerate((BIAS, DEVIATION)):
        shift = ASIDE * (2 * index - 1)
        places = [(p.marks[index], y + shift) for y, p in drawn if p.marks and p.marks[index] > 0]
        if places:
            ax.plot(*zip(*places, strict=True), linestyle="none", zorder=2, **look)
    # One artist for all lines: as a grid each would be a tick with two labels, here and on every other panel.
    grid = {"color": STYLE["grid"], "linewidth": STYLE["grid_width"], "zorder": 0.5}
    ax.hlines(range(len(names)), 0, 1, transform=ax.get_yaxis_transform(), **grid)
    ax.set_yticks([])
    ax.tick_params(axis="both", length=0, labelsize=STYLE["note_size"])
    ax.set_ylim(len(names) - 0.4, -0.6)
    # Decades at the edges lean inwards, away from the next panel.
    low, high = layout.limits
    for text, tick in zip(ax.get_xticklabels(), layout.ticks, strict=True):
        along = math.log(tick / low) / math.log(high / low)
        text.set_horizontalalignment("left" if along < 0.04 else "right" if along > 0.96 else "center")


WORDS = {
    "xytext": (-4, 0),
    "textcoords": "offset points",
    "ha": "right",
    "va": "center_baseline",
    "fontsize": STYLE["note_size"] - 1,
    "color": STYLE["faint"],
}


def _draw_marker(ax: Axes, name: str, x: float, y: float, hollow: bool) -> str:
    """Draw one estimator, and return its colour."""
    look = marker_keywords(name)
    edge = {"markeredgecolor": STYLE["background"], "markeredgewidth": 0.4}
    if hollow:
        edge = {"markerfacecolor": STYLE["background"], "markeredgewidth": 1.1}
    ax.plot([x], [y], linestyle="none", zorder=3, **look, **edge)
    return str(look["color"])


def shows_bar(point: Point, layout: ZeroAxis, width: float) -> bool:
    """Tell whether the interval of a point reaches beyond its marker on an axis of `width` inches."""
    if not (point.value > 0 and math.isfinite(point.high)):
        return False
    low, high = layout.limits
    decade = width / math.log10(high / low)
    below = math.log10(point.value / max(point.low, low)) if point.low < point.value else 0.0
    return decade * max(math.log10(point.high / point.value), below) > STYLE["marker_size"] / 144


def key_handles(rows: Rows, points: list[Point], errors: bool, bars: bool) -> list[Artist]:
    """Return the legend of what is drawn beside the markers, and of nothing else."""
    shown = [row for row in rows if row["applicable"] and row["estimator"] != "exact"]
    handles: list[Artist] = []
    if errors:
        handles.append(Line2D([], [], label="root mean squared error", **FILLED))
        for label, look in (("bias", BIAS), ("standard deviation", DEVIATION)):
            handles.append(Line2D([], [], linestyle="none", label=label, **look))
    elif not all(row["unbiased"] for row in shown):
        words = "hollow: biased; its mean squared error instead of the variance"
        handles.append(Line2D([], [], label=words, **HOLLOW))
    if bars:
        words = "bar: 95 % interval, where wider than the marker"
        handles.append(Line2D([], [], color=STYLE["faint"], linewidth=1.8, label=words))
    if any(point.value == 0 for point in points):
        handles.append(Line2D([], [], label="0: no variance", **EXACT_LINE))
    return handles
