"""The story: one screen whose words follow from the rows."""

import copy
import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

import elbo_lab
from elbo_lab.cli.explain import explained
from elbo_lab.cli.main import main
from elbo_lab.comparison.figures import drawings
from elbo_lab.comparison.story import CAST, TWO, tell
from elbo_lab.report.cells import percent_text
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


@pytest.mark.parametrize(("width", "most"), [(80, 60), (100, 45), (120, 45)])
def test_the_screen_is_short_and_no_line_is_too_wide(told, width, most):
    lines = printed(told.story, width)
    written = 2  # an empty line, and that of the report
    assert len(lines) + written <= most and max(map(len, lines)) <= width
    assert all(line == line.rstrip() for line in lines)


def test_the_third_figure_shows_the_numbers_of_the_third_section(told):
    assert list(drawings(told)) == [section.figure for section in told.story.sections]
    gap, *ratios = told.plot("more-draws").axes
    assert gap.figure.texts[0].get_text() == told.story.sections[2].question
    found = told.settings["more_draws"]["ppca"]
    assert gap.lines[0].get_ydata()[0] == pytest.approx(float(told.story.sections[2].rows[0][2]), rel=0.06)
    assert list(ratios[0].lines[1].get_ydata()) == found["dreg"]["snr"] and len(found["draws"]) == 5


def test_that_a_ratio_falls_is_told_only_where_it_falls(told):
    settings = copy.deepcopy(told.settings)
    for found in settings["more_draws"].values():
        found["dreg"]["snr"] = [1.0, 2.0, 3.0, 4.0, 5.0]
    assert tell(told.rows, settings).sections[2].notes == ()
    settings["more_draws"]["ppca"]["dreg"]["snr"][-1] = 0.5
    assert "light tails" in tell(told.rows, settings).sections[2].notes[0]


def test_the_screen_of_the_readme_is_that_of_the_program(told):
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    shown = re.search(r"^```text\n(elbo-lab compare: .*?)^```$", readme, re.MULTILINE | re.DOTALL)[1]
    screen = printed(told.story, 98)
    # All but the numbers, which are those of more rows and repeats.
    for heading in ("elbo-lab compare: ", "1  How", "2  Which", "3  Do"):
        (line,) = (line for line in screen if line.startswith(heading))
        assert line.rstrip() in shown
    for section in told.story.sections:
        assert all(column.title in shown for column in section.columns)
        assert all(row[0] in shown for row in section.rows)


# Ratio of REINFORCE, and the share of it that leave-one-out keeps.
RATIOS = {
    "gaussian-mle": (400.0, 0.3),
    "gaussian-mixture": (4.0, 0.25),
    "ppca": (3000.0, 0.1),
    "sigmoid-belief": (2.5, 0.3),
    "deep-gaussian": (50.0, 0.2),
    "deep-bernoulli": (0.9, 0.4),
}


def with_known_numbers(told):
    """Return rows and settings whose finding can be worked out by hand."""
    rows, settings = copy.deepcopy(told.rows), copy.deepcopy(told.settings)
    for row in rows:
        factor, share = RATIOS[row["model"]]
        ratio = {"score-function": factor, "score-function-loo": factor * share}.get(row["estimator"])
        if ratio:
            ends = {"": 1.0, "_low": 0.7, "_high": 1.2}
            row |= {f"variance_ratio{end}": times * ratio for end, times in ends.items()}
        row["bias"] = {"prior-monte-carlo": -factor, "importance-sampling": 0.5}.get(row["estimator"])
    signals = (([2.0, 1.5, 0.5], [1.0, 2.0, 3.0]), ([4.0, 4.0, 3.0], [5.0, 4.0, 1.0]))
    for model, signal, last in zip(TWO, signals, (1.0, -0.5), strict=True):
        log_p = next(v for k, v in settings["exact_values"].items() if k.startswith(model))["log-evidence"]
        more = settings["more_draws"][model] = {"draws": [1, 10, 100], "bound_se": [0.0, 0.1, 0.05]}
        more["bound"] = [log_p - 2.0, log_p - 1.5, log_p - 2.0 + last]
        for name, numbers in zip(("iwae-reparameterization", "dreg"), signal, strict=True):
            more[name] = {
                "snr": numbers,
                "low": [x - 0.2 for x in numbers],
                "high": [x + 0.1 for x in numbers],
            }
    return rows, settings


def test_the_words_of_known_numbers_are_those_worked_out_by_hand(told):
    assert tell(told.rows, told.settings) == told.story
    story = tell(*with_known_numbers(told))
    assert story.finding == (
        "In short: reparameterization beats REINFORCE on 3 of 4 continuous models, by 50 to 3,000; "
        "leave-one-out removes 60 to 90 % of that noise; 100 draws instead of 1 tighten the bound on 1 of 2 "
        "models and leave 25 and 75 % of its gradient's signal / noise (300 and 20 % doubly reparameterized)."
    )
    bound, noise, draws = story.sections
    assert bound.rows[2][5].startswith("-3000 ±") and bound.rows[2][6].startswith("0.5")
    assert bound.notes[0] == (
        "On ppca 10 draws from the prior miss log p(x) by 3,000 nats, as many draws from q by 0.50."
    )
    assert [row[1:3] for row in noise.rows[:3]] == [
        ("400 ±30%", "120 ±30%"),
        ("4.0 ±30%", "1"),
        ("3,000 ±30%", "300 ±30%"),
    ]
    assert "takes 2 (gaussian-mixture) and 16 (sigmoid-belief)." in noise.notes[0]
    assert draws.rows[:4] == (
        ("ppca", "gap of the bound, nats", "2.0", "1.5 ±0.2", "1.00 ±0.10"),
        ("", "signal / noise, plain", "2.0 ±0.2", "1.5 ±0.2", "0.5 ±0.2"),
        ("", "  doubly reparameterized", "1.0 ±0.2", "2.0 ±0.2", "3.0 ±0.2"),
        ("deep-bernoulli", "gap of the bound, nats", "2.0", "1.5 ±0.2", "2.50 ±0.10"),
    )


