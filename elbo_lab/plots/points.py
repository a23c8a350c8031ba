"""Data and codes as points in a plane: samples beside the data, the latent plane, a mixture over its data.

If the aggregate of all q(z | x) is close to the prior, the means fill the prior's circles, and samples from
the prior decode to something seen. Classes are only coloured: no model here ever sees a label.

The ellipse of r standard deviations of N(mu, Sigma) is {mu + r L u: |u| = 1} with Sigma = L L^T; in two
dimensions it holds 1 - exp(-r^2 / 2) of the component: 39 % and 86 %. More columns than two are integrated
out, which for a Gaussian means leaving them away.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke
from numpy.typing import ArrayLike

from elbo_lab.arrays import Floats
from elbo_lab.errors import bad_value, check_data
from elbo_lab.plots.cloud import cloud_limits, outside_text
from elbo_lab.plots.history import BOUND_COLOR
from elbo_lab.plots.style import STYLE, legend_below, note_above, styled_axes, title_over_note

CLASS_COLORS = (
    *("#332288", "#E69F00", "#117733", "#B30000", "#56B4E9"),
    *("#882255", "#7F7FFF", "#000000", "#AA4499", "#44AA99"),
)
"""Ten classes; the class itself is also written into the figure, since ten hues are hard to tell apart."""
CLASS_MARKERS = ("o", "^", "s", "D", "v", "P", "X", "<", ">", "*")
NEIGHBOURHOOD = 0.08
"""Radius within which points are near, as a share of the whole."""
FAR = 3.0
"""Means are cut away only if the plane would be so many times wider than the bulk needs."""


def class_style(index: int) -> tuple[str, str]:
    """Return colour and marker of a class; each colour comes with another marker after ten classes."""
    turn, color = divmod(index, len(CLASS_COLORS))
    return CLASS_COLORS[color], CLASS_MARKERS[(color + turn) % len(CLASS_MARKERS)]


def write_on(ax: Axes, words: str, place: Floats, color: str) -> None:
    """Write words on top of points, readable by a white rim."""
    ax.text(
        *place,
        words,
        ha="center",
        va="center",
        fontsize=STYLE["title_size"] + 2,
        fontweight="bold",
        color=color,
        path_effects=[withStroke(linewidth=3, foreground=STYLE["background"])],
        zorder=5,
        clip_on=True,
    )


def home_of(part: Floats, others: Floats) -> Floats:
    """Return where to name a class (2,): where many of its points lie, and few of the others.

    The median of a class of two parts may lie between them, on other classes.
    """
    span = np.ptp(np.concatenate([part, others]), axis=0)
    reach = NEIGHBOURHOOD * np.where(span > 0, span, 1.0)

    def near(points: Floats) -> Floats:
        return (((part[:, None] - points) / reach) ** 2).sum(axis=-1) < 1

    own, foreign = near(part), near(others).sum(axis=1)
    counts = own.sum(axis=1)
    best = int(np.argmax(counts**2 / (counts + foreign)))
    return np.median(part[own[best]], axis=0)


def plane_limits(points: Floats) -> Floats:
    """Return limits (2, 2) that hold all points and the prior's circle of 2 sd, if that is not too wide."""
    reach = np.array([[-2.3, -2.3], [2.3, 2.3]])
    every = np.concatenate([points, reach])
    span = np.ptp(every, axis=0)
    whole = np.stack([every.min(axis=0) - 0.04 * span, every.max(axis=0) + 0.04 * span], axis=1)
    bulk = cloud_limits([points], np.zeros(2))
    bulk = np.stack([np.minimum(bulk[:, 0], -2.3), np.maximum(bulk[:, 1], 2.3)], axis=1)
    far = np.ptp(whole, axis=1) > FAR * np.ptp(bulk, axis=1)
    return bulk if far.any() else whole


