"""EM as a staircase: the E-step lifts the bound to the log-likelihood, the M-step lifts both.

    E-step:  ELBO(theta_{i-1}, q_i) = log p(x; theta_{i-1})                        the gap is zero
    M-step:  log p(x; theta_i) - ELBO(theta_i, q_i) = KL(q_i || p(z | x; theta_i))    it opens again

(Neal and Hinton 1998; Bishop 2006, figures 9.11 to 9.14.) Steps are drawn at half iterations, so that each
is seen alone: E-step i at i - 1/2, M-step i at i. Between two steps nothing moves.

The stairs shrink geometrically, by the share of missing information (Dempster, Laird and Rubin 1977, section
3): a dozen of them can be seen, the rest needs the logarithm of the distance to the maximum.
"""

from typing import NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from elbo_lab.arrays import Floats
from elbo_lab.errors import bad_value, check_count
from elbo_lab.plots.history import (
    BOUND_COLOR,
    MOST_MARKERS,
    Q_STEP_COLOR,
    THETA_STEP_COLOR,
    History,
    check_history,
    number,
    whole_ticks,
)
from elbo_lab.plots.style import (
    EXACT_LINE,
    STYLE,
    legend_below,
    legend_outside,
    new_figure,
    note_above,
    styled_axes,
)

BOUNDS = ("elbo_after_e", "elbo_after_m")
# Differences of log-likelihoods below so many units in the last place are rounding.
ROUNDING = 16 * np.finfo(float).eps
AFTER_M = {"color": BOUND_COLOR, "marker": "s", "linewidth": STYLE["line_width"]}


class Climbed(NamedTuple):
    """What EM makes rise, in words.

    Attributes
    ----------
    axis : str
        Of the vertical axis.
    spoken : str
        In a sentence.
    formula : str
        In the legend, with what moves it.
    bound : str
        What lies below it.
    steps : tuple of str
        The names of the two steps.
    gap : str
        What is between the two.
    """

    axis: str
    spoken: str
    formula: str
    moved: str = "θ"
    bound: str = "bound ELBO(θ, q)"
    steps: tuple[str, str] = ("E-step", "M-step")
    gap: str = "KL(q || posterior)"


# By the key of a history; the first that it has.
CLIMBED = {
    "log_posterior": Climbed(
        "log posterior and its bound",
        "the log posterior",
        "log p(x | θ) + log p(θ)",
        bound="bound ELBO(θ, q) + log p(θ)",
    ),
    "evidence_bound": Climbed(
        "bound on log p(x)",
        "the best one",
        "bound at the best q(z)",
        moved="q(θ)",
        bound="bound at the present q(z)",
        steps=("q(z)-step", "q(θ)-step"),
        gap="KL(q(z) || best q(z))",
    ),
    "log_likelihood": Climbed("log p and its bound", "log p", "log p(x; θ), exact"),
}


def climbed_key(history: History) -> str:
    """Return the key of what rises in a history of EM."""
    rows = check_history(history)
    return next((key for key in CLIMBED if key in rows[0]), "log_likelihood")


def em_table(history: History) -> Floats:
    """Return the rows as an array (n, 4) of iteration, ELBO after E, ELBO after M, log-likelihood.

    With a prior the log posterior takes the place of the log-likelihood. The row of the start has no ELBO:
    nan.
    """
    rows, key = check_history(history), climbed_key(history)
    table = np.array([[number(row, name) for name in ("iteration", *BOUNDS, key)] for row in rows])
    if not np.isfinite(table[:, [0, 3]]).all():
        raise bad_value("history", f"an iteration and a finite {key} in every row", "one without")
    after = table[1:]
    if (np.diff(table[:, 0]) != 1).any() or not np.isfinite(after).all():
        raise bad_value("history", "consecutive EM iterations with elbo_after_e and elbo_after_m", "a gap")
    return table


