"""The variance of every estimator of one target, one small panel per model.

Estimators are named at the left, once per line of panels, and keep their colour and marker; the variance is
read on a logarithmic axis of its own in each panel, for another model has other parameters and hence another
unit: compare inside a panel only. Intervals, the line of zero and hollow markers are those of `variance`.

Models that admit about the same estimators share a line (continuous latents one, discrete ones another), so
that few places are empty. What is still undefined on a model says "n/a" there.
"""

import math
import textwrap
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from elbo_lab.plots.style import STYLE, new_figure, style_axes
from elbo_lab.plots.variance import (
    band_labels,
    draw_rows,
    estimator_order,
    key_handles,
    only_target,
    variance_axis,
    variance_label,
)
from elbo_lab.report import Rows, group_rows

Blocks = dict[tuple[Any, ...], Rows]
"""Rows by block, as `group_rows` returns them."""
COLUMNS = 4
# Inches, for the sizes of type in `STYLE`.
ROW, GUTTER, RIGHT = 0.155, 0.1, 0.1
ABOVE, BELOW, HEAD, NOTE, FOOT = 0.1, 0.28, 0.3, 0.15, 0.62
TITLE_LINE, TITLE_CHARACTER, NAME_CHARACTER = 0.15, 0.068, 0.065


def admitted(block: Rows) -> set[str]:
    """Return the estimators that are defined on the model of a block, without the exact answer."""
    return {row["estimator"] for row in block if row["applicable"]} - {"exact"}


def alike(first: Rows, second: Rows) -> bool:
    """Tell whether two blocks of rows share at least half of the estimators that either of them admits."""
    names = admitted(first), admitted(second)
    return 2 * len(names[0] & names[1]) >= len(names[0] | names[1])


def panel_lines(rows: Rows) -> list[tuple[list[str], Blocks]]:
    """Return the lines of panels [(names of the estimators, {group_key: block}), ...]."""
    groups: list[Blocks] = []
    for key, block in group_rows(rows).items():
        home = next((group for group in groups if alike(next(iter(group.values())), block)), None)
        if home is None:
            groups.append(home := {})
        home[key] = block
    lines, order = [], estimator_order(rows)
    for group in groups:
        members = set().union(*map(admitted, group.values()))
        names = [name for name in order if name in members] or order
        keys = list(group)
        for start in range(0, len(keys), COLUMNS):
            lines.append((names, {key: group[key] for key in keys[start : start + COLUMNS]}))
    return lines


def plot_variance(rows: Rows, title: str = "", note: str = "") -> Figure:
    """Draw the variance of all estimators of one target, one panel per model.

    Parameters
    ----------
    rows : list of dict
        Rows of one target, with the keys of the JSON schema.
    title : str
        The target if empty.
    note : str
        A line under the title: data, draws, repeats and what else tells two runs apart.

    Returns
    -------
    matplotlib.figure.Figure
        8 inches wide, as high as its rows need.
    """
    target = only_target(rows)
    lines, labels = panel_lines(rows), band_labels(rows)
    across = STYLE["width"]
    columns = max(len(blocks) for _, blocks in lines)
    names_width = 0.2 + NAME_CHARACTER * max(map(len, estimator_order(rows)), default=0)
    width = (across - names_width - RIGHT - (columns - 1) * GUTTER) / columns
    most = int(width / TITLE_CHARACTER)
    titles = {key: textwrap.wrap(labels[key], most, break_on_hyphens=False) for key in labels}
    heights = [max(len(names), 1) * ROW for names, _ in lines]
    above = [ABOVE + TITLE_LINE * max(len(titles[key]) for key in blocks) for _, blocks in lines]
    handles = key_handles(rows)
    head, foot = HEAD + (NOTE if note else 0), FOOT + (NOTE if len(handles) > 3 else 0)
    total = head + foot + sum(heights) + sum(above) + len(lines) * BELOW
    figure = new_figure(total)
    # Every place is known in inches: nothing has to be laid out.
    figure.set_layout_engine("none")
    words = {"ha": "left", "color": STYLE["ink"]}
    figure.text(
        0.1 / across, 1 - 0.1 / total, title or target, va="top", fontsize=STYLE["title_size"], **words
    )
    if note:
        place = 0.1 / across, 1 - 0.29 / total
        figure.text(*place, note, va="top", fontsize=STYLE["note_size"], ha="left", color=STYLE["faint"])
    top = total - head
    for (names, blocks), room, height in zip(lines, above, heights, strict=True):
        bottom = top - room - height
        for column, (key, block) in enumerate(blocks.items()):
            left = names_width + column * (width + GUTTER)
            ax = figure.add_axes((left / across, bottom / total, width / across, height / total))
            draw_panel(ax, block, names, "\n".join(titles[key]), named=column == 0)
        top = bottom - BELOW
    place, xlabel = (names_width / across, (foot - 0.02) / total), variance_label(target)
    figure.text(*place, xlabel, va="top", fontsize=STYLE["label_size"], **words)
    figure.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0.02 / across, 0.02 / total),
        borderaxespad=0.2,
        ncols=3,
        frameon=False,
        fontsize=STYLE["note_size"],
        labelcolor=STYLE["ink"],
        columnspacing=1.5,
    )
    return figure


def draw_panel(ax: Axes, block: Rows, names: list[str], label: str, named: bool) -> None:
    """Draw the estimators of one block, one below the other in the order of `names`, `named` at the left."""
    style_axes(ax, grid="x")
    # Places that are given need not be searched for: the boxes of all tick labels, at every drawing.
    ax.set_title(label, fontsize=STYLE["tick_size"], color=STYLE["ink"], loc="left", pad=3, y=1.0)
    ax.xaxis.set_label_coords(0.5, 0.0)
    ax.yaxis.set_label_coords(0.0, 0.5)
    layout = variance_axis(ax, block, most_ticks=3)
    shown = [row for row in block if row["estimator"] in names]
    draw_rows(ax, shown, [names.index(row["estimator"]) for row in shown], layout)
    # One artist for all lines: as a grid each would be a tick with two labels, here and on every other panel.
    lines = {"color": STYLE["grid"], "linewidth": STYLE["grid_width"], "zorder": 0.5}
    ax.hlines(range(len(names)), 0, 1, transform=ax.get_yaxis_transform(), **lines)
    ax.set_yticks(range(len(names)) if named else [], names if named else [])
    ax.tick_params(axis="both", length=0, labelsize=STYLE["note_size"])
    ax.set_ylim(len(names) - 0.4, -0.6)
    # Decades at the edges lean inwards, away from the zero and from the next panel.
    for text, tick in zip(ax.get_xticklabels()[1:], layout.ticks[1:], strict=True):
        along = math.log(tick / layout.limits[0]) / math.log(layout.limits[1] / layout.limits[0])
        text.set_horizontalalignment("left" if along < 0.2 else "right" if along > 0.9 else "center")
