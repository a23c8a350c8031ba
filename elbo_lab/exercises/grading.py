"""From the results of a student's functions to points, messages and diagnoses."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from scipy.stats import norm

from elbo_lab.exercises.base import FALSE_ALARM, Call, Exercise, Law, Result, Scene, Seeded, called
from elbo_lab.exercises.diagnosis import close, known_fault, relation, same
from elbo_lab.exercises.guesses import Guesses
from elbo_lab.exercises.running import Outcome, Run

# A fault beyond the limit by so many standard errors is caught in 99 of 100 checks.
POWER = float(norm.isf(0.01))
SHORT_ARRAY = 3
NOT_FILLED = "not filled in yet"
WAITS = "waits for your guess"
USES_LAB = "the file imports elbo_lab: write the formula yourself, and the points are yours"


@dataclass(frozen=True)
class LawReport:
    """What came of one law.

    Attributes
    ----------
    law : str
        Its sentence.
    points, of : int
    message : str
        What was found where it fails; for a statistical law also how small a mistake it catches.
    diagnosis : str
        The known mistake whose numbers these are, or how they are related to the right ones; or ''.
    """

    law: str
    points: int
    of: int
    message: str = ""
    diagnosis: str = ""


@dataclass(frozen=True)
class Report:
    """What came of a student's file.

    Attributes
    ----------
    exercise : str
    seed : int
    laws : list of LawReport
    note : str
        What concerns the whole file, or ''.
    printed : str
        The beginning of what it printed.
    limited : bool
        Whether its memory was limited.
    guesses : Guesses or None
        Of an exercise that has some.
    answer : str
        What is shown once the guesses are kept, or ''.
    """

    exercise: str
    seed: int
    laws: list[LawReport] = field(default_factory=list)
    note: str = ""
    printed: str = ""
    limited: bool = True
    guesses: Guesses | None = None
    answer: str = ""

    @property
    def points(self) -> int:
        """Of all laws that hold."""
        return sum(law.points for law in self.laws)

    @property
    def of(self) -> int:
        """Of all laws."""
        return sum(law.of for law in self.laws)

    def record(self) -> dict[str, Any]:
        """Return the report as plain values {name: value}."""
        return {
            "exercise": self.exercise,
            "seed": self.seed,
            "points": self.points,
            "of": self.of,
            "note": self.note,
            "memory_limited": self.limited,
            "laws": [asdict(law) for law in self.laws],
            "guesses": self.guesses.record() if self.guesses else None,
            "answer": self.answer,
        }


def calls_of(exercise: Exercise, seed: int) -> list[list[Call]]:
    """Return the calls of each law in the scene of a seed."""
    scene = exercise.scene_of(seed)
    return [list(law.calls(scene)) for law in exercise.laws]


def run_here(functions: Mapping[str, Callable[..., Result]], calls: Sequence[Call]) -> Run:
    """Return what functions of this process give: for tests of exercises, not for a student's file."""
    return Run([Outcome(called(functions[call.function], call)) for call in calls])


def grade(exercise: Exercise, seed: int, run: Run, waits: bool = False) -> Report:
    """Return the report of a run of all calls, in the order of `calls_of`.

    With `waits`, laws that would give a guess away are not judged.
    """
    exercise = exercise.of_seed(seed)
    scene, by_law = exercise.scene_of(seed), calls_of(exercise, seed)
    calls = [call for some in by_law for call in some]
    outcomes = list(run.outcomes)
    if run.imports_lab or run.failure:
        note = USES_LAB if run.imports_lab else run.failure
        laws = [LawReport(law.sentence, 0, law.points) for law in exercise.laws]
        return Report(exercise.name, seed, laws, note, run.printed, run.limited)
    right = [called(exercise.function(call.function).reference, call) for call in calls]
    results = [_conformed(one.result, want) for one, want in zip(outcomes, right, strict=True)]
    reports, start = [], 0
    for law, some in zip(exercise.laws, by_law, strict=True):
        among = range(start, start + len(some))
        start += len(some)
        part = slice(among.start, among.stop)
        if waits and any(exercise.gives_away(call) for call in some):
            reports.append(LawReport(law.sentence, 0, law.points, WAITS))
            continue
        held, message, numbers = _judged(law, scene, some, outcomes[part], results[part], right[part])
        diagnosis = ""
        if not held and not any(one.message for one in outcomes[part]):
            fault = known_fault(exercise, calls, results, among)
            sizes = sorted({n for call in some for value in call.arguments for n in np.shape(value)})
            diagnosis = fault.sentence if fault else relation(*numbers, sizes) if numbers else ""
        reports.append(LawReport(law.sentence, law.points if held else 0, law.points, message, diagnosis))
    empty = not any(one.message for one in outcomes) and all(one.result is None for one in outcomes)
    note = NOT_FILLED if empty else ""
    return Report(exercise.name, seed, reports, note, run.printed, run.limited)


