"""The story: one screen whose words follow from the rows."""

import copy

import pytest
from rich.console import Console

import elbo_lab
from elbo_lab.comparison.story import CAST, TWO, tell
from elbo_lab.report.story import print_head, print_story


@pytest.fixture(scope="module")
def told():
    return elbo_lab.story(rows=4, repeats=60, threads=2)


def printed(story, width):
    """Return the lines of the screen."""
    console = Console(width=width, force_terminal=False)
    with console.capture() as capture:
        print_head(story.title, story.subject, console)
        print_story(story, console)
    return capture.get().splitlines()


def test_the_cast_is_six_models_with_their_sections(told):
    assert told.settings["models"] == list(CAST) and list(told.settings["more_draws"]) == list(TWO)
    bound, noise, draws = told.story.sections
    assert len(bound.rows) == len(noise.rows) == 6 and len(draws.rows) == 6
    for section in told.story.sections:
        assert all(len(row) == len(section.columns) for row in section.rows)


@pytest.mark.parametrize(("width", "most"), [(80, 58), (100, 43), (120, 42)])
def test_the_screen_is_short_and_no_line_is_too_wide(told, width, most):
    lines = printed(told.story, width)
    assert len(lines) <= most and max(map(len, lines)) <= width


def test_the_finding_follows_from_the_rows(told):
    rows = copy.deepcopy(told.rows)
    assert tell(rows, told.settings) == told.story
    for row in rows:
        if row["model"] == "ppca" and row["estimator"] == "score-function":
            for end in ("", "_low", "_high"):
                row[f"variance_ratio{end}"] = 0.5
    changed = tell(rows, told.settings).finding
    assert changed != told.story.finding and "on 3 of 4 " in changed and "on 4 of 4 " in told.story.finding
