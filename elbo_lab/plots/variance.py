"""The variance of a few estimators on every model, in one panel; for many see `by_model`.

Models are listed down the y axis, estimators are coloured markers inside the band of their model, and
the variance is read on a logarithmic axis. Its 95 % interval comes from batch means (heavy-tailed
score functions make chi-square intervals far too short). An estimator without variance lies on
the line of the exact answer at the left edge; one that is biased for the target has a hollow marker, since
a small variance says nothing about bias; one that cannot exist on a model says "n/a".

Compare inside a band only: another model has other parameters, hence another unit.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from elbo_lab.errors import bad_value
from elbo_lab.estimators.targets import parse
from elbo_lab.plots.style import EXACT_LINE, STYLE, legend_below, marker_keywords, style_axes, styled_axes
from elbo_lab.plots.zero_axis import ZeroAxis, apply_zero_axis, zero_axis
from elbo_lab.registry import display_name
from elbo_lab.report import Row, Rows, group_rows, is_gradient, model_label, order_targets

FILLED = {"marker": "o", "markersize": STYLE["marker_size"], "linestyle": "none", "color": STYLE["faint"]}
HOLLOW = {**FILLED, "markerfacecolor": STYLE["background"]}
EXACT_TICK = {"marker": "|", "markersize": 7.0, "markeredgewidth": 0.9, "color": STYLE["ink"]}
BAND_GAP = 1.0
"""Slots left free between two models."""


def only_target(rows: Rows) -> str:
    """Return the target of the rows, without numbers of draws, or raise if they have several or none."""
    targets = order_targets(rows)
    if len({parse(target)[0] for target in targets}) != 1:
        raise bad_value("rows", "rows of one target", ", ".join(targets) or "none")
    return parse(targets[0])[0]


def variance_label(target: str) -> str:
    """Return the axis label of a variance, with its unit."""
    return "variance, nats² per unit²" if is_gradient(target) else "variance, nats²"


def band_labels(rows: Rows) -> dict[tuple[Any, ...], str]:
    """Return the name of each block {group_key: label}.

    Model and variant; posterior and data are added where they tell two blocks apart.
    """
    first = {key: block[0] for key, block in group_rows(rows).items()}
    labels = {key: display_name(model_label(row).replace(" ", ":", 1)) for key, row in first.items()}
    for name in ("posterior", "data", "latent_dim", "n_data"):
        for label in set(labels.values()):
            keys = [key for key in labels if labels[key] == label]
            if len({first[key].get(name) for key in keys}) > 1:
                word = {"latent_dim": "K = ", "n_data": "N = "}.get(name, "")
                labels.update({key: f"{label}, {word}{first[key].get(name)}" for key in keys})
    return labels


def estimator_order(rows: Rows) -> list[str]:
    """Return the estimators without the exact answer, in order of first appearance."""
    names = dict.fromkeys(row["estimator"] for row in rows)
    return [name for name in names if name != "exact"]


def plot_target_variance(rows: Rows, ax: Axes, legend_columns: int = 2) -> Axes:
    """Draw the variance of the estimators of one target.

    Parameters
    ----------
    rows : list of dict
        Rows of one target, with the keys of the JSON schema.
    ax : matplotlib.axes.Axes
    legend_columns : int
        Names side by side under the panel.

    Returns
    -------
    matplotlib.axes.Axes
    """
    target = only_target(rows)
    blocks, labels, names = group_rows(rows), band_labels(rows), estimator_order(rows)
    style_axes(ax, title=target, xlabel=variance_label(target), grid="x")
    layout = variance_axis(ax, rows, most_ticks=6)
    # A band is one unit high whatever the number of estimators, so panels can stand side by side.
    slot = 1 / (max(len(names), 1) + BAND_GAP)
    for centre, block in enumerate(blocks.values()):
        if centre:
            ax.axhline(centre - 0.5, color=STYLE["grid"], linewidth=STYLE["grid_width"])
        shown = [row for row in block if row["estimator"] != "exact"]
        shifts = [names.index(row["estimator"]) - (len(names) - 1) / 2 for row in shown]
        draw_rows(ax, shown, [centre + shift * slot for shift in shifts], layout)
    ax.set_yticks(range(len(blocks)), [labels[block] for block in blocks])
    ax.tick_params(axis="y", length=0)
    # The first model is on top.
    ax.set_ylim(len(blocks) - 0.5, -0.5)
    legend_below(ax, estimator_handles(names) + key_handles(rows), columns=legend_columns)
    return ax


def variance_axis(ax: Axes, rows: Rows, most_ticks: int) -> ZeroAxis:
    """Make x an axis of the variances and their intervals, with the line of the exact answer."""
    ends = [row.get(key) for row in rows for key in ("variance", "variance_low", "variance_high")]
    layout = zero_axis([end for end in ends if end is not None], most_ticks)
    apply_zero_axis(ax, layout, "x")
    ax.axvline(layout.zero, **EXACT_LINE, zorder=1)
    return layout


def draw_rows(ax: Axes, rows: Rows, heights: Sequence[float], layout: ZeroAxis) -> None:
    """Draw estimators on one model, each at its height: marker and interval, or words for what is missing.

    All intervals are one artist, and so are all exact variances: each costs as much as a marker.
    """
    bars, colors, known = [], [], []
    for row, y in zip(rows, heights, strict=True):
        if not row["applicable"] or row.get("variance") is None:
            _draw_words(ax, "not finite" if row["applicable"] else "n/a", (layout.break_at, y))
            continue
        color = _draw_marker(ax, row, layout.place(row["variance"]), y)
        low, high, exact = (row.get(key) for key in ("variance_low", "variance_high", "variance_exact"))
        if low is not None and high is not None and high > 0:
            bars.append([(max(layout.place(low), layout.zero), y), (high, y)])
            colors.append(color)
        if exact is not None and exact > 0:
            known.append((exact, y))
    if bars:
        collection = LineCollection(bars, colors=colors, linewidths=1.8, capstyle="butt", zorder=2)
        ax.add_collection(collection, autolim=False)
    if known:
        ax.plot(*zip(*known, strict=True), linestyle="none", zorder=4, **EXACT_TICK)


def _draw_words(ax: Axes, words: str, place: tuple[float | None, float]) -> None:
    ax.annotate(
        words,
        place,
        xytext=(4, 0),
        textcoords="offset points",
        va="center_baseline",
        fontsize=STYLE["note_size"] - 1,
        color=STYLE["faint"],
    )


def _draw_marker(ax: Axes, row: Row, x: ArrayLike, y: float) -> str:
    """Draw one estimator, and return its colour."""
    keywords = marker_keywords(row["estimator"])
    color, hollow = keywords["color"], is_hollow(row)
    ax.plot(
        [x],
        [y],
        linestyle="none",
        markerfacecolor=STYLE["background"] if hollow else color,
        markeredgecolor=color if hollow else STYLE["background"],
        markeredgewidth=1.1 if hollow else 0.4,
        zorder=3,
        **keywords,
    )
    return color


def estimator_handles(names: Sequence[str]) -> list[Artist]:
    """Return one legend entry per estimator."""
    return [
        Line2D([], [], linestyle="none", label=display_name(name), **marker_keywords(name)) for name in names
    ]


def key_handles(rows: Rows) -> list[Artist]:
    """Return the legend entries of what is drawn: bars, exact variances, the line of zero, hollow markers."""
    shown = [row for row in rows if row["estimator"] != "exact" and row.get("variance") is not None]
    handles: list[Artist] = []
    if any(row.get("variance_high") for row in shown):
        words = "bar: 95 % interval (where wider than the marker)"
        handles.append(Line2D([], [], color=STYLE["faint"], linewidth=1.8, label=words))
    if any(row.get("variance_exact") for row in shown):
        words = "tick: exact variance, where known"
        handles.append(Line2D([], [], linestyle="none", label=words, **EXACT_TICK))
    handles.append(Line2D([], [], label="exact: variance 0", **EXACT_LINE))
    if any(is_hollow(row) for row in shown):
        handles.append(hollow_handle())
    return handles


def hollow_handle() -> Artist:
    """Return the legend entry that says what a hollow marker is."""
    return Line2D([], [], label="hollow: biased for this target", **HOLLOW)


def is_hollow(row: Row) -> bool:
    """Tell whether the estimator of a row is biased for its target, which a small variance would hide."""
    return row["applicable"] and not row["unbiased"]


def plot_exact_variance(
    x: ArrayLike,
    curves: Mapping[str, ArrayLike],
    ax: Axes | None = None,
    xlabel: str = "",
    title: str = "",
    target: str = "grad-phi-elbo",
    columns: int = 2,
) -> Axes:
    """Draw variances that theory knows as lines on a logarithmic axis.

    Parameters
    ----------
    x : array_like (P,)
        What changes from point to point.
    curves : dict of str to array_like (P,)
        Variance by estimator; zeros are left out of a logarithmic axis.
    ax : matplotlib.axes.Axes, optional
        An axes in a new figure if omitted.
    xlabel, title : str
    target : str
        Says the unit of the variance.
    columns : int
        Names side by side in the legend.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = styled_axes(ax, 4.2, title=title, xlabel=xlabel, ylabel=variance_label(target))
    for name, variance in curves.items():
        values = np.asarray(variance, dtype=float)
        look = {**marker_keywords(name), "markevery": max(1, len(values) // 6)}
        ax.plot(x, np.where(values > 0.0, values, np.nan), label=display_name(name), **look)
    ax.set_yscale("log")
    legend_below(ax, columns=columns)
    return ax
