"""Why one does not estimate the evidence with draws from the prior.

With growing latent dimension K fewer and fewer prior draws land where the posterior is. The mean
weight stays unbiased for p(x), but its logarithm falls short by nats, and the effective sample size
1 / sum_s w_s^2 (normalised weights) goes to one: a single draw carries the whole sum.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from elbo_lab.errors import bad_value
from elbo_lab.plots.style import (
    EXACT_LINE,
    band_handle,
    count_axis,
    draw_band,
    legend_below,
    legend_outside,
    marker_keywords,
    new_figure,
    style_axes,
    title_figure,
)

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
MOST_LABELS = 8
"""Labels of more dimensions than this would collide."""


def draw_styles(records: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    """Return line keywords for each number of draws {S: dict}.

    All are one estimator and so one colour, from light (few draws) to full (many).
    """
    counts = sorted(records["error"])
    look = marker_keywords("prior-monte-carlo")
    full = np.array(to_rgb(look["color"]))
    styles = {}
    for index, draws in enumerate(counts):
        share = 0.42 + 0.58 * (index + 1) / len(counts)
        color = tuple(1 - share * (1 - full))
        styles[draws] = {**look, "color": color, "marker": MARKERS[index % len(MARKERS)]}
    return styles


def check_records(records: Mapping[str, Any]) -> None:
    """Raise unless every curve is as long as `latent_dim`."""
    size = len(records["latent_dim"])
    for name in ("error", "low", "high", "effective_sample_size"):
        for draws, values in records.get(name, {}).items():
            if len(values) != size:
                raise bad_value(f"records[{name!r}][{draws}]", f"{size} numbers", len(values))
    if not size or not records["error"]:
        raise bad_value("records", "at least one dimension and one number of draws", "none")


def draw_handles(records: Mapping[str, Any]) -> list[Artist]:
    """Return one legend entry per number of draws."""
    styles = draw_styles(records).items()
    return [Line2D([], [], label=f"S = {draws} draws", **keywords) for draws, keywords in styles]


def error_handles(records: Mapping[str, Any]) -> list[Artist]:
    """Return the legend of the error panel: draws, exact line, and what the band is."""
    handles = [*draw_handles(records), Line2D([], [], label="exact", **EXACT_LINE)]
    if records.get("low"):
        handles.append(band_handle(records.get("band", "95 % interval of the mean")))
    return handles


def draw_curves(ax: Axes, records: Mapping[str, Any], name: str) -> None:
    """Draw one curve per number of draws against the latent dimension."""
    for draws, keywords in draw_styles(records).items():
        if draws in records[name]:
            values = np.array(records[name][draws], dtype=float)
            ax.plot(records["latent_dim"], values, zorder=3, **keywords)
    # Dimensions double from point to point: on a linear axis the first ones would collide.
    count_axis(ax, records["latent_dim"], MOST_LABELS)


def plot_prior_error(records: Mapping[str, Any], ax: Axes, legend: bool = True) -> Axes:
    """Draw the error of prior Monte Carlo log p against the latent dimension.

    Parameters
    ----------
    records : dict
        See `plot_prior_failure`.
    ax : matplotlib.axes.Axes
    legend : bool
        Whether to put a legend under the panel.

    Returns
    -------
    matplotlib.axes.Axes
    """
    check_records(records)
    ylabel = "estimate - exact, nats per datum"
    style_axes(ax, title="Error of log p", xlabel="latent dimension K", ylabel=ylabel)
    ax.axhline(0.0, **EXACT_LINE, zorder=2)
    draw_curves(ax, records, "error")
    for draws, keywords in draw_styles(records).items():
        low, high = (records.get(name, {}).get(draws) for name in ("low", "high"))
        if low is not None and high is not None:
            low, high = np.array([low, high], dtype=float)
            draw_band(ax, records["latent_dim"], low, high, keywords["color"])
    if legend:
        legend_below(ax, error_handles(records), columns=2)
    return ax


def plot_effective_sample_size(records: Mapping[str, Any], ax: Axes, legend: bool = True) -> Axes:
    """Draw the effective sample size of the prior draws against the latent dimension.

    Parameters
    ----------
    records : dict
        See `plot_prior_failure`.
    ax : matplotlib.axes.Axes
    legend : bool
        Whether to put a legend under the panel.

    Returns
    -------
    matplotlib.axes.Axes
    """
    check_records(records)
    ylabel = "effective number of draws"
    style_axes(ax, title="Effective sample size", xlabel="latent dimension K", ylabel=ylabel)
    draw_curves(ax, records, "effective_sample_size")
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter("{x:g}")
    ax.set_ylim(bottom=0.8)
    if legend:
        legend_below(ax, draw_handles(records), columns=2)
    return ax


def plot_prior_failure(records: Mapping[str, Any], title: str = "") -> Figure:
    """Draw how prior Monte Carlo fails as the latent dimension grows.

    Parameters
    ----------
    records : dict
        `latent_dim`: list of K (ascending). `error`: dict from the number of draws S to a list of
        mean (estimate - exact), nats per datum, one per K. `low`, `high`: the same for the ends of
        a band (may be omitted); `band`: what the band is, by default '95 % interval of the mean'.
        `effective_sample_size`: dict from S to a list, one per K.
    title : str
        Above both panels: model and data.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = new_figure(4.2 if title else 3.9)
    left, right = figure.subplots(1, 2)
    plot_prior_error(records, left, legend=False)
    plot_effective_sample_size(records, right, legend=False)
    legend_outside(figure, error_handles(records))
    title_figure(figure, title)
    return figure
