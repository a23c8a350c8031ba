"""Data and what a model makes of them as pictures, and the latent plane, decoded.

All pictures of a panel share one grey scale, which a note names: stretched one by one, a faint sample would
look as sharp as a good one. What is shown of a sample or a reconstruction is the expected x given z (pixel
probabilities), as in the literature; real draws of independent pixels look noisier.

The decoded plane is cut at equal quantiles of the prior, not at equal distances (Kingma and Welling 2014,
appendix A, figure 4), so that each picture has the same prior probability.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from elbo_lab.arrays import Floats
from elbo_lab.errors import bad_value, check_count, check_data
from elbo_lab.plots.style import new_figure, note_above, style_axes, title_over_note

Limits = tuple[float, float]
"""Values of black and white."""

GAP = 0.08
"""Space between two pictures, as a share of their longer side (at least one pixel)."""


def check_images(images: ArrayLike, image_shape: Sequence[int], argument: str = "images") -> Floats:
    """Return rows (n, D) as pictures (n, height, width), or raise."""
    images = check_data(images, argument)
    height, width = (check_count("image_shape", int(side)) for side in image_shape)
    if images.shape[1] != height * width:
        expected = f"{height * width} columns for pictures of {height} x {width}"
        raise bad_value(argument, expected, f"{images.shape[1]} columns")
    return images.reshape(-1, height, width)


def montage(pictures: Floats, columns: int, gap: int) -> Floats:
    """Return one picture of many, row by row, with nan between them and in places left over.

    Parameters
    ----------
    pictures : ndarray (n, h, w)
    columns : int
    gap : int
        Pixels between two pictures.

    Returns
    -------
    ndarray (lines (h + gap) - gap, columns (w + gap) - gap)
    """
    n, height, width = pictures.shape
    lines = math.ceil(n / columns)
    sheet = np.full((lines * (height + gap), columns * (width + gap)), np.nan)
    for index, picture in enumerate(pictures):
        top, left = (index // columns) * (height + gap), (index % columns) * (width + gap)
        sheet[top : top + height, left : left + width] = picture
    return sheet[: sheet.shape[0] - gap, : sheet.shape[1] - gap]


def gap_for(pictures: Floats) -> int:
    """Return the number of pixels between two pictures."""
    return max(1, round(GAP * max(pictures.shape[1:])))


def grey_limits(values: Floats, limits: Limits | None = None) -> Limits:
    """Return the grey scale (black, white): `limits` if given, else one that holds all values."""
    low, high = (values.min(), values.max()) if limits is None else limits
    if not (np.isfinite([low, high]).all() and low <= high):
        raise bad_value("limits", "two finite numbers, black below white", limits)
    return (float(low), float(high)) if high > low else (float(low) - 0.5, float(high) + 0.5)


def limit_words(low: float, high: float) -> list[str]:
    """Return two numbers in words, to about three digits of the distance between them."""
    places = 2 - math.floor(math.log10(high - low))
    words = []
    for value in (low, high):
        # Adding zero takes the sign from -0.
        value = round(value, places) + 0.0
        digits = places + 1 + (math.floor(math.log10(abs(value))) if value else 0)
        words.append(f"{value:.{max(1, digits)}g}".replace("-", "\u2212"))
    return words


def draw_sheet(
    ax: Axes | None,
    sheet: Floats,
    columns: int,
    limits: Limits,
    title: str,
    most_height: float = 8.0,
    left: float = 0.1,
    below: float = 0.0,
) -> Axes:
    """Draw a montage without frames and say what its greys mean; return its axes.

    Parameters
    ----------
    ax : matplotlib.axes.Axes or None
        None makes a new figure of the size that the sheet needs.
    sheet : ndarray (height, width)
        From `montage`.
    columns : int
        Pictures side by side.
    limits : pair of float
        Values of black and white.
    title : str
    most_height, left, below : float
        Inches: the greatest height of a new figure's sheet, and room for words at its left and below it.
    """
    if ax is None:
        shape = sheet.shape[0] / sheet.shape[1]
        # Pictures of eight pixels should not fill the page: at most an inch each, but room for a title.
        width = min(7.2, max(3.6, 1.0 * columns))
        width *= min(1.0, most_height / (width * shape))
        # Every place is known in inches: nothing has to be laid out, and no room is left over.
        height, above = width * shape, 0.32 + 0.17 * (1 + title.count("\n"))
        across, total = left + max(width, 4.4) + 0.1, above + height + below + 0.1
        figure = new_figure(total, across)
        figure.set_layout_engine("none")
        place = (left / across, (below + 0.1) / total, width / across, height / total)
        ax = figure.add_axes(place)
    style_axes(ax)
    title_over_note(ax, title)
    # Every option is given, so that rcParams decide nothing.
    ax.imshow(
        np.ma.masked_invalid(sheet),
        cmap="gray",
        vmin=limits[0],
        vmax=limits[1],
        origin="upper",
        interpolation="nearest",
        aspect="equal",
    )
    ax.grid(False)
    ax.set(xticks=[], yticks=[])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    beyond = np.nanmin(sheet) < limits[0] or np.nanmax(sheet) > limits[1]
    words = "black {}, white {}".format(*limit_words(*limits))
    note_above(ax, words + (" and beyond" if beyond else ""))
    return ax


def middles(shown: Sequence[int], side: int, gap: int) -> list[float]:
    """Return the middles of some of the pictures along one axis of a montage; `side` is their length."""
    return [k * (side + gap) + (side - 1) / 2 for k in shown]


def even_places(n: int) -> list[int]:
    """Return up to five indices from 0 to n - 1, both ends among them, evenly spaced or nearly so.

    They lie symmetrically, so that the words on an axis do.
    """
    parts = next((parts for parts in (4, 3) if (n - 1) % parts == 0), 3)
    inner = [round(k * (n - 1) / parts) for k in range(parts // 2 + 1)]
    return sorted({*inner, *(n - 1 - k for k in inner)})


def plot_images(
    images: ArrayLike,
    image_shape: Sequence[int],
    ax: Axes | None = None,
    columns: int = 10,
    title: str = "",
    limits: Limits | None = None,
) -> Axes:
    """Draw pictures in a grid, on one grey scale.

    Parameters
    ----------
    images : array (n, D)
        One picture per row.
    image_shape : pair of int
        Height and width, D = height x width.
    ax : matplotlib.axes.Axes, optional
        An axes in a new figure if omitted.
    columns : int
        Pictures side by side.
    title : str
    limits : pair of float, optional
        Values of black and white; the smallest and largest value if omitted.

    Returns
    -------
    matplotlib.axes.Axes
    """
    pictures = check_images(images, image_shape)
    columns = min(check_count("columns", columns), len(pictures))
    sheet = montage(pictures, columns, gap_for(pictures))
    return draw_sheet(ax, sheet, columns, grey_limits(pictures, limits), title)


def plot_class_images(
    images: ArrayLike,
    names: Sequence[str],
    image_shape: Sequence[int],
    ax: Axes | None = None,
    title: str = "",
    limits: Limits | None = None,
) -> Axes:
    """Draw pictures in a grid, a line for each class with its name, on one grey scale.

    Parameters
    ----------
    images : array (C n, D)
        n pictures of each class, class after class.
    names : sequence of str
        Of the C classes.
    image_shape : pair of int
    ax : matplotlib.axes.Axes, optional
    title : str
    limits : pair of float, optional
        Values of black and white; the smallest and largest value if omitted.

    Returns
    -------
    matplotlib.axes.Axes
    """
    pictures = check_images(images, image_shape)
    if len(pictures) % len(names):
        raise bad_value("images", f"as many pictures of each of {len(names)} classes", len(pictures))
    columns, gap = len(pictures) // len(names), gap_for(pictures)
    room = 0.2 + 0.07 * max(map(len, names))
    sheet = montage(pictures, columns, gap)
    ax = draw_sheet(ax, sheet, columns, grey_limits(pictures, limits), title, left=room)
    ax.set_yticks(middles(range(len(names)), pictures.shape[1], gap), names)
    return ax


def plot_reconstructions(
    x: ArrayLike,
    reconstructed: ArrayLike,
    image_shape: Sequence[int],
    ax: Axes | None = None,
    columns: int = 10,
    title: str = "",
) -> Axes:
    """Draw data above their reconstructions, in pairs of lines, on the grey scale of the data.

    Parameters
    ----------
    x, reconstructed : array (n, D)
    image_shape : pair of int
    ax : matplotlib.axes.Axes, optional
    columns : int
        Pairs side by side.
    title : str

    Returns
    -------
    matplotlib.axes.Axes
    """
    data = check_images(x, image_shape, "x")
    made = check_images(reconstructed, image_shape, "reconstructed")
    if len(data) != len(made):
        raise bad_value("reconstructed", f"{len(data)} rows, as x has", f"{len(made)} rows")
    columns, gap = min(check_count("columns", columns), len(data)), gap_for(data)
    blocks, places, top = [], [], 0
    for start in range(0, len(data), columns):
        part = slice(start, start + columns)
        pair = [montage(rows[part], columns, gap) for rows in (data, made)]
        between = np.full((gap, pair[0].shape[1]), np.nan)
        # Twice the space below a pair tells which two lines belong together.
        blocks += [pair[0], between, pair[1], between, between, between]
        height = len(pair[0])
        places += [top + height / 2 - 0.5, top + gap + 1.5 * height - 0.5]
        top += 2 * height + 4 * gap
    sheet = np.concatenate(blocks[:-3])
    ax = draw_sheet(ax, sheet, columns, grey_limits(data), title, left=1.05)
    ax.set_yticks(places, ["data", "reconstruction"] * (len(places) // 2))
    return ax


def plot_interpolation(
    images: ArrayLike,
    image_shape: Sequence[int],
    ax: Axes | None = None,
    title: str = "",
    limits: Limits | None = None,
) -> Axes:
    """Draw what lies between two data in the latent space, a line per pair.

    Parameters
    ----------
    images : array (n, D) or (pairs, n, D)
        Decoded points, evenly spaced from the first to the second latent mean.
    image_shape : pair of int
    ax : matplotlib.axes.Axes, optional
    title : str
    limits : pair of float, optional
        Values of black and white.

    Returns
    -------
    matplotlib.axes.Axes
    """
    images = np.asarray(images)
    if images.ndim not in (2, 3) or not images.size:
        raise bad_value("images", "shape (n, D) or (pairs, n, D)", f"shape {images.shape}")
    n = images.shape[-2]
    pictures = check_images(images.reshape(-1, images.shape[-1]), image_shape)
    gap = gap_for(pictures)
    sheet = montage(pictures, n, gap)
    ax = draw_sheet(ax, sheet, n, grey_limits(pictures, limits), title, below=0.45)
    shown = even_places(n)
    ax.set_xticks(middles(shown, image_shape[1], gap), [f"{k / max(1, n - 1):.2g}" for k in shown])
    ax.set_xlabel("share of the way in z")
    return ax


def latent_grid(n: int) -> Floats:
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


def quantiles(n: int) -> Floats:
    """Return the middle of each of n equally probable slices of a standard normal (n,)."""
    return np.array([NormalDist().inv_cdf((i + 0.5) / n) for i in range(check_count("n", n))])


def plot_manifold(
    images: ArrayLike,
    image_shape: Sequence[int],
    n: int,
    ax: Axes | None = None,
    title: str = "",
    limits: Limits | None = None,
) -> Axes:
    """Draw the decoded latent plane.

    Parameters
    ----------
    images : array (n n, D)
        Decoded points of `latent_grid(n)`.
    image_shape : pair of int
    n : int
        Pictures on a side.
    ax : matplotlib.axes.Axes, optional
        An axes in a new figure if omitted.
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
    ax = draw_sheet(ax, sheet, n, grey_limits(pictures, limits), title, most_height=5.8, left=0.8, below=0.45)
    height, width = image_shape
    shown = even_places(n)
    words = [f"{z[k]:.2f}".replace("-", "\u2212") for k in shown]
    ax.set_xticks(middles(shown, width, 1), words)
    ax.set_yticks(middles([n - 1 - k for k in shown], height, 1), words)
    ax.set_xlabel("z[0], at equal quantiles of the prior")
    ax.set_ylabel("z[1]")
    return ax
