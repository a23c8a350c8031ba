"""Exact variance as a line: what follows from theory, along one thing that changes."""

import numpy as np

from elbo_lab.plots.style import estimator_style, legend_below, new_figure, style_axes
from elbo_lab.plots.variance import variance_label


def plot_exact_variance(x, curves, ax=None, xlabel="", title="", target="grad-phi-elbo", columns=2):
    """Draw variances that theory knows as lines on a logarithmic axis.

    Parameters
    ----------
    x : array_like (P,)
        What changes from point to point.
    curves : dict of str to array_like (P,)
        Variance by estimator; zeros are left out of a logarithmic axis.
    ax : matplotlib.axes.Axes, optional
        An axes in a new figure if left away.
    xlabel, title : str
    target : str
        Says the unit of the variance.
    columns : int
        Names side by side in the legend.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = new_figure(4.2).subplots() if ax is None else ax
    style_axes(ax, title=title, xlabel=xlabel, ylabel=variance_label(target))
    handles = []
    for name, variance in curves.items():
        values = np.asarray(variance, dtype=float)
        values = np.where(values > 0.0, values, np.nan)
        color, marker = estimator_style(name)
        every = max(1, len(values) // 6)
        look = {"color": color, "marker": marker, "markersize": 4.5, "markevery": every, "linewidth": 1.5}
        handles += ax.plot(x, values, label=name, **look)
    ax.set_yscale("log")
    legend_below(ax, handles, columns=columns)
    return ax
