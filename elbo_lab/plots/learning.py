"""Learning curves: the bound, and the exact log p where it is known, against the epoch.

    ELBO = log p(x) - KL(q || p(z | x))  <=  log p(x)

The distance of the bound from the dashed line is therefore the gap of inference, and the rise of the dashed
line is what was learned. The bound on training rows is a mean over an epoch in which theta moved, so it lags
a little behind a value at the end of the epoch, and can lie below the bound on validation rows early on.

Exact values of the gap belong to the rows on which it is recorded (`gap_rows`). Where these are a part of
the training rows, only the two exact curves may be compared to the last nat.
"""

from matplotlib.axes import Axes

from elbo_lab.errors import bad_value, check_count
from elbo_lab.plots.history import (
    BOUND_COLOR,
    MOST_MARKERS,
    Curve,
    History,
    check_history,
    read_curve,
    set_limits,
    time_key,
    whole_ticks,
)
from elbo_lab.plots.style import EXACT_LINE, STYLE, legend_below, styled_axes

SOLID = {"linestyle": "-", "linewidth": STYLE["line_width"], "markersize": 3.5}
BOUND = {**SOLID, "color": BOUND_COLOR, "marker": "o"}

# Drawn in this order; `log_p` is a mean over minibatches where the rows have no bound.
LOOKS = {
    "elbo": ("ELBO, training rows (mean over the epoch)", BOUND),
    "elbo_after_m": ("ELBO after the M-step", BOUND),
    "elbo_validation": ("ELBO, validation rows", {**SOLID, "color": "#997700", "marker": "s"}),
    "elbo_exact": ("exact ELBO", {**SOLID, "color": "#5E8FC4", "marker": "D"}),
    "mean_log_p": ("log p, training rows (mean over the epoch)", BOUND),
    "log_p": ("exact log p (gap rows)", EXACT_LINE),
    "log_likelihood": ("exact log p, all rows", EXACT_LINE),
}
TOTALS = ("elbo_after_m", "log_likelihood")


def learning_curves(history: History, n_data: int | None = None) -> tuple[dict[str, Curve], str]:
    """Return the curves of a history {key of LOOKS: Curve}, and the unit of y.

    Rows before and after phi-steps are omitted where there are rows after theta-steps: they belong to the
    middle of a cycle (see `plot_surprisal`).

    Parameters
    ----------
    history : list of dict
    n_data : int, optional
        Number of rows that totals are sums over.
    """
    rows = check_history(history)
    rows = [row for row in rows if row.get("phase") not in ("before", "phi")] or rows
    time, bounded = time_key(rows), any("elbo" in row or "elbo_exact" in row for row in rows)
    share = 1.0 if n_data is None else 1.0 / check_count("n_data", n_data)
    curves = {}
    for name in LOOKS:
        if (name == "log_p" and not bounded) or (name == "mean_log_p" and bounded):
            continue
        key = "log_p" if name == "mean_log_p" else name
        curve = read_curve(rows, key, time, share if name in TOTALS else 1.0)
        if curve is not None:
            curves[name] = curve
    if not curves:
        raise bad_value("history", f"a finite value of one of {', '.join(LOOKS)}", "none")
    totals = [name for name in curves if name in TOTALS]
    if totals and n_data is None and len(totals) < len(curves):
        raise bad_value("n_data", f"the number of rows that {totals[0]} is a total of", None)
    return curves, "nats, total" if totals and n_data is None else "nats per datum"


def plot_learning_curves(
    history: History, ax: Axes | None = None, n_data: int | None = None, title: str = ""
) -> Axes:
    """Draw the bound, the validation bound and the exact log p against the epoch (or EM iteration).

    Parameters
    ----------
    history : list of dict
        Rows of a training, of gradient ascent or of EM; see the glossary for their keys.
    ax : matplotlib.axes.Axes, optional
        An axes in a new figure if omitted.
    n_data : int, optional
        Number of data: totals (`log_likelihood`, `elbo_after_m`) are divided by it. Needed where the history
        also has values per datum.
    title : str

    Returns
    -------
    matplotlib.axes.Axes
    """
    curves, unit = learning_curves(history, n_data)
    time = "epoch" if time_key(list(history)) == "epoch" else "EM iteration"
    ax = styled_axes(ax, 3.6, title=title, xlabel=time, ylabel=f"{_quantity(curves)}, {unit}")
    for key, curve in curves.items():
        label, look = LOOKS[key]
        if len(curve.x) > MOST_MARKERS:
            look = {**look, "marker": "none"}
        elif len(curve.x) == 1:  # a point makes no dashed line
            look = {**look, "marker": "o", "markersize": 5}
        ax.plot(*curve, label=label, zorder=4 if look["linestyle"] == "--" else 3, **look)
    handles = ax.get_legend_handles_labels()[0]
    set_limits(ax, list(curves.values()))
    whole_ticks(ax)
    legend_below(ax, handles, columns=2)
    return ax


def _quantity(curves: dict[str, Curve]) -> str:
    """Return the name of what the curves show: the bound, log p, or both."""
    bounds = [name for name in curves if "elbo" in name]
    if not bounds:
        return "log p"
    return "ELBO" if len(bounds) == len(curves) else "log p and its bound"
