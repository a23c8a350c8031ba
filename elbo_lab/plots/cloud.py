"""Single gradient estimates around the exact gradient, two coordinates at a time.

An unbiased estimator is centred on the dashed cross-hair, a good one is small. All panels share
their axes, since only the comparison of sizes says anything. Score functions have heavy tails: axes
that hold every point would show one far point and a dot, so the limits are quantiles, and each
panel says how many points lie outside. A cloud that is but a dot on the shared axes is shown
magnified in a corner.
"""

import math

import numpy as np
from matplotlib.lines import Line2D

from elbo_lab.errors import bad_value
from elbo_lab.plots.style import (
    EXACT_LINE,
    STYLE,
    estimator_style,
    new_figure,
    style_axes,
)
from elbo_lab.study.rows import DETERMINISTIC

TAIL = 0.01
"""Share of the points of one estimator that may be cut away at each end of an axis."""

ZOOM_BELOW = 1 / 7
"""A cloud narrower than this share of both axes is magnified in an inset."""


def check_points(points, argument):
    """Return draws as a float array (R, 2), or raise."""
    points = np.asarray(points, dtype=float)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise bad_value(argument, "draws of two coordinates (R, 2)", f"shape {points.shape}")
    return points


def check_exact(exact):
    """Return the exact value as a float array (2,), or raise."""
    exact = np.asarray(exact, dtype=float)
    if exact.shape != (2,) or not np.isfinite(exact).all():
        raise bad_value("exact", "two finite numbers", exact.tolist())
    return exact


def cloud_limits(samples, exact):
    """Return axis limits (2, 2), rows x and y, that hold the bulk of every cloud.

    Parameters
    ----------
    samples : list of ndarray (R, 2)
    exact : ndarray (2,)

    Returns
    -------
    ndarray (2, 2)
        Low and high per axis: the widest span of the central 98 % of one estimator, and the exact
        value, with a margin.
    """
    ends = [exact[None, :]]
    for points in samples:
        finite = points[np.isfinite(points).all(axis=1)]
        if len(finite):
            ends.append(np.quantile(finite, [TAIL, 1 - TAIL], axis=0))
    ends = np.concatenate(ends)
    low, high = ends.min(axis=0), ends.max(axis=0)
    # A cloud without any width but rounding still needs axes: one part in ten of the value, or one.
    wide = high - low > rounding_level(exact)
    span = np.where(wide, high - low, np.where(exact != 0, 0.1 * np.abs(exact), 1.0))
    return np.stack([low - 0.08 * span, high + 0.08 * span], axis=1)


def rounding_level(exact):
    """Return the size (2,) below which differences from the exact value are rounding, as in the table."""
    return DETERMINISTIC * np.maximum(1.0, np.abs(exact))


def outside_text(points, limits):
    """Say how many draws a panel does not show; empty if it shows all."""
    finite = np.isfinite(points).all(axis=1)
    inside = ((points >= limits[:, 0]) & (points <= limits[:, 1])).all(axis=1)
    parts = []
    if (finite & ~inside).any():
        parts.append(f"{(finite & ~inside).sum()} of {len(points)} outside")
    if (~finite).any():
        parts.append(f"{(~finite).sum()} not finite")
    return ", ".join(parts)


def deviation_text(points):
    """Say the standard deviation of both coordinates, with two digits."""
    finite = points[np.isfinite(points).all(axis=1)]
    if len(finite) < 2:
        return ""
    deviation = finite.std(axis=0, ddof=1)
    rounding = deviation < rounding_level(np.abs(finite).max(axis=0))
    return "sd {:.2g}, {:.2g}".format(*np.where(rounding, 0.0, deviation))


def plot_cloud_panel(points, exact, ax, estimator, limits=None):
    """Draw the cloud of one estimator.

    Parameters
    ----------
    points : array (R, 2)
        Gradient estimates of two coordinates, nats per unit.
    exact : array (2,)
        The exact gradient in these coordinates.
    ax : matplotlib.axes.Axes
    estimator : str
        Name: gives colour, marker and title.
    limits : array (2, 2), optional
        Low and high per axis; from the points if left away.

    Returns
    -------
    matplotlib.axes.Axes
    """
    points, exact = check_points(points, "points"), check_exact(exact)
    limits = cloud_limits([points], exact) if limits is None else np.asarray(limits, dtype=float)
    style_axes(ax)
    ax.set_title(estimator, fontsize=STYLE["label_size"], color=STYLE["ink"], loc="left", pad=26)
    draw_points(ax, points, estimator)
    ax.axvline(exact[0], **EXACT_LINE, zorder=3)
    ax.axhline(exact[1], **EXACT_LINE, zorder=3)
    ax.set_xlim(limits[0])
    ax.set_ylim(limits[1])
    ax.locator_params(nbins=4)
    note = "\n".join([deviation_text(points), outside_text(points, limits)])
    ax.annotate(
        note,
        (0, 1),
        xycoords="axes fraction",
        xytext=(0, 4),
        textcoords="offset points",
        va="bottom",
        fontsize=STYLE["note_size"],
        color=STYLE["faint"],
        linespacing=1.15,
    )
    own = cloud_limits([points], exact)
    share = np.ptp(own, axis=1) / np.ptp(limits, axis=1)
    finite = points[np.isfinite(points).all(axis=1)]
    noisy = len(finite) > 0 and (finite.std(axis=0) > rounding_level(exact)).any()
    if noisy and share.max() < ZOOM_BELOW:
        draw_zoom(ax, points, exact, estimator, own, limits)
    return ax


