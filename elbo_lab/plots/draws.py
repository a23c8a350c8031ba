"""Variance against the number of draws S.

The mean of S independent draws has 1/S of the variance of one: on log-log axes a line of slope -1,
the grey guide. An estimator whose draws help each other (leave-one-out baselines) falls faster at
first; a ratio of means follows the guide only once S is large.
"""

import math

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from elbo_lab.errors import bad_value
from elbo_lab.plots.style import (
    EXACT_LINE,
    STYLE,
    legend_below,
    marker_keywords,
    new_figure,
    style_axes,
)
from elbo_lab.plots.variance import hollow_handle, variance_label
from elbo_lab.plots.zero_axis import apply_zero_axis, zero_axis

THEORY_DASHES = (0, (5, 1.5))


def plot_variance_against_draws(records, ax=None, target="grad-phi-elbo", title="", columns=2, theory=None):
    """Draw the variance of each estimator against its number of draws.

    Parameters
    ----------
    records : dict of str to dict
        By estimator name: `draws` (list of S), `variance`, `low`, `high` (lists as long; the ends
        of the 95 % interval). None or nan: not measured. A record 'exact' is the line of zero.
        With `biased` true the markers are hollow.
    ax : matplotlib.axes.Axes, optional
        An axes in a new figure if left away (`ax.figure` is that figure).
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
    ax = new_figure(4.6).subplots() if ax is None else ax
    values = np.concatenate([curve[1:].ravel() for curve in curves.values()])
    layout = zero_axis(values, always="exact" in records)
    style_axes(ax, title=title, xlabel="draws S per estimate", ylabel=variance_label(target))
    ax.set_xscale("log", base=2)
    apply_zero_axis(ax, layout, "y")
    guide = draw_guide(ax, curves)
    handles = []
    for name, (draws, variance, low, high) in curves.items():
        keywords = marker_keywords(name)
        line = {"linestyle": "none"} if name in theory else {}
        if records[name].get("biased"):
            line["markerfacecolor"] = STYLE["background"]
        handles += ax.plot(draws, layout.place(variance), label=name, zorder=3, **keywords, **line)
        if name in theory:
            known = theory[name]["draws"], layout.place(np.array(theory[name]["variance"]))
            ax.plot(*known, color=keywords["color"], linewidth=1.1, linestyle=THEORY_DASHES, zorder=2)
        ends = layout.place(low), layout.place(high)
        ax.fill_between(draws, *ends, color=keywords["color"], alpha=0.2, linewidth=0)
    ticks = sorted({int(s) for curve in curves.values() for s in curve[0]})
    ax.set_xticks(ticks, [str(s) for s in ticks])
    ax.minorticks_off()
    if theory:
        look = {"color": STYLE["faint"], "linewidth": 1.1, "linestyle": THEORY_DASHES}
        handles.append(Line2D([], [], label="dashed: exact variance", **look))
    handles += [guide, Patch(color=STYLE["faint"], alpha=0.3, lw=0, label="band: 95 % interval")]
    if any(records[name].get("biased") for name in curves):
        handles.append(hollow_handle())
    if layout.break_at is not None:
        handles.append(ax.axhline(layout.zero, label="exact: variance 0", **EXACT_LINE, zorder=1))
    legend_below(ax, handles, columns=columns)
    return ax


def as_arrays(name, record, value="variance"):
    """Return one record as an array (4, points): draws, a value, low, high; None becomes nan."""
    lists = [record[key] for key in ("draws", value, "low", "high")]
    if len({len(values) for values in lists}) != 1:
        sizes = ", ".join(str(len(values)) for values in lists)
        raise bad_value(f"records[{name!r}]", "four lists of one length", f"lengths {sizes}")
    curve = np.array(lists, dtype=float)
    return curve[:, np.argsort(curve[0])]


def draw_guide(ax, curves):
    """Draw the line of slope -1 through the middle of all curves, and return it.

    It starts at the geometric mean of the first measured variances, so that it lies among them.
    """
    starts = []
    for draws, variance, _, _ in curves.values():
        measured = np.isfinite(variance) & (variance > 0)
        if measured.any():
            starts.append(math.log(variance[measured][0] * draws[measured][0]))
    draws = np.concatenate([curve[0] for curve in curves.values()])
    ends = np.array([draws.min(), draws.max()])
    level = math.exp(sum(starts) / len(starts)) if starts else 1.0
    look = {"color": STYLE["faint"], "linewidth": 1.0, "linestyle": ":"}
    (line,) = ax.plot(ends, level / ends, label="guide: 1/S", zorder=1, **look)
    return line
