"""Surprisal, its upper bound, and the gap between them: who closes the gap, and who learns.

    S = -log p(x; theta)                         surprisal
    U = -ELBO(theta, phi) = S + KL(q || p(z | x))    its upper bound

Phi-steps lower U and leave S where it is: the gap closes. Theta-steps lower S, and may open the gap again.
Both are views of the same record (`log_p`, `elbo_exact`), in nats or bits per datum.

An alternating epoch is measured twice: after its last phi-steps, drawn half an epoch early, and after the
theta-step that follows. With one batch per epoch these are the two halves of a cycle; with many, the phi-row
stands for the end of the epoch just before its last theta-step, and S differs from the epoch before.
"""

import math

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from elbo_lab.errors import bad_value
from elbo_lab.plots.history import (
    BOUND_COLOR,
    MOST_MARKERS,
    Q_STEP_COLOR,
    THETA_STEP_COLOR,
    Curve,
    check_history,
    number,
    set_limits,
    whole_ticks,
)
from elbo_lab.plots.style import EXACT_LINE, STYLE, legend_below, new_figure, style_axes
from elbo_lab.plots.zero_axis import apply_zero_axis, zero_axis

UNITS = {"nats": 1.0, "bits": math.log(2.0)}

PHASES = {
    "start": ("start", STYLE["faint"], "D"),
    "phi": ("after φ-steps (they move U only)", Q_STEP_COLOR, "o"),
    "theta": ("after a θ-step (it moves S and U)", THETA_STEP_COLOR, "s"),
    "joint": ("after joint steps of θ and φ", BOUND_COLOR, "o"),
}
# A difference of two numbers is no more exact than they are.
ROUNDING = 64 * np.finfo(float).eps


def gap_table(history, unit="nats", epochs=None):
    """Return the measured rows as (phases, array (n, 4)): place in epochs, S, U, gap.

    Parameters
    ----------
    history : list of dict
        Rows of a training; those without `log_p` and `elbo_exact` are left away.
    unit : {'nats', 'bits'}
    epochs : pair of float, optional
        First and last epoch shown.
    """
    if unit not in UNITS:
        raise bad_value("unit", f"one of {', '.join(UNITS)}", repr(unit))
    phases, lines = [], []
    for row in check_history(history):
        place, log_p, elbo = (number(row, key) for key in ("epoch", "log_p", "elbo_exact"))
        phase = row.get("phase", "joint")
        if phase not in PHASES:
            raise bad_value("phase", f"one of {', '.join(PHASES)}", repr(phase))
        place -= 0.5 if phase == "phi" else 0.0
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


def drawn_phases(phases):
    """Return the names of the phases that occur, in the order of the legend."""
    return [name for name in PHASES if name in phases]


def phase_handles(phases):
    """Return a legend entry for each phase that occurs."""
    looks = [PHASES[name] for name in drawn_phases(phases)]
    return [
        Line2D([], [], linestyle="none", label=words, color=color, marker=marker, markersize=5)
        for words, color, marker in looks
    ]


def draw_phases(ax, phases, x, y):
    """Draw the markers of each phase."""
    for name in drawn_phases(phases):
        _, color, marker = PHASES[name]
        part, look = phases == name, {"marker": marker, "markersize": 4.2, "color": color, "zorder": 4}
        ax.plot(x[part], y[part], linestyle="none", gid=name, **look)


