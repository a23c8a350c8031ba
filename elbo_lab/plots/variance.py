"""The variances that theory knows, as curves; and what all figures of variances say: names and units."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from elbo_lab.errors import bad_value
from elbo_lab.estimators.targets import parse
from elbo_lab.plots.style import STYLE, legend_below, marker_keywords, styled_axes
from elbo_lab.registry import display_name
from elbo_lab.report import Rows, group_rows, is_gradient, model_label, order_targets

FILLED = {"marker": "o", "markersize": STYLE["marker_size"], "linestyle": "none", "color": STYLE["faint"]}
HOLLOW = {**FILLED, "markerfacecolor": STYLE["background"]}


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
