"""Why one does not estimate the evidence with draws from the prior.

With growing latent dimension K fewer and fewer prior draws land where the posterior is. The mean
weight is unbiased for p(x) all the while, but its logarithm falls short by nats, and the effective
sample size 1 / sum_s w_s^2 (normalised weights) goes to one: a single draw carries the whole sum.
"""

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from elbo_lab.errors import bad_value
from elbo_lab.plots.style import (
    EXACT_LINE,
    STYLE,
    estimator_style,
    legend_below,
    new_figure,
    style_axes,
)

MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def draw_styles(records):
    """Return line keywords for each number of draws {S: dict}.

    All are one estimator and so one colour, from light (few draws) to full (many).
    """
    counts = sorted(records["error"])
    full = np.array(to_rgb(estimator_style("prior-monte-carlo").color))
    styles = {}
    for index, draws in enumerate(counts):
        share = 0.42 + 0.58 * (index + 1) / len(counts)
        styles[draws] = {
            "color": tuple(1 - share * (1 - full)),
            "marker": MARKERS[index % len(MARKERS)],
            "markersize": STYLE["marker_size"],
            "linewidth": STYLE["line_width"],
        }
    return styles


def check_records(records):
    """Raise unless every curve is as long as `latent_dim`."""
    size = len(records["latent_dim"])
    for name in ("error", "low", "high", "effective_sample_size"):
        for draws, values in records.get(name, {}).items():
            if len(values) != size:
                raise bad_value(f"records[{name!r}][{draws}]", f"{size} numbers", len(values))
    if not size or not records["error"]:
        raise bad_value("records", "at least one dimension and one number of draws", "none")


def draw_handles(records):
    """Return one legend entry per number of draws."""
    styles = draw_styles(records).items()
    return [Line2D([], [], label=f"S = {draws} draws", **keywords) for draws, keywords in styles]


def error_handles(records):
    """Return the legend of the error panel: draws, exact line, and what the band is."""
    handles = [*draw_handles(records), Line2D([], [], label="exact", **EXACT_LINE)]
    if records.get("low"):
        words = records.get("band", "95 % interval of the mean")
        handles.append(Patch(color=STYLE["faint"], alpha=0.3, lw=0, label=f"band: {words}"))
    return handles


def label_dimensions(ax, dims):
    """Label the measured dimensions, unless there are so many that the numbers would collide."""
    # Dimensions double from point to point: on a linear axis the first ones would collide.
    ax.set_xscale("log", base=2)
    ax.minorticks_off()
    if len(dims) <= 8:
        ax.set_xticks(dims, [str(k) for k in dims])


def plot_prior_error(records, ax, legend=True):
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
    style_axes(
        ax,
        title="Error of log p",
        xlabel="latent dimension K",
        ylabel="estimate - exact, nats per datum",
    )
    dims = records["latent_dim"]
    ax.axhline(0.0, **EXACT_LINE, zorder=2)
    for draws, keywords in draw_styles(records).items():
        error = np.array(records["error"][draws], dtype=float)
        ax.plot(dims, error, zorder=3, **keywords)
        low, high = (records.get(name, {}).get(draws) for name in ("low", "high"))
        if low is not None and high is not None:
            ends = [np.array(end, dtype=float) for end in (low, high)]
            ax.fill_between(dims, *ends, color=keywords["color"], alpha=0.25, linewidth=0)
    label_dimensions(ax, dims)
    if legend:
        legend_below(ax, error_handles(records), columns=2)
    return ax


def plot_effective_sample_size(records, ax, legend=True):
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
    style_axes(
        ax,
        title="Effective sample size",
        xlabel="latent dimension K",
        ylabel="effective number of draws",
    )
    dims = records["latent_dim"]
    for draws, keywords in draw_styles(records).items():
        if draws in records["effective_sample_size"]:
            size = np.array(records["effective_sample_size"][draws], dtype=float)
            ax.plot(dims, size, zorder=3, **keywords)
    ax.set_yscale("log")
    ax.set_ylim(bottom=0.8)
    label_dimensions(ax, dims)
    if legend:
        legend_below(ax, draw_handles(records), columns=2)
    return ax


def plot_prior_failure(records, title=""):
    """Draw how prior Monte Carlo fails as the latent dimension grows.

    Parameters
    ----------
    records : dict
        `latent_dim`: list of K (ascending). `error`: dict from the number of draws S to a list of
        mean (estimate - exact), nats per datum, one per K. `low`, `high`: the same for the ends of
        a band (may be left away); `band`: what the band is, by default '95 % interval of the mean'.
        `effective_sample_size`: dict from S to a list, one per K.
    title : str
        Stands above both panels: model and data.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = new_figure(4.2 if title else 3.9)
    left, right = figure.subplots(1, 2)
    plot_prior_error(records, left, legend=False)
    plot_effective_sample_size(records, right, legend=False)
    figure.legend(
        handles=error_handles(records),
        loc="outside lower left",
        ncols=3,
        frameon=False,
        fontsize=STYLE["tick_size"],
        labelcolor=STYLE["ink"],
    )
    if title:
        figure.suptitle(title, fontsize=STYLE["title_size"], color=STYLE["ink"])
    return figure
