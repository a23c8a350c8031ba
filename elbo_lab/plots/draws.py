"""Curves against a number of draws or of steps: variance, bounds of a sandwich.

Variance is shown against evaluations of log p(x, z), which S draws cost: most estimators take one a draw,
measure-valued gradients 3 K + 1. Of a biased estimator the mean squared error is shown, which stops falling
where the bias remains. The names stand at the ends of the curves.

The mean of S independent draws has 1/S of the variance of one: a line of slope -1, the grey guide. An
estimator whose draws help each other (leave-one-out baselines) falls faster at first; a ratio of means
follows the guide only once S is large.

The sandwich of annealed chains has log p(x) between a lower bound (blue) and an upper one (red), both with
the 95 % interval of the mean over the data; the exact answer, where it is known, is the black dashed line
between them. The two are bounds on average: an interval may reach over the line, a curve should not.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from elbo_lab.arrays import Floats
from elbo_lab.errors import bad_value
from elbo_lab.plots.style import (
    EXACT_LINE,
    STYLE,
    band_handle,
    count_axis,
    draw_band,
    legend_below,
    marker_keywords,
    new_figure,
    style_axes,
    styled_axes,
    write_head,
)
from elbo_lab.plots.variance import variance_label
from elbo_lab.plots.zero_axis import ZeroAxis, apply_zero_axis, zero_axis
from elbo_lab.registry import display_name
from elbo_lab.study.statistics import NORMAL_95

Record = Mapping[str, Any]
THEORY_DASHES = (0, (5, 1.5))
SIDES = {
    "lower": ("lower bound: chains from q", "#0072B2", "^"),
    "upper": ("upper bound: chains from exact posterior draws", "#D55E00", "v"),
}
MODEL_LOOKS = (("#222222", "o"), ("#8A6FBF", "s"))
MOST_TICKS = 9
LABEL_CHARACTER, LABEL_HEIGHT = 0.072, 0.17
"""Inches, for the sizes of type in `STYLE`."""


def plot_variance_against_draws(
    records: Mapping[str, Record],
    ax: Axes | None = None,
    target: str = "grad-phi-elbo",
    title: str = "",
    note: str = "",
    theory: Mapping[str, Record] | None = None,
) -> Axes:
    """Draw the variance of each estimator against the evaluations that its draws cost.

    Parameters
    ----------
    records : dict of str to dict
        By estimator name: `draws` (list of S), `variance`, `low`, `high` (lists as long; the ends
        of the 95 % interval). None or nan: not measured. `evaluations` of log p(x, z) at each S; the draws
        if omitted. A record 'exact' is the line of zero. With `biased` true the markers are hollow, and
        `squared_bias` at each S is added.
    ax : matplotlib.axes.Axes, optional
        An axes in a new figure if omitted (`ax.figure` is that figure).
    target : str
        Says the unit of the variance.
    title, note : str
        Such as the question; model and posterior.
    theory : dict of str to dict, optional
        By estimator name: `draws` and `variance` as they follow from theory, drawn as lines; the
        measured values are then points.

    Returns
    -------
    matplotlib.axes.Axes
    """
    theory = theory or {}
    curves = {name: as_arrays(name, record) for name, record in records.items() if name != "exact"}
    if not curves:
        raise bad_value("records", "at least one estimator beside the exact answer", "none")
    for name, curve in curves.items():
        if records[name].get("biased"):
            curve[1:] += np.array(records[name].get("squared_bias", 0.0))
    if ax is None:
        ax = fixed_axes([end_label(name, records[name]) for name in curves], title, note)
        title = ""
    counted = all("evaluations" in records[name] for name in curves)
    xlabel = "evaluations of log p(x, z) per estimate" if counted else "draws S per estimate"
    style_axes(ax, title=title, xlabel=xlabel, ylabel=variance_label(target))
    values = np.concatenate([curve[1:].ravel() for curve in curves.values()])
    layout = zero_axis(values, always="exact" in records)
    apply_zero_axis(ax, layout, "y")
    places = {name: costs(records[name], curve[0]) for name, curve in curves.items()}
    guide = draw_guide(ax, curves, places)
    handles: list[Artist] = []
    for name, (draws, variance, low, high) in curves.items():
        look, x = marker_keywords(name), places[name]
        if name in theory:
            known = theory[name]
            at = np.interp(known["draws"], draws, x)
            line = {"color": look["color"], "linewidth": 1.1, "linestyle": THEORY_DASHES, "zorder": 2}
            ax.plot(at, layout.place(known["variance"]), **line)
            look["linestyle"] = "none"
        if records[name].get("biased"):
            look["markerfacecolor"] = STYLE["background"]
        ax.plot(x, layout.place(variance), zorder=3, **look)
        draw_band(ax, x, layout.place(low), layout.place(high), look["color"])
    ends = np.concatenate([*places.values()])
    ax.set_xscale("log")
    ax.set_xlim(ends.min() / 1.2, ends.max() * 1.2)
    if counted:
        ticks = [
            n * 10**k for k in range(9) for n in (1, 2, 5) if ends.min() <= n * 10**k <= 1.2 * ends.max()
        ]
        if len(ticks) > MOST_TICKS:
            ticks = [tick for tick in ticks if str(tick).startswith("1")]
        ax.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        ax.minorticks_off()
    else:
        count_axis(ax, measured_counts(curves))
    write_at_ends(ax, curves, places, layout, records)
    if theory:
        dashes = {"color": STYLE["faint"], "linewidth": 1.1, "linestyle": THEORY_DASHES}
        handles.append(Line2D([], [], label="dashed: exact variance", **dashes))
    handles += [guide, band_handle()]
    if layout.break_at is not None:
        ax.axhline(layout.zero, **EXACT_LINE, zorder=1)
    legend_below(ax, handles, columns=4)
    return ax


def fixed_axes(labels: Sequence[str], title: str, note: str) -> Axes:
    """Return an axes in a new figure with room for a head, labels at the right and a legend below."""
    width, height = STYLE["width"], 4.4
    figure = new_figure(height)
    figure.set_layout_engine("none")
    write_head(figure, title, note)
    right = 0.3 + LABEL_CHARACTER * max(map(len, labels))
    top, bottom, left = 0.35 + 0.2 * bool(note), 0.85, 0.75
    place = (left / width, bottom / height, 1 - (left + right) / width, 1 - (top + bottom) / height)
    return figure.add_axes(place)


def end_label(name: str, record: Record) -> str:
    """Return the words at the end of a curve."""
    return display_name(name) + (": error, biased" if record.get("biased") else "")


def costs(record: Record, draws: Floats) -> Floats:
    """Return the evaluations at each number of draws (ascending), or the draws where they are not counted."""
    return np.sort(np.array(record["evaluations"], dtype=float)) if "evaluations" in record else draws


def write_at_ends(
    ax: Axes,
    curves: Mapping[str, Floats],
    places: Mapping[str, Floats],
    layout: ZeroAxis,
    records: Mapping[str, Record],
) -> None:
    """Write the name of each curve at the right of the panel, at the height of its end, none upon another."""
    low, high = layout.limits
    ends = {}
    for name, curve in curves.items():
        measured = np.flatnonzero(np.isfinite(curve[1]))
        if len(measured):
            y = float(layout.place(curve[1][measured[-1]]))
            ends[name] = (places[name][measured[-1]], math.log(y / low) / math.log(high / low))
    height = ax.get_position().height * ax.figure.get_size_inches()[1]
    names = sorted(ends, key=lambda name: ends[name][1])
    heights = spread([ends[name][1] for name in names], LABEL_HEIGHT / height)
    for name, y in zip(names, heights, strict=True):
        color = marker_keywords(name)["color"]
        words = {"va": "center", "fontsize": STYLE["tick_size"], "color": color}
        ax.text(1.025, y, end_label(name, records[name]), transform=ax.transAxes, **words)
        leader = {"color": color, "linewidth": 0.7, "alpha": 0.4, "clip_on": False, "zorder": 1}
        x, end = ends[name]
        along = math.log(x / ax.get_xlim()[0]) / math.log(ax.get_xlim()[1] / ax.get_xlim()[0])
        ax.plot([along, 1.0, 1.02], [end, y, y], transform=ax.transAxes, gid="leader", **leader)


def spread(heights: Sequence[float], apart: float) -> list[float]:
    """Return ascending heights moved so that neighbours are `apart`, and all are as near as that allows.

    Labels that touch form a group, which stands about the mean of its heights and takes in what it touches.
    """
    groups: list[list[float]] = []
    for height in heights:
        group = [height]
        while groups and _ends(groups[-1], apart)[1] + apart > _ends(group, apart)[0]:
            group = groups.pop() + group
        groups.append(group)
    return [_ends(group, apart)[0] + i * apart for group in groups for i in range(len(group))]


def _ends(group: Sequence[float], apart: float) -> tuple[float, float]:
    half = (len(group) - 1) * apart / 2
    middle = sum(group) / len(group)
    return middle - half, middle + half


def plot_more_draws(
    gaps: Mapping[str, Record],
    ratios: Mapping[str, Mapping[str, Record]],
    title: str = "",
    note: str = "",
) -> Figure:
    """Draw what more draws do to a bound and to the signal-to-noise ratio of its gradients.

    Parameters
    ----------
    gaps : dict of str to dict
        By model: `draws` (list of M), `gap` (log p(x) less the bound), `low`, `high` (95 % interval).
    ratios : dict of str to dict
        By model: {estimator: `draws`, `snr`, `low`, `high`}. A model is one panel.
    title, note : str
        Such as the question; draws, repeats and rows.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = new_figure(3.5)
    figure.set_layout_engine("none")
    write_head(figure, title, note)
    place = {"left": 0.08, "right": 0.985, "bottom": 0.34, "top": 0.77, "wspace": 0.28}
    panels = figure.subplots(1, 1 + len(ratios), gridspec_kw=place)
    ax = style_axes(panels[0], title="Gap of the bound", xlabel="draws M", ylabel="nats per datum")
    for (name, record), (color, marker) in zip(gaps.items(), MODEL_LOOKS, strict=False):
        look = {"color": color, "marker": marker, "markersize": STYLE["marker_size"], "linewidth": 1.4}
        draws, gap, low, high = as_arrays(name, record, "gap")
        ax.plot(draws, gap, label=name, zorder=3, **look)
        draw_band(ax, draws, low, high, color)
    legend_below(ax, columns=1)
    for ax, (model, records) in zip(panels[1:], ratios.items(), strict=True):
        style_axes(ax, title=f"Signal / noise: {model}", xlabel="draws M")
        for name, record in records.items():
            look = marker_keywords(name)
            draws, ratio, low, high = as_arrays(name, record, "snr")
            ax.plot(draws, ratio, label=display_name(name), zorder=3, **look)
            draw_band(ax, draws, low, high, look["color"])
    legend_below(panels[1], [*panels[1].get_legend_handles_labels()[0], band_handle()], columns=2)
    top = max(ax.get_ylim()[1] for ax in panels[1:])
    for ax in panels:
        count_axis(ax, draws.astype(int))
        ax.set_ylim(0, None if ax is panels[0] else top)
    return figure


