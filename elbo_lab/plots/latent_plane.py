"""The latent plane: where the encoder puts the data, and what the decoder makes of each place.

If the aggregate of all q(z | x) is close to the prior, the means fill the prior's circles, and samples from
the prior decode to something seen. Classes are only coloured: no model here ever sees a label.

The decoded plane is cut at equal quantiles of the prior, not at equal distances (Kingma and Welling 2014,
appendix A, figure 4), so that each picture stands for the same prior probability.
"""

from statistics import NormalDist

import numpy as np
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke

from elbo_lab.errors import bad_value, check_count, check_data
from elbo_lab.plots.cloud import cloud_limits, outside_text
from elbo_lab.plots.history import note_above
from elbo_lab.plots.images import (
    check_images,
    even_places,
    grey_limits,
    montage,
    sheet_axes,
    show_sheet,
    title_over_note,
)
from elbo_lab.plots.style import STYLE, new_figure, style_axes

CLASS_COLORS = (
    "#332288",
    "#E69F00",
    "#117733",
    "#B30000",
    "#56B4E9",
    "#882255",
    "#7F7FFF",
    "#000000",
    "#AA4499",
    "#44AA99",
)
"""Ten classes; the class itself is also written into the figure, since ten hues are many for any eye."""
CLASS_MARKERS = ("o", "^", "s", "D", "v", "P", "X", "<", ">", "*")
FAR = 3.0
"""Means are cut away only if the plane would be so many times wider than the bulk needs."""


def class_style(index):
    """Return colour and marker of a class; each colour comes with another marker after ten classes."""
    turn, color = divmod(index, len(CLASS_COLORS))
    return CLASS_COLORS[color], CLASS_MARKERS[(color + turn) % len(CLASS_MARKERS)]


def write_on(ax, words, place, color):
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


def plane_limits(points):
    """Return limits (2, 2) that hold all points and the prior's circle of 2 sd, if that is not too wide."""
    reach = np.array([[-2.3, -2.3], [2.3, 2.3]])
    every = np.concatenate([points, reach])
    span = np.ptp(every, axis=0)
    whole = np.stack([every.min(axis=0) - 0.04 * span, every.max(axis=0) + 0.04 * span], axis=1)
    bulk = cloud_limits([points], np.zeros(2))
    bulk = np.stack([np.minimum(bulk[:, 0], -2.3), np.maximum(bulk[:, 1], 2.3)], axis=1)
    far = np.ptp(whole, axis=1) > FAR * np.ptp(bulk, axis=1)
    return bulk if far.any() else whole


def plot_latent_plane(means, labels=None, ax=None, coordinates=(0, 1), title=""):
    """Draw the means of q(z | x) in two latent coordinates, coloured by class.

    Parameters
    ----------
    means : array (N, K)
        K >= 2.
    labels : array (N,), optional
        Known classes, of any kind.
    ax : matplotlib.axes.Axes, optional
        An axes in a new figure if left away.
    coordinates : pair of int
        Which of the K coordinates.
    title : str

    Returns
    -------
    matplotlib.axes.Axes
    """
    means = check_data(means, "means")
    if means.shape[1] < 2:
        raise bad_value("means", "at least two latent coordinates (N, K)", f"shape {means.shape}")
    if len(set(coordinates)) != 2 or not set(coordinates) <= set(range(means.shape[1])):
        raise bad_value("coordinates", f"two different numbers below {means.shape[1]}", coordinates)
    labels = None if labels is None else np.asarray(labels)
    if labels is not None and labels.shape != (len(means),):
        raise bad_value("labels", f"shape ({len(means)},)", f"shape {labels.shape}")
    points = means[:, list(coordinates)]
    ax = new_figure(5.6, width=6.4).subplots() if ax is None else ax
    words = [f"posterior mean of z[{k}]" for k in coordinates]
    style_axes(ax, xlabel=words[0], ylabel=words[1])
    title_over_note(ax, title)
    look = {"linestyle": "none", "markersize": 3.4, "markeredgewidth": 0, "rasterized": True}
    look["alpha"] = float(np.clip(900 / len(points), 0.25, 0.75))
    classes = [None] if labels is None else list(np.unique(labels))
    for index, name in enumerate(classes):
        part = points if name is None else points[labels == name]
        color, marker = class_style(index)
        ax.plot(*part.T, color=color, marker=marker, label=str(name), zorder=2, **look)
    for index, name in enumerate(classes):
        if name is not None:
            write_on(ax, str(name), np.median(points[labels == name], axis=0), class_style(index)[0])
    draw_prior(ax)
    limits = plane_limits(points)
    ax.set_xlim(limits[0])
    ax.set_ylim(limits[1])
    ax.set_aspect("equal")
    n_latent = means.shape[1]
    which = "latents {} and {} of {}".format(*coordinates, n_latent) if n_latent > 2 else ""
    notes = ("circles: prior, 1 and 2 sd", which, outside_text(points, limits))
    note_above(ax, ", ".join(filter(None, notes)))
    return ax


def draw_prior(ax):
    """Draw the prior's circles of 1 and 2 standard deviations."""
    for radius in (1, 2):
        ring = {"fill": False, "edgecolor": STYLE["faint"], "linewidth": 0.9, "linestyle": ":"}
        ax.add_patch(Circle((0, 0), radius, zorder=3, **ring))


def latent_grid(n):
    """Return the n x n grid of the latent plane at equal quantiles of the prior.

    Parameters
    ----------
    n : int

    Returns
    -------
    ndarray (n n, 2)
        Row by row from the top: z[0] grows to the right, z[1] grows upwards. The order that
        `plot_manifold` expects.
    """
    z = quantiles(n)
    return np.stack(np.meshgrid(z, z[::-1]), axis=-1).reshape(-1, 2)


def quantiles(n):
    """Return the middle of each of n equally probable slices of a standard normal (n,)."""
    return np.array([NormalDist().inv_cdf((i + 0.5) / n) for i in range(check_count("n", n))])


def plot_manifold(images, image_shape, n, ax=None, title="", limits=None):
    """Draw the decoded latent plane.

    Parameters
    ----------
    images : array (n n, D)
        Decoded points of `latent_grid(n)`.
    image_shape : pair of int
    n : int
        Pictures on a side.
    ax : matplotlib.axes.Axes, optional
        An axes in a new figure if left away.
    title : str
    limits : pair of float, optional
        Values of black and white.

    Returns
    -------
    matplotlib.axes.Axes
    """
    z, pictures = quantiles(n), check_images(images, image_shape)
    if len(pictures) != n * n:
        raise bad_value("images", f"{n * n} rows for a grid of {n} x {n}", f"{len(pictures)} rows")
    # One pixel between pictures: those of eight pixels would run into each other.
    sheet = montage(pictures, n, 1)
    ax = sheet_axes(ax, sheet.shape, n, most_height=5.8, below=0.45)
    show_sheet(ax, sheet, grey_limits(pictures, limits), title)
    height, width = image_shape
    shown = even_places(n)
    words = [f"{z[k]:.2f}".replace("-", "\u2212") for k in shown]
    ax.set_xticks([k * (width + 1) + width / 2 - 0.5 for k in shown], words)
    ax.set_yticks([(n - 1 - k) * (height + 1) + height / 2 - 0.5 for k in shown], words)
    ink = {"fontsize": STYLE["label_size"], "color": STYLE["ink"]}
    ax.set_xlabel("z[0], at equal quantiles of the prior", **ink)
    ax.set_ylabel("z[1]", **ink)
    return ax
