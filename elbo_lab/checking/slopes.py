"""Derivatives of a model against central differences along random directions.

A pullback turns a cotangent c (..., S, N) into the gradient of sum(c * value). Along a direction v that
gradient has the slope g . v, and the central difference of the same sum must agree with it. Directions
stay within one named block of theta, so that a small block is not hidden behind a large one; only where
one disagrees are the coordinates of the block tried in turn, to name the worst.

Two steps, h and h/2, tell a slope from a kink (relu): where their differences disagree, h is made smaller,
and if that does not help the caller goes elsewhere. Their extrapolation (4 D(h/2) - D(h)) / 3 has an error
of order h^4.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.errors import BadValue, bad_value

# Of a step along a direction of unit size, the largest first: a sharp density or a kink asks for less.
STEPS = (1e-3, 1e-4, 1e-5)
# A wrong derivative differs by more than this share of the slope, beyond the error of the difference itself.
TOLERANCE = 1e-5
# Where two steps disagree by more than this share there is a kink between them.
SMOOTH = 1e-4


class Slope(NamedTuple):
    """A directional derivative by differences, one for each repeat (R,), and a bound of its error."""

    value: Floats
    error: float


class Kinked(Exception):
    """The function has no slope here, or one that changes within the smallest step."""


def central_differences(function: Callable[[float], Any], step: float) -> tuple[Any, Any]:
    """Return the central differences of a function at t = 0, with a step and with half of it."""
    wide, narrow = ((function(h) - function(-h)) / (2.0 * h) for h in (step, step / 2.0))
    return wide, narrow


def difference_slope(weighted: Callable[[float], Floats]) -> Slope:
    """Return the slope at t = 0 of the sum over (S, N) of a function of t with values (R, S, N)."""
    for step in STEPS:
        wide, narrow = (slope.sum(axis=(-2, -1)) for slope in central_differences(weighted, step))
        rounding = 100.0 * np.finfo(float).eps * float(np.abs(weighted(0.0)).sum()) / step
        size = np.linalg.norm(narrow) + rounding
        change = float(np.linalg.norm(wide - narrow))
        if change <= SMOOTH * size:
            return Slope((4.0 * narrow - wide) / 3.0, change + rounding)
    raise Kinked


def disagreement(found: Floats, slope: Slope) -> float:
    """Return |found - expected| as a multiple of what is allowed; above one the derivative is wrong."""
    size = max(float(np.linalg.norm(found)), float(np.linalg.norm(slope.value)))
    allowed = TOLERANCE * size + slope.error
    return float(np.linalg.norm(found - slope.value)) / allowed if allowed else 0.0


def check_slope(
    what: str,
    of: str,
    remedy: str,
    weighted: Callable[[Floats], Floats],
    gradient: Floats,
    direction: Floats,
    name_of: Callable[[int], str],
) -> None:
    """Refuse a gradient that is not that of its function.

    Parameters
    ----------
    what, of, remedy : str
        For the error: which derivative, the function it belongs to, and what to do.
    weighted : callable
        From a change (C,) of the argument to the values (R, S, N) whose sums the gradient belongs to.
    gradient : ndarray (R, C)
        What is judged, by repeat and coordinate.
    direction : ndarray (C,)
        Zero in the coordinates that are not tried.
    name_of : callable
        From the index of a coordinate to its name.

    Raises
    ------
    ValueError
        With the coordinate that is wrong by most.
    Kinked
    """

    def slope_along(direction: Floats) -> Slope:
        return difference_slope(lambda t: weighted(t * direction))

    if disagreement(gradient @ direction, slope_along(direction)) <= 1.0:
        return
    worst: tuple[float, BadValue] | None = None
    for c in np.flatnonzero(direction):
        one = np.zeros_like(direction)
        one[c] = abs(direction[c])
        found, slope = gradient @ one, slope_along(one)
        excess = disagreement(found, slope)
        if excess > 1.0 and (worst is None or np.linalg.norm(found - slope.value) > worst[0]):
            r = int(np.argmax(np.abs(found - slope.value)))
            by_hand, by_difference = found[r] / one[c], slope.value[r] / one[c]
            expected = f"{by_difference:.6g} in {name_of(int(c))}, the central difference of {of}"
            times = f", {by_hand / by_difference:.4g} times that" if abs(by_difference) > slope.error else ""
            error = bad_value(what, expected, f"{by_hand:.6g}{times}", remedy)
            worst = float(np.linalg.norm(found - slope.value)), error
    if worst is None:  # spread over so many coordinates that none is wrong by itself
        raise bad_value(what, f"the slopes of {of}", "others along a random direction", remedy)
    raise worst[1]
