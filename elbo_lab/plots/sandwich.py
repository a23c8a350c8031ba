"""log p(x) between a lower and an upper bound, against the length of the annealed path.

Blue from below, red from above, both with the 95 % interval of the mean over the data; the exact answer,
where it is known, is the black dashed line between them. The two are bounds in mean: an interval may reach
over the line, a curve should not.
"""

import numpy as np
from matplotlib.patches import Patch

from elbo_lab.errors import bad_value
from elbo_lab.plots.style import EXACT_LINE, STYLE, legend_below, new_figure, style_axes

SIDES = {
    "lower": ("lower bound: chains from q", "#0072B2", "^"),
    "upper": ("upper bound: chains from exact posterior draws", "#D55E00", "v"),
}
NORMAL_95 = 1.96


def plot_sandwich(records, ax=None, exact=None, title="", ylabel="log p(x), nats per datum"):
    """Draw both bounds against the number of temperatures.

    Parameters
    ----------
    records : list of dict
        With 'n_steps', and 'lower', 'lower_se', 'upper', 'upper_se' as of `Sandwich.means`.
    ax : matplotlib.axes.Axes, optional
        An axes in a new figure if left away.
    exact : float, optional
        Mean log p(x); 0 for records that are differences to it.
    title, ylabel : str

    Returns
    -------
    matplotlib.axes.Axes
    """
    if not records:
        raise bad_value("records", "at least one sandwich", "none")
    ax = new_figure(3.8).subplots() if ax is None else ax
    style_axes(ax, title=title, xlabel="steps T of the path", ylabel=ylabel)
    ax.set_xscale("log", base=2)
    steps = np.array([record["n_steps"] for record in records])
    handles = []
    for side, (label, color, marker) in SIDES.items():
        value, error = (np.array([record[key] for record in records]) for key in (side, f"{side}_se"))
        look = {"color": color, "marker": marker, "markersize": STYLE["marker_size"]}
        handles += ax.plot(steps, value, label=label, linewidth=STYLE["line_width"], zorder=3, **look)
        ends = value - NORMAL_95 * error, value + NORMAL_95 * error
        ax.fill_between(steps, *ends, color=color, alpha=0.2, linewidth=0)
    if exact is not None:
        handles.append(ax.axhline(exact, label="exact", zorder=2, **EXACT_LINE))
    handles.append(Patch(color=STYLE["faint"], alpha=0.3, lw=0, label="band: 95 % interval of the mean"))
    ax.set_xticks(steps, [str(n) for n in steps])
    ax.minorticks_off()
    legend_below(ax, handles, columns=2)
    return ax
