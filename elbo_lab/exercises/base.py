"""What an exercise is: functions that a student fills, laws that they obey, and mistakes that are known.

A law calls the student's functions with chosen arguments and compares a value made of the results with the
right one. All randomness is in the arguments (noise is an array, as everywhere in the package), so that the
student's functions run apart from everything that knows the answer: the process that holds the student's file
gets arguments and gives results back, and has neither the laws nor the reference functions.

    scene = exercise.scene(rng of the student's seed)        constants and data
    calls = law.calls(scene)                                 which function, with which arguments
    results = one for each call                              by the student, by the reference, by a fault
    value = law.value(scene, results)                        compared with law.expected(scene)

A law without `expected` has the reference's value as the right one; one without `value` compares the results
themselves. A law with `standard_error` is statistical: its limit is calibrated to `FALSE_ALARM`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

Scene = Mapping[str, Any]
"""Constants and data of one student: {name: array, number or whatever the laws need}."""

Result = Any
"""What a function returned: an array, a str, or a tuple of results."""

# Probability that one statistical law fails for a right answer: a class of a thousand with thirty such laws
# sees one false alarm in about thirty years of courses.
FALSE_ALARM = 1e-6
# Relative and absolute: far above rounding, far below every mistake of a formula.
TOLERANCE = 1e-7


@dataclass(frozen=True)
class Call:
    """One call of a student's function.

    Attributes
    ----------
    function : str
    arguments : tuple
        Arrays, numbers, strings, or `Seeded`.
    """

    function: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Seeded:
    """An argument that is a new `np.random.Generator` of this seed, for functions that draw by themselves."""

    seed: int


@dataclass(frozen=True)
class Function:
    """One function that the student fills.

    Attributes
    ----------
    name : str
    arguments : str
        As in the source: "x, mean, sd".
    doc : str
        The docstring of the stub: what it returns, shapes and units.
    reference : callable
        The right function, made of those of the package. A result of the student must have the shapes of its
        result. That of a guess is called with the scene.
    guess : bool
        What the student believes, returned by a function without arguments; the first one counts.
    choices : tuple of str
        Of a guess; without them it is a number.
    given : callable or None
        given(scene) -> lines that the stub has in the function, for the student to mend.
    """

    name: str
    arguments: str
    doc: str
    reference: Callable[..., Result]
    guess: bool = False
    choices: tuple[str, ...] = ()
    given: Callable[[Scene], str] | None = None


@dataclass(frozen=True)
class Law:
    """What the functions must obey, in one sentence.

    Attributes
    ----------
    sentence : str
        As in "at x = mean = 0 and sd = 1 the log-density is -0.9189".
    points : int
    calls : callable
        calls(scene) -> sequence of Call.
    value : callable or None
        value(scene, results) -> array; the results themselves if None.
    expected : callable or None
        expected(scene) -> array, the right value; that of the reference functions if None.
    standard_error : callable or None
        standard_error(scene, results) -> array like the value: the law is statistical, `results` are those of
        the reference functions, so that a fault cannot widen its own limit.
    tolerance : float
        Relative and absolute, of a law that is not statistical.
    """

    sentence: str
    points: int
    calls: Callable[[Scene], Sequence[Call]]
    value: Callable[[Scene, list[Result]], Any] | None = None
    expected: Callable[[Scene], Any] | None = None
    standard_error: Callable[[Scene, list[Result]], NDArray[np.floating]] | None = None
    tolerance: float = TOLERANCE


@dataclass(frozen=True)
class Fault:
    """A plausible mistake: one function, written wrongly on purpose.

    Attributes
    ----------
    function : str
        Name of the function that it replaces.
    sentence : str
        The diagnosis where results equal these: "the variance is used as the standard deviation".
    wrong : callable
        With the arguments of the reference: of a guess, the scene.
    """

    function: str
    sentence: str
    wrong: Callable[..., Result]


@dataclass(frozen=True)
class Exercise:
    """An exercise.

    Attributes
    ----------
    name : str
        As typed: "log-sum-exp".
    title : str
    lesson : str
        The page of the docs that it belongs to, as "likelihood.md".
    minutes : int
        How long it takes who has read the lesson.
    statement : str
        What is to be done; plain text, lines of at most 88 characters.
    functions : tuple of Function
    scene : callable
        scene(rng) -> Scene, from the generator of the student's seed.
    laws : tuple of Law
        Those without noise first.
    faults : tuple of Fault
        Each must lose points, and no two may give the same results in all laws.
    example : str
        Python lines for the end of the stub that print a first value to look at; they may use `np`, `SEED`
        and the functions.
    material : callable or None
        material(seed) -> Python source that the stub has above the functions: data or code to be read.
    answer : callable or None
        answer(seed, {function: guess}) -> text that the check prints once the guesses are kept.
    """

    name: str
    title: str
    lesson: str
    minutes: int
    statement: str
    functions: tuple[Function, ...]
    scene: Callable[[np.random.Generator], Scene]
    laws: tuple[Law, ...]
    faults: tuple[Fault, ...]
    example: str
    material: Callable[[int], str] | None = None
    answer: Callable[[int, Mapping[str, Result]], str] | None = None

    @property
    def points(self) -> int:
        """Of all laws."""
        return sum(law.points for law in self.laws)

    def function(self, name: str) -> Function:
        """Return the function of a name."""
        return next(one for one in self.functions if one.name == name)

    def scene_of(self, seed: int) -> Scene:
        """Return the scene of a student's seed."""
        return self.scene(np.random.default_rng(seed))

    def of_seed(self, seed: int) -> "Exercise":
        """Return the exercise with guesses and their faults as functions without arguments."""
        scene, guesses = self.scene_of(seed), {one.name for one in self.functions if one.guess}
        return replace(
            self,
            functions=tuple(
                replace(one, reference=partial(one.reference, scene)) if one.guess else one
                for one in self.functions
            ),
            faults=tuple(
                replace(one, wrong=partial(one.wrong, scene)) if one.function in guesses else one
                for one in self.faults
            ),
        )

    def gives_away(self, call: Call) -> bool:
        """Whether a call is a guess, or judges a function that the student was given to find a mistake in."""
        function = self.function(call.function)
        return function.guess or function.given is not None


def called(function: Callable[..., Result], call: Call) -> Result:
    """Return the result of one of our own functions, given copies of the arguments and fresh generators."""

    def argument(value: Any) -> Any:
        if isinstance(value, Seeded):
            return np.random.default_rng(value.seed)
        return value.copy() if isinstance(value, np.ndarray) else value

    with np.errstate(all="ignore"):  # a fault may well divide by zero
        return function(*map(argument, call.arguments))
