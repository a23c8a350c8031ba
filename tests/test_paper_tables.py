"""Published results beside ours: a table for people, JSON for programs, one line for a mistake."""

import json
import subprocess
import sys

import numpy as np
import pytest

from elbo_lab.cli.paper import publish

ROWS = [
    {"quantity": "slope [phi]", "published": -0.5, "ours": np.float64(-0.4875), "note": "theorem 1"},
    {"quantity": "variance", "published": "falls", "ours": "falls"},
    {"quantity": "draws", "ours": np.int64(1000)},
]
SCRIPT = (
    f"from elbo_lab.cli.paper import publish\nimport numpy as np\nnp.float64\npublish({ROWS!r}, 'A law')\n"
)
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


def run(*words, cwd):
    return subprocess.run([sys.executable, *map(str, words)], cwd=cwd, capture_output=True, text=True)


def test_the_table_shows_every_row_with_its_note(capsys):
    publish(ROWS, "A law")
    shown = capsys.readouterr().out
    for words in ("A law", "slope [phi]", "-0.5", "-0.4875", "theorem 1", "falls", "1000"):
        assert words in shown


def test_a_script_of_its_own_writes_json_where_it_is_told(script, tmp_path):
    done = run(script.name, "--json", "out.json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert found == {"schema": 1, "title": "A law", "rows": WRITTEN}
    assert [list(row) for row in found["rows"]] == [list(row) for row in WRITTEN]


def test_a_runner_keeps_its_own_command_line(script, tmp_path):
    code = f"import runpy, sys; runpy.run_path({str(script)!r}, run_name='__main__')"
    done = run("-c", code, "--json", "runner.json", "--other", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "") and "A law" in done.stdout
    assert not (tmp_path / "runner.json").exists()


@pytest.mark.parametrize("name", ["'author'", "'__main__'"])
def test_a_runner_with_a_file_of_its_own_keeps_its_command_line(script, tmp_path, name):
    # As the command `pytest` is: its words stand in sys.argv, whatever it runs.
    runner = tmp_path / "runner.py"
    runner.write_text(
        f"exec({script.read_text(encoding='utf-8')!r}, {{'__name__': {name}}})\n", encoding="utf-8"
    )
    done = run(runner.name, "--json", "runner.json", "--other", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "") and "A law" in done.stdout
    assert not (tmp_path / "runner.json").exists()


OPTIONS = (
    "from elbo_lab.cli.paper import own_options, paper_parser, publish\n"
    "parser = paper_parser()\nparser.add_argument('--short', action='store_true')\n"
    "short = own_options(parser).short\n"
    "publish([{'quantity': 'short', 'ours': str(short)}], 'A long run', parser)\n"
)


@pytest.mark.parametrize("words", [[], ["--short"]], ids=["none", "short"])
def test_a_script_reads_options_of_its_own_beside_json(tmp_path, words):
    path = tmp_path / "author_2020_run.py"
    path.write_text(OPTIONS, encoding="utf-8")
    done = run(path.name, *words, "--json", "out.json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    (row,) = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["rows"]
    assert row["ours"] == str(bool(words))
    code = f"import runpy; runpy.run_path({str(path)!r}, run_name='__main__')"
    assert "False" in run("-c", code, "--short", cwd=tmp_path).stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--json", "nowhere/out.json"], "nowhere"),
        (["--json", "."], "folder"),
        (["--json"], "--json"),
        (["--jsom", "out.json"], "--jsom"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line_and_code_2(script, tmp_path, words, told):
    done = run(script, *words, cwd=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("row", "error", "told"),
    [
        ({"quantity": "a"}, ValueError, "'quantity' in row 0"),
        ({"quantity": "a", "ours": 1, "hers": 2}, ValueError, "'hers' in row 0"),
        ({"quantity": "a", "ours": float("nan")}, ValueError, r"rows\[0\]\['ours'\].*nan"),
        ({"quantity": "a", "ours": None}, TypeError, r"rows\[0\]\['ours'\].*None"),
        ({"quantity": 1, "ours": 2}, TypeError, r"rows\[0\]\['quantity'\].*words"),
    ],
)
def test_a_row_that_cannot_be_read_is_refused(row, error, told):
    with pytest.raises(error, match=told):
        publish([row], "A law")
