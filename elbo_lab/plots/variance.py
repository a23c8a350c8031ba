"""The variances that theory knows, as curves."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from elbo_lab.estimators.targets import is_gradient
from elbo_lab.plots.style import legend_below, marker_keywords, styled_axes
from elbo_lab.registry import display_name


def variance_label(target: str) -> str:
    """Return the axis label of a variance, with its unit."""
    return "variance, nats² per unit²" if is_gradient(target) else "variance, nats²"


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
