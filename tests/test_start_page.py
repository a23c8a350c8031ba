"""The start page: the button stands first, and the learning path names what there is, with its minutes."""

import re
from pathlib import Path

import pytest

from elbo_lab.exercises import EXERCISES
from elbo_lab.explorer import TABS

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "index.md").read_text(encoding="utf-8")
TIME = re.compile(r"\*\*Time:\*\*\s+(\d+) minutes")


def steps(page):
    """Return the rows of the learning path as lists of cells."""
    (table,) = re.findall(r"<!-- path -->\n.*\n.*\n((?:\|.*\n)+)", page)
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()]


def faults_of(page):
    """Return what is wrong with the learning path, as a list of words."""
    rows, wrong = steps(page), []
    named = [name for row in rows for name in re.findall(r"`([^`]+)`", row[2])]
    if sorted(named) != sorted(EXERCISES):
        wrong.append("exercises")
    if not {tab for row in rows for tab in re.findall(r"\*(\w+)\*", row[3])} <= set(TABS):
        wrong.append("tabs")
    for number, row in enumerate(rows, 1):
        (lesson,) = re.findall(r"\((\w+\.md)\)", row[0])
        time = TIME.search((DOCS / lesson).read_text(encoding="utf-8"))
        practice = sum(
            EXERCISES[name].minutes for name in re.findall(r"`([^`]+)`", row[2]) if name in EXERCISES
        )
        expected = " + ".join(filter(None, (time and time[1], practice and str(practice))))
        wrong += [f"step {number}"] * (not row[0].startswith(f"{number}. [")) + [lesson] * (
            row[4] != expected
        )
    return wrong


def test_the_learning_path_has_every_exercise_and_the_minutes_of_its_lessons():
    assert faults_of(PAGE) == []


@pytest.mark.parametrize(
    ("right", "wrong", "fault"),
    [
        ("`log-sum-exp`", "`log-sum`", "exercises"),
        ("*noise*", "*loud*", "tabs"),
        ("45 + 65", "45 + 60", "road.md"),
        ("| 3. ", "| 4. ", "step 3"),
    ],
)
def test_a_fault_in_the_learning_path_is_found(right, wrong, fault):
    assert right in PAGE
    assert fault in faults_of(PAGE.replace(right, wrong, 1))


def test_the_way_in_stands_before_the_first_picture():
    assert PAGE.index("[Start here") < PAGE.index("![")