def plot_staircase(
    history: History,
    ax: Axes | None = None,
    first: int = 1,
    iterations: int = 12,
    n_data: int | None = None,
    title: str = "",
    legend: bool = True,
) -> Axes:
    """Draw the bound and the log-likelihood over the first EM iterations.

    Parameters
    ----------
    history : list of dict
        Rows of EM: iteration, log_likelihood, and but for the first row elbo_after_e, elbo_after_m.
    ax : matplotlib.axes.Axes, optional
        An axes in a new figure if omitted.
    first : int
        First iteration shown: later ones show smaller stairs.
    iterations : int
        Number of iterations shown.
    n_data : int, optional
        Nats per datum instead of totals.
    title : str
    legend : bool
        Whether to put a legend under the panel.

    Returns
    -------
    matplotlib.axes.Axes
    """
    table = em_table(history)
    first, iterations = check_count("first", first), check_count("iterations", iterations)
    if first > max(1, table[-1, 0]):
        raise bad_value("first", f"one of the {table[-1, 0]:.0f} iterations", first)
    if n_data is not None:
        table = table / [1, *[check_count("n_data", n_data)] * 3]
    begin = max(0, int(np.searchsorted(table[:, 0], first)) - 1)
    table = table[begin : begin + iterations + 1]
    unit = "nats, total" if n_data is None else "nats per datum"
    climbed = CLIMBED[climbed_key(history)]
    ylabel = f"{climbed.axis}, {unit}"
    ax = styled_axes(ax, 4.2, title=title, xlabel="EM iteration", ylabel=ylabel, grid="y")
    i, evidence, end = table[:, 0], table[:, 3], table[-1, 0] + 0.5
    # The log-likelihood moves with theta only, at whole iterations.
    ax.step(np.append(i, end), np.append(evidence, evidence[-1]), where="post", zorder=5, **EXACT_LINE)
    ax.plot(i, evidence, linestyle="none", marker="o", markersize=3.5, color="black", zorder=6)
    draw_bound(ax, table)
    ax.set_xlim(i[0] - 0.25, end)
    ax.margins(y=0.06)
    whole_ticks(ax, most=14)
    if legend:
        handles = stair_handles(climbed, from_start=begin == 0)
        legend_below(ax, handles[: None if len(table) > 1 else 1], columns=2)
    return ax


def draw_bound(ax: Axes, table: Floats) -> None:
    """Draw the bound step by step, each where the history has it, and the gap that an M-step leaves.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    table : ndarray (n, 4)
        Consecutive rows of `em_table`.
    """
    tread = {"color": BOUND_COLOR, "linewidth": 1.6, "solid_capstyle": "butt", "zorder": 3}
    riser = {"linewidth": 3.2, "solid_capstyle": "butt", "zorder": 4}
    before = None
    for i, after_e, after_m, evidence in table:
        if np.isfinite(after_e) and before is None and i > table[0, 0]:
            # The bound of the q before the first E-step is not known: it has a place, but no riser.
            ax.plot([i - 0.5], [after_e], "D", markersize=4.5, color=Q_STEP_COLOR, zorder=7, gid="e-step")
        elif before is not None:
            ax.plot([i - 0.5] * 2, [before, after_e], color=Q_STEP_COLOR, gid="e-step", **riser)
        if i > table[0, 0]:
            ax.plot([i - 0.5, i], [after_e, after_e], gid="bound", **tread)
            ax.plot([i, i], [after_e, after_m], color=THETA_STEP_COLOR, gid="m-step", **riser)
        before = after_m if np.isfinite(after_m) else None
        if before is not None:
            ax.plot([i, i + 0.5], [after_m, after_m], gid="bound", **tread)
            ends = {"color": BOUND_COLOR, "alpha": 0.16, "linewidth": 0, "zorder": 1}
            ax.fill_between([i, i + 0.5], after_m, evidence, **ends)


