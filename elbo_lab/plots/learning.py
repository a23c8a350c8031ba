"""Learning curves: the bound, and the exact log p where it is known, against the epoch.

    ELBO = log p(x) - KL(q || p(z | x))  <=  log p(x)

A panel holds only means over the same rows at the same parameters: so a bound never lies above the log p
that it bounds, and their distance is the gap of inference. A mean over an epoch, in which the parameters
moved, has a panel of its own, and so have the rows that early stopping watches. The panels share the epochs,
not the values: the rows of one may be easier than those of another by more than the gap. A panel at the right
shows what was reached: bound and log p of the same rows, training and held out, and the gap between them.
"""

from collections.abc import Mapping
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

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
from elbo_lab.plots.style import EXACT_LINE, STYLE, legend_outside, new_figure, style_axes

SOLID = {"linestyle": "-", "linewidth": STYLE["line_width"], "markersize": 3.5}
BOUND = {**SOLID, "color": BOUND_COLOR, "marker": "o"}
GAP = {"color": BOUND_COLOR, "alpha": 0.16, "linewidth": 0}

# Objectives with an argument, by the key of their value.
BOUNDS = {
    "miwae": "MIWAE bound",
    "ciwae": "CIWAE bound",
    "vr_iwae": "VR-IWAE bound",
    "renyi": "Renyi bound, estimated",
}
# Drawn in this order; `log_p` is a mean over minibatches where the rows have no bound.
LOOKS = {
    "elbo": ("ELBO, training rows, mean over the epoch", BOUND),
    "elbo_after_m": ("ELBO after the M-step", BOUND),
    "elbo_validation": (
        "ELBO, validation rows, end of the epoch",
        {**SOLID, "color": "#997700", "marker": "s"},
    ),
    "beta_objective": (
        "β objective, training rows, mean over the epoch",
        {**SOLID, "color": "#882255", "marker": "^"},
    ),
    "beta_objective_validation": (
        "β objective, validation rows, with the last β",
        {**SOLID, "color": "#AA4499", "marker": "v"},
    ),
    "log_joint": ("log p(x, z) at the draws of the chains, mean over the epoch", BOUND),
    "iwae": ("IWAE bound, training rows, mean over the epoch", BOUND),
    "iwae_validation": (
        "IWAE bound, validation rows, end of the epoch",
        {**SOLID, "color": "#997700", "marker": "s"},
    ),
    **{
        key + suffix: (f"{name}, {words}", look)
        for key, name in BOUNDS.items()
        for suffix, words, look in (
            ("", "training rows, mean over the epoch", BOUND),
            (
                "_validation",
                "validation rows, end of the epoch",
                {**SOLID, "color": "#997700", "marker": "s"},
            ),
        )
    },
    "monitored_elbo": (
        "ELBO, watched rows, end of the epoch",
        {**SOLID, "color": "#5E8FC4", "marker": "D"},
    ),
    "monitored_iwae": (
        "IWAE bound, watched rows, end of the epoch",
        {**SOLID, "color": "#117733", "marker": "^"},
    ),
    "monitored_log_p": ("exact log p, watched rows", EXACT_LINE),
    "elbo_exact": ("exact ELBO, end of the epoch", {**SOLID, "color": "#5E8FC4", "marker": "D"}),
    "mean_log_p": ("log p, training rows, mean over the epoch", BOUND),
    "log_p": ("exact log p, the same gap rows", EXACT_LINE),
    "log_likelihood": ("exact log p, all training rows", EXACT_LINE),
    "log_posterior": ("log posterior, all training rows", {**SOLID, "color": "#004488", "marker": "D"}),
}
TOTALS = ("elbo_after_m", "log_likelihood", "log_posterior")

# One panel each, of those curves that the history has.
PANELS = (
    ("elbo", "iwae", *BOUNDS, "mean_log_p"),
    ("log_joint",),
    ("monitored_elbo", "monitored_iwae", "monitored_log_p"),
    ("elbo_validation",),
    ("iwae_validation",),
    *((f"{key}_validation",) for key in BOUNDS),
    ("beta_objective",),
    ("beta_objective_validation",),
    ("elbo_exact", "log_p"),
    ("elbo_after_m", "log_likelihood"),
    ("log_posterior",),
)


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
    time, bounded = time_key(rows), any({"elbo", "iwae", "elbo_exact", *BOUNDS} & set(row) for row in rows)
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


def panels_of(curves: Mapping[str, Curve]) -> list[list[str]]:
    """Return the names of the curves in each panel."""
    return [names for names in ([n for n in panel if n in curves] for panel in PANELS) if names]


def count_panels(history: History) -> int:
    """Return how many panels the learning curves of a history have."""
    return len(panels_of(learning_curves(history, n_data=1)[0]))


