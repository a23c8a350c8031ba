"""The command line: thin, plain when piped, and one line for a mistake."""

import functools
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from other_process import ROOT, run_python

from elbo_lab import __version__
from elbo_lab.cli import compare as compare_command
from elbo_lab.cli.main import main
from elbo_lab.estimators import ESTIMATORS
from elbo_lab.estimators.targets import parse as parse_target

QUICK = ["--rows", "4", "--repeats", "40", "--threads", "2"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def code_of(arguments):
    """Return the exit code of main, also where argparse leaves by SystemExit."""
    try:
        return main(arguments)
    except SystemExit as leaving:
        return leaving.code


def test_version(capsys):
    assert code_of(["--version"]) == 0
    assert capsys.readouterr().out == f"elbo-lab {__version__}\n"


def test_help_teaches_by_example(capsys):
    assert code_of(["--help"]) == 0
    assert "Start with: elbo-lab compare" in capsys.readouterr().out
    assert code_of(["compare", "--help"]) == 0
    text = capsys.readouterr().out
    assert text.count("elbo-lab compare ") >= 6
    options = "estimators data latent posterior at noise draws repeats rows seed threads quick json csv out"
    assert all(f"--{option}" in text for option in options.split())


def test_doctor_tells_what_the_installation_runs_on(capsys):
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    words = ("elbo-lab", "python", "numpy", "scipy", "numba", "blas", "threads", "kernels", "kernel cache")
    assert [word for word in words if word not in text] == []


def test_compare_writes_json_csv_and_figures_and_prints_plain_tables(here, capsys):
    files = ["--json", "o.json", "--csv", "o.csv", "--out", "figures", "--figures", "all"]
    assert main(["compare", "ppca", "--latent", "2", *QUICK, *files]) == 0
    out, err = capsys.readouterr()
    rows = json.loads((here / "o.json").read_text(encoding="utf-8"))["rows"]
    shown = [estimator for estimator in ESTIMATORS if estimator.compared]
    assert len(rows) == len(shown)
    assert len((here / "o.csv").read_text(encoding="utf-8").splitlines()) == len(rows) + 1
    figures = sorted(path.name for path in (here / "figures").iterdir())
    assert {Path(name).suffix for name in figures} == {".png", ".svg"}
    targets = {parse_target(row["target"])[0] for row in rows}
    others = {"gradient-cloud", "variance-vs-draws", "prior-monte-carlo"}
    assert {Path(name).stem for name in figures} == targets | others
    assert len(figures) == 2 * (len(targets) + len(others))
    assert all(path.stat().st_size > 2000 for path in (here / "figures").iterdir())
    assert sorted(path.name for path in here.iterdir()) == ["elbo-lab-report", "figures", "o.csv", "o.json"]
    assert [path.name for path in (here / "elbo-lab-report").iterdir()] == ["index.html"]
    assert "\x1b" not in out + err and "written: o.json, o.csv, figures/ (" in out
    assert out.endswith("elbo-lab-report/index.html\n")
    for estimator in shown:
        assert estimator.name in out


def parse(*arguments):
    """Return what compare() would be called with."""
    seen = {}

    class Stop(Exception):
        pass

    import elbo_lab.comparison as comparison

    original = comparison.compare

    @functools.wraps(original)
    def catch(**arguments):
        seen.update(arguments)
        raise Stop

    comparison.compare = catch
    try:
        with pytest.raises(Stop):
            main(["compare", *arguments])
    finally:
        comparison.compare = original
    return seen


def test_compare_writes_one_file_by_default(here, capsys):
    words = "compare gaussian-mle --only elbo-log-weight --figures none"
    assert main([*words.split(), *QUICK]) == 0
    assert [str(path.relative_to(here)) for path in here.rglob("*.*")] == ["elbo-lab-report/index.html"]
    assert "written: elbo-lab-report/index.html" in capsys.readouterr().out


@pytest.mark.usefixtures("here")
def test_the_short_options_reach_compare():
    words = "--model ppca,gaussian-mle --target grad-phi-elbo,elbo --only REINFORCE"
    seen = parse(*words.split())
    assert (seen["models"], seen["targets"]) == (["ppca", "gaussian-mle"], ["grad-phi-elbo", "elbo"])
    assert seen["estimators"] == ["REINFORCE"]
    assert parse("ppca", "--model", "gaussian-mle")["models"] == ["ppca", "gaussian-mle"]


WRONG_NAMES = {
    "--target": "got 'grad-phi-elb'; did you mean 'grad-phi-elbo'?",
    "--only": "--only: expected a known name, got 'grad-phi-elb'",
    "--sort": "--sort: expected a known name, got 'grad-phi-elb'",
    "--columns": "--columns: expected a known name, got 'grad-phi-elb'",
    "--figures": "--figures: expected one of story, all, none, got 'grad-phi-elb'",
}


@pytest.mark.parametrize("option", WRONG_NAMES)
def test_a_wrong_name_is_one_line_before_anything_is_printed(here, capsys, option):
    assert main(["compare", option, "grad-phi-elb"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and WRONG_NAMES[option] in err and not list(here.iterdir())


@pytest.mark.usefixtures("here")
def test_options_reach_compare():
    words = "ppca gaussian-mle --estimators exact,elbo-sampled --data digits --seed 7 --noise sobol"
    seen = parse(*words.split())
    asked = {"models": ["ppca", "gaussian-mle"], "estimators": ["exact", "elbo-sampled"], "data": "digits"}
    default = {"draws": 10, "posterior": "free", "repeats": 1000, "rows": None, "latent": None, "at": None}
    expected = {**asked, **default, "seed": 7, "noise": "sobol", "threads": None}
    assert {key: seen[key] for key in expected} == expected
    assert parse("--full")["models"] is None and parse("--full")["estimators"] is None
    assert parse("--estimators", "exact, elbo-sampled")["estimators"] == ["exact", "elbo-sampled"]


def test_quick_takes_all_rows_of_a_table_with_fewer(here):
    (here / "three.csv").write_text(FILES["three.csv"], encoding="utf-8")
    assert parse("--quick", "--data", "three.csv")["rows"] == 3
    assert parse("--quick", "--data", "three.csv", "--rows", "5")["rows"] == 5  # to be refused by name


@pytest.mark.usefixtures("here")
def test_quick_gives_way_to_what_is_asked_for():
    quick = parse("--full", "--quick")
    assert (quick["repeats"], quick["rows"]) == (200, 8)
    asked = parse("--full", "--quick", "--repeats", "50", "--rows", "3")
    assert (asked["repeats"], asked["rows"]) == (50, 3)


FILES = {
    "hole.csv": "a,b\n1,2\n3,\n5,6\n",
    "three.csv": "1,2\n3,4\n5,7\n",
    "bad.npy": "no array",
}
BAD = [
    (["--draws", "0"], "--draws", "0"),
    (["--draws", "1"], "--draws", "at least 2 for "),
    (["--repeats", "0"], "--repeats", "0"),
    (["--repeats", "1"], "--repeats", "at least 2"),
    (["--estimators", "enumeration"], "--estimators", "got enumeration"),
    (["--rows", "10000"], "--rows", "10000"),
    (["--latent", "100"], "--latent", "100"),
    (["--threads", "0"], "--threads", "0"),
    (["--seed", "-1"], "--seed", "-1"),
    (["--data", "nosuch"], "--data", "'nosuch'"),
    (["--data", "nosuch.csv"], "--data", "'nosuch.csv'"),
    (["--data", "digits:grey"], "--data", "'grey'"),
    (["--data", "."], "--data", "'.'"),
    (["--estimators", "reparametrisatoin"], "--estimators", "did you mean 'reparameterization'"),
    (["--estimators", ","], "--estimators", "','"),
    (["--posterior", "fre"], "--posterior", "did you mean 'free'"),
    (["--at", "neer"], "--at", "did you mean 'near'"),
    (["--at", "near", "--posterior", "exact"], "--at", "'near'"),
    (["ppcaa"], "models", "did you mean 'ppca'"),
    (["--data", "hole.csv"], "--data", "an empty field on line 3"),
    (["--data", "bad.npy"], "--data", "bad.npy"),
    (["--json", "/dev/null/x.json"], "--json", "/dev/null/x.json"),
    (["--csv", "/dev/null/x.csv"], "--csv", "/dev/null/x.csv"),
    (["--json", "."], "--json", "'.'"),
    (["--out", "three.csv"], "--out", "three.csv"),
    (["--out", "three.csv/inside"], "--out", "three.csv"),
    (["--report", "three.csv"], "--report", "three.csv"),
    (["--figures", "storry"], "--figures", "did you mean 'story'"),
]


@pytest.mark.parametrize(
    ("arguments", "argument", "got"), BAD, ids=lambda v: " ".join(v) if isinstance(v, list) else ""
)
def test_a_mistake_is_one_line_and_exit_code_2_and_leaves_nothing(here, capsys, arguments, argument, got):
    for name, text in FILES.items():
        (here / name).write_text(text, encoding="utf-8")
    model = [] if arguments[0] == "ppcaa" else ["ppca"]
    start = time.perf_counter()
    assert main(["compare", *model, *QUICK, *arguments]) == 2
    seconds = time.perf_counter() - start
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "Traceback" not in err
    assert re.match(rf"elbo-lab: error: {argument}: expected .+, got .+", err)
    assert got in err
    assert sorted(path.name for path in here.iterdir()) == sorted(FILES)
    if argument in ("--json", "--csv", "--out", "--report"):
        assert seconds < 0.5


NO_COMMANDS = [
    ["compere"],
    ["advise"],
    ["sample"],
    ["compare", "--draws", "ten"],
    ["compare", "--nosuch"],
    ["compare", "--latent"],
    ["fit", "ppca", "--latent", "2.5"],
]


@pytest.mark.parametrize("arguments", NO_COMMANDS, ids=" ".join)
def test_argparse_leaves_with_2_and_one_line_too(capsys, arguments):
    assert code_of(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and re.fullmatch(r"elbo-lab: error: .+ \(see elbo-lab.* --help\)\n", err)


def test_an_unknown_option_points_to_the_help_of_its_command(capsys):
    assert code_of(["compare", "ppca", "--qiuck"]) == 2
    assert capsys.readouterr().err.endswith(
        "unrecognized arguments: --qiuck; did you mean --quick? (see elbo-lab compare --help)\n"
    )


OF_A_FILE = """
import numpy as np
from elbo_lab.estimators import Reparameterization
from elbo_lab.models import PPCA

class Half(Reparameterization):
    name = "half"
    def estimate(self, problem, noise, state=np.zeros(0)):
        gradient, state = super().estimate(problem, noise, state)
        return 0.5 * gradient, state

class Mine(PPCA):
    name = "mine"
"""


def test_models_and_estimators_of_a_file_are_compared_and_fitted(here, capsys):
    (here / "own.py").write_text(OF_A_FILE, encoding="utf-8")
    quick = "--rows 4 --repeats 50 --no-report --json out.json".split()
    both = "reparameterization,own.py:Half"
    assert main(["compare", "own.py:Mine", "--data", "faithful", "--estimators", both, *quick]) == 0
    rows = json.loads((here / "out.json").read_text(encoding="utf-8"))["rows"]
    assert [(row["model"], row["estimator"]) for row in rows] == [
        ("mine", "reparameterization"),
        ("mine", "half"),
    ]
    assert main(["fit", "own.py:Mine", "--data", "faithful", "--latent", "1", "--method", "closed-form"]) == 0
    capsys.readouterr()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none.py:Mine", "models: expected an existing file, got 'none.py'"),
        ("own.py:Nine", "models: expected a class or an object of own.py, got 'Nine'; it has"),
        ("own.py:Half", "models: expected a class derived from Model, or an object of one, got own.py:Half"),
    ],
)
def test_what_a_file_does_not_hold_is_told_in_one_line(here, capsys, name, said):
    (here / "own.py").write_text(OF_A_FILE, encoding="utf-8")
    assert main(["compare", name]) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1


def test_mixture_with_more_components_than_points(here, capsys):
    (here / "three.csv").write_text(FILES["three.csv"], encoding="utf-8")
    assert main(["compare", "gaussian-mixture", "--data", "three.csv", "--latent", "4"]) == 2
    assert "latent: expected at most as many components as the 3 data, got 4" in capsys.readouterr().err


def test_interrupting_gives_130_and_no_traceback(capsys, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(compare_command, "run", interrupt)
    assert main(["compare"]) == 130
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "interrupted" in err


def test_faults_of_the_program_are_not_hidden(monkeypatch):
    def fault(_):
        raise ZeroDivisionError

    monkeypatch.setattr(compare_command, "run", fault)
    with pytest.raises(ZeroDivisionError):
        main(["compare"])


# -- as a process ----------------------------------------------------------------------------------


def test_it_runs_as_a_module():
    found = run_python("-m", "elbo_lab", "list")
    assert found.returncode == 0 and found.stderr == "" and "score-function-loo" in found.stdout
    assert "\x1b" not in found.stdout


def test_a_wrong_kernel_switch_is_one_line(tmp_path):
    found = run_python(
        "-m",
        "elbo_lab",
        "compare",
        "deep-bernoulli",
        *QUICK,
        "--report",
        str(tmp_path / "f"),
        ELBO_LAB_KERNELS="cuda",
    )
    assert found.returncode == 2 and found.stdout == ""
    *progress, error = found.stderr.splitlines()  # on a busy machine it tells how far it is
    assert all(line.startswith("fits and exact answers") for line in progress)
    assert "ELBO_LAB_KERNELS" in error and "'cuda'" in error
    assert list(tmp_path.iterdir()) == []


def test_the_reader_of_the_output_may_leave():
    command = f"{sys.executable} -m elbo_lab list | head -1; exit ${{PIPESTATUS[0]}}"
    found = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert "Traceback" not in found.stderr and "BrokenPipe" not in found.stderr


def test_a_python_without_the_package_is_told_to_activate_the_environment():
    code = "import runpy, sys; sys.argv[1:] = ['compare']; runpy.run_module('elbo_lab', run_name='__main__')"
    # -S leaves site-packages out, so that nothing is installed.
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("elbo-lab: error: this Python has no ") and "activate" in line


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("compare --quik", "; did you mean --quick?"),
        ("compare ppca --threds=2", "; did you mean --threads?"),
        ("fit --nothing-like-it", ""),
    ],
)
def test_an_option_that_is_nearly_one_is_told_which(words, hint, capsys):
    assert code_of(words.split()) == 2
    assert f"unrecognized arguments: {words.split()[-1]}{hint} (see " in capsys.readouterr().err


def test_options_of_tables_without_a_model_say_that_they_leave_the_story(capsys):
    few = ["--only", "elbo-log-weight", "--rows", "2", "--repeats", "2", "--no-report"]
    assert main(["compare", *few]) == 0
    assert capsys.readouterr().out.startswith("These options ask for tables")
    assert main(["compare", "ppca", "--latent", "2", *few]) == 0
    assert "These options" not in capsys.readouterr().out