def stair_handles(climbed: Climbed, from_start: bool) -> list[Artist]:
    """Return the legend: the two curves, the two steps and the gap."""
    label = f"{climbed.formula}: moves with {climbed.moved} only"
    evidence = {"label": label, "marker": "o", "markersize": 3.5}
    first, second = climbed.steps
    lifts = f"{first}: lifts the bound to {climbed.spoken}" + (" (◆: the first)" if from_start else "")
    m_step = {"label": f"{second}: lifts the bound, and {climbed.spoken} more", "color": THETA_STEP_COLOR}
    return [
        Line2D([], [], **evidence, **EXACT_LINE),
        Line2D([], [], label=climbed.bound, color=BOUND_COLOR, linewidth=1.6),
        Line2D([], [], label=lifts, color=Q_STEP_COLOR, linewidth=3.2),
        Line2D([], [], **m_step, linewidth=3.2),
        Patch(color=BOUND_COLOR, alpha=0.16, lw=0, label=f"gap: {climbed.gap}"),
    ]


def plot_climb(history: History, title: str = "") -> Figure:
    """Draw the stairs, and below them the distance to the maximum, in which the small stairs are seen too.

    Parameters
    ----------
    history : list of dict
        Rows of EM.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, climbed = new_figure(6.2), CLIMBED[climbed_key(history)]
    above, below = figure.subplots(2, 1, height_ratios=(3, 2))
    plot_staircase(history, above, title=title, legend=False)
    plot_distance_to_maximum(history, below, legend=False)
    if below.get_xlim()[1] < above.get_xlim()[1]:  # all iterations are shown in both
        below.set_xlim(above.get_xlim())
        above.set_xlabel("")
    bound = Line2D([], [], label=f"bound after the {climbed.steps[1]}, below", **AFTER_M, markersize=3.5)
    legend_outside(figure, [*stair_handles(climbed, from_start=True), bound], columns=2)
    return figure


def plot_distance_to_maximum(
    history: History,
    ax: Axes | None = None,
    maximum: float | None = None,
    title: str = "",
    legend: bool = True,
) -> Axes:
    """Draw how far log-likelihood and bound are below the maximum, on a logarithmic axis.

    A straight line is linear convergence. Without `maximum` the last log-likelihood takes its place, and
    the last few points bend down, since they are compared with a value that they have nearly reached.

    Parameters
    ----------
    history : list of dict
        Rows of EM.
    ax : matplotlib.axes.Axes, optional
        An axes in a new figure if omitted.
    maximum : float, optional
        The maximum of log p(x), total in nats, where it is known.
    title : str
    legend : bool
        Whether to put a legend under the panel.

    Returns
    -------
    matplotlib.axes.Axes
    """
    table = em_table(history)
    top = table[:, 3].max() if maximum is None else float(maximum)
    if not np.isfinite(top) or top < table[:, 3].max() - ROUNDING * abs(top):
        raise bad_value("maximum", f"a number not below {table[:, 3].max():.10g}", maximum)
    climbed = CLIMBED[climbed_key(history)]
    last_one = "the last log p" if climbed.spoken == "log p" else "the last one"
    below = last_one if maximum is None else "the maximum"
    ax = styled_axes(ax, 3.4, title=title, xlabel="EM iteration", ylabel=f"nats below {below}, total")
    handles: list[Line2D] = []
    looks = (
        (3, climbed.formula, {**EXACT_LINE, "marker": "o", "zorder": 3}),
        (2, "bound after the M-step", AFTER_M),
    )
    for column, label, look in looks:
        distance = top - table[:, column]
        kept = np.isfinite(distance) & (distance > ROUNDING * max(1.0, abs(top)))
        if kept.sum() > MOST_MARKERS:
            look = {**look, "marker": "none"}
        handles += ax.plot(table[kept, 0], distance[kept], label=label, markersize=3.5, **look)
    ax.set_yscale("log")
    last = max((line.get_xdata()[-1] for line in handles if len(line.get_xdata())), default=0)
    ax.set_xlim(-0.03 * last - 0.25, 1.03 * last + 0.25)
    if last < table[-1, 0]:
        note_above(ax, f"from iteration {last + 1:.0f} of {table[-1, 0]:.0f} on: no more than rounding")
    whole_ticks(ax)
    if legend:
        legend_below(ax, handles, columns=2)
    return ax
