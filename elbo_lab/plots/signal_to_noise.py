"""Signal-to-noise ratio against the number of draws, on log-log axes.

Two grey guides have slopes -1/2 and +1/2: along the one more draws spoil a gradient, along the other they
improve it. Below a ratio of one the noise of a single estimate is larger than what it estimates.
"""

import numpy as np
from matplotlib.patches import Patch

from elbo_lab.errors import bad_value
from elbo_lab.plots.draws import as_arrays
from elbo_lab.plots.style import STYLE, legend_below, marker_keywords, new_figure, style_axes


def plot_signal_to_noise(records, ax=None, title="", columns=2):
    """Draw the signal-to-noise ratio of each estimator against its number of draws.

    Parameters
    ----------
    records : dict of str to dict
        From `study.experiments.signal_to_noise`: by estimator lists `draws`, `snr`, `low`, `high`.
    ax : matplotlib.axes.Axes, optional
        An axes in a new figure if left away.
    title : str
    columns : int
        Names side by side in the legend.

    Returns
    -------
    matplotlib.axes.Axes
    """
    if not records:
        raise bad_value("records", "at least one estimator", "none")
    curves = {name: as_arrays(name, record, "snr") for name, record in records.items()}
    ax = new_figure(4.6).subplots() if ax is None else ax
    style_axes(ax, title=title, xlabel="draws K per estimate", ylabel="|exact gradient| / standard deviation")
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    handles = []
    for name, (draws, snr, low, high) in curves.items():
        keywords = marker_keywords(name)
        handles += ax.plot(draws, snr, label=name, zorder=3, **keywords)
        ax.fill_between(draws, low, high, color=keywords["color"], alpha=0.2, linewidth=0)
    points = np.concatenate([curve[:2] for curve in curves.values()], axis=1)
    ends = np.array([points[0].min(), points[0].max()])
    middle = float(np.exp(np.nanmean(np.log(points[1]))))
    for slope, style in ((-0.5, ":"), (0.5, "-.")):
        level = middle * (ends / np.sqrt(ends.prod())) ** slope
        look = {"color": STYLE["faint"], "linewidth": 1.0, "linestyle": style, "zorder": 1}
        handles += ax.plot(ends, level, label=f"guide: slope {slope:+.1f}", **look)
    ticks = sorted({int(k) for curve in curves.values() for k in curve[0]})
    ax.set_xticks(ticks, [str(k) for k in ticks])
    ax.minorticks_off()
    handles.append(Patch(color=STYLE["faint"], alpha=0.3, lw=0, label="band: 95 % interval"))
    legend_below(ax, handles, columns=columns)
    return ax
