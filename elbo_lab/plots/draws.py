"""Curves against a number of draws or of steps: variance, signal-to-noise ratio, bounds of a sandwich.

The mean of S independent draws has 1/S of the variance of one: a line of slope -1, the grey guide. An
estimator whose draws help each other (leave-one-out baselines) falls faster at first; a ratio of means
follows the guide only once S is large.

The guides of the signal-to-noise ratio have slopes -1/2 and +1/2: along the one more draws spoil a gradient,
along the other they improve it. Below a ratio of one the noise of a single estimate is larger than what it
estimates.

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
    styled_axes,
)
from elbo_lab.plots.variance import hollow_handle, variance_label
from elbo_lab.plots.zero_axis import apply_zero_axis, zero_axis

Record = Mapping[str, Any]
THEORY_DASHES = (0, (5, 1.5))
SIDES = {
    "lower": ("lower bound: chains from q", "#0072B2", "^"),
    "upper": ("upper bound: chains from exact posterior draws", "#D55E00", "v"),
}
NORMAL_95 = 1.96


def plot_variance_against_draws(
    records: Mapping[str, Record],
    ax: Axes | None = None,
    target: str = "grad-phi-elbo",
    title: str = "",
    columns: int = 2,
    theory: Mapping[str, Record] | None = None,
) -> Axes:
    """Draw the variance of each estimator against its number of draws.

    Parameters
    ----------
    records : dict of str to dict
        By estimator name: `draws` (list of S), `variance`, `low`, `high` (lists as long; the ends
        of the 95 % interval). None or nan: not measured. A record 'exact' is the line of zero.
        With `biased` true the markers are hollow.
    ax : matplotlib.axes.Axes, optional
        An axes in a new figure if omitted (`ax.figure` is that figure).
    target : str
        Says the unit of the variance.
    title : str
        Such as model and posterior.
    columns : int
        Names side by side in the legend.
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
    ylabel = variance_label(target)
    ax = styled_axes(ax, 4.6, title=title, xlabel="draws S per estimate", ylabel=ylabel)
    values = np.concatenate([curve[1:].ravel() for curve in curves.values()])
    layout = zero_axis(values, always="exact" in records)
    apply_zero_axis(ax, layout, "y")
    guide = draw_guide(ax, curves)
    handles: list[Artist] = []
    for name, (draws, variance, low, high) in curves.items():
        look = marker_keywords(name)
        if name in theory:
            known = theory[name]["draws"], layout.place(theory[name]["variance"])
            ax.plot(*known, color=look["color"], linewidth=1.1, linestyle=THEORY_DASHES, zorder=2)
            look["linestyle"] = "none"
        if records[name].get("biased"):
            look["markerfacecolor"] = STYLE["background"]
        handles += ax.plot(draws, layout.place(variance), label=name, zorder=3, **look)
        draw_band(ax, draws, layout.place(low), layout.place(high), look["color"])
    count_axis(ax, measured_counts(curves))
    if theory:
        dashes = {"color": STYLE["faint"], "linewidth": 1.1, "linestyle": THEORY_DASHES}
        handles.append(Line2D([], [], label="dashed: exact variance", **dashes))
    handles += [guide, band_handle()]
    if any(records[name].get("biased") for name in curves):
        handles.append(hollow_handle())
    if layout.break_at is not None:
        handles.append(ax.axhline(layout.zero, label="exact: variance 0", **EXACT_LINE, zorder=1))
    legend_below(ax, handles, columns=columns)
    return ax


def plot_signal_to_noise(
    records: Mapping[str, Record], ax: Axes | None = None, title: str = "", columns: int = 2
) -> Axes:
    """Draw the signal-to-noise ratio of each estimator against its number of draws.

    Parameters
    ----------
    records : dict of str to dict
        From `study.experiments.signal_to_noise`: by estimator lists `draws`, `snr`, `low`, `high`.
    ax : matplotlib.axes.Axes, optional
        An axes in a new figure if omitted.
    title : str
    columns : int
        Names side by side in the legend.

    Returns
    -------
    matplotlib.axes.Axes
    """
    if not records:
        raise bad_value("records", "at least one estimator", "none")
    curves = {name: as_arrays(name, record, "snr") for name, record in records.items()}
    ylabel = "|exact gradient| / standard deviation"
    ax = styled_axes(ax, 4.6, title=title, xlabel="draws K per estimate", ylabel=ylabel)
    ax.set_yscale("log")
    handles: list[Artist] = []
    for name, (draws, ratio, low, high) in curves.items():
        look = marker_keywords(name)
        handles += ax.plot(draws, ratio, label=name, zorder=3, **look)
        draw_band(ax, draws, low, high, look["color"])
    counts = measured_counts(curves)
    ends = np.array([counts[0], counts[-1]])
    middle = np.exp(np.nanmean(np.log(np.concatenate([curve[1] for curve in curves.values()]))))
    for slope, style in ((-0.5, ":"), (0.5, "-.")):
        level = middle * (ends / np.sqrt(ends.prod())) ** slope
        line = {"color": STYLE["faint"], "linewidth": 1.0, "linestyle": style, "zorder": 1}
        handles += ax.plot(ends, level, label=f"guide: slope {slope:+.1f}", **line)
    count_axis(ax, counts)
    legend_below(ax, [*handles, band_handle()], columns=columns)
    return ax


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


def draw_guide(ax: Axes, curves: Mapping[str, Floats]) -> Line2D:
    """Draw the line of slope -1 through the middle of all curves, and return it.

    It starts at the geometric mean of the first measured variances, so that it lies among them.
    """
    starts = []
    for draws, variance, _, _ in curves.values():
        measured = np.isfinite(variance) & (variance > 0)
        if measured.any():
            starts.append(math.log(variance[measured][0] * draws[measured][0]))
    counts = measured_counts(curves)
    ends = np.array([counts[0], counts[-1]])
    level = math.exp(sum(starts) / len(starts)) if starts else 1.0
    look = {"color": STYLE["faint"], "linewidth": 1.0, "linestyle": ":"}
    (line,) = ax.plot(ends, level / ends, label="guide: 1/S", zorder=1, **look)
    return line
