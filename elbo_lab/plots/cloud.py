"""Single gradient estimates around the exact gradient, two coordinates at a time.

An unbiased estimator is centred on the dashed cross-hair, a good one is small. Sizes differ by factors of a
hundred, and on shared axes all clouds but one would be dots. So several clouds stand in the order of their
sizes, each on axes of its own, and the frame of the next panel is drawn in each: one zooms in from panel to
panel. A few clouds on shared axes (`plot_cloud_panel` with limits) are magnified in a corner where they are
but dots.

Score functions have heavy tails: axes that hold every point would show one far point and a dot, so the
limits are quantiles, and each panel says how many points lie outside.
"""

import math
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from elbo_lab.arrays import Floats
from elbo_lab.errors import bad_value
from elbo_lab.plots.style import (
    CORNER_LEGEND,
    EXACT_LINE,
    STYLE,
    estimator_style,
    new_figure,
    note_above,
    style_axes,
    write_head,
)
from elbo_lab.registry import display_name
from elbo_lab.study.rows import DETERMINISTIC

TAIL = 0.01
"""Share of the points of one estimator that may be cut away at each end of an axis."""

ZOOM_BELOW = 1 / 7
"""A cloud narrower than this share of both axes is magnified in an inset."""
ZOOM_SIZE = 0.4
"""Width and height of the inset, as a share of the panel."""

MOST_SHAPES = 300
"""More points than this are pixels in an SVG."""
LEAST_FRAME = 0.02
"""Width and height of the frame of the next panel, as a share of the panel: smaller ones would vanish."""
FRAME = {"facecolor": "none", "edgecolor": STYLE["ink"], "linewidth": 0.9}
# Inches.
LEFT, RIGHT, WIDE, HIGH, ACROSS = 0.95, 0.15, 1.95, 1.75, 0.52
HEAD, BETWEEN, FOOT = 0.62, 0.82, 0.85
CHARACTER, LINE = 0.072, 0.16
"""Width of a character and height of a further line of a title."""


def check_points(points: ArrayLike, argument: str) -> Floats:
    """Return draws as a float array (R, 2), or raise."""
    points = np.asarray(points, dtype=float)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise bad_value(argument, "draws of two coordinates (R, 2)", f"shape {points.shape}")
    return points


def check_exact(exact: ArrayLike) -> Floats:
    """Return the exact value as a float array (2,), or raise."""
    exact = np.asarray(exact, dtype=float)
    if exact.shape != (2,) or not np.isfinite(exact).all():
        raise bad_value("exact", "two finite numbers", exact.tolist())
    return exact


def finite_points(points: Floats) -> Floats:
    """Return the draws (R', 2) of which both coordinates are finite."""
    return points[np.isfinite(points).all(axis=1)]


def cloud_limits(samples: Sequence[Floats], exact: Floats) -> Floats:
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
    clouds = [finite for finite in map(finite_points, samples) if len(finite)]
    ends = np.concatenate([exact[None], *(np.quantile(cloud, [TAIL, 1 - TAIL], axis=0) for cloud in clouds)])
    low, high = ends.min(axis=0), ends.max(axis=0)
    # A cloud without any width but rounding still needs axes: one part in ten of the value, or one.
    wide = high - low > rounding_level(exact)
    span = np.where(wide, high - low, np.where(exact != 0, 0.1 * np.abs(exact), 1.0))
    return np.stack([low - 0.08 * span, high + 0.08 * span], axis=1)


def rounding_level(exact: Floats) -> Floats:
    """Return the size (2,) below which differences from the exact value are rounding, as in the table."""
    return DETERMINISTIC * np.maximum(1.0, np.abs(exact))


def outside_text(points: Floats, limits: Floats) -> str:
    """Return in words how many draws a panel does not show; empty if it shows all."""
    finite = finite_points(points)
    outside = ((finite < limits[:, 0]) | (finite > limits[:, 1])).any(axis=1).sum()
    parts = [f"{outside} of {len(points)} outside"] if outside else []
    if len(finite) < len(points):
        parts.append(f"{len(points) - len(finite)} not finite")
    return ", ".join(parts)


def deviation_text(points: Floats) -> str:
    """Return the standard deviation of both coordinates in words, with two digits."""
    finite = finite_points(points)
    if len(finite) < 2:
        return ""
    deviation = finite.std(axis=0, ddof=1)
    rounding = deviation < rounding_level(np.abs(finite).max(axis=0))
    return "sd {:.2g}, {:.2g}".format(*np.where(rounding, 0.0, deviation))


