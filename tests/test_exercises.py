"""Exercises: right answers get all points, every known mistake is named, and no file can harm the check."""

import json
import os
import runpy
import sys
from dataclasses import replace
from pathlib import Path, PurePath

import numpy as np
import pytest

from elbo_lab.cli.main import main
from elbo_lab.exercises import EXERCISES, Call, Law, Seeded
from elbo_lab.exercises.base import called
from elbo_lab.exercises.diagnosis import close, relation, same
from elbo_lab.exercises.grading import calls_of, grade, run_here
from elbo_lab.exercises.running import _run_of, read_source, run_file
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


# -- files that could do harm ----------------------------------------------------------------------

HEAD = 'import numpy as np\nEXERCISE = "gaussian-log-density"\nSEED = 3\n'
DEFINED = HEAD + "def log_density(x, mean, sd):\n"
FILES = {
    "an endless loop": (DEFINED + "    while True: pass", "did not come to an end within 2 s"),
    "a child that sleeps": (
        DEFINED + "    import subprocess\n    subprocess.run(['sleep', '1000'])",
        "did not come to an end within 2 s",
    ),
    "a call of itself": (
        DEFINED + "    return log_density(x, mean, sd)",
        "calls itself without end (line 5:",
    ),
    "sys.exit": (DEFINED + "    raise SystemExit(0)", "called sys.exit (line 5:"),
    "an end without a word": (DEFINED + "    import os; os._exit(0)", "ended Python with exit code 0"),
    "an exception": (
        DEFINED + "    return x.foo",
        "raised AttributeError: 'numpy.ndarray' object has no attribute 'foo' (line 5: return x.foo)",
    ),
    "a syntax error": (DEFINED + "    return x -", "raised SyntaxError: invalid syntax (line 5: return x -)"),
    "an exception while it is imported": (
        HEAD + "1 / 0",
        "raised ZeroDivisionError: division by zero (line 4",
    ),
    "no function": (HEAD, "is not there"),
    "a number in its place": (HEAD + "log_density = 3", "is of type int, and no function"),
    "text": (DEFINED + "    return 'ten'", "returned the text 'ten', expected shape (1,)"),
    "a dict": (DEFINED + "    return {'a': 1}", "returned a dict; wanted are numbers"),
    "a number beyond all floats": (
        DEFINED + "    return [10**400]",
        "returned int too large to convert to float",
    ),
    "an exception that would steer the terminal": (
        DEFINED + "    raise ValueError('\\x1b[31m')",
        "raised ValueError: ?[31m (line 5:",
    ),
    "nan": (DEFINED + "    return np.full(len(x), np.nan)", "returned nan in 1 of 1 entries"),
    "a wrong shape": (DEFINED + "    return np.zeros((2, 2))", "returned shape (2, 2), expected shape (1,)"),
    "nothing": (DEFINED + "    ...", "Not filled in yet."),
    "elbo_lab": (DEFINED + "    from elbo_lab.special import log_sum_exp", "imports elbo_lab"),
    "elbo_lab by a name that is put together": (
        DEFINED + "    try: __import__('elbo' + '_lab')\n    except BaseException: pass\n    return 1",
        "imports elbo_lab",
    ),
}


