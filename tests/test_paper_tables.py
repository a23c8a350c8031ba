"""Published results beside ours: a table for people, JSON for programs, one line for a mistake."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from _paper import QUICK_MARK, paper_parser, publish, read_options
from other_process import run_python

PAPERS = Path(__file__).parents[1] / "demos" / "papers"
ROWS = [
    {"quantity": "slope [phi]", "published": -0.5, "ours": np.float64(-0.4875), "note": "theorem 1"},
    {"quantity": "variance", "published": "falls", "ours": "falls"},
    {"quantity": "draws", "ours": np.int64(1000)},
]
SCRIPT = f'''"""A law, as its paper states it."""
import numpy as np
from _paper import paper_parser, publish, read_options
asked = read_options(paper_parser(__doc__))
print("computing", np.float64(1.0))
publish({ROWS!r}, "A law", asked)
'''
WRITTEN = [
    {"quantity": "slope [phi]", "published": -0.5, "ours": -0.4875, "note": "theorem 1"},
    {"quantity": "variance", "published": "falls", "ours": "falls", "note": ""},
    {"quantity": "draws", "published": None, "ours": 1000, "note": ""},
]


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "author_2020_law.py"
    path.write_text(SCRIPT, encoding="utf-8")
    return path


run_paper = partial(run_python, path=[PAPERS])


def test_the_table_shows_every_row_with_its_note(capsys):
    publish(ROWS, "A law", read_options(paper_parser("")))
    shown = capsys.readouterr().out
    for words in ("A law", "slope [phi]", "-0.5", "-0.4875", "theorem 1", "falls", "1000"):
        assert words in shown


def test_a_script_of_its_own_writes_json_where_it_is_told(script, tmp_path):
    done = run_paper(script.name, "--json", "out.json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert found == {"schema": 1, "title": "A law", "rows": WRITTEN}
    assert [list(row) for row in found["rows"]] == [list(row) for row in WRITTEN]


def test_a_runner_keeps_its_own_command_line(script, tmp_path):
    code = f"import runpy, sys; runpy.run_path({str(script)!r}, run_name='__main__')"
    done = run_paper("-c", code, "--json", "runner.json", "--other", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "") and "A law" in done.stdout
    assert not (tmp_path / "runner.json").exists()


@pytest.mark.parametrize("name", ["'author'", "'__main__'"])
def test_a_runner_with_a_file_of_its_own_keeps_its_command_line(script, tmp_path, name):
    # As the command `pytest` is: its words stand in sys.argv, whatever it runs.
    runner = tmp_path / "runner.py"
    runner.write_text(
        f"exec({script.read_text(encoding='utf-8')!r}, {{'__name__': {name}}})\n", encoding="utf-8"
    )
    done = run_paper(runner.name, "--json", "runner.json", "--other", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "") and "A law" in done.stdout
    assert not (tmp_path / "runner.json").exists()


OPTIONS = (
    "from _paper import paper_parser, publish, read_options\n"
    "parser = paper_parser('A long run')\nparser.add_argument('--short', action='store_true')\n"
    "asked = read_options(parser)\n"
    "publish([{'quantity': 'short', 'ours': str(asked.short)}], 'A long run', asked)\n"
)


@pytest.mark.parametrize("words", [[], ["--short"]], ids=["none", "short"])
def test_a_script_reads_options_of_its_own_beside_json(tmp_path, words):
    path = tmp_path / "author_2020_run.py"
    path.write_text(OPTIONS, encoding="utf-8")
    done = run_paper(path.name, *words, "--json", "out.json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    (row,) = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["rows"]
    assert row["ours"] == str(bool(words))
    code = f"import runpy; runpy.run_path({str(path)!r}, run_name='__main__')"
    assert "False" in run_paper("-c", code, "--short", cwd=tmp_path).stdout


MISTAKES = [
    (["--json", "nowhere/out.json"], "nowhere"),
    (["--json", "."], "folder"),
    (["--json"], "--json"),
    (["--jsom", "out.json"], "--jsom"),
    (["extra"], "extra"),
]


@pytest.mark.parametrize(("words", "told"), MISTAKES)
def test_a_mistake_on_the_command_line_is_told_before_anything_is_computed(script, tmp_path, words, told):
    done = run_paper(script, *words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr


def test_help_shows_what_the_script_is_about_and_computes_nothing(script, tmp_path):
    done = run_paper(script, "--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "as its paper states it" in done.stdout and "computing" not in done.stdout


def test_a_quick_run_says_so_in_its_caption(capsys):
    publish(ROWS, "A law", read_options(paper_parser("")), quick=True)
    assert f"A law {QUICK_MARK}" in capsys.readouterr().out


@pytest.mark.parametrize("path", sorted(PAPERS.glob("[!_]*.py")), ids=lambda path: path.stem)
def test_every_script_reads_its_options_before_its_data(path):
    text = path.read_text(encoding="utf-8")
    where = text.index("read_options(pa" if "mnist_parser" not in text else "read_options(PARSER)")
    early = text[:where]
    assert "load(" not in early and "# %%" in early
    assert early.count("# %% ") <= 3, "options are read among the constants"


MNIST_MISTAKES = [
    (["--seconds", "-1"], "--seconds: expected a positive number of seconds, got '-1'"),
    (["--seconds", "nan"], "got 'nan'"),
    (["--only", "7"], "--only"),
    (["--json", "nowhere/out.json"], "nowhere"),
    (["--data-dir", "."], "none in '.'"),
]


@pytest.mark.parametrize("name", ["burda_2016_table_1", "kingma_2014_figure_2", "kingma_2014_figure_3"])
@pytest.mark.parametrize(("words", "told"), MNIST_MISTAKES)
def test_a_script_on_mnist_tells_a_mistake_in_one_line(tmp_path, monkeypatch, name, words, told):
    monkeypatch.delenv("ELBO_LAB_QUICK", raising=False)
    done = run_paper(PAPERS / f"{name}.py", "--short", *words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr


BAD_TABLE_ROWS = [
    ({"quantity": "a"}, ValueError, "'quantity' in row 0"),
    ({"quantity": "a", "ours": 1, "hers": 2}, ValueError, "'hers' in row 0"),
    ({"quantity": "a", "ours": float("nan")}, ValueError, r"rows\[0\]\['ours'\].*nan"),
    ({"quantity": "a", "ours": None}, TypeError, r"rows\[0\]\['ours'\].*None"),
    ({"quantity": 1, "ours": 2}, TypeError, r"rows\[0\]\['quantity'\].*words"),
]


@pytest.mark.parametrize(("row", "error", "told"), BAD_TABLE_ROWS)
def test_a_row_that_cannot_be_read_is_refused(row, error, told):
    with pytest.raises(error, match=told):
        publish([row], "A law", read_options(paper_parser("")))