def plot_latent_plane(
    means: ArrayLike,
    labels: ArrayLike | None = None,
    ax: Axes | None = None,
    coordinates: tuple[int, int] = (0, 1),
    title: str = "",
    circles: str = "prior",
) -> Axes:
    """Draw the means of q(z | x) in two latent coordinates, coloured by class.

    Parameters
    ----------
    means : array (N, K)
        K >= 2.
    labels : array (N,), optional
        Known classes, of any kind.
    ax : matplotlib.axes.Axes, optional
        An axes in a new figure if omitted.
    coordinates : pair of int
        Which of the K coordinates.
    title : str
    circles : str
        What the circles at 1 and 2 standard deviations are of.

    Returns
    -------
    matplotlib.axes.Axes
    """
    means = check_data(means, "means")
    if means.shape[1] < 2:
        raise bad_value("means", "at least two latent coordinates (N, K)", f"shape {means.shape}")
    if len(set(coordinates)) != 2 or not set(coordinates) <= set(range(means.shape[1])):
        raise bad_value("coordinates", f"two different numbers below {means.shape[1]}", coordinates)
    labelled = labels is not None
    labels = np.asarray(labels) if labelled else np.zeros(len(means))
    if labels.shape != (len(means),):
        raise bad_value("labels", f"shape ({len(means)},)", f"shape {labels.shape}")
    points = means[:, list(coordinates)]
    xlabel, ylabel = (f"posterior mean of z[{k}]" for k in coordinates)
    ax = styled_axes(ax, 5.6, width=5.6, xlabel=xlabel, ylabel=ylabel)
    title_over_note(ax, title)
    look = {"linestyle": "none", "markersize": 3.4, "markeredgewidth": 0, "rasterized": True}
    look["alpha"] = float(np.clip(900 / len(points), 0.25, 0.75))
    for index, name in enumerate(np.unique(labels)):
        color, marker = class_style(index)
        part = points[labels == name]
        ax.plot(*part.T, color=color, marker=marker, label=str(name), zorder=2, **look)
        if labelled:
            write_on(ax, str(name), home_of(part, points[labels != name]), color)
    for radius in (1, 2):
        ring = {"fill": False, "edgecolor": STYLE["faint"], "linewidth": 0.9, "linestyle": ":"}
        ax.add_patch(Circle((0, 0), radius, zorder=3, **ring))
    limits = plane_limits(points)
    ax.set(xlim=limits[0], ylim=limits[1], aspect="equal")
    n_latent = means.shape[1]
    which = "latents {} and {} of {}".format(*coordinates, n_latent) if n_latent > 2 else ""
    notes = (f"circles: {circles}, 1 and 2 sd", which, outside_text(points, limits))
    note_above(ax, ", ".join(filter(None, notes)))
    return ax


def check_described(described: Mapping[str, ArrayLike], n_columns: int) -> list[Floats]:
    """Return weights (C,), means (C, D) and covariances (C, D, D), or raise."""
    parts = [np.asarray(described[key], dtype=float) for key in ("weights", "means", "covariances")]
    n_components = parts[0].size
    shapes = ((n_components,), (n_components, n_columns), (n_components, n_columns, n_columns))
    for name, part, shape in zip(("weights", "means", "covariances"), parts, shapes, strict=True):
        if part.shape != shape or not np.isfinite(part).all():
            got = f"shape {part.shape}" if part.shape != shape else "not finite numbers"
            raise bad_value(f"described[{name!r}]", f"finite numbers of shape {shape}", got)
    return parts


def ellipse(mean: Floats, covariance: Floats, radius: float, n: int = 120) -> Floats:
    """Return the points (2, n) of an ellipse of `radius` standard deviations.

    Parameters
    ----------
    mean : ndarray (2,)
    covariance : ndarray (2, 2)
    radius : float
    """
    turn = np.linspace(0, 2 * np.pi, n)
    values, vectors = np.linalg.eigh(covariance)
    # The symmetric root also exists where a variance is zero; rounding may put it below.
    root = vectors * np.sqrt(np.maximum(values, 0))
    return mean[:, None] + radius * root @ np.stack([np.cos(turn), np.sin(turn)])


