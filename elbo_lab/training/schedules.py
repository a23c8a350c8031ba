"""Step-size schedules: the factor by which the learning rate is multiplied at each step.

With a constant rate a stochastic ascent reaches a neighbourhood of a maximum but does not converge to it.
Robbins and Monro (1951, theorem 2) give sufficient conditions on the rates a_t:

    sum_t a_t = infinity   (any distance can be covered),   sum_t a_t^2 < infinity   (the noise dies out).

With t the number of steps already taken (0 at the first) and T, h, d the parameter of each schedule:

    constant            1                          stays in a neighbourhood, smaller for a smaller rate
    cosine:T            (1 + cos(pi t / T)) / 2    from 1 to 0 over T steps, then 0
    exponential:h       2^(-t / h)                 halves every h steps
    robbins-monro:d     1 / (1 + t / d)            halved after d steps, then like d / t

Only the last meets both conditions. *cosine* and *exponential* have a finite sum: the ascent stops wherever
it is, which suits a run of known length, provided that it is long enough to arrive.

The horizon is a parameter of the schedule, counted in steps, and never derived from the number of epochs:
"run 2n epochs" and "run n, resume to 2n" must use the same rates at the same steps.

Sources
-------
Robbins and Monro, "A stochastic approximation method", Ann. Math. Stat. 22 (1951), theorem 2.

Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017, eq. (5), without
restarts and down to zero.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

from elbo_lab.errors import bad_kind, bad_value, check_count, check_positive, short, unknown_name


@dataclass(frozen=True)
class Schedule(ABC):
    """Contract of all schedules: immutable, and a function of the step alone.

    Attributes
    ----------
    name : str
        The text before the colon in its spec.
    summary : str
        One line for listings.
    """

    name = ""
    summary = ""

    @abstractmethod
    def factor(self, step: int) -> float:
        """Return the factor on the learning rate, from 0 to 1.

        Parameters
        ----------
        step : int
            Steps taken before this one; the first step has 0.

        Returns
        -------
        float
        """

    @property
    def spec(self) -> str:
        """The text that `parse_schedule` turns back into this schedule, such as 'cosine:20000'."""
        return ":".join([self.name, *(_shortest(getattr(self, field.name)) for field in fields(self))])


def _shortest(number: float) -> str:
    """Return the shortest text that is parsed as the same number: 20000, not 20000.0."""
    return str(int(number)) if number == int(number) and abs(number) < 1e16 else repr(number)


@dataclass(frozen=True)
class Constant(Schedule):
    """The same rate at every step."""

    name = "constant"
    summary = "the same rate at every step"

    def factor(self, step: int) -> float:  # noqa: ARG002
        return 1.0


@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a cosine from 1 to 0, then 0.

    Parameters
    ----------
    steps : int
        T; the factor is 1/2 after half of them and 0 from the T-th on.
    """

    steps: int
    name = "cosine"
    summary = "half a cosine from the full rate to zero over a number of steps"

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", check_count("cosine", self.steps))

    def factor(self, step: int) -> float:
        return 0.5 * (1.0 + math.cos(math.pi * step / self.steps)) if step < self.steps else 0.0


@dataclass(frozen=True)
class Exponential(Schedule):
    """Exponential decay: the same factor at every step.

    Parameters
    ----------
    half_life : float
        h, the steps over which the factor halves.
    """

    half_life: float
    name = "exponential"
    summary = "exponential decay of the rate with a half-life in steps"

    def __post_init__(self) -> None:
        object.__setattr__(self, "half_life", check_positive("exponential", self.half_life))

    def factor(self, step: int) -> float:
        return 0.5 ** (step / self.half_life)


@dataclass(frozen=True)
class RobbinsMonro(Schedule):
    """One over the number of steps, after a delay.

    Parameters
    ----------
    delay : float
        d, the steps after which the factor is 1/2.
    """

    delay: float
    name = "robbins-monro"
    summary = "decay like one over the number of steps, after a delay in steps"

    def __post_init__(self) -> None:
        object.__setattr__(self, "delay", check_positive("robbins-monro", self.delay))

    def factor(self, step: int) -> float:
        return 1.0 / (1.0 + step / self.delay)


SCHEDULES: MappingProxyType[str, type[Any]] = MappingProxyType(
    {kind.name: kind for kind in (Constant, Cosine, Exponential, RobbinsMonro)}
)


def parse_schedule(text: str) -> Schedule:
    """Parse a schedule: 'constant', 'cosine:20000', 'exponential:5000', 'robbins-monro:1000'.

    Parameters
    ----------
    text : str
        The name, and after a colon the number of steps.

    Raises
    ------
    ValueError
        If the name is unknown, or the number is missing, surplus, or out of range.
    """
    if not isinstance(text, str):
        raise bad_kind("schedule", "a text such as 'cosine:20000'", short(text))
    name, colon, number = (part.strip() for part in text.partition(":"))
    if name not in SCHEDULES:
        raise unknown_name("schedule", name, list(SCHEDULES))
    wanted = len(fields(SCHEDULES[name]))
    if not wanted:
        if colon:
            raise bad_value("schedule", f"{name!r} without a number", repr(text))
        return SCHEDULES[name]()
    steps = _read_steps(number)
    if steps is None:
        remedy = "the horizon is counted in steps"
        raise bad_value("schedule", f"'{name}:STEPS' with a positive number of steps", repr(text), remedy)
    if name != Cosine.name:
        return SCHEDULES[name](steps)
    if steps != int(steps):
        raise bad_value("schedule", f"'{name}:STEPS' with a whole number of steps", repr(text))
    return Cosine(int(steps))


def _read_steps(text: str) -> float | None:
    """Return a positive finite float, or None for another text."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number > 0 else None
