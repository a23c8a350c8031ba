"""Surprisal, its upper bound, and the gap between them: which steps close the gap, and which steps learn.

    S = -log p(x; theta)                         surprisal
    U = -ELBO(theta, phi) = S + KL(q || p(z | x))    its upper bound

Phi-steps lower U and leave S where it is: the gap closes. Theta-steps lower S, and may open the gap again.
Both are views of the same record (`log_p`, `elbo_exact`), in nats or bits per datum. `upwards` draws log p
and ELBO themselves, for a page where everything else has their sign.

An alternating evaluation measures one cycle: before its phi-steps, after them, and after its theta-step.
With one minibatch per epoch the end of a cycle is the start of the next. With many, the other steps of the
epoch lie between two cycles. A cycle is drawn wide, over the epochs since the evaluation before, so that its
steps can be told apart.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from elbo_lab.arrays import Floats
from elbo_lab.errors import bad_value
from elbo_lab.plots.history import (
    BOUND_COLOR,
    MOST_MARKERS,
    Q_STEP_COLOR,
    THETA_STEP_COLOR,
    Curve,
    History,
    Row,
    check_history,
    number,
    set_limits,
    whole_ticks,
)
from elbo_lab.plots.style import EXACT_LINE, STYLE, legend_below, legend_outside, new_figure, styled_axes
from elbo_lab.plots.zero_axis import apply_zero_axis, zero_axis

UNITS = {"nats": 1.0, "bits": math.log(2.0)}

PHASES = {
    "start": ("start", STYLE["faint"], "D"),
    "before": ("before φ-steps (after the other steps of the epoch)", BOUND_COLOR, "v"),
    "phi": ("after φ-steps (they move the bound only)", Q_STEP_COLOR, "o"),
    "theta": ("after a θ-step (it moves both)", THETA_STEP_COLOR, "s"),
    "joint": ("after joint steps of θ and φ", BOUND_COLOR, "o"),
}
# How much earlier than its epoch a row of a cycle is drawn, as a share of the epochs between two evaluations.
EARLIER = {"before": 2 / 3, "phi": 1 / 3}
EARLIER_WITHOUT_A_BREAK = {"phi": 1 / 2}
# A difference of two numbers is no more exact than they are.
ROUNDING = 64 * np.finfo(float).eps


Phases = np.ndarray
"""Names of phases (n,)."""
Span = tuple[float, float]
"""First and last epoch."""


def gap_table(history: History, unit: str = "nats", epochs: Span | None = None) -> tuple[Phases, Floats]:
    """Return the measured rows as (phases, array (n, 4)): place in epochs, S, U, gap.

    Parameters
    ----------
    history : list of dict
        Rows of a training; those without `log_p` and `elbo_exact` are omitted.
    unit : {'nats', 'bits'}
    epochs : pair of float, optional
        First and last epoch shown.
    """
    if unit not in UNITS:
        raise bad_value("unit", f"one of {', '.join(UNITS)}", repr(unit))
    phases, lines = [], []
    rows = check_history(history)
    apart = _epochs_between(rows)
    earlier = EARLIER if any(row.get("phase") == "before" for row in rows) else EARLIER_WITHOUT_A_BREAK
    for row in rows:
        place, log_p, elbo = (number(row, key) for key in ("epoch", "log_p", "elbo_exact"))
        phase = row.get("phase", "joint")
        if phase not in PHASES:
            raise bad_value("phase", f"one of {', '.join(PHASES)}", repr(phase))
        if phase in earlier:
            place -= apart * earlier[phase]
        seen = epochs is None or epochs[0] <= place <= epochs[1]
        if seen and np.isfinite([place, log_p, elbo]).all():
            gap = number(row, "kl")
            gap = log_p - elbo if math.isnan(gap) else gap
            gap = gap if gap > ROUNDING * max(1.0, abs(log_p)) else 0.0
            phases.append(phase)
            lines.append((place, -log_p / UNITS[unit], -elbo / UNITS[unit], gap / UNITS[unit]))
    if not lines:
        where = "" if epochs is None else f" in epochs {epochs[0]:g} to {epochs[1]:g}"
        raise bad_value("history", f"rows with epoch, log_p and elbo_exact{where}", "none")
    return np.array(phases), np.array(lines)


def _epochs_between(rows: Sequence[Row]) -> float:
    """Return the least number of epochs from one evaluation to the next; 1 where there is but one."""
    epochs = np.array([number(row, "epoch") for row in rows])
    steps = np.diff(np.unique(epochs[np.isfinite(epochs)]))
    return float(steps.min()) if len(steps) else 1.0


def phase_looks(phases: Phases) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return (label, line keywords) of each phase that occurs, in the order of the legend.

    Markers where rows are few; where they are many, a line per phase: hundreds of turns between them would
    be a solid band.
    """
    looks = {}
    for name, (label, color, marker) in PHASES.items():
        count = (phases == name).sum()
        look = {"linestyle": "none", "marker": marker, "markersize": 4.2, "color": color, "zorder": 4}
        if len(phases) > MOST_MARKERS and count > 1:
            look = {"color": color, "linewidth": STYLE["line_width"], "zorder": 3}
        if count:
            looks[name] = (label, look)
    return looks


