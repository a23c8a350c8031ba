"""First guesses: kept beside the student's file before the answer is shown.

A guess is a function without arguments that returns what the student believes. Until all guesses of an
exercise are made, whatever would give their answer away is not graded. Then they are written to a file beside
the student's, with the time; the first ones count, whatever the student's file says later.

The file is a help for honest people and no lock: who deletes it guesses anew.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from elbo_lab.errors import bad_value, short
from elbo_lab.exercises.base import Call, Exercise, Function, Result
from elbo_lab.exercises.running import Outcome, Run
from elbo_lab.files import json_kind, write_json, write_output

SCHEMA = "elbo_lab/guesses/1"
KIND = json_kind("exercise check", SCHEMA)


@dataclass(frozen=True)
class Guesses:
    """The guesses of one student on one exercise.

    Attributes
    ----------
    first : dict
        {function: value} of the guesses that count; empty until all are made.
    time : str
        When they were kept, in ISO 8601.
    now : dict
        What the file says at present.
    missing : dict
        {function: what is missing or wrong}; empty once the first guesses are kept.
    """

    first: Mapping[str, Result]
    time: str
    now: Mapping[str, Result]
    missing: Mapping[str, str]

    @property
    def changed(self) -> list[str]:
        """The functions that said something else at first."""
        return [name for name, value in self.first.items() if self.now.get(name) != value]

    def applied(self, run: Run, calls: Sequence[Call]) -> Run:
        """Return the run with the first guesses in place of the present ones."""
        outcomes = [
            Outcome(self.first[call.function]) if call.function in self.first else outcome
            for call, outcome in zip(calls, run.outcomes, strict=True)
        ]
        return replace(run, outcomes=outcomes)

    def in_words(self) -> str:
        """Return what the student should know about them, or ''."""
        if self.missing:
            each = "; ".join(f"{name} {what}" for name, what in self.missing.items())
            return f"your guess comes first, and nothing that would give it away is graded before: {each}"
        if self.changed:
            each = ", ".join(f"{name} = {self.first[name]!r}" for name in self.changed)
            return (
                f"the answer has been shown since your first guess, and that one counts: {each} ({self.time})"
            )
        return ""

    def record(self) -> dict[str, Any]:
        """Return them as plain values."""
        return {"first": dict(self.first), "time": self.time, "changed": self.changed}


def guesses_of(exercise: Exercise, seed: int, file: Path, calls: Sequence[Call], run: Run) -> Guesses | None:
    """Return the guesses of a student's file, the first ones from the file beside it.

    Parameters
    ----------
    exercise : Exercise
    seed : int
    file : Path
        The student's.
    calls : sequence of Call
    run : Run
        Their outcomes.

    Returns
    -------
    guesses : Guesses or None
        None for an exercise without guesses.

    Raises
    ------
    ValueError
        If the file beside the student's is none of this kind.
    """
    questions = [one for one in exercise.functions if one.guess]
    if not questions:
        return None
    outcomes = {call.function: outcome for call, outcome in zip(calls, run.outcomes, strict=True)}
    now, missing = {}, {}
    for question in questions:
        value, what = _guess(question, outcomes[question.name])
        now[question.name] = value
        if what:
            missing[question.name] = what
    kept = _read(guesses_file(file))
    for one in kept:
        if (one["exercise"], one["seed"]) == (exercise.name, seed):
            return Guesses(one["guesses"], one["time"], now, {})
    if missing:
        return Guesses({}, "", now, missing)
    time = datetime.now(UTC).isoformat(timespec="seconds")
    mine = {"exercise": exercise.name, "seed": seed, "time": time, "guesses": now}
    text = write_json(None, {"schema": SCHEMA, "kept": [*kept, mine]}, KIND)
    write_output("guesses", guesses_file(file), text, KIND)
    return Guesses(now, time, now, {})


def guesses_file(file: Path) -> Path:
    """Return the place of the first guesses of a student's file."""
    return file.with_suffix(".guesses.json")


def _guess(question: Function, outcome: Outcome) -> tuple[Result, str]:
    """Return a guess as it is kept, and what is wrong with it."""
    value = outcome.result
    if outcome.message:
        return None, outcome.message
    if value is None:
        return None, "has no guess yet"
    if question.choices:
        meant = {choice.lower(): choice for choice in question.choices}
        if not isinstance(value, str) or value.strip().lower() not in meant:
            return None, f"returned {short(value)}, expected one of {', '.join(map(repr, question.choices))}"
        return meant[value.strip().lower()], ""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None, f"returned {short(value)}, expected a number"
    return (number, "") if math.isfinite(number) else (None, f"returned {number}, expected a finite number")


def _read(path: Path) -> list[dict[str, Any]]:
    """Return what is kept in a file, which need not exist."""
    if not path.exists():
        return []
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        kept = content["kept"]
        for one in kept:
            if not {"exercise", "seed", "time", "guesses"} <= set(one):
                raise KeyError
            guesses = one["guesses"].values()
            if not guesses or not all(isinstance(guess, str | int | float) for guess in guesses):
                raise TypeError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise bad_value("guesses", "a file of first guesses", repr(str(path)), "move it away") from None
    return list(kept)