def plot_sandwich(
    records: Sequence[Record],
    ax: Axes | None = None,
    exact: float | None = None,
    title: str = "",
    ylabel: str = "log p(x), nats per datum",
) -> Axes:
    """Draw both bounds against the number of temperatures.

    Parameters
    ----------
    records : list of dict
        With 'n_steps', and 'lower', 'lower_se', 'upper', 'upper_se' as of `Sandwich.means`.
    ax : matplotlib.axes.Axes, optional
        An axes in a new figure if omitted.
    exact : float, optional
        Mean log p(x); 0 for records that are differences to it.
    title, ylabel : str

    Returns
    -------
    matplotlib.axes.Axes
    """
    if not records:
        raise bad_value("records", "at least one sandwich", "none")
    ax = styled_axes(ax, 3.8, title=title, xlabel="steps T of the path", ylabel=ylabel)
    steps = [record["n_steps"] for record in records]
    handles: list[Artist] = []
    for side, (label, color, marker) in SIDES.items():
        value, error = (np.array([record[key] for record in records]) for key in (side, f"{side}_se"))
        look = {"color": color, "marker": marker, "markersize": STYLE["marker_size"]}
        handles += ax.plot(steps, value, label=label, linewidth=STYLE["line_width"], zorder=3, **look)
        draw_band(ax, steps, value - NORMAL_95 * error, value + NORMAL_95 * error, color)
    if exact is not None:
        handles.append(ax.axhline(exact, label="exact", zorder=2, **EXACT_LINE))
    count_axis(ax, steps)
    legend_below(ax, [*handles, band_handle("95 % interval of the mean")], columns=2)
    return ax