def plot_learning_curves(
    history: History,
    figure: FigureBase | None = None,
    n_data: int | None = None,
    title: str = "",
    reached: Mapping[str, tuple[float, float]] | None = None,
    kept: float | None = None,
) -> FigureBase:
    """Draw the bound, the validation bound and the exact log p against the epoch (or EM iteration).

    Parameters
    ----------
    history : list of dict
        Rows of a training, of gradient ascent or of EM; see the glossary for their keys.
    figure : matplotlib.figure.Figure or SubFigure, optional
        Where the panels are drawn, below each other; a new figure if omitted.
    n_data : int, optional
        Number of data: totals (`log_likelihood`, `elbo_after_m`) are divided by it. Needed where the history
        also has values per datum.
    title : str
    reached : dict of str to (float, float), optional
        The bound and log p of the same rows at the end, in nats per datum: {'training': (elbo, log_p)}. Both
        may be sampled: where q is nearly the posterior, noise puts the bound above log p.
    kept : float, optional
        The epoch whose parameters early stopping kept.

    Returns
    -------
    matplotlib.figure.Figure or SubFigure
    """
    curves, unit = learning_curves(history, n_data)
    time = "epoch" if time_key(list(history)) == "epoch" else "EM iteration"
    shown = panels_of(curves)
    if figure is None:
        figure = new_figure(1.6 + 2.0 * len(shown))
    columns = {"ncols": 2, "width_ratios": (4, 1)} if reached else {"ncols": 1}
    grid = figure.add_gridspec(len(shown), **columns)
    axes = [figure.add_subplot(grid[0, 0])]
    axes += [figure.add_subplot(grid[row, 0], sharex=axes[0]) for row in range(1, len(shown))]
    for ax in axes[:-1]:
        ax.tick_params(labelbottom=False)
    for ax, names in zip(axes, shown, strict=True):
        quantity = _quantity(names)
        style_axes(ax, ylabel=f"{quantity}, {unit}" if len(shown) == 1 else f"{quantity},\n{unit}")
        for name in names:
            draw_curve(ax, curves[name], *LOOKS[name])
        set_limits(ax, [curves[name] for name in names])
    style_axes(axes[0], title=title, ylabel=axes[0].get_ylabel())
    axes[-1].set_xlabel(time, fontsize=STYLE["label_size"], color=STYLE["ink"])
    whole_ticks(axes[-1])
    handles: list[Artist] = [line for ax in axes for line in ax.get_legend_handles_labels()[0]]
    if kept is not None:
        look = {"color": STYLE["ink"], "linewidth": 1.0, "linestyle": ":", "zorder": 1}
        for ax in axes:
            line = ax.axvline(kept, label=f"kept by early stopping: epoch {kept:g}", **look)
        handles.append(line)
    if reached:
        handles += draw_reached(figure.add_subplot(grid[0, 1]), reached)
    legend_outside(figure, handles, columns=2)
    return figure


def draw_reached(ax: Axes, reached: Mapping[str, tuple[float, float]]) -> list[Artist]:
    """Draw bound and log p of the same rows at the end with the gap between them; return their legend."""
    style_axes(ax, title="at the end", grid="y")
    for place, (elbo, log_p) in enumerate(reached.values()):
        ax.fill_between([place - 0.3, place + 0.3], elbo, log_p, **GAP)
        ax.plot([place - 0.3, place + 0.3], [log_p, log_p], zorder=3, **EXACT_LINE)
        ax.plot([place], [elbo], zorder=3, **BOUND)
        middle = {"ha": "center", "va": "center", "fontsize": STYLE["note_size"], "color": STYLE["ink"]}
        ax.text(place, (elbo + log_p) / 2, f"{log_p - elbo:.2g}".replace("-", "\u2212"), **middle)
    ax.set_xticks(range(len(reached)), [word.replace(" ", "\n") for word in reached])
    ax.set_xlim(-0.6, len(reached) - 0.4)
    ax.margins(y=0.1)
    ax.locator_params(axis="y", nbins=4)
    ax.tick_params(axis="x", length=0)
    below = any(log_p < elbo for elbo, log_p in reached.values())
    words = "their gap, nats per datum" + (": below 0 by the noise of sampling" if below else "")
    return [
        Line2D([], [], label="at the end: log p, and (dot) the ELBO of the same rows", **EXACT_LINE),
        Patch(label=words, **GAP),
    ]


def draw_curve(ax: Axes, curve: Curve, label: str, look: Mapping[str, Any]) -> None:
    """Draw one curve, with markers where its points are few."""
    if len(curve.x) > MOST_MARKERS:
        look = {**look, "marker": "none"}
    elif len(curve.x) == 1:  # a point makes no dashed line
        look = {**look, "marker": "o", "markersize": 5}
    ax.plot(*curve, label=label, zorder=4 if look["linestyle"] == "--" else 3, **look)


def _quantity(names: list[str]) -> str:
    """Return the name of what a panel shows: bounds, log p, both, or the weighted objective."""
    if any(name.startswith("beta") for name in names):
        return "β objective"
    if names == ["log_joint"]:
        return "log p(x, z)"
    bounds = [name for name in names if "elbo" in name or "iwae" in name or "renyi" in name]
    if not bounds:
        return "log posterior" if names == ["log_posterior"] else "log p"
    if len(bounds) < len(names):
        return "log p and its bound"
    return "ELBO" if all("elbo" in name for name in names) else "bounds of log p"
