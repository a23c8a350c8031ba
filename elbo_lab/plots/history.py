"""Reading the rows of a fit: curves without holes, and limits that show where learning happens.

A history is a list of dicts, and not every row has every key: the row of the start has no mean over an
epoch, a row after phi-steps no validation bound. A curve is made of the rows that have a finite number.

Early values of a bound may lie hundreds of nats below all later ones. Axes that hold them show one steep
line and a flat one, so the lower limit is a quantile where that matters, small triangles mark what it cuts
away, and a note says how far down it goes.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from elbo_lab.arrays import Floats
from elbo_lab.errors import bad_kind, bad_value
from elbo_lab.plots.style import STYLE, note_above

Row = dict[str, Any]
History = Iterable[Row]

BOUND_COLOR = "#004488"
"""The bound in every figure of learning."""
Q_STEP_COLOR = "#DDAA33"
"""What moves q: E-steps and phi-steps."""
THETA_STEP_COLOR = "#BB5566"
"""What moves theta: M-steps and theta-steps. (The three: Paul Tol's "high contrast" set.)"""

TAIL = 0.03
"""Share of the values of one curve that may be cut away below."""
WORTH_CUTTING = 4.0
"""Limits cut only if the whole span is so many times the span without the tail."""
FEWEST_TO_CUT = 4
TRIANGLE_APART = 0.015
"""Distance of two triangles, as a share of the x axis."""
MOST_MARKERS = 40
"""Curves with more points are drawn without markers."""


class Curve(NamedTuple):
    """The finite values of one key."""

    x: Floats
    y: Floats


def check_history(history: History) -> list[Row]:
    """Return the rows as a list, or raise."""
    rows = list(history)
    if not rows:
        raise bad_value("history", "at least one row", "none")
    if not all(isinstance(row, dict) for row in rows):
        raise bad_kind("history", "a list of dicts", f"a row of type {type(rows[0]).__name__}")
    return rows


def number(row: Row, key: str) -> float:
    """Return row[key] as a float; nan if it is missing or None."""
    value = row.get(key)
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        raise bad_kind(f"history[...][{key!r}]", "a number", repr(value))
    return float(value)


def time_key(rows: Sequence[Row]) -> str:
    """Return 'epoch' or 'iteration', whichever the rows count."""
    for key in ("epoch", "iteration"):
        if any(key in row for row in rows):
            return key
    raise bad_value("history", "rows with 'epoch' or 'iteration'", f"keys {', '.join(rows[0]) or 'none'}")


def read_curve(rows: Sequence[Row], key: str, time: str, scale: float = 1.0) -> Curve | None:
    """Return the Curve of one key, in the order of the rows, or None if no row has a finite value.

    Parameters
    ----------
    rows : list of dict
    key, time : str
        Keys of y and x.
    scale : float
        Factor on y.
    """
    points = np.array([(number(row, time), scale * number(row, key)) for row in rows], dtype=float)
    points = points[np.isfinite(points).all(axis=1)]
    return Curve(*points.T) if len(points) else None


def lower_limit(curves: Sequence[Floats]) -> float:
    """Return the lowest value worth showing, or the minimum if nothing has to be cut.

    Parameters
    ----------
    curves : list of ndarray (n,)
        Finite values, larger is better.
    """
    top, bottom = max(y.max() for y in curves), min(y.min() for y in curves)
    kept = min(np.quantile(y, TAIL, method="higher") if len(y) >= FEWEST_TO_CUT else y.min() for y in curves)
    worth = top > kept and top - bottom > WORTH_CUTTING * (top - kept)
    return top - 1.25 * (top - kept) if worth else bottom


def set_limits(ax: Axes, curves: Sequence[Curve], upwards: bool = True) -> None:
    """Set the y limits, and mark at the edge where they cut points away.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    curves : list of Curve
    upwards : bool
        Whether larger is better (bounds); else the far values are cut above (surprisal).
    """
    sign = 1.0 if upwards else -1.0
    values = [sign * curve.y for curve in curves]
    low, high = lower_limit(values), max(y.max() for y in values)
    margin = 0.06 * (high - low) if high > low else max(0.01 * abs(high), 1e-6)
    ends = sorted((sign * (low - margin), sign * (high + margin)))
    ax.set_ylim(ends)
    cut = np.concatenate([curve.x[y < low - margin] for curve, y in zip(curves, values, strict=True)])
    if not len(cut):
        return
    step = TRIANGLE_APART * np.ptp(np.concatenate([curve.x for curve in curves]))
    _, firsts = np.unique(np.floor(cut / step) if step > 0 else np.zeros(len(cut)), return_index=True)
    places = cut[firsts]
    ax.plot(
        places,
        np.full(len(places), 0.015 if upwards else 0.985),
        transform=ax.get_xaxis_transform(),
        linestyle="none",
        marker="v" if upwards else "^",
        markersize=4,
        color=STYLE["faint"],
        gid="cut",
    )
    far = f"{sign * min(y.min() for y in values):.4g}".replace("-", "\u2212")
    mark, where, way = ("▾", "below", "down") if upwards else ("▴", "above", "up")
    note_above(ax, f"{mark} {len(cut)} point{'s' * (len(cut) > 1)} {where} the axis, {way} to {far}")


def whole_ticks(ax: Axes, most: int = 9) -> None:
    """Let the x axis count: whole numbers only."""
    ax.xaxis.set_major_locator(MaxNLocator(nbins=most, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