def draw_points(ax, points, estimator):
    """Draw the finite points; as pixels also in SVG, where a thousand shapes would be heavy."""
    color, marker = estimator_style(estimator)
    ax.plot(
        *points[np.isfinite(points).all(axis=1)].T,
        linestyle="none",
        marker=marker,
        markersize=3.2,
        color=color,
        # Many points need thin ink, few need full ink.
        alpha=float(np.clip(120 / len(points), 0.2, 0.8)),
        markeredgewidth=0,
        zorder=2,
        rasterized=True,
    )


def draw_zoom(ax, points, exact, estimator, own, limits):
    """Draw a small cloud magnified, in the corner that is farthest from it."""
    middle = (own.mean(axis=1) - limits[:, 0]) / np.ptp(limits, axis=1)
    size = 0.4
    left, bottom = (0.02 if at > 0.5 else 0.98 - size for at in middle)
    inset = ax.inset_axes((left, bottom, size, size), zorder=5)
    draw_points(inset, points, estimator)
    thin = {**EXACT_LINE, "linewidth": 0.8}
    inset.axvline(exact[0], **thin)
    inset.axhline(exact[1], **thin)
    # One factor for both axes keeps the shape of the cloud.
    factor = 1 / (np.ptp(own, axis=1) / np.ptp(limits, axis=1)).max()
    half = np.ptp(limits, axis=1) / (2 * factor)
    inset.set_xlim(own[0].mean() - half[0], own[0].mean() + half[0])
    inset.set_ylim(own[1].mean() - half[1], own[1].mean() + half[1])
    inset.set_xticks([])
    inset.set_yticks([])
    inset.set_facecolor(STYLE["background"])
    for spine in inset.spines.values():
        spine.set_color(STYLE["faint"])
    inset.annotate(
        f"{size * factor:.2g} times larger",
        (0, 1),
        xycoords="axes fraction",
        xytext=(0, 2),
        textcoords="offset points",
        va="bottom",
        fontsize=STYLE["note_size"] - 1,
        color=STYLE["faint"],
    )


def plot_cloud(samples, exact, names=("coordinate 0", "coordinate 1"), title="", columns=3):
    """Draw the clouds of several estimators on shared axes.

    Parameters
    ----------
    samples : dict of str to array (R, 2)
        Gradient estimates by estimator name.
    exact : array (2,)
        The exact gradient, nats per unit.
    names : pair of str
        Names of the two parameters, such as 'mean[0, 0]'.
    title : str
        Stands above the panels: model, number of draws.
    columns : int
        Panels side by side.

    Returns
    -------
    matplotlib.figure.Figure
    """
    if not samples:
        raise bad_value("samples", "draws of at least one estimator", "none")
    samples = {name: check_points(points, f"samples[{name!r}]") for name, points in samples.items()}
    exact = check_exact(exact)
    limits = cloud_limits(list(samples.values()), exact)
    columns = min(columns, len(samples))
    lines = math.ceil(len(samples) / columns)
    figure = new_figure(2.55 * lines + 0.55 + (0.3 if title else 0))
    axes = figure.subplots(lines, columns, squeeze=False)
    for index, ax in enumerate(axes.flat):
        if index >= len(samples):
            ax.remove()
            continue
        estimator = list(samples)[index]
        plot_cloud_panel(samples[estimator], exact, ax, estimator, limits)
        ax.tick_params(labelleft=index % columns == 0, labelbottom=index + columns >= len(samples))
    label_cloud(figure, names, title)
    return figure


def label_cloud(figure, names, title):
    """Put the shared axis labels, the title and the legend around the panels."""
    words = {"fontsize": STYLE["label_size"], "color": STYLE["ink"]}
    figure.supxlabel(f"gradient in {names[0]}, nats per unit", **words)
    figure.supylabel(f"gradient in {names[1]}, nats per unit", **words)
    if title:
        figure.suptitle(title, fontsize=STYLE["title_size"], color=STYLE["ink"])
    exact_line = Line2D([], [], label="exact gradient", **EXACT_LINE)
    figure.legend(
        handles=[exact_line],
        loc="outside lower right",
        frameon=False,
        fontsize=STYLE["tick_size"],
        labelcolor=STYLE["ink"],
    )
