"""elbo-lab demo: the list, what is found by a word, and a run as a script."""

import os
from pathlib import Path

import pytest

from elbo_lab.cli import demo, main, shipped

SCRIPTS = sorted((Path(__file__).parents[1] / "demos").glob("[0-9]*.py"))


@pytest.fixture
def own_environment(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("ELBO_LAB_OUT", "ELBO_LAB_QUICK", "MPLBACKEND"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    return tmp_path


@pytest.mark.parametrize("width", [20, 30, 80, 120])
def test_the_list_has_every_demo_with_its_time(width, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    assert main.main(["demo"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [one.path.name for one in demo.demos()] == [path.name for path in SCRIPTS]
    assert max(map(len, lines)) <= width
    assert all("second" in one.seconds or "minute" in one.seconds for one in demo.demos())
    assert sum(line[:2].strip().isdecimal() for line in lines) == len(SCRIPTS)
    assert len(lines) < 8 * len(SCRIPTS)


@pytest.mark.parametrize("asked", ["8", "08", "08_reinforce_against_reparameterization.py", "t REPARAM"])
def test_a_demo_is_found_by_number_file_or_words(asked):
    assert demo.find(asked).number == 8


@pytest.mark.parametrize(
    "asked, told",
    [
        ("99", f"0 to {int(SCRIPTS[-1].name[:2])}"),
        ("gradients", "its number: 9, 14, 16"),
        ("xyzzy", "a known name"),
    ],
)
def test_a_demo_that_is_not_there_is_one_line(asked, told, capsys):
    assert main.main(["demo", asked]) == 2
    line = capsys.readouterr().err
    assert line.startswith("elbo-lab: error: demo: expected") and told in line and line.count("\n") == 1


def test_a_demo_runs_and_says_where_its_picture_is(own_environment, capsys):
    assert main.main(["demo", "0", "--quick", "--out", "pictures"]) == 0
    out = capsys.readouterr().out
    assert f"the pictures: {own_environment / 'pictures'}" in out and str(SCRIPTS[0]) in out
    assert [path.suffix for path in sorted((own_environment / "pictures").iterdir())] == [".png", ".svg"]


@pytest.mark.parametrize("out", ["", "mine.txt", "/proc/x", "photos"])
def test_a_bad_folder_is_told_before_the_work_and_no_picture_is_lost(out, own_environment, capsys):
    (own_environment / "mine.txt").write_text("mine")
    (own_environment / "photos").mkdir()
    (own_environment / "photos" / "variational-inference.png").write_text("mine")
    assert main.main(["demo", "0", "--quick", "--out", out]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("elbo-lab: error: --out: expected ") and err.count("\n") == 1
    assert (own_environment / "photos" / "variational-inference.png").read_text() == "mine"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_every_picture_of_a_demo_is_known_before_it_is_drawn(path):
    text = path.read_text(encoding="utf-8")
    assert len(demo.FIGURE.findall(text)) == text.count('print("figure:", save_figure(') > 0


def test_a_picture_is_written_though_the_reader_has_gone(own_environment, monkeypatch, capsys):
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", encoding="utf-8") as closed, monkeypatch.context() as patch:
        patch.setattr("sys.stdout", closed)
        assert main.main(["demo", "0", "--quick", "--out", "pictures"]) == 0
    assert capsys.readouterr().err == "" and len(os.listdir(own_environment / "pictures")) == 2


@pytest.mark.parametrize("fault, code", [("KeyboardInterrupt", 130), ("OSError('no room')", 2)])
def test_an_end_before_the_end_is_told_as_of_any_command(fault, code, own_environment, monkeypatch, capsys):
    script = own_environment / "90_breaks.py"
    script.write_text(f"# # Breaks\nraise {fault}\nr'''\nExpected time: a second.\n'''\n")
    monkeypatch.setattr(demo, "shipped", lambda _: own_environment)
    assert main.main(["demo", "90"]) == code
    assert "the pictures" not in capsys.readouterr().out


TELLS = """# # Tells
import os
print("budget", os.environ["ELBO_LAB_QUICK"])
r'''
Expected time: none.
'''
"""


@pytest.mark.parametrize(("options", "budget"), [(["--quick"], "1"), ([], "0")])
def test_the_budget_is_small_only_where_it_is_asked_for(
    options, budget, own_environment, monkeypatch, capsys
):
    (own_environment / "90_tells.py").write_text(TELLS)
    monkeypatch.setattr(demo, "shipped", lambda _: own_environment)
    assert main.main(["demo", "90", *options]) == 0
    assert f"budget {budget}\n" in capsys.readouterr().out


def test_what_is_shipped_inside_the_package_comes_first(tmp_path, monkeypatch):
    package = tmp_path / "elbo_lab"
    (package / "demos").mkdir(parents=True)
    monkeypatch.setattr(shipped.elbo_lab, "__file__", str(package / "__init__.py"))
    assert shipped.shipped("demos") == package / "demos" and shipped.shipped("pages") == tmp_path / "docs"
