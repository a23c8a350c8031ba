"""Data and what a model makes of them: pictures where rows are pictures, else points.

All pictures of a panel share one grey scale, which a note names: stretched one by one, a faint sample would
look as sharp as a good one. What is shown of a sample or a reconstruction is the expected x given z (pixel
probabilities), as in the literature; real draws of independent pixels look noisier.
"""

import math

import numpy as np

from elbo_lab.errors import bad_value, check_count, check_data
from elbo_lab.plots.history import BOUND_COLOR, note_above
from elbo_lab.plots.style import STYLE, legend_below, new_figure, style_axes

GAP = 0.08
"""Space between two pictures, as a share of their longer side (at least one pixel)."""


def check_images(images, image_shape, argument="images"):
    """Return rows (n, D) as pictures (n, height, width), or raise."""
    images = check_data(images, argument)
    height, width = (check_count("image_shape", int(side)) for side in image_shape)
    if images.shape[1] != height * width:
        expected = f"{height * width} columns for pictures of {height} x {width}"
        raise bad_value(argument, expected, f"{images.shape[1]} columns")
    return images.reshape(-1, height, width)


def montage(pictures, columns, gap):
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


def gap_for(pictures):
    """Return the number of pixels between two pictures."""
    return max(1, round(GAP * max(pictures.shape[1:])))


def grey_limits(values, limits=None):
    """Return the grey scale (black, white): `limits` if given, else one that holds all values."""
    low, high = (values.min(), values.max()) if limits is None else limits
    if not (np.isfinite([low, high]).all() and low <= high):
        raise bad_value("limits", "two finite numbers, black below white", limits)
    return (float(low), float(high)) if high > low else (float(low) - 0.5, float(high) + 0.5)


def limit_words(low, high):
    """Return two numbers in words, to about three digits of the distance between them."""
    places = 2 - math.floor(math.log10(high - low))
    words = []
    for value in (low, high):
        # Adding zero takes the sign from -0.
        value = round(value, places) + 0.0
        digits = places + 1 + (math.floor(math.log10(abs(value))) if value else 0)
        words.append(f"{value:.{max(1, digits)}g}".replace("-", "\u2212"))
    return words


def title_over_note(ax, title):
    """Write the title a line higher than usual, so that a note below it may be as long as it needs."""
    look = {"fontsize": STYLE["title_size"], "color": STYLE["ink"]}
    ax.set_title(title, loc="left", pad=STYLE["note_size"] + 9, **look)


def show_sheet(ax, sheet, limits, title):
    """Draw a montage without frames and say what its greys mean."""
    style_axes(ax)
    title_over_note(ax, title)
    # Everything that rcParams could decide is said here.
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
    ax.set_xticks([])
    ax.set_yticks([])
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    beyond = np.nanmin(sheet) < limits[0] or np.nanmax(sheet) > limits[1]
    words = "black {}, white {}".format(*limit_words(*limits))
    note_above(ax, words + (" and beyond" if beyond else ""))


def sheet_axes(ax, sheet_shape, columns, most_height=8.0, below=0.0):
    """Return `ax`, or an axes in a new figure of the size that the sheet needs, with inches `below`."""
    if ax is not None:
        return ax
    # Pictures of eight pixels should not fill the page: at most an inch each, but room for a title.
    width = min(7.2, max(3.6, 1.0 * columns))
    width *= min(1.0, most_height * sheet_shape[1] / (width * sheet_shape[0]))
    return new_figure(width * sheet_shape[0] / sheet_shape[1] + 0.75 + below, width + 0.8).subplots()


def even_places(n):
    """Return up to five evenly spaced indices from 0 to n - 1, both ends among them."""
    parts = next(parts for parts in (4, 2, 1) if (n - 1) % parts == 0)
    return sorted({k * (n - 1) // parts for k in range(parts + 1)})


def plot_images(images, image_shape, ax=None, columns=10, title="", limits=None):
    """Draw pictures in a grid, on one grey scale.

    Parameters
    ----------
    images : array (n, D)
        One picture per row.
    image_shape : pair of int
        Height and width, D = height x width.
    ax : matplotlib.axes.Axes, optional
        An axes in a new figure if left away.
    columns : int
        Pictures side by side.
    title : str
    limits : pair of float, optional
        Values of black and white; the smallest and largest value if left away.

    Returns
    -------
    matplotlib.axes.Axes
    """
    pictures = check_images(images, image_shape)
    columns = min(check_count("columns", columns), len(pictures))
    sheet = montage(pictures, columns, gap_for(pictures))
    ax = sheet_axes(ax, sheet.shape, columns)
    show_sheet(ax, sheet, grey_limits(pictures, limits), title)
    return ax


def plot_reconstructions(x, reconstructed, image_shape, ax=None, columns=10, title=""):
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
    data, made = check_images(x, image_shape, "x"), check_images(reconstructed, image_shape, "reconstructed")
    if len(data) != len(made):
        raise bad_value("reconstructed", f"{len(data)} rows, as x has", f"{len(made)} rows")
    columns, gap = min(check_count("columns", columns), len(data)), gap_for(data)
    blocks, middles, top = [], [], 0
    for start in range(0, len(data), columns):
        part = slice(start, start + columns)
        pair = [montage(rows[part], columns, gap) for rows in (data, made)]
        between = np.full((gap, pair[0].shape[1]), np.nan)
        # Twice the space below a pair tells which two lines belong together.
        blocks += [pair[0], between, pair[1], between, between, between]
        height = len(pair[0])
        middles += [top + height / 2 - 0.5, top + gap + 1.5 * height - 0.5]
        top += 2 * height + 4 * gap
    sheet = np.concatenate(blocks[:-3])
    ax = sheet_axes(ax, sheet.shape, columns)
    show_sheet(ax, sheet, grey_limits(data), title)
    ax.set_yticks(middles, ["data", "reconstruction"] * (len(middles) // 2))
    return ax


def plot_interpolation(images, image_shape, ax=None, title="", limits=None):
    """Draw the way from one datum to another through the latent space, a line per way.

    Parameters
    ----------
    images : array (n, D) or (ways, n, D)
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
        raise bad_value("images", "shape (n, D) or (ways, n, D)", f"shape {images.shape}")
    n = images.shape[-2]
    pictures = check_images(images.reshape(-1, images.shape[-1]), image_shape)
    gap, width = gap_for(pictures), pictures.shape[2]
    sheet = montage(pictures, n, gap)
    ax = sheet_axes(ax, sheet.shape, n, below=0.45)
    show_sheet(ax, sheet, grey_limits(pictures, limits), title)
    shown = even_places(n)
    places = [k * (width + gap) + width / 2 - 0.5 for k in shown]
    ax.set_xticks(places, [f"{k / max(1, n - 1):.2g}" for k in shown])
    ax.set_xlabel("share of the way in z", fontsize=STYLE["label_size"], color=STYLE["ink"])
    return ax


def plot_sample_scatter(x, samples, column_names=None, ax=None, title=""):
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
    ax = new_figure(4.4).subplots() if ax is None else ax
    groups = ((x, "data", STYLE["faint"], "o"), (samples, "samples of the model", BOUND_COLOR, "x"))
    single = x.shape[1] == 1
    style_axes(ax, title=title, xlabel=names[0], ylabel="density" if single else names[1])
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


def label_columns(column_names, n_columns):
    """Return names of all columns, 'column 0' and so on where there are none."""
    names = [f"column {d}" for d in range(n_columns)] if column_names is None else list(column_names)
    if len(names) != n_columns:
        raise bad_value("column_names", f"{n_columns} names", f"{len(names)} names")
    return names
