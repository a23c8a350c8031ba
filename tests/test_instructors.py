"""The page for lecturers: its plan has every exercise, and what it makes is what the graders read."""

import json
import os
import re
import runpy
import shutil
import sys
import types
from pathlib import Path

import pytest

from elbo_lab.exercises import EXERCISES

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "instructors.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The files that the page writes."""
    place = tmp_path_factory.mktemp("page")
    before = Path.cwd()
    os.chdir(place)
    try:
        code = "\n\n".join(re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S))
        exec(compile(code, "instructors.md", "exec"), {"__name__": "page"})
    finally:
        os.chdir(before)
    return place


def test_the_plan_has_every_exercise_with_its_minutes():
    planned = [(name, int(minutes)) for name, minutes in re.findall(r"`([a-z-]+)` \((\d+)\)", PAGE)]
    assert len(planned) == len(set(planned))
    assert sorted(planned) == sorted((one.name, one.minutes) for one in EXERCISES.values())


def test_gradescope_gets_a_score_for_each_law(folder):
    # Keys and values as https://gradescope-autograders.readthedocs.io/en/latest/specs/ has them.
    results = json.loads((folder / "results.json").read_text())
    assert results["output"] == "not filled in yet"
    laws = EXERCISES["log-sum-exp"].laws
    assert [(one["name"], one["score"], one["max_score"]) for one in results["tests"]] == [
        (law.sentence, 0, law.points) for law in laws
    ]
    assert {one["status"] for one in results["tests"]} == {"failed"}
    assert all(isinstance(one["output"], str) for one in results["tests"])


@pytest.mark.parametrize("filled", [False, True])
def test_otter_gets_a_test_case_for_each_law(folder, tmp_path, monkeypatch, filled):
    cases = []

    def test_case(name, points):
        return lambda function: cases.append((name, points, function)) or function

    module = types.ModuleType("otter.test_files")
    module.test_case = test_case
    monkeypatch.setitem(sys.modules, "otter", types.ModuleType("otter"))
    monkeypatch.setitem(sys.modules, "otter.test_files", module)
    answer = ROOT / "tests" / "solutions" / "log_sum_exp.py" if filled else folder / "answer.py"
    shutil.copy(answer, tmp_path / "answer.py")
    monkeypatch.chdir(tmp_path)
    test_file = runpy.run_path(str(folder / "q_log_sum_exp.py"))
    assert (test_file["OK_FORMAT"], test_file["name"]) == (False, "log-sum-exp")
    assert [(name, points) for name, points, _ in cases] == [
        (law.sentence, law.points) for law in EXERCISES["log-sum-exp"].laws
    ]
    assert test_file["points"] == sum(points for _, points, _ in cases)
    for _, _, case in cases:
        if filled:
            case()
        else:
            with pytest.raises(AssertionError):
                case()


def test_the_plan_has_the_minutes_that_the_lessons_name():
    for lesson, minutes in re.findall(r"\]\((\w+\.md)\) \((\d+)\)", PAGE):
        text = (ROOT / "docs" / lesson).read_text(encoding="utf-8")
        assert f"**Time:** {minutes} min" in " ".join(text.split()), lesson