def _conformed(result: Result, right: Result) -> Result:
    """Return a result as the reference has it: a list of numbers as an array, an array as a tuple of rows."""
    if isinstance(right, tuple):
        if isinstance(result, np.ndarray) and result.ndim and len(result) == len(right):
            result = tuple(result)
        if isinstance(result, tuple) and len(result) == len(right):
            return tuple(_conformed(a, b) for a, b in zip(result, right, strict=True))
        return result
    if isinstance(right, str) or result is None or isinstance(result, str):
        return result
    try:
        return np.asarray(result, float)
    except (ValueError, TypeError):
        return result


Numbers = tuple[np.ndarray, np.ndarray]


def _judged(
    law: Law,
    scene: Scene,
    calls: Sequence[Call],
    outcomes: Sequence[Outcome],
    results: list[Result],
    right: list[Result],
) -> tuple[bool, str, Numbers | None]:
    """Return whether a law holds, a message, and got and expected where they can be compared as numbers."""
    for call, outcome, result, want in zip(calls, outcomes, results, right, strict=True):
        fault = outcome.message or _misfit(result, want)
        if fault:
            return False, f"{call.function} {fault}", None
    if law.value is None and law.expected is None and law.standard_error is None:
        return _compared(law, calls, results, right)
    value = law.value or (lambda _scene, some: some)
    got = _flat(value(scene, results))
    want = _flat(law.expected(scene) if law.expected else value(scene, right))
    if law.standard_error is None:
        wrong = ~close(got, want, law.tolerance)
        return not wrong.any(), _entries(got, want, wrong), (got, want)
    error = np.broadcast_to(_flat(law.standard_error(scene, right)), want.shape)
    limit = float(norm.isf(FALSE_ALARM / 2 / want.size)) * error
    wrong = ~(np.abs(got - want) <= limit)
    if not wrong.any():
        return True, f"a mistake of {np.max(limit + POWER * error):.2g} would be caught", (got, want)
    first = int(np.argmax(wrong))
    message = f"got {got[first]:.5g}, expected {want[first]:.5g} within {limit[first]:.2g}"
    return False, message, (got, want)


def _misfit(result: Result, want: Result) -> str:
    """Return what is wrong with the kind, the shape or the finiteness of a result, or ''."""
    if result is None:
        return f"returned None: {NOT_FILLED}?"
    if isinstance(want, tuple):
        if not isinstance(result, tuple) or len(result) != len(want):
            return f"returned {_kind(result)}, expected {len(want)} values"
        faults = (_misfit(a, b) for a, b in zip(result, want, strict=True))
        return next((f"{fault} (value {i + 1})" for i, fault in enumerate(faults) if fault), "")
    if isinstance(want, str) or isinstance(result, (str, tuple)):
        return "" if type(result) is type(want) else f"returned {_kind(result)}, expected {_kind(want)}"
    want = np.asarray(want, float)
    if result.shape != want.shape:
        return f"returned {_kind(result)}, expected {_kind(want)}"
    broken = ~np.isfinite(result) & np.isfinite(want)
    if broken.any():
        return f"returned {result[broken][0]} in {broken.sum()} of {broken.size} entries"
    return ""


def _kind(value: Any) -> str:
    if isinstance(value, tuple):
        return f"{len(value)} values"
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    shape = np.shape(value)
    return f"shape {shape}" if shape else "a single number"


def _compared(
    law: Law, calls: Sequence[Call], results: Sequence[Result], right: Sequence[Result]
) -> tuple[bool, str, Numbers | None]:
    """Compare results themselves; the message names the call."""
    for call, result, want in zip(calls, results, right, strict=True):
        if same(result, want, law.tolerance):
            continue
        if isinstance(want, str):
            return False, f"{shown(call)} is {result!r}, which is not right", None
        got, wanted = _flat(result), _flat(want)
        wrong = ~close(got, wanted, law.tolerance)
        return False, f"{shown(call)}: {_entries(got, wanted, wrong)}", (got, wanted)
    return True, "", None


def _entries(got: np.ndarray, want: np.ndarray, wrong: np.ndarray) -> str:
    """Return the first wrong entry in words, and how many there are."""
    if not wrong.any():
        return ""
    first = int(np.argmax(wrong))
    several = f" ({wrong.sum()} of {wrong.size} entries differ)" if wrong.size > 1 else ""
    where = f"entry {first}: " if wrong.size > 1 else ""
    return f"{where}got {got[first]:.6g}, expected {want[first]:.6g}{several}"


def _flat(value: Any) -> np.ndarray:
    """Return a value made of arrays as one vector."""
    if isinstance(value, (tuple, list)):
        return np.concatenate([_flat(item) for item in value])
    return np.asarray(value, float).ravel()


def shown(call: Call) -> str:
    """Return a call as it is typed, with the shapes of long arrays."""
    return f"{call.function}({', '.join(map(_argument_shown, call.arguments))})"


def _argument_shown(value: Any) -> str:
    if isinstance(value, Seeded):
        return "rng"
    if not isinstance(value, np.ndarray):
        return repr(value) if isinstance(value, (int, str)) else f"{value:.4g}"
    if value.size > SHORT_ARRAY or (value.ndim > 1 and len(value) > 1):
        return f"array {value.shape}"
    return np.array2string(value, precision=4, separator=", ").replace("\n", "")
