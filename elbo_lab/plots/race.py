"""A race of estimators: the distance to the optimum over steps, evaluations, seconds, and the step size.

The legend is sorted by the variance of the gradient. If less variance trains faster, so are the curves.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from elbo_lab.plots.style import (
    band_handle,
    draw_band,
    estimator_style,
    legend_outside,
    marker_keywords,
    panels,
    style_axes,
    title_figure,
)

Row = dict[str, Any]
Rows = Sequence[Row]
LEFT = "nats per datum left"
WIDTH, HEIGHT = 7.0, 6.2


def plot_race(settings: Row, rows: Rows, tuning: Rows, curves: Rows) -> Figure:
    """Return the figure of a race; all arguments as in `comparison.race.RaceResult`."""
    figure, axes = panels(2, 2, HEIGHT, WIDTH)
    own = [row for row in rows if row["at"] == "own best rate"]
    costs = {row["estimator"]: row for row in own}
    units = {"steps": "step", "evaluations": "evaluations for a datum", "time": "seconds"}
    for ax, (title, label) in zip(axes, units.items(), strict=False):
        style_axes(ax, title=title, xlabel=label, ylabel=LEFT if title != "evaluations" else "")
        for curve in curves:
            if curve["at"] == "own best rate":
                _draw(ax, curve, _scale(title, costs[curve["estimator"]]))
        ax.set_yscale("log")
        ax.axhline(settings["target_distance"], color="#777777", linewidth=0.8, linestyle=":")
        if title != "steps":
            ax.set_xscale("log")
            ax.xaxis.set_minor_formatter(NullFormatter())  # labels between the powers of ten would collide
    _draw_tuning(axes[3], tuning, settings["common_rate"])
    title_figure(figure, f"Does less variance train faster?   {settings['model']}, each at its best rate")
    legend_outside(figure, [*_handles(own), band_handle("95 % over seeds")], columns=2)
    return figure


def _scale(title: str, row: Row) -> float:
    """Return what one step costs."""
    if title == "steps":
        return 1.0
    return float(row["evaluations_per_step"] if title == "evaluations" else row["seconds_per_step"])


def _numbers(values: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values])


def _draw(ax: Axes, curve: Row, scale: float) -> None:
    """Draw the mean distance of an estimator over its cost, with the interval where it is positive."""
    x, mean = scale * _numbers(curve["steps"]), _numbers(curve["mean"])
    color = estimator_style(curve["estimator"]).color
    kept = (mean > 0) & (x > 0)
    if not kept.any():
        return
    low, high = (_numbers(curve[end])[kept] for end in ("low", "high"))
    draw_band(ax, x[kept], np.maximum(low, 0.1 * mean[kept]), high, color)
    ax.plot(x[kept], mean[kept], color=color, linewidth=1.6)
    ax.plot(x[kept][-1:], mean[kept][-1:], **marker_keywords(curve["estimator"]))


def _draw_tuning(ax: Axes, tuning: Rows, common: float) -> None:
    """Draw the distance left at every rate of the tuning; a diverged one has no point."""
    style_axes(ax, title="step size", xlabel="rate (line: the common one)")
    for name in dict.fromkeys(row["estimator"] for row in tuning):
        mine = [row for row in tuning if row["estimator"] == name]
        ax.plot(
            [row["rate"] for row in mine],
            _numbers([row["distance"] for row in mine]),
            **marker_keywords(name),
        )
    ax.axvline(common, color="#777777", linewidth=0.8, linestyle=":")
    ax.set_xscale("log")
    ax.set_yscale("log")


def _handles(rows: Rows) -> list[Line2D]:
    """Return a legend entry per estimator, that of least variance first."""
    known = sorted(rows, key=lambda row: np.inf if row["variance"] is None else row["variance"])
    least = next((row["variance"] for row in known if row["variance"]), 1.0)
    handles = []
    for row in known:
        words = "" if row["variance"] is None else f", variance {row['variance'] / least:.3g} x"
        handles.append(Line2D([], [], label=row["estimator"] + words, **marker_keywords(row["estimator"])))
    return handles