def plot_cloud_panel(
    points: ArrayLike, exact: ArrayLike, ax: Axes, estimator: str, limits: ArrayLike | None = None
) -> Axes:
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
        Low and high per axis; from the points if omitted.

    Returns
    -------
    matplotlib.axes.Axes
    """
    points = check_points(points, "points")
    exact = check_exact(exact)
    limits = cloud_limits([points], exact) if limits is None else np.asarray(limits, dtype=float)
    style_axes(ax)
    words = "\n".join(title_lines(estimator))
    ax.set_title(words, fontsize=STYLE["label_size"], color=STYLE["ink"], loc="left", pad=26)
    draw_points(ax, points, exact, estimator, EXACT_LINE["linewidth"])
    ax.set_xlim(limits[0])
    ax.set_ylim(limits[1])
    ax.locator_params(nbins=4)
    note_above(ax, f"{deviation_text(points)}\n{outside_text(points, limits)}", "left", linespacing=1.15)
    finite = finite_points(points)
    noisy = len(finite) > 0 and (finite.std(axis=0) > rounding_level(exact)).any()
    own_limits = cloud_limits([points], exact)
    if noisy and (np.ptp(own_limits, axis=1) < ZOOM_BELOW * np.ptp(limits, axis=1)).all():
        draw_zoom(ax, points, exact, estimator, own_limits)
    return ax


def title_lines(estimator: str) -> list[str]:
    """Return the title of an estimator in lines that are no wider than a panel of `plot_cloud`."""
    return textwrap.wrap(display_name(estimator), int(WIDE / CHARACTER), break_on_hyphens=False)


def draw_points(ax: Axes, points: Floats, exact: Floats, estimator: str, linewidth: float) -> None:
    """Draw the finite points, many of them as pixels since they make a heavy SVG, and the cross-hair."""
    color, marker = estimator_style(estimator)
    ax.plot(
        *finite_points(points).T,
        linestyle="none",
        marker=marker,
        markersize=3.2,
        color=color,
        # Many points need thin ink, few need full ink.
        alpha=float(np.clip(120 / len(points), 0.2, 0.8)),
        markeredgewidth=0,
        zorder=2,
        rasterized=len(points) > MOST_SHAPES,
    )
    line = {**EXACT_LINE, "linewidth": linewidth, "zorder": 3}
    ax.axvline(exact[0], **line)
    ax.axhline(exact[1], **line)


def draw_zoom(ax: Axes, points: Floats, exact: Floats, estimator: str, own_limits: Floats) -> None:
    """Draw a small cloud magnified, in the corner that is farthest from it."""
    limits = np.array([ax.get_xlim(), ax.get_ylim()])
    centre = own_limits.mean(axis=1)
    left, bottom = np.where(centre > limits.mean(axis=1), 0.02, 0.98 - ZOOM_SIZE)
    inset = ax.inset_axes((left, bottom, ZOOM_SIZE, ZOOM_SIZE), zorder=5)
    draw_points(inset, points, exact, estimator, linewidth=0.8)
    # One factor for both axes keeps the shape of the cloud.
    share = (np.ptp(own_limits, axis=1) / np.ptp(limits, axis=1)).max()
    half = share * np.ptp(limits, axis=1) / 2
    xlim, ylim = np.stack([centre - half, centre + half], axis=1)
    inset.set(xlim=xlim, ylim=ylim, xticks=[], yticks=[])
    inset.set_facecolor(STYLE["background"])
    inset.spines[:].set_color(STYLE["faint"])
    note_above(inset, f"{ZOOM_SIZE / share:.2g} times larger", "left", fontsize=STYLE["note_size"] - 1)


def reaches(clouds: Sequence[Floats]) -> Floats:
    """Return how far each panel reaches from the exact value at zero (clouds, 2): no less than the next."""
    own = [np.abs(cloud_limits([points], np.zeros(2))).max(axis=1) for points in clouds]
    return np.maximum.accumulate(own[::-1])[::-1]


def round_tick(reach: float) -> float:
    """Return the largest of 1, 2, 5 times a power of ten within four fifths of the reach."""
    decade = 10.0 ** math.floor(math.log10(0.8 * reach))
    return max(n * decade for n in (1, 2, 5) if n * decade <= 0.8 * reach)


def size_of(points: Floats) -> float:
    """Return the size of a cloud: the geometric mean of its two standard deviations."""
    finite = finite_points(points)
    return float(np.sqrt(finite.std(axis=0).prod())) if len(finite) else 0.0


def plot_cloud(
    samples: Mapping[str, ArrayLike],
    exact: ArrayLike,
    names: Sequence[str] = ("coordinate 0", "coordinate 1"),
    title: str = "",
    note: str = "",
    columns: int = 3,
) -> Figure:
    """Draw the clouds of several estimators, the noisiest first, each with the frame of the next.

    Parameters
    ----------
    samples : dict of str to array (R, 2)
        Gradient estimates by estimator name; 300 of each are enough.
    exact : array (2,)
        The exact gradient, nats per unit.
    names : pair of str
        Names of the two parameters, such as 'mean[0, 0]'.
    title, note : str
        Above the panels: the question; model, number of draws.
    columns : int
        Panels side by side.

    Returns
    -------
    matplotlib.figure.Figure
    """
    if not samples:
        raise bad_value("samples", "draws of at least one estimator", "none")
    clouds = {name: check_points(points, f"samples[{name!r}]") for name, points in samples.items()}
    exact = check_exact(exact)
    order = sorted(clouds, key=lambda name: -size_of(clouds[name]))
    differences = [clouds[name] - exact for name in order]
    reach = reaches(differences)
    columns = min(columns, len(clouds))
    lines = math.ceil(len(clouds) / columns)
    across = max(LEFT + columns * (WIDE + ACROSS) - ACROSS + RIGHT, 5.0)
    more = LINE * (max(len(title_lines(name)) for name in order) - 1)
    head, between = HEAD + 0.45 + more, BETWEEN + more
    total = head + lines * (HIGH + between) - between + FOOT
    figure = new_figure(total, across)
    # Every place is known in inches: nothing has to be laid out.
    figure.set_layout_engine("none")
    write_head(figure, title, note)
    for index, name in enumerate(order):
        line, column = divmod(index, columns)
        left, top = LEFT + column * (WIDE + ACROSS), head + line * (HIGH + between)
        place = (left / across, 1 - (top + HIGH) / total, WIDE / across, HIGH / total)
        ax = figure.add_axes(place)
        limits = np.stack([-reach[index], reach[index]], axis=1)
        plot_cloud_panel(differences[index], np.zeros(2), ax, name, limits)
        for axis, tick in zip((ax.xaxis, ax.yaxis), map(round_tick, reach[index]), strict=True):
            axis.set_ticks([-tick, 0.0, tick], [minus(-tick), "0", minus(tick)])
        if index + 1 < len(order):
            draw_frame(ax, reach[index], reach[index + 1])
    look = {"fontsize": STYLE["label_size"], "color": STYLE["ink"]}
    # Under one panel the words are wider than the panel: they may not reach those at the left.
    middle = max((LEFT + (columns * (WIDE + ACROSS) - ACROSS) / 2) / across, 0.55)
    words = [
        f"gradient in {name} minus the exact{end}{minus(value)}, nats per unit"
        for end, name, value in zip(" \n", names, exact, strict=True)
    ]
    figure.text(middle, 0.42 / total, words[0], ha="center", **look)
    height = 0.5 + (FOOT - head) / 2 / total
    figure.text(0.1 / across, height, words[1], va="center", rotation=90, **look)
    handles = [Line2D([], [], label="exact gradient", **EXACT_LINE)]
    if len(order) > 1:
        handles.append(Rectangle((0, 0), 1, 1, label="frame: the next panel, magnified", **FRAME))
    figure.legend(handles=handles, ncols=2, bbox_to_anchor=(0.08 / across, 0.06 / total), **CORNER_LEGEND)
    return figure


def minus(value: float) -> str:
    """Return a number with three digits and a true minus sign."""
    return f"{value:.3g}".replace("-", "\u2212")


def draw_frame(ax: Axes, reach: Floats, inner: Floats) -> None:
    """Draw the limits of the next panel into a panel."""
    half = np.maximum(inner, LEAST_FRAME * reach)
    ax.add_patch(Rectangle(-half, *(2 * half), zorder=4, **FRAME))
