"""What is wrong with a result: a known mistake, or a simple relation to the right one."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elbo_lab.exercises.base import TOLERANCE, Call, Exercise, Fault, Result, called

Numbers = NDArray[Any]

# Differences and ratios that say by themselves what was forgotten.
OFFSETS = {
    0.5 * math.log(2 * math.pi): "0.5 log(2 pi)",
    math.log(2 * math.pi): "log(2 pi)",
    math.log(2): "log 2",
    0.5: "1/2",
    1.0: "1",
}
FACTORS = {2.0: "twice", 0.5: "half", -1.0: "minus", -2.0: "minus twice", -0.5: "minus half"}


def close(got: Numbers, right: Numbers, tolerance: float = TOLERANCE) -> NDArray[np.bool_]:
    """Tell which entries are equal but for rounding; equal infinities and two nan are."""
    with np.errstate(invalid="ignore"):
        near = np.abs(got - right) <= tolerance * (1 + np.abs(right))
    near &= np.isfinite(right)  # every number is near an infinite one
    return near | (got == right) | (np.isnan(got) & np.isnan(right))


def same(got: Result, right: Result, tolerance: float = TOLERANCE) -> bool:
    """Tell whether two results have the same structure and numbers."""
    if isinstance(right, tuple):
        if not isinstance(got, tuple) or len(got) != len(right):
            return False
        return all(same(a, b, tolerance) for a, b in zip(got, right, strict=True))
    if isinstance(right, str) or isinstance(got, (str, tuple)) or got is None:
        return bool(type(got) is type(right) and got == right)
    got, right = np.asarray(got, float), np.asarray(right, float)
    return got.shape == right.shape and bool(close(got, right, tolerance).all())


def known_fault(
    exercise: Exercise, calls: Sequence[Call], results: Sequence[Result], among: Sequence[int]
) -> Fault | None:
    """Return the fault of the library that gives the student's results, or None.

    Parameters
    ----------
    exercise : Exercise
    calls, results : sequence
        All of them; a call without a result has None.
    among : sequence of int
        The calls of the law that failed. A fault that agrees in all calls of its function is preferred to one
        that agrees in these alone.
    """
    partial = None
    for fault in exercise.faults:
        mine = [i for i, call in enumerate(calls) if call.function == fault.function]
        inside = [i for i in mine if i in among]
        agrees = inside and all(_agrees(fault, calls[i], results[i]) for i in inside)
        reference = exercise.function(fault.function).reference
        if not agrees or all(same(results[i], called(reference, calls[i])) for i in inside):
            continue
        if all(_agrees(fault, calls[i], results[i]) for i in mine):
            return fault
        partial = partial or fault
    return partial


def _agrees(fault: Fault, call: Call, result: Result) -> bool:
    return same(result, called(fault.wrong, call))


def relation(got: Numbers, right: Numbers, sizes: Sequence[int]) -> str:
    """Return how numbers are related to the right ones, in words, or ''.

    Parameters
    ----------
    got, right : array
        Of one shape.
    sizes : sequence of int
        Lengths of axes of the arguments: a sum in place of a mean is wrong by one of them.
    """
    got, right = np.asarray(got, float).ravel(), np.asarray(right, float).ravel()
    usable = np.isfinite(got) & np.isfinite(right)
    if not usable.any() or not usable.all():
        return ""
    several = len(set(np.round(right, 9).tolist())) > 1
    offset, spread = float(np.mean(got - right)), float(np.ptp(got - right))
    if spread <= TOLERANCE * (1 + abs(offset)):
        name = _named(abs(offset), OFFSETS | {math.log(n): f"log {n}" for n in sizes if n > 1})
        if name or several:
            equals = f", that is {'-' if offset < 0 else ''}{name}" if name else ""
            return f"yours minus the right one is {offset:.4f} everywhere{equals}"
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = got / right
    if np.isfinite(ratios).all() and np.ptp(ratios) <= TOLERANCE * (1 + abs(ratios[0])):
        factor = float(ratios[0])
        named = _named(factor, FACTORS, signed=True)
        if named:
            return f"yours is {named} the right one everywhere"
        for n in sorted(set(sizes)):
            if n > 1 and math.isclose(abs(factor), n, rel_tol=1e-6):
                return f"yours is {factor:.0f} times the right one: a sum where a mean over {n} is wanted?"
            if n > 1 and math.isclose(abs(factor), 1 / n, rel_tol=1e-6):
                return f"yours is 1/{n} of the right one: a mean over {n} where a sum is wanted?"
        if several and factor:
            return f"yours is {factor:.4g} times the right one everywhere"
    if not several:
        return ""
    with np.errstate(all="ignore"):
        for words, function in (
            ("the square of", np.square),
            ("the square root of", np.sqrt),
            ("the exponential of", np.exp),
            ("the logarithm of", np.log),
        ):
            if close(got, function(right)).all():
                return f"yours is {words} the right one"
    return ""


def _named(value: float, names: dict[float, str], signed: bool = False) -> str:
    for number, name in names.items():
        if math.isclose(value, number, rel_tol=1e-6) and (signed or value > 0):
            return name
    return ""
