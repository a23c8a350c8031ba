"""What a fitted GPLVM knows where: its functions behind the latent plane, and the relevance of each latent.

Far from all rows the functions are their prior again, so that the standard deviation of a predicted row grows
there: the shade behind the codes. With more than two latents it is that of the plane through the mean of the
prior, all other latents at zero.
"""

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection
from numpy.typing import ArrayLike

from elbo_lab.arrays import Floats
from elbo_lab.errors import check_data
from elbo_lab.plots.history import BOUND_COLOR
from elbo_lab.plots.style import STYLE, note_above, styled_axes, title_over_note

# Points along each axis of the shade.
RESOLUTION = 80
# A bar below this share of the largest one is cut: the latent is off.
OFF = 1e-6


def shade_deviation(ax: Axes, deviation_at: Callable[[Floats], Floats]) -> Axes:
    """Shade the plane of `plot_latent_plane` by a standard deviation, with its scale at the right.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        With its limits.
    deviation_at : callable
        From points (G, 2) to (G,).
    """
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    across, up = np.linspace(left, right, RESOLUTION), np.linspace(low, high, RESOLUTION)
    points = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2)
    shade = deviation_at(points).reshape(RESOLUTION, RESOLUTION)
    drawn = ax.pcolormesh(across, up, shade, cmap="Greys", alpha=0.55, zorder=0, rasterized=True, lw=0)
    figure = ax.figure
    bar = figure.colorbar(drawn, ax=ax, shrink=0.6, pad=0.02)
    bar.set_label("standard deviation of a predicted cell", size=STYLE["note_size"], color=STYLE["faint"])
    bar.ax.tick_params(labelsize=STYLE["note_size"], colors=STYLE["faint"])
    bar.outline.set_visible(False)
    return ax


def draw_widths(ax: Axes, means: ArrayLike, deviations: ArrayLike) -> Axes:
    """Draw one standard deviation of q around each code; means and deviations (N, 2)."""
    means, deviations = check_data(means, "means"), check_data(deviations, "deviations")
    sizes = 2.0 * deviations
    look = {"facecolors": "none", "edgecolors": STYLE["faint"], "linewidths": 0.4, "zorder": 1.5}
    look["alpha"] = float(np.clip(120 / len(means), 0.2, 0.8))
    angles = np.zeros(len(means))
    ring = EllipseCollection(*sizes.T, angles, units="xy", offsets=means, transOffset=ax.transData, **look)
    ax.add_collection(ring, autolim=False)
    note_above(ax, "thin ellipses: q, 1 sd", "left")
    return ax


def plot_relevances(relevance: ArrayLike, ax: Axes | None = None, title: str = "") -> Axes:
    """Draw the relevance of every latent as a bar, on a logarithmic axis.

    Parameters
    ----------
    relevance : array (Q,)
        Inverse squared lengths; of the linear function the variance of its weights.
    ax : matplotlib.axes.Axes, optional
        An axes in a new figure if omitted.
    title : str

    Returns
    -------
    matplotlib.axes.Axes
    """
    bars = check_data(np.asarray(relevance, dtype=float)[None], "relevance")[0]
    ax = styled_axes(ax, 3.6, width=5.6, xlabel="latent", ylabel="relevance")
    title_over_note(ax, title)
    largest = bars.max()
    floor = OFF * largest
    ax.bar(np.arange(len(bars)), np.maximum(bars, floor), width=0.7, color=BOUND_COLOR, zorder=2)
    ax.set_yscale("log")
    ax.set_xticks(np.arange(len(bars)), [f"z[{q}]" for q in range(len(bars))])
    ax.set_ylim(0.5 * max(floor, 0.1 * bars.min()), 3.0 * largest)
    cut = int((bars < floor).sum())
    note_above(ax, f"{cut} below a millionth of the largest" if cut else "")
    return ax