def plot_surprisal(history, ax=None, unit="nats", epochs=None, title="", legend=True):
    """Draw the surprisal S, its upper bound U and the gap between them against the epoch.

    Parameters
    ----------
    history : list of dict
        Rows of a training with `log_p` and `elbo_exact`.
    ax : matplotlib.axes.Axes, optional
        An axes in a new figure if left away.
    unit : {'nats', 'bits'}
    epochs : pair of float, optional
        First and last epoch shown: a few of them show the single steps.
    title : str
    legend : bool
        Whether to put a legend under the panel.

    Returns
    -------
    matplotlib.axes.Axes
    """
    phases, table = gap_table(history, unit, epochs)
    x, surprisal, bound, _ = table.T
    ax = new_figure(3.8).subplots() if ax is None else ax
    style_axes(ax, title=title, xlabel="epoch", ylabel=f"S and U, {unit} per datum")
    ax.plot(x, surprisal, zorder=3, **EXACT_LINE)
    ax.plot(x, bound, color=BOUND_COLOR, linewidth=STYLE["line_width"], zorder=3)
    ax.fill_between(x, surprisal, bound, color=BOUND_COLOR, alpha=0.16, linewidth=0, zorder=1)
    handles = surprisal_handles()
    if len(x) <= MOST_MARKERS:
        draw_phases(ax, phases, x, surprisal)
        draw_phases(ax, phases, x, bound)
        handles += phase_handles(phases)
    set_limits(ax, [Curve(x, bound), Curve(x, surprisal)], upwards=False)
    whole_ticks(ax)
    if legend:
        legend_below(ax, handles, columns=2)
    return ax


def surprisal_handles():
    """Return the legend of the two curves and of what lies between them."""
    return [
        Line2D([], [], label="S = -log p(x), exact", **EXACT_LINE),
        Line2D([], [], label="U = -ELBO", color=BOUND_COLOR, linewidth=STYLE["line_width"]),
        Patch(color=BOUND_COLOR, alpha=0.16, lw=0, label="gap U - S = KL(q || posterior)"),
    ]


def plot_gap(history, ax=None, unit="nats", epochs=None, title="", legend=True):
    """Draw the gap KL(q || posterior) on a logarithmic axis, a curve per phase.

    Parameters
    ----------
    history, ax, unit, epochs, title, legend
        As for `plot_surprisal`. A gap of zero (within rounding) stands on a line of its own.

    Returns
    -------
    matplotlib.axes.Axes
    """
    phases, table = gap_table(history, unit, epochs)
    x, gap = table[:, 0], table[:, 3]
    ax = new_figure(3.0).subplots() if ax is None else ax
    style_axes(ax, title=title, xlabel="epoch", ylabel=f"gap, {unit} per datum")
    layout = zero_axis(gap, most_ticks=5, always=False)
    apply_zero_axis(ax, layout, "y")
    y = layout.place(gap)
    if len(x) <= MOST_MARKERS:
        ax.plot(x, y, color=STYLE["faint"], linewidth=0.8, zorder=2)
        draw_phases(ax, phases, x, y)
    else:
        # A line per phase: hundreds of turns between them would be a solid band.
        for name in drawn_phases(phases):
            part = phases == name
            ax.plot(x[part], y[part], gid=name, zorder=3, **phase_look(phases, name))
    whole_ticks(ax)
    if legend:
        legend_below(ax, gap_handles(phases), columns=2)
    return ax


def phase_look(phases, name):
    """Return the line keywords of a phase among many rows: a line, or the marker of a single row."""
    _, color, marker = PHASES[name]
    if (phases == name).sum() == 1:
        return {"linestyle": "none", "color": color, "marker": marker, "markersize": 5}
    return {"linestyle": "-", "color": color, "linewidth": STYLE["line_width"]}


def gap_handles(phases):
    """Return the legend of the phases: markers where rows are few, lines where they are many."""
    if len(phases) <= MOST_MARKERS:
        return phase_handles(phases)
    return [
        Line2D([], [], label=PHASES[name][0], **phase_look(phases, name)) for name in drawn_phases(phases)
    ]


def plot_surprisal_and_gap(history, unit="nats", epochs=None, title=""):
    """Draw both panels above each other.

    Parameters
    ----------
    history, unit, epochs, title
        As for `plot_surprisal`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    phases, _ = gap_table(history, unit, epochs)
    figure = new_figure(5.8)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    plot_surprisal(history, above, unit, epochs, title, legend=False)
    plot_gap(history, below, unit, epochs, legend=False)
    above.set_xlabel("")
    figure.legend(
        handles=surprisal_handles() + gap_handles(phases),
        loc="outside lower left",
        ncols=2,
        frameon=False,
        fontsize=STYLE["tick_size"],
        labelcolor=STYLE["ink"],
    )
    return figure
