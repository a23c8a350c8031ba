"""How noisy, or how far off, every estimator of one target is, one small panel per model.

See `ranking` for what is drawn. The panels of a line share one axis, and within a line the estimators are in
the order of their numbers, the best on top.
"""

import math
import textwrap
from collections.abc import Collection

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from elbo_lab.estimators.targets import is_gradient
from elbo_lab.plots.ranking import (
    ALWAYS,
    Point,
    admitted,
    band_labels,
    block_points,
    only_target,
    panel_lines,
    ranking,
    row_names,
    shows_errors,
)
from elbo_lab.plots.style import (
    CORNER_LEGEND,
    EXACT_LINE,
    STYLE,
    left_out,
    legend_rows,
    marker_keywords,
    new_figure,
    style_axes,
    write_head,
)
from elbo_lab.plots.zero_axis import ZeroAxis, apply_zero_axis, zero_axis
from elbo_lab.report import Rows, group_rows

FILLED = {"marker": "o", "markersize": STYLE["marker_size"], "linestyle": "none", "color": STYLE["faint"]}
HOLLOW = {**FILLED, "markerfacecolor": STYLE["background"]}
# Inches, for the sizes of type in `STYLE`.
ROW, ROW_OF_ERRORS, GUTTER, RIGHT = 0.165, 0.27, 0.12, 0.15
ABOVE, BELOW, HEAD, LINE = 0.1, 0.28, 0.3, 0.16
TITLE_CHARACTER, NAME_CHARACTER, LEGEND_CHARACTER = 0.068, 0.065, 0.066
MOST_TICKS = {1: 7, 2: 5, 3: 4, 4: 3}
"""Labelled decades by the number of panels side by side."""

BIAS = {"marker": "v", "markersize": 3.6, "markeredgewidth": 0, "color": STYLE["ink"]}
DEVIATION = {"marker": "^", "markersize": 4.0, "markeredgewidth": 0.8, "color": STYLE["faint"]}
DEVIATION["markerfacecolor"] = STYLE["background"]
ASIDE = 0.3
"""How far above and below its row the marks of bias and deviation stand, in rows."""


def plot_by_model(
    rows: Rows,
    title: str = "",
    note: str = "",
    most: int | None = None,
    always: Collection[str] = ALWAYS,
) -> Figure:
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
    always : collection of str
        Estimators that are among them before better ones.

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
    order = [ranking([points[key] for key in line], most, always) for line in lines]
    left = {name for key in blocks for name in points[key]}.difference(*order)
    note += left_out(names[name] for name in names if name in left)
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
        zero_axis([n for p in of_line for n in (*p[:3], *p.marks)], MOST_TICKS[len(line)])
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
        figure.legend(handles=handles, ncols=len(handles), bbox_to_anchor=anchor, **CORNER_LEGEND)
    return figure


TITLE = {"fontsize": STYLE["tick_size"], "color": STYLE["ink"], "loc": "left", "pad": 3, "y": 1.0}


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
