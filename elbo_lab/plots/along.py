"""The variance of estimators along a training, and where their order flips."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from elbo_lab.plots.style import STYLE, draw_band, legend_below, marker_keywords, styled_axes
from elbo_lab.plots.variance import variance_label
from elbo_lab.registry import display_name

Row = dict[str, Any]


def plot_along(
    rows: Sequence[Row],
    flips: Sequence[Row] = (),
    ax: Axes | None = None,
    title: str = "",
    target: str = "grad-phi-elbo",
) -> Axes:
    """Draw the variance of each estimator against the epoch; a tick on the axis is a flip of an order.

    Parameters
    ----------
    rows : list of dict
        epoch, estimator, variance, and where known its interval and exact value; of one target.
    flips : list of dict
        Of the same target.
    ax : matplotlib.axes.Axes, optional
        An axes in a new figure if omitted.
    title : str
    target : str
        Says the unit of the variance.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = styled_axes(ax, 4.6, title=title, xlabel="epoch", ylabel=variance_label(target))
    for name in dict.fromkeys(row["estimator"] for row in rows):
        own = [row for row in rows if row["estimator"] == name and row["variance"]]
        epochs = [row["epoch"] for row in own]
        look = marker_keywords(name)
        exact = [row.get("variance_exact") for row in own]
        known = bool(own) and None not in exact
        ax.plot(
            epochs, exact if known else [row["variance"] for row in own], label=display_name(name), **look
        )
        if own and not known and "variance_low" in own[0]:
            low, high = (np.array([row[f"variance_{end}"] for row in own], float) for end in ("low", "high"))
            draw_band(ax, epochs, low, high, look["color"])
    ax.set_yscale("log")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    for epoch in dict.fromkeys(flip["epoch"] for flip in flips):
        ax.axvline(epoch, ymax=0.06, color="black", linewidth=STYLE["line_width"], zorder=3)
    if flips:
        ax.plot([], [], color="black", marker="|", linestyle="none", label="an order flips")
    legend_below(ax, columns=2)
    return ax