def test_the_numbers_of_the_screen_are_those_of_the_rows(told):
    bound, noise, draws = told.story.sections
    rows = {(row["model"], row["target"], row["estimator"]): row for row in told.rows}
    for shown, label in zip(bound.rows, told.settings["models"], strict=True):
        name = label.partition(":")[0]
        exact = told.settings["exact_values"][f"{label} K={shown[1]}"]
        log_p, elbo, gap = map(float, shown[2:5])
        half = 0.5 * 10.0 ** -len(shown[2].partition(".")[2]) + 1e-12
        assert abs(log_p - exact["log-evidence"]) <= half and abs(elbo - exact["elbo"]) <= half
        assert gap == pytest.approx(exact["log-evidence"] - exact["elbo"], rel=0.06)
        for cell, sampler in zip(shown[5:], ("prior-monte-carlo", "importance-sampling"), strict=True):
            row, (value, error) = rows[name, "log-evidence", sampler], map(float, cell.split(" ±"))
            assert abs(row["bias"]) == pytest.approx(row["bias_norm"])
            assert value == pytest.approx(row["bias"], abs=error)
            assert error == pytest.approx(1.96 * row["bias_se"], rel=0.5)
    for shown in noise.rows:
        score, other = (
            rows[shown[0], "grad-phi-elbo", name] for name in ("score-function", "reparameterization")
        )
        base = other if other["applicable"] else rows[shown[0], "grad-phi-elbo", "score-function-loo"]
        expected = score["variance"] / base["variance"]
        assert float(shown[1].split(" ±")[0].replace(",", "")) == pytest.approx(expected, rel=0.3)
    assert float(draws.rows[0][2]) == pytest.approx(float(bound.rows[2][4]), rel=0.1)  # one draw: the gap


def test_work_counts_evaluations_and_the_best_other_has_the_least(told):
    rows = copy.deepcopy(told.rows)

    def best(rows):
        return next(row[3:] for row in tell(rows, told.settings).sections[1].rows if row[0] == "ppca")

    _, before = best(rows)
    for row in rows:
        if row["model"] == "ppca" and row["estimator"] == "measure-valued-coupled":
            assert row["evaluations"] == 310
            row["evaluations"] = 10  # as if a move cost nothing
    _, after = best(rows)
    assert before == "sticking the landing" and after == "measure-valued gradient, coupled"


def test_a_bias_that_is_found_is_told(told):
    rows = copy.deepcopy(told.rows)
    for row in rows:
        if (row["model"], row["estimator"]) == ("deep-bernoulli", "score-function-loo"):
            row["bias_verdict"] = "FAIL"
    note = tell(rows, told.settings).sections[1].notes[-1]
    assert note == "A BIAS WAS FOUND: REINFORCE, leave-one-out on deep-bernoulli."
    assert (
        told.story.sections[1].notes[-1].startswith("None of the 22 shows a bias; one of 5 % would be found")
    )


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((61930.0, 61810.0, 62030.0), "61,900 ±0.2%"),
        ((0.00518, 0.0045, 0.00617), "0.0052 ±20%"),
        ((3.9, 3.7, 4.1), "3.9 ±5%"),
        ((1.0, 1.0, 1.0), "1.0"),
    ],
)
def test_a_factor_has_the_digits_that_its_interval_leaves(numbers, text):
    assert percent_text(*numbers) == text


def test_letters_that_a_terminal_has_not_are_replaced(told):
    sheet = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    console = Console(file=sheet, width=100)
    print_head(told.story.title, told.story.subject, console)
    print_story(told.story, console)
    sheet.flush()
    text = sheet.buffer.getvalue().decode()
    assert "+-" in text


def test_the_command_prints_the_head_first_and_writes_its_rows(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = "compare --rows 2 --repeats 20 --threads 1 --no-report --json o.json --csv o.csv"
    assert main(words.split()) == 0
    out = capsys.readouterr().out
    assert out.startswith("elbo-lab compare: how well") and "1  How far" in out and "In short:" in out
    assert json.loads((tmp_path / "o.json").read_text())["settings"]["more_draws"].keys() == set(TWO)


def test_a_mistake_prints_no_head(capsys):
    assert main(["compare", "--draws", "1"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("elbo-lab: error: --draws: expected at least 2")


def test_the_unit_of_a_section_is_plain_and_dim_beside_its_coloured_question(told):
    screen = io.StringIO()
    print_story(told.story, Console(file=screen, force_terminal=True, color_system="standard", width=100))
    for section in told.story.sections:
        assert f"{section.question}\x1b[0m" in screen.getvalue()
        assert f"\x1b[2m{section.unit}\x1b[0m" in screen.getvalue()


def test_every_title_and_label_of_the_screen_is_explained(told):
    for section in told.story.sections:
        labels = {row[0] for row in section.rows}
        if not section.columns[1].numeric:
            labels |= {row[1] for row in section.rows}
        for word in filter(None, {column.title for column in section.columns} | labels):
            assert explained(word.strip(), [], 80), word
