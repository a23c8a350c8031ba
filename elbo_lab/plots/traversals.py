"""Latent traversals: what the decoder makes of each latent alone.

A row for each latent. Along it that latent runs from -2 to 2 standard deviations of the prior, the others
keep the code of one row of the data. A latent that has collapsed makes a row of equal pictures; several that
change the same thing in a picture share a factor (Higgins et al. 2017, figures 1 to 4).
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from elbo_lab.errors import bad_value
from elbo_lab.plots.images import (
    Limits,
    check_images,
    draw_sheet,
    even_places,
    gap_for,
    grey_limits,
    middles,
    montage,
)


def _signed(value: float) -> str:
    return f"{value:.2g}".replace("-", "\u2212")


def plot_traversals(
    images: ArrayLike,
    image_shape: Sequence[int],
    values: ArrayLike,
    ax: Axes | None = None,
    title: str = "",
    limits: Limits | None = None,
    names: Sequence[str] | None = None,
) -> Axes:
    """Draw a line of pictures for each latent.

    Parameters
    ----------
    images : array (K, n, D)
        As from `Fitted.traverse`.
    image_shape : pair of int
    values : array (n,)
        Of the latent that moves, in standard deviations of the prior.
    ax : matplotlib.axes.Axes, optional
    title : str
    limits : pair of float, optional
        Values of black and white.
    names : sequence of str, optional
        A word for each latent, by default its number.

    Returns
    -------
    matplotlib.axes.Axes
    """
    images, values = np.asarray(images), np.asarray(values)
    if images.ndim != 3 or not images.size:
        raise bad_value("images", "shape (K, n, D)", f"shape {images.shape}")
    if values.shape != images.shape[1:2]:
        raise bad_value("values", f"a number for each of {images.shape[1]} pictures", f"shape {values.shape}")
    n_latent, n, _ = images.shape
    words = [f"$z_{{{k + 1}}}$" for k in range(n_latent)] if names is None else list(names)
    if len(words) != n_latent:
        raise bad_value("names", f"a word for each of {n_latent} latents", f"{len(words)} words")
    pictures = check_images(images.reshape(-1, images.shape[-1]), image_shape)
    gap = gap_for(pictures)
    sheet = montage(pictures, n, gap)
    ax = draw_sheet(ax, sheet, n, grey_limits(pictures, limits), title, left=0.5, below=0.45)
    shown = even_places(n)
    ax.set_xticks(middles(shown, image_shape[1], gap), [_signed(values[k]) for k in shown])
    ax.set_yticks(middles(range(n_latent), image_shape[0], gap), words)
    ax.set_xlabel("value of this latent, the others at the code of one row")
    return ax