def plot_mixture(
    x: ArrayLike,
    described: Mapping[str, ArrayLike],
    ax: Axes | None = None,
    names: Sequence[str] | None = None,
    title: str = "",
) -> Axes:
    """Draw data in grey, and each component as two ellipses with its weight.

    Parameters
    ----------
    x : array (N, D)
        D >= 2; the first two columns are drawn.
    described : dict
        'weights' (C,), 'means' (C, D), 'covariances' (C, D, D), as `GaussianMixture.described` returns.
    ax : matplotlib.axes.Axes, optional
        An axes in a new figure if omitted.
    names : sequence of str, optional
        Names of the columns, with their unit.
    title : str

    Returns
    -------
    matplotlib.axes.Axes
    """
    x = check_data(x, "x")
    if x.shape[1] < 2:
        raise bad_value("x", "at least two columns", f"shape {x.shape}")
    weights, means, covariances = check_described(described, x.shape[1])
    names = label_columns(names, x.shape[1])
    ax = styled_axes(ax, 4.6, title=title, xlabel=names[0], ylabel=names[1])
    alpha = float(np.clip(300 / len(x), 0.2, 0.6))
    points = {"color": STYLE["faint"], "markersize": 3.6, "markeredgewidth": 0, "rasterized": True}
    ax.plot(*x[:, :2].T, "o", alpha=alpha, zorder=1, **points)
    for index, (weight, mean, covariance) in enumerate(zip(weights, means, covariances, strict=True)):
        color = class_style(index)[0]
        for radius, width in ((1, 2.0), (2, 1.2)):
            line = ellipse(mean[:2], covariance[:2, :2], radius)
            ax.plot(*line, color=color, linewidth=width, zorder=3, gid=f"component-{index}")
        write_on(ax, f"{weight:.2g}", mean[:2], color)
    words = "number: weight; ellipses: 1 and 2 sd"
    note_above(ax, words + (" of the marginal" if x.shape[1] > 2 else ""))
    return ax


def plot_sample_scatter(
    x: ArrayLike,
    samples: ArrayLike,
    column_names: Sequence[str] | None = None,
    ax: Axes | None = None,
    title: str = "",
) -> Axes:
    """Draw data and samples of a model as points in the first two columns (or as histograms of the only one).

    Parameters
    ----------
    x : array (N, D)
    samples : array (n, D)
    column_names : sequence of str, optional
    ax : matplotlib.axes.Axes, optional
    title : str

    Returns
    -------
    matplotlib.axes.Axes
    """
    x = check_data(x, "x")
    samples = check_data(samples, "samples", n_columns=x.shape[1])
    names = label_columns(column_names, x.shape[1])
    groups = ((x, "data", STYLE["faint"], "o"), (samples, "samples of the model", BOUND_COLOR, "x"))
    single = x.shape[1] == 1
    ylabel = "density" if single else names[1]
    ax = styled_axes(ax, 4.4, title=title, xlabel=names[0], ylabel=ylabel)
    edges = np.histogram_bin_edges(np.concatenate([x[:, 0], samples[:, 0]]), bins="sqrt")
    for points, word, color, marker in groups:
        label = f"{word} ({len(points)})"
        if single:
            ax.hist(points[:, 0], edges, density=True, histtype="step", color=color, label=label)
            continue
        look = {"color": color, "markersize": 3.6, "markeredgewidth": 0.9 if marker == "x" else 0}
        alpha = float(np.clip(400 / len(points), 0.25, 0.8))
        ax.plot(*points[:, :2].T, marker, label=label, alpha=alpha, rasterized=True, **look)
    legend_below(ax, columns=2)
    return ax


def label_columns(column_names: Sequence[str] | None, n_columns: int) -> list[str]:
    """Return names of all columns, 'column 0' and so on where there are none."""
    names = [f"column {d}" for d in range(n_columns)] if column_names is None else list(column_names)
    if len(names) != n_columns:
        raise bad_value("column_names", f"{n_columns} names", f"{len(names)} names")
    return names