@pytest.mark.parametrize(("text", "said"), FILES.values(), ids=list(FILES))
def test_a_file_that_fails_gets_no_points_and_one_clear_line(text, said, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    path = tmp_path / "answer.py"
    path.write_text(text + "\n")
    seconds = "2" if "2 s" in said else "60"
    assert main(["exercise", "check", str(path), "--seconds", seconds]) == 1
    shown = capsys.readouterr()
    assert said in shown.out and "0 of 10 points" in shown.out
    assert "Traceback" not in shown.out + shown.err


def test_what_a_file_prints_is_cut_and_cannot_disturb_the_results(tmp_path, capsys):
    path = tmp_path / "answer.py"
    text = (SOLUTIONS / "gaussian_log_density.py").read_text()
    path.write_text(text + "\nfor _ in range(20_000): print('{\"result\": 1}' * 20)\n")
    assert main(["exercise", "check", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "10 of 10 points" in shown and len(shown) < 5000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("place", ["import numpy as np\n", "log_density(x, mean, sd):\n"])
def test_a_file_that_forks_tells_its_results_once(place, tmp_path, capsys):
    path = tmp_path / "answer.py"
    text = (SOLUTIONS / "gaussian_log_density.py").read_text()
    indent = "    " if place.endswith(":\n") else ""
    assert text.count(place) == 1
    path.write_text(text.replace(place, f"{place}{indent}import os; os.fork(); print('\\x1b[31m')\n"))
    assert main(["exercise", "check", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "10 of 10 points" in shown
    assert "?[31m" in shown and "\x1b" not in shown


def test_the_signal_that_ended_a_file_is_named_if_it_has_a_name():
    assert _run_of([], 1, "", -9, 1.0).failure == "the file ended Python by signal SIGKILL"
    assert _run_of([], 1, "", -40, 1.0).failure == "the file ended Python by signal 40"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is limited on Linux alone")
def test_a_file_that_takes_all_memory_is_stopped(tmp_path):
    path = tmp_path / "answer.py"
    path.write_text(DEFINED + "    return np.ones((30_000, 30_000)).sum()\n")
    calls = [call for some in calls_of(EXERCISES["gaussian-log-density"], 3) for call in some]
    run = run_file(path, calls[:1], seconds=30, memory=1 << 30)
    assert run.limited
    assert "needs more memory than an answer may take (line 5" in run.outcomes[0].message


def test_arguments_arrive_and_results_return_to_the_last_bit(tmp_path):
    path = tmp_path / "answer.py"
    path.write_text("def same(*values): return values\ndef draw(rng): return rng.normal(size=3)\n")
    values = (
        np.array([0.1, -np.inf, np.nan, 1e-310]),
        np.arange(6).reshape(2, 3),
        0.1,
        3,
        "ten",
        np.float64(2),
    )
    run = run_file(path, [Call("same", values), Call("draw", (Seeded(5),))], seconds=30)
    for got, sent in zip(run.outcomes[0].result, values, strict=True):
        np.testing.assert_array_equal(got, sent)
        assert np.asarray(got).dtype == np.asarray(sent).dtype
    np.testing.assert_array_equal(run.outcomes[1].result, np.random.default_rng(5).normal(size=3))


MISTAKES = {
    "nofile.py": (None, "expected an existing file, got 'nofile.py'"),
    "none.py": ("x = 1", "without one; 'elbo-lab exercise new NAME' writes"),
    "unknown.py": ('EXERCISE = "log-sum-exq"\nSEED = 1', "did you mean 'log-sum-exp'?"),
    "negative.py": ('EXERCISE = "log-sum-exp"\nSEED = -1', "got SEED = -1"),
    "words.py": ('EXERCISE = "log-sum-exp"\nSEED = "one"', "got SEED = 'one'"),
    "huge.py": (f'EXERCISE = "log-sum-exp"\nSEED = {10**30}', "SEED: expected a whole number of at most"),
    "code.py": ('EXERCISE = "log-sum-exp"\nSEED = int(input())', "a line SEED ="),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_use_is_told_in_one_line(name, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text, said = MISTAKES[name]
    if text is not None:
        Path(name).write_text(text)
    assert main(["exercise", "check", name]) == 2
    line = capsys.readouterr().err
    assert said in line and line.count("\n") == 1


def test_new_writes_a_stub_and_keeps_the_work_of_a_student(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["exercise", "new", "log_sum_exp", "--seed", "9"]) == 0
    path = Path("log_sum_exp.py")
    assert "SEED = 9 " in path.read_text()
    path.write_text("my work")
    assert main(["exercise", "new", "log-sum-exp"]) == 2
    assert path.read_text() == "my work"
    assert main(["exercise", "new", "log-sum-exp", "--force"]) == 0
    assert main(["exercise", "new", "log-sum"]) == 2
    assert "did you mean 'log-sum-exp'?" in capsys.readouterr().err


@pytest.mark.parametrize("file", ["work\\users.py", 'a"""b.py', 'end".py'])
def test_a_stub_of_any_name_is_python(file):
    one = EXERCISES["log-sum-exp"]
    names = {}
    exec(compile(stub(one, 1, file), "stub", "exec"), names)
    assert PurePath(file).as_posix() in names["__doc__"]


def test_new_draws_a_seed_if_none_is_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seeds = set()
    for name in ("a.py", "b.py", "c.py"):
        assert main(["exercise", "new", "e-step", "--out", name]) == 0
        seeds.add(read_source("file", name).constants["SEED"])
    assert len(seeds) > 1


# -- what is said of a result that no known mistake gives ------------------------------------------

RIGHT = np.array([-1.0, -2.0, -3.5])
RELATIONS = [
    (
        RIGHT + 0.5 * np.log(2 * np.pi),
        "yours minus the right one is 0.9189 everywhere, that is 0.5 log(2 pi)",
    ),
    (RIGHT - np.log(7), "yours minus the right one is -1.9459 everywhere, that is -log 7"),
    (RIGHT + 0.123, "yours minus the right one is 0.1230 everywhere"),
    (2 * RIGHT, "yours is twice the right one everywhere"),
    (-RIGHT, "yours is minus the right one everywhere"),
    (7 * RIGHT, "yours is 7 times the right one: a sum where a mean over 7 is wanted?"),
    (RIGHT / 7, "yours is 1/7 of the right one: a mean over 7 where a sum is wanted?"),
    (1.3 * RIGHT, "yours is 1.3 times the right one everywhere"),
    (RIGHT**2, "yours is the square of the right one"),
    (np.exp(RIGHT), "yours is the exponential of the right one"),
    (RIGHT + np.array([0.1, 0.2, 0.1]), ""),
    (np.array([np.nan, -2.0, -3.5]), ""),
]


@pytest.mark.parametrize(("got", "said"), RELATIONS, ids=[said or "none" for _, said in RELATIONS])
def test_a_simple_relation_to_the_right_numbers_is_told(got, said):
    assert relation(got, RIGHT, sizes=[3, 7]) == said


def test_one_number_alone_shows_a_relation_only_if_it_has_a_name():
    assert relation(np.array([2.6]), np.array([2.0]), []) == ""
    assert relation(np.array([4.0]), np.array([2.0]), []) == "yours is twice the right one everywhere"


def test_the_false_alarm_rate_of_a_statistical_law_is_its_limit():
    """A value just inside the limit of a million to one holds, one just outside does not."""
    law = Law(
        "mean",
        1,
        lambda _: [Call("f", (np.zeros(1),))],
        value=lambda _, results: results[0],
        expected=lambda _: np.zeros(1),
        standard_error=lambda *_: np.ones(1),
    )
    plain = EXERCISES["gaussian-log-density"]
    function = replace(plain.functions[0], name="f", reference=lambda x: x)
    exercise = replace(plain, functions=(function,), laws=(law,), faults=())
    limit = 4.8916  # norm.isf(0.5e-6)
    for shift, points in ((limit - 0.01, 1), (limit + 0.01, 0), (-limit - 0.01, 0)):
        assert graded(exercise, {"f": lambda x, shift=shift: x + shift}, 0).points == points


# -- the page --------------------------------------------------------------------------------------

PAGE = Path(__file__).parent.parent / "docs" / "exercises.md"


def test_the_table_of_the_page_is_that_of_the_registry():
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")][1:]
    expected = [
        f"| {number} | `{one.name}` | {one.title} | [{one.lesson.removesuffix('.md').replace('_', ' ')}]"
        f"({one.lesson}) | {one.minutes} | {one.points} |"
        for number, one in enumerate(EXERCISES.values(), 1)
    ]
    assert rows == expected


def test_the_screen_of_the_page_is_what_the_check_prints(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    page = PAGE.read_text(encoding="utf-8")
    answer, screen = (page.partition(f"```{kind}\n")[2].partition("```")[0] for kind in ("python", "text"))
    path = Path("gaussian_log_density.py")
    path.write_text(f'EXERCISE = "gaussian-log-density"\nSEED = 5\n{answer}')
    assert main(["exercise", "check", str(path)]) == 1
    assert capsys.readouterr().out.strip() == screen.strip()