def as_arrays(name: str, record: Record, value: str = "variance") -> Floats:
    """Return one record as an array (4, points): draws, a value, low, high; None becomes nan."""
    lists = [record[key] for key in ("draws", value, "low", "high")]
    if len({len(values) for values in lists}) != 1:
        sizes = ", ".join(str(len(values)) for values in lists)
        raise bad_value(f"records[{name!r}]", "four lists of one length", f"lengths {sizes}")
    curve = np.array(lists, dtype=float)
    return curve[:, np.argsort(curve[0])]


def measured_counts(curves: Mapping[str, Floats]) -> list[int]:
    """Return the numbers of draws of all curves, ascending."""
    return sorted({int(count) for curve in curves.values() for count in curve[0]})


def draw_guide(ax: Axes, curves: Mapping[str, Floats], places: Mapping[str, Floats]) -> Line2D:
    """Draw the line of slope -1 through the middle of all curves, and return it.

    It starts at the geometric mean of the first measured variances, so that it lies among them.
    """
    starts = []
    for name, (_, variance, _, _) in curves.items():
        measured = np.isfinite(variance) & (variance > 0)
        if measured.any():
            starts.append(math.log(variance[measured][0] * places[name][measured][0]))
    every = np.concatenate([*places.values()])
    ends = np.array([every.min(), every.max()])
    level = math.exp(sum(starts) / len(starts)) if starts else 1.0
    look = {"color": STYLE["faint"], "linewidth": 1.0, "linestyle": ":"}
    (line,) = ax.plot(
        ends, level / ends, label="dotted: half the variance for twice the cost", zorder=1, **look
    )
    return line