def time_label(phases: Phases) -> str:
    """Return the label of the epochs, which says where cycles are drawn wide."""
    return "epoch (the last cycle of each drawn wide)" if "before" in phases else "epoch"


def draw_phases(ax: Axes, phases: Phases, x: Floats, y: Floats) -> None:
    """Draw the rows of each phase."""
    for name, (_, look) in phase_looks(phases).items():
        ax.plot(x[phases == name], y[phases == name], gid=name, **look)


def phase_handles(phases: Phases) -> list[Artist]:
    """Return a legend entry for each phase that occurs."""
    return [Line2D([], [], label=label, **look) for label, look in phase_looks(phases).values()]


def plot_surprisal(
    history: History,
    ax: Axes | None = None,
    unit: str = "nats",
    epochs: Span | None = None,
    title: str = "",
    legend: bool = True,
    upwards: bool = False,
) -> Axes:
    """Draw the surprisal S, its upper bound U and the gap between them against the epoch.

    Parameters
    ----------
    history : list of dict
        Rows of a training with `log_p` and `elbo_exact`.
    ax : matplotlib.axes.Axes, optional
        An axes in a new figure if omitted.
    unit : {'nats', 'bits'}
    epochs : pair of float, optional
        First and last epoch shown: a few of them show the single steps.
    title : str
    legend : bool
        Whether to put a legend under the panel.
    upwards : bool
        Draw log p = -S and the ELBO = -U instead.

    Returns
    -------
    matplotlib.axes.Axes
    """
    phases, table = gap_table(history, unit, epochs)
    x, surprisal, bound, _ = table.T
    if upwards:
        surprisal, bound = -surprisal, -bound
    names = "log p and ELBO" if upwards else "S and U"
    ax = styled_axes(ax, 3.8, title=title, xlabel=time_label(phases), ylabel=f"{names}, {unit} per datum")
    ax.plot(x, surprisal, zorder=3, **EXACT_LINE)
    ax.plot(x, bound, color=BOUND_COLOR, linewidth=STYLE["line_width"], zorder=3)
    ax.fill_between(x, surprisal, bound, color=BOUND_COLOR, alpha=0.16, linewidth=0, zorder=1)
    handles = surprisal_handles(upwards)
    if len(x) <= MOST_MARKERS:
        draw_phases(ax, phases, x, surprisal)
        draw_phases(ax, phases, x, bound)
        handles += phase_handles(phases)
    set_limits(ax, [Curve(x, bound), Curve(x, surprisal)], upwards)
    whole_ticks(ax)
    if legend:
        legend_below(ax, handles, columns=2)
    return ax


def surprisal_handles(upwards: bool) -> list[Artist]:
    """Return the legend of the two curves and of what lies between them."""
    names = ("S = -log p(x), exact", "U = -ELBO", "U - S")
    log_p, elbo, gap = ("log p(x), exact", "ELBO", "log p - ELBO") if upwards else names
    return [
        Line2D([], [], label=log_p, **EXACT_LINE),
        Line2D([], [], label=elbo, color=BOUND_COLOR, linewidth=STYLE["line_width"]),
        Patch(color=BOUND_COLOR, alpha=0.16, lw=0, label=f"gap {gap} = KL(q || posterior)"),
    ]


def plot_gap(
    history: History,
    ax: Axes | None = None,
    unit: str = "nats",
    epochs: Span | None = None,
    title: str = "",
    legend: bool = True,
) -> Axes:
    """Draw the gap KL(q || posterior) on a logarithmic axis, a curve per phase.

    Parameters
    ----------
    history, ax, unit, epochs, title, legend
        As for `plot_surprisal`. A gap of zero (within rounding) has a line of its own.

    Returns
    -------
    matplotlib.axes.Axes
    """
    phases, table = gap_table(history, unit, epochs)
    x, gap = table[:, 0], table[:, 3]
    ax = styled_axes(ax, 3.0, title=title, xlabel=time_label(phases), ylabel=f"gap, {unit} per datum")
    layout = zero_axis(gap, most_ticks=5)
    apply_zero_axis(ax, layout, "y")
    y = layout.place(gap)
    if len(x) <= MOST_MARKERS:
        ax.plot(x, y, color=STYLE["faint"], linewidth=0.8, zorder=2)
    draw_phases(ax, phases, x, y)
    whole_ticks(ax)
    if legend:
        legend_below(ax, phase_handles(phases), columns=2)
    return ax


def plot_surprisal_and_gap(
    history: History, unit: str = "nats", epochs: Span | None = None, title: str = "", upwards: bool = False
) -> Figure:
    """Draw both panels above each other.

    Parameters
    ----------
    history, unit, epochs, title, upwards
        As for `plot_surprisal`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    phases, _ = gap_table(history, unit, epochs)
    figure = new_figure(5.8)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    plot_surprisal(history, above, unit, epochs, title, legend=False, upwards=upwards)
    plot_gap(history, below, unit, epochs, legend=False)
    above.set_xlabel("")
    legend_outside(figure, surprisal_handles(upwards) + phase_handles(phases), columns=2)
    return figure
