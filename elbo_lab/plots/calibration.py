"""Calibration by simulation: the distribution of the ranks of each quantity, less that of uniform ranks.

Curves of uniform ranks all stay within the grey band with a stated probability. A curve that falls and then
rises back, through zero in the middle (a mirrored S), is of a q that is too wide, the reverse of one that is
too narrow; a hump above zero is of a q that lies too high, one below of a q that lies too low (Säilynoja et
al. 2022, figure 5).
"""

import numpy as np
from matplotlib.axes import Axes

from elbo_lab.evaluation import Calibration
from elbo_lab.evaluation.ecdf_band import counts_below, simultaneous_band
from elbo_lab.plots.points import CLASS_COLORS
from elbo_lab.plots.style import EXACT_LINE, STYLE, legend_below, styled_axes

LINES = ("-", "--", ":", "-.")
MOST_NAMES = 8


def plot_calibration(found: Calibration, ax: Axes | None = None, title: str = "") -> Axes:
    """Draw a curve for each quantity, and the band of all curves together.

    Parameters
    ----------
    found : Calibration
    ax : matplotlib.axes.Axes, optional
    title : str

    Returns
    -------
    matplotlib.axes.Axes
    """
    n, n_draws = len(found.ranks), found.n_draws
    share = np.arange(1, n_draws + 1) / (n_draws + 1)
    words = {
        "xlabel": "rank of z among the draws of q, as a share",
        "ylabel": "share of ranks below, less that",
    }
    ax = styled_axes(ax, 3.6, STYLE["page_width"], title=title, **words)
    low, high = simultaneous_band(n, n_draws, found.level)
    label = f"{100 * (1 - found.false_alarm):g} % band of uniform ranks, all curves"
    ax.fill_between(share, low / n - share, high / n - share, color=STYLE["grid"], lw=0, label=label)
    ax.axhline(0.0, **EXACT_LINE)
    shown = _named(found)
    for t, name in enumerate(found.names):
        turn, color = divmod(t, len(CLASS_COLORS))
        look = {"color": CLASS_COLORS[color], "linestyle": LINES[turn % len(LINES)]}
        curve = counts_below(found.ranks[:, t], n_draws) / n - share
        ax.plot(share, curve, lw=STYLE["line_width"], label=name if t in shown else None, **look)
    ax.set_xlim(0.0, 1.0)
    legend_below(ax)
    return ax


def _named(found: Calibration) -> set[int]:
    """Return which curves have a name in the legend: all, or of many those that are farthest off."""
    return set(np.argsort(found.uniformity, kind="stable")[:MOST_NAMES].tolist())
