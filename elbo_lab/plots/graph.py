"""A directed graph as a picture: parents above their children, hidden variables white.

The layers are those of the longest path: a variable stands one layer below the lowest of its parents. Within
a layer the variables are ordered by the mean place of their neighbours in the layers before, a few times down
and up (the barycentre rule of Sugiyama, Tagawa and Toda 1981), which leaves few crossings in small graphs.
"""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from elbo_lab.models.graphs import BayesNet
from elbo_lab.plots.style import STYLE, styled_axes

SWEEPS = 4
# In units of the distance of two neighbours in a layer.
BOX_WIDTH, BOX_HEIGHT, LAYER_GAP = 0.78, 0.42, 1.0
# Of an arc that passes a box, twice its distance from the straight line.
BEYOND_BOX = 1.15
# Letters of a name that fit into a box at the usual size.
LETTERS = 7
SEEN, HIDDEN, EDGE = "#d9d9d9", "white", "#333333"


def layers_of(net: BayesNet) -> list[list[str]]:
    """Return the variables of every layer from the top, in their order from left to right."""
    depth: dict[str, int] = {}
    for name in net.order:
        depth[name] = 1 + max((depth[parent] for parent in net.parents[name]), default=-1)
    layers = [[name for name in net.order if depth[name] == d] for d in range(1 + max(depth.values()))]
    for sweep in range(SWEEPS):
        neighbours = net.parents if sweep % 2 == 0 else net.children
        place = {name: x for layer in layers for name, x in zip(layer, _even(len(layer)), strict=True)}
        for layer in layers if sweep % 2 == 0 else layers[::-1]:
            means = {
                name: float(np.mean([place[one] for one in neighbours[name]] or [place[name]]))
                for name in layer
            }
            layer.sort(key=lambda name: means[name])
            place |= dict(zip(layer, _even(len(layer)), strict=True))
    return layers


def _even(count: int) -> list[float]:
    """Return places of so many variables in a layer, centred at zero, one apart."""
    return [i - 0.5 * (count - 1) for i in range(count)]


def plot_graph(
    net: BayesNet, missing: Mapping[str, float] | None = None, ax: Axes | None = None, title: str = ""
) -> Axes:
    """Draw a graph: boxes with the name and the kind of every variable, arrows from parents to children.

    Parameters
    ----------
    net : BayesNet
    missing : dict, optional
        {variable: share of its cells that are missing}; a box is white where all are, grey where one is seen.
    ax : matplotlib.axes.Axes, optional
    title : str

    Returns
    -------
    matplotlib.axes.Axes
    """
    layers, missing = layers_of(net), missing or {}
    widest = max(map(len, layers))
    ax = styled_axes(ax, 0.9 + 1.15 * len(layers), title=title)
    place = {
        name: np.array([x, -LAYER_GAP * depth])
        for depth, layer in enumerate(layers)
        for name, x in zip(layer, _even(len(layer)), strict=True)
    }
    for name, parents in net.parents.items():
        for parent in parents:
            _arrow(ax, place[parent], place[name])
    for name, (x, y) in place.items():
        share = missing.get(name, 0.0)
        corner = x - 0.5 * BOX_WIDTH, y - 0.5 * BOX_HEIGHT
        style = {"facecolor": HIDDEN if share == 1.0 else SEEN, "edgecolor": EDGE, "zorder": 2}
        ax.add_patch(
            FancyBboxPatch(corner, BOX_WIDTH, BOX_HEIGHT, boxstyle="round,pad=0,rounding_size=0.12", **style)
        )
        below = net.conditionals[name].name
        if share:
            below = "hidden" if share == 1.0 else f"{100 * share:.0f} % missing"
        size = STYLE["label_size"] * min(1.0, 7.0 / widest)
        for words, above, letters, share_of_size in ((name, 0.07, LETTERS, 1.0), (below, -0.11, 12, 0.72)):
            fitting = share_of_size * size * min(1.0, letters / len(words))
            ax.text(x, y + above, words, ha="center", va="center", fontsize=fitting, color=EDGE, zorder=3)
    half = 0.5 * max(widest, 3)
    ax.set_xlim(-half, half)
    ax.set_ylim(-LAYER_GAP * (len(layers) - 1) - 0.4, 0.4)
    ax.set_aspect("equal")
    ax.axis("off")
    return ax


def _arrow(ax: Axes, start: np.ndarray, end: np.ndarray) -> None:
    """Draw an arrow between two boxes, bent around those of a layer that it passes."""
    across, down = end[0] - start[0], (start[1] - end[1]) / LAYER_GAP
    bend = 0.0
    if down > 1.5:
        # At half way the arc is this times half its length beside the straight line.
        bend = (BEYOND_BOX if abs(across) < BOX_WIDTH else 0.3) / (down - BOX_HEIGHT)
        bend *= 1.0 if across >= 0 else -1.0
    ax.add_patch(
        FancyArrowPatch(
            (start[0], start[1] - 0.5 * BOX_HEIGHT),
            (end[0], end[1] + 0.5 * BOX_HEIGHT),
            arrowstyle="-|>",
            mutation_scale=11,
            connectionstyle=f"arc3,rad={bend}",
            color=EDGE,
            linewidth=1.1,
            zorder=1,
        )
    )
