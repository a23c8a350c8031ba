"""Exercises: right answers get all points, every known mistake is named, and no file can harm the check."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from elbo_lab.cli.main import main
from elbo_lab.exercises import EXERCISES
from elbo_lab.exercises.base import called
from elbo_lab.exercises.diagnosis import close, same
from elbo_lab.exercises.grading import calls_of, grade, run_here
from elbo_lab.exercises.stub import file_name, stub

SOLUTIONS = Path(__file__).parent / "solutions"
SEEDS = (0, 1, 20_261_130)
FAULTS = [
    pytest.param(exercise, fault, id=f"{exercise.name}: {fault.sentence}")
    for exercise in EXERCISES.values()
    for fault in exercise.faults
]
every_exercise = pytest.mark.parametrize("exercise", EXERCISES.values(), ids=list(EXERCISES))


def solution(exercise):
    """The functions of a right answer in plain NumPy."""
    return runpy.run_path(str(SOLUTIONS / file_name(exercise)))


def right_guesses(exercise, seed):
    """The guesses that are right for a seed; those of the file of a right answer fit its seed alone."""
    return {one.name: one.reference for one in exercise.of_seed(seed).functions if one.guess}


def graded(exercise, functions, seed):
    calls = [call for some in calls_of(exercise, seed) for call in some]
    return grade(exercise, seed, run_here(functions, calls))


@every_exercise
@pytest.mark.parametrize("seed", SEEDS)
def test_a_right_answer_gets_all_points(exercise, seed):
    report = graded(exercise, solution(exercise) | right_guesses(exercise, seed), seed)
    assert [law.message for law in report.laws if law.points < law.of] == []
    assert report.points == report.of == exercise.points


@pytest.mark.parametrize(("exercise", "fault"), FAULTS)
def test_a_known_mistake_loses_points_and_is_named(exercise, fault):
    for seed in SEEDS[:2]:
        right = solution(exercise) | right_guesses(exercise, seed)
        wrong = exercise.of_seed(seed).faults[exercise.faults.index(fault)].wrong
        report = graded(exercise, right | {fault.function: wrong}, seed)
        assert report.points < report.of
        named = [law.diagnosis for law in report.laws if law.points < law.of]
        assert set(named) == {fault.sentence}


@every_exercise
def test_an_empty_stub_gets_no_points_and_says_so(exercise):
    empty = {one.name: lambda *_: None for one in exercise.functions}
    report = graded(exercise, empty, 3)
    assert (report.points, report.note) == (0, "not filled in yet")


@every_exercise
def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(exercise):
    def right(seed):
        calls = [call for some in calls_of(exercise, seed) for call in some]
        mine = exercise.of_seed(seed)
        return tuple(called(mine.function(call.function).reference, call) for call in calls)

    assert same(right(4), right(4))
    assert not same(right(4), right(5))


@every_exercise
def test_a_stub_is_a_program_that_runs(exercise, tmp_path):
    path = tmp_path / file_name(exercise)
    path.write_text(stub(exercise, 7, path.name), encoding="utf-8")
    assert max(map(len, path.read_text(encoding="utf-8").splitlines())) <= 110
    constants = runpy.run_path(str(path))
    assert (constants["EXERCISE"], constants["SEED"]) == (exercise.name, 7)
    assert all(one.name in constants for one in exercise.functions)
    # The lines at its end run with a right answer.
    runpy.run_path(str(path), init_globals={}, run_name="stub")
    exec(compile(exercise.example, "example", "exec"), constants | solution(exercise) | {"SEED": 7})


@every_exercise
def test_the_lesson_of_an_exercise_exists(exercise):
    assert (Path(__file__).parent.parent / "docs" / exercise.lesson).is_file()


def test_a_finite_number_is_not_taken_for_an_infinite_one():
    right = np.array([-np.inf, -np.inf, np.inf, 1.0, np.nan])
    got = np.array([-1e300, -np.inf, -np.inf, 1.0 + 1e-9, np.nan])
    assert close(got, right).tolist() == [False, True, False, True, True]


def test_a_file_is_graded_in_a_process_of_its_own(tmp_path, capsys):
    path = SOLUTIONS / "gaussian_log_density.py"
    assert main(["exercise", "check", str(path), "--json", str(tmp_path / "r.json")]) == 0
    assert "10 of 10 points" in capsys.readouterr().out
    record = json.loads((tmp_path / "r.json").read_text())
    assert record["schema"] == "elbo_lab/exercise/1"
    assert (record["points"], record["of"], record["seed"]) == (10, 10, 1)
    assert set(record["laws"][0]) == {"law", "points", "of", "message", "diagnosis"}
