"""A logarithmic axis that keeps a place for zero.

Some estimators have no variance at all (the exact answer; the leave-one-out score function at the
exact posterior), and a logarithm has no place for that. Dropping such points would hide the best
estimators, so they have a line of their own, outside the decades and labelled "0".
"""

import math
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator
from numpy.typing import ArrayLike

from elbo_lab.arrays import Floats
from elbo_lab.plots.style import STYLE

PLAIN = {-1: "0.1", 0: "1", 1: "10", 2: "100"}
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class ZeroAxis(NamedTuple):
    """Where zero and the decades lie on one axis."""

    zero: float
    """Coordinate at which zeros are drawn."""
    break_at: float | None
    """Coordinate of the axis break between zero and the first decade; None if zero has no place."""
    limits: tuple[float, float]
    """Lower and upper limit of the axis."""
    ticks: tuple[float, ...]
    """Positions of the tick labels, zero first."""
    labels: tuple[str, ...]
    """Texts of the tick labels."""

    def place(self, value: ArrayLike) -> Floats:
        """Return the coordinates of values (any shape): themselves, or the zero line for zero."""
        value = np.asarray(value, dtype=float)
        return np.where(value <= 0, self.zero, value)


def zero_axis(values: ArrayLike, most_ticks: int = 6, always: bool = False) -> ZeroAxis:
    """Lay out an axis for the given values.

    Parameters
    ----------
    values : array_like (P,)
        Everything that will be drawn; zeros, infinities and nan do not stretch the axis.
    most_ticks : int
        Largest number of labelled decades.
    always : bool
        Whether zero has its place even if no value is zero.

    Returns
    -------
    ZeroAxis
    """
    values = np.asarray(values, dtype=float)
    positive = values[np.isfinite(values) & (values > 0)]
    low, high = (positive.min(), positive.max()) if positive.size else (1.0, 1.0)
    # The margins are in decades: bars and markers must not touch the break or the frame.
    margin = max(0.15, 0.04 * math.log10(high / low))
    first, last = math.log10(low) - margin, math.log10(high) + margin
    if last - first < 2:
        first, last = math.floor(first), math.ceil(last)
    span = last - first
    zero, break_at = first - 0.09 * span, first - 0.03 * span
    step = max(1, math.ceil(span / most_ticks))
    decades = range(math.ceil(first / step) * step, math.floor(last) + 1, step)
    ticks = tuple(10.0**decade for decade in decades)
    # Plain letters: the parser of formulas takes longer over a decade than the rest of its axis.
    labels = tuple(PLAIN.get(decade) or "10" + str(decade).translate(SUPERSCRIPTS) for decade in decades)
    if not always and not (values == 0).any():
        return ZeroAxis(10.0**first, None, (10.0**first, 10.0**last), ticks, labels)
    return ZeroAxis(
        zero=10.0**zero,
        break_at=10.0**break_at,
        limits=(10.0 ** (zero - 0.04 * span), 10.0 ** (last + 0.02 * span)),
        ticks=(10.0**zero, *ticks),
        labels=("0", *labels),
    )


def apply_zero_axis(ax: Axes, layout: ZeroAxis, which: str = "x") -> None:
    """Set scale, limits and ticks of one axis, and mark the break after zero.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    layout : ZeroAxis
    which : {'x', 'y'}
    """
    getattr(ax, f"set_{which}scale")("log")
    getattr(ax, f"set_{which}lim")(layout.limits)
    axis = getattr(ax, f"{which}axis")
    axis.set_major_locator(FixedLocator(layout.ticks))
    axis.set_major_formatter(FixedFormatter(layout.labels))
    axis.set_minor_locator(NullLocator())
    if layout.break_at is None:
        return
    shade = ax.axvspan if which == "x" else ax.axhspan
    shade(layout.limits[0], layout.break_at, color=STYLE["grid"], alpha=0.45, linewidth=0, zorder=0)
