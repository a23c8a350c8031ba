"""Step-size schedules: the factor by which the learning rate is multiplied at each step.

A constant rate brings a stochastic ascent into a ball around a maximum and not to it. Robbins and Monro
(1951, theorem 2) say what is enough to arrive: rates a_t with

    sum_t a_t = infinity   (any distance can be walked),   sum_t a_t^2 < infinity   (the noise dies out).

With t the number of steps already taken (0 at the first) and T, h, d the parameter of each schedule:

    constant            1                          stays in the ball, whose size falls with the rate
    cosine:T            (1 + cos(pi t / T)) / 2    from 1 to 0 over T steps, then 0
    exponential:h       2^(-t / h)                 half as long every h steps
    robbins-monro:d     1 / (1 + t / d)            half as long after d steps, then like d / t

Only the last meets both conditions. *cosine* and *exponential* have a finite sum: they stop where they are,
which is what one wants of a run of known length, and must be long enough to get there.

The horizon belongs to the schedule and is counted in steps, never taken from the number of epochs of a run:
"run 2n epochs" and "run n, resume to 2n" must see the same rates at the same steps.

Sources
-------
H. Robbins, S. Monro, "A stochastic approximation method", Ann. Math. Stat. 22 (1951), theorem 2.
I. Loshchilov, F. Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017, eq. (5), without
restarts and down to zero.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

from elbo_lab.errors import bad_kind, bad_value, check_count, check_positive, unknown_name


@dataclass(frozen=True)
class Schedule(ABC):
    """Contract of all schedules: immutable, and a function of the step alone.

    Attributes
    ----------
    name : str
        What stands before the colon in its text.
    summary : str
        One line for listings.
    """

    name = ""
    summary = ""

    @abstractmethod
    def factor(self, step: int) -> float:
        """Return what the learning rate is multiplied by, from 0 to 1.

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
    """Return the text of a number that reads back as the same number; 20000 and not 20000.0."""
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
    summary = "half a cosine from the full rate to zero over so many steps"

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", check_count("cosine", self.steps))

    def factor(self, step: int) -> float:
        return 0.5 * (1.0 + math.cos(math.pi * step / self.steps)) if step < self.steps else 0.0


@dataclass(frozen=True)
class Exponential(Schedule):
    """A fixed fraction less at every step.

    Parameters
    ----------
    half_life : float
        h, the steps over which the factor halves.
    """

    half_life: float
    name = "exponential"
    summary = "half the rate after every so many steps"

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
    summary = "one over the steps, half the rate after so many of them"

    def __post_init__(self) -> None:
        object.__setattr__(self, "delay", check_positive("robbins-monro", self.delay))

    def factor(self, step: int) -> float:
        return 1.0 / (1.0 + step / self.delay)


SCHEDULES: MappingProxyType[str, type[Any]] = MappingProxyType(
    {kind.name: kind for kind in (Constant, Cosine, Exponential, RobbinsMonro)}
)


def parse_schedule(text: str) -> Schedule:
    """Return the schedule of a text: 'constant', 'cosine:20000', 'exponential:5000', 'robbins-monro:1000'.

    Parameters
    ----------
    text : str
        Name, and after a colon its number of steps.

    Raises
    ------
    ValueError
        If the name is unknown, or the number is missing, too much, or impossible.
    """
    if not isinstance(text, str):
        raise bad_kind("schedule", "a text such as 'cosine:20000'", repr(text))
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
