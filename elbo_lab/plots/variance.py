"""The variance of a few estimators on every model, in one panel; for many see `variance_by_model`.

Models stand down the y axis, estimators are coloured markers inside the band of their model, and
the variance is read on a logarithmic axis. Its 95 % interval comes from batch means (heavy-tailed
score functions make chi-square intervals far too short). An estimator without variance stands on
the line of the exact answer at the left edge; one that is biased for the target has a hollow marker, for
little variance is not all; one that cannot exist on a model says "n/a".

Compare inside a band only: another model has other parameters, hence another unit.
"""

from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D

from elbo_lab.errors import bad_value
from elbo_lab.plots.style import (
    EXACT_LINE,
    STYLE,
    legend_below,
    marker_keywords,
    style_axes,
)
from elbo_lab.plots.zero_axis import apply_zero_axis, zero_axis
from elbo_lab.report.grouping import group_rows, is_gradient, model_label, order_targets

EXACT_TICK = {"marker": "|", "markersize": 7.0, "markeredgewidth": 0.9, "color": STYLE["ink"]}
BAND_GAP = 1.0
"""Slots left free between two models."""


def variance_label(target):
    """Return the axis label of a variance, with its unit."""
    return "variance, nats² per unit²" if is_gradient(target) else "variance, nats²"


def band_labels(rows):
    """Return the name of each block {group_key: label}.

    Model and variant; posterior and data are added where they tell two blocks apart.
    """
    first = {key: block[0] for key, block in group_rows(rows).items()}
    labels = {key: model_label(row) for key, row in first.items()}
    for name in ("posterior", "data", "latent_dim", "n_data"):
        for label in set(labels.values()):
            keys = [key for key in labels if labels[key] == label]
            if len({first[key].get(name) for key in keys}) > 1:
                word = {"latent_dim": "K = ", "n_data": "N = "}.get(name, "")
                labels.update({key: f"{label}, {word}{first[key].get(name)}" for key in keys})
    return labels


def estimator_order(rows):
    """Return the estimators without the exact answer, in order of first appearance."""
    names = dict.fromkeys(row["estimator"] for row in rows)
    return [name for name in names if name != "exact"]


def plot_target_variance(rows, ax, legend_columns=2):
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
    targets = order_targets(rows)
    if len(targets) != 1:
        raise bad_value("rows", "rows of one target", ", ".join(targets) or "none")
    names, blocks, labels = estimator_order(rows), group_rows(rows), band_labels(rows)
    ends = [row.get(key) for row in rows for key in ("variance", "variance_low", "variance_high")]
    layout = zero_axis([end for end in ends if end is not None], most_ticks=6)
    style_axes(ax, title=targets[0], xlabel=variance_label(targets[0]), grid="x")
    apply_zero_axis(ax, layout, "x")
    ax.axvline(layout.zero, **EXACT_LINE, zorder=1)
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


def draw_rows(ax, rows, heights, layout):
    """Draw estimators on one model, each at its height: marker and interval, or words for what is missing.

    All intervals are one artist, and so are all exact variances: each costs as much as a marker.
    """
    bars, colors, known = [], [], []
    for row, y in zip(rows, heights, strict=True):
        if not row["applicable"] or row.get("variance") is None:
            _draw_words(ax, row, y, layout)
            continue
        _draw_marker(ax, row, y, layout)
        low, high, exact = (row.get(key) for key in ("variance_low", "variance_high", "variance_exact"))
        if low is not None and high is not None and high > 0:
            bars.append([(max(layout.place(low), layout.zero), y), (high, y)])
            colors.append(marker_keywords(row["estimator"])["color"])
        if exact is not None and exact > 0:
            known.append((exact, y))
    if bars:
        collection = LineCollection(bars, colors=colors, linewidths=1.8, capstyle="butt", zorder=2)
        ax.add_collection(collection, autolim=False)
    if known:
        ax.plot(*zip(*known, strict=True), linestyle="none", zorder=4, **EXACT_TICK)


def _draw_words(ax, row, y, layout):
    ax.annotate(
        "n/a" if not row["applicable"] else "not finite",
        (layout.break_at, y),
        xytext=(4, 0),
        textcoords="offset points",
        va="center_baseline",
        fontsize=STYLE["note_size"] - 1,
        color=STYLE["faint"],
    )


def _draw_marker(ax, row, y, layout):
    keywords, hollow = marker_keywords(row["estimator"]), is_hollow(row)
    ax.plot(
        [layout.place(row["variance"])],
        [y],
        linestyle="none",
        markerfacecolor=STYLE["background"] if hollow else keywords["color"],
        markeredgecolor=keywords["color"] if hollow else STYLE["background"],
        markeredgewidth=1.1 if hollow else 0.4,
        zorder=3,
        **keywords,
    )


def estimator_handles(names):
    """Return one legend entry per estimator."""
    return [Line2D([], [], linestyle="none", label=name, **marker_keywords(name)) for name in names]


def key_handles(rows):
    """Return the legend entries that say what a bar, the dashed line and a hollow marker are."""
    words = "bar: 95 % interval (where wider than the marker)"
    bar = Line2D([], [], color=STYLE["faint"], linewidth=1.8, label=words)
    tick = Line2D([], [], linestyle="none", label="tick: exact variance, where known", **EXACT_TICK)
    handles = [bar, tick, Line2D([], [], label="exact: variance 0", **EXACT_LINE)]
    if any(is_hollow(row) and row["variance"] is not None for row in rows):
        handles.append(hollow_handle())
    return handles


def hollow_handle():
    """Return the legend entry that says what a hollow marker is."""
    look = {"marker": "o", "markersize": STYLE["marker_size"], "linestyle": "none", "color": STYLE["faint"]}
    return Line2D([], [], label="hollow: biased for this target", markerfacecolor=STYLE["background"], **look)


def is_hollow(row):
    """Tell whether the estimator of a row is biased for its target, which a small variance would hide."""
    return row["applicable"] and not row["unbiased"]
