"""The check of a student's file: run it, keep the first guesses, grade, and only then show an answer."""

from dataclasses import replace

from elbo_lab.exercises.base import Exercise
from elbo_lab.exercises.grading import Report, calls_of, grade
from elbo_lab.exercises.guesses import guesses_of
from elbo_lab.exercises.running import Run, Source, run_file


def check_source(exercise: Exercise, seed: int, source: Source, seconds: float) -> Report:
    """Return the report of a student's file.

    Parameters
    ----------
    exercise : Exercise
    seed : int
        Of the numbers that the check uses.
    source : Source
    seconds : float
        Limit for the whole file.

    Raises
    ------
    ValueError
        If the first guesses cannot be kept beside the file.
    """
    if source.imports_lab():
        return grade(exercise, seed, Run([], imports_lab=True))
    calls = [call for some in calls_of(exercise, seed) for call in some]
    run = run_file(source.path, calls, seconds)
    guesses = None if run.imports_lab else guesses_of(exercise, seed, source.path, calls, run)
    if guesses is None:
        return grade(exercise, seed, run)
    if not guesses.first:
        report = grade(exercise, seed, run, waits=True)
        return replace(report, guesses=guesses, note=report.note or guesses.in_words())
    report = grade(exercise, seed, guesses.applied(run, calls))
    answer = exercise.answer(seed, guesses.first) if exercise.answer else ""
    return replace(report, guesses=guesses, note=report.note or guesses.in_words(), answer=answer)
