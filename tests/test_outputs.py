"""Whatever a user names as an output: no file is lost, and a bad name is one line before the work."""

import hashlib
import json
import os
import random
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import elbo_lab
from elbo_lab import outputs
from elbo_lab.cli.main import main
from elbo_lab.comparison.advice import Advice
from elbo_lab.comparison.result import figure_names
from elbo_lab.files import Kind, replacing_anything
from elbo_lab.fitting.result import side_file
from elbo_lab.outputs import Plan
from elbo_lab.registry import all_estimators
from elbo_lab.report.questions import OF_FITS

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links, devices and pipes of POSIX")

ROWS = np.random.default_rng(0).normal(size=(12, 3))
COMMANDS = {
    "compare": "compare ppca --data d.csv --rows 4 --repeats 20 --draws 2 --estimators exact,elbo-sampled "
    "--no-report",
    "advise": "advise gaussian-mle --rows 4 --repeats 20 --data d.csv",
    "draws": "draws gaussian-mle --rows 4 --data d.csv",
    "fit": "fit factor-analysis --data d.csv --epochs 3 --latent 1",
    "resume": "fit --resume c.npz --epochs 4",
    "evaluate": "evaluate c.npz --data d.csv",
    "sample": "sample c.npz --count 5",
    "diff": "diff a.json b.json",
}
FILE_OPTIONS = {
    "compare": ["--json", "--csv"],
    "fit": ["--json", "--checkpoint"],
    **{command: ["--json"] for command in ("advise", "draws", "resume", "evaluate", "diff")},
}
FOLDER_OPTIONS = (
    *((command, "--out") for command in ("compare", "fit", "resume", "sample")),
    ("compare", "--report"),
)


def make_inputs(folder, commands, data, rows):
    """Write what commands read: a file of data, a checkpoint, two runs of compare with their figures."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        np.savetxt(data, rows, delimiter=",", fmt="%g")
        assert main([*commands["fit"].split(), "--checkpoint", "c.npz"]) == 0
        for seed, name in enumerate(("a.json", "b.json")):
            options = ["--seed", str(seed), "--json", name, "--out", "figures"]
            assert main([*commands["compare"].split(), *options]) == 0
    finally:
        os.chdir(before)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with what the commands read, and what a user may have beside it."""
    folder = tmp_path_factory.mktemp("made")
    make_inputs(folder, COMMANDS, "d.csv", ROWS)
    (folder / "notes.txt").write_text("mine")
    (folder / "other.json").write_text('{"schema": "of another program"}')
    (folder / "other.csv").write_text("x,y\n1,2\n")
    np.savez(folder / "other.npz", x=ROWS)
    (folder / "empty").touch()
    (folder / "photos").mkdir()
    for name in (*OF_FITS, *figure_names({estimator.target for estimator in all_estimators()})):
        (folder / "photos" / f"{name}.png").write_bytes(b"\x89PNG\r\n\x1a\n a photograph")
    (folder / "photos" / "index.html").write_text("<!DOCTYPE html>\n<html lang='en'>\nmy photographs")
    (folder / "samples").mkdir()
    np.savez(folder / "samples" / "samples.npz", x=ROWS)
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """A copy of that folder, with links and pipes, as the working folder."""
    folder = tmp_path / "here"
    shutil.copytree(made, folder)
    monkeypatch.chdir(folder)
    os.symlink("d.csv", "link.csv")
    os.link("d.csv", "hard.csv")
    os.symlink(made / "d.csv", "far.csv")
    os.symlink("loop", "loop")
    os.symlink("gone", "dangling")
    os.mkfifo("pipe")
    return folder


def state(folder):
    """Return all names in a folder, with the bytes of the files."""
    found = {}
    for path in sorted(folder.rglob("*")):
        is_file = path.is_file() and not path.is_symlink()
        found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest() if is_file else path.lstat().st_ino
    return found


def refused(here, capsys, command, argument):
    """Run a command that must be refused in one line, and leave everything as it was."""
    before = state(here)
    assert main(command) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "Traceback" not in err
    assert err.startswith(f"elbo-lab: error: {argument}: expected "), err
    assert len(err) < 600
    assert state(here) == before
    return err


BAD_FILES = {
    "nothing": "",
    "a folder": "figures",
    "a folder that is to be": "new/",
    "a place of no name": "new/.",
    "a place in no folder": "no/such/folder",
    "a place in a file": "notes.txt/x",
    "a name of 300 characters": "n" * 300,
    "a device": "/dev/null",
    "a pipe without an end": "pipe",
    "a link to itself": "loop",
    "the data": "d.csv",
    "a link to the data": "link.csv",
    "the data by another name": "hard.csv",
    "the data by a longer way": "../here/./d.csv",
    "a stream for reading": "/dev/fd/0",
    "no stream": "/dev/fd/987",
    "a text": "notes.txt",
    "the JSON of another program": "other.json",
    "the CSV of another program": "other.csv",
    "the arrays of another program": "other.npz",
    "a checkpoint": "c.npz",
    "a figure": "figures/grad-theta-elbo.png",
    "a folder of the system": "/proc/x",
}
BAD_FOLDERS = {
    "nothing": "",
    "a file": "notes.txt",
    "a place in a file": "notes.txt/x/y",
    "a name of 300 characters": "n" * 300,
    "a link to itself": "loop",
    "a place behind a link to nothing": "dangling/x",
    "a folder of the system": "/proc/x",
    "a folder of photographs": "photos",
}
CASES = [(c, option, what) for c, options in FILE_OPTIONS.items() for option in options for what in BAD_FILES]
CASES += [(command, option, what) for command, option in FOLDER_OPTIONS for what in BAD_FOLDERS]


@pytest.mark.parametrize(("command", "option", "what"), CASES, ids=lambda value: value.replace(" ", "-"))
def test_a_bad_output_is_refused_before_the_work_and_no_file_changes(here, capsys, command, option, what):
    target = (BAD_FOLDERS if option in ("--out", "--report") else BAD_FILES)[what]
    with open(os.devnull, "rb") as nothing:
        saved = os.dup(0)
        os.dup2(nothing.fileno(), 0)  # a terminal is open in both directions
        try:
            refused(here, capsys, [*COMMANDS[command].split(), option, target], option)
        finally:
            os.dup2(saved, 0)
            os.close(saved)


COLLISIONS = {
    "two outputs": ("compare", "--json s --csv s", "--csv"),
    "two outputs by a link": ("compare", "--json dangling --csv gone", "--csv"),
    "a folder and a file": ("fit", "--json s --out s", "--json"),
    "a folder below a file": ("fit", "--json s --out s/t/u", "--json"),
    "a report and a JSON": ("compare", "--json index.html --report .", "--report"),
    "a figure and a JSON": ("fit", "--json figures/samples.svg --out figures", "--out"),
    "a figure and a checkpoint": ("fit", "--checkpoint figures/latent-plane.png --out figures", "--out"),
    "samples and the checkpoint": ("sample", "--out .", "--out"),
    "the JSON and the checkpoint": ("fit", "--checkpoint s.npz --json s.npz", "--json"),
    "large parameters and the checkpoint": ("fit", "--json s.json --checkpoint s.parameters.npz", "--json"),
    "the checkpoint that is read": ("resume", "--json c.npz --force", "--json"),
    "the data of the checkpoint": ("resume", "--json far.csv --force", "--json"),
    "the checkpoint that is judged": ("evaluate", "--json c.npz --force", "--json"),
    "the data": ("evaluate", "--json hard.csv --force", "--json"),
    "the first run": ("diff", "--json a.json --force", "--json"),
    "the second run": ("diff", "--json ./b.json --force", "--json"),
    "one stream twice": ("compare", "--json /dev/stdout --csv /dev/fd/1", "--csv"),
}


@pytest.mark.parametrize("what", COLLISIONS, ids=lambda what: what.replace(" ", "-"))
def test_no_file_is_two_things_at_once_not_even_by_force(here, capsys, what):
    command, options, argument = COLLISIONS[what]
    if what == "samples and the checkpoint":
        os.rename("c.npz", "samples.npz")
        command = "sample samples.npz --force"
    line = refused(here, capsys, [*COMMANDS.get(command, command).split(), *options.split()], argument)
    assert "expected another file than that of " in line or what in ("a figure and a JSON",)


ALPHABETS = ("ab.", "aü€𝄞", "a \t\n\r", "-~*?[]$'\"\\", "a\x01\x7f\x1b", "\udc80\udcff", "./", "0")
STEMS = ("", "", "d.csv", "./", "figures/", "notes.txt", "../", "new/", ".", "o.json/", "link.csv", "--")


RANDOM_COMMANDS = ("diff", "diff", "diff", "evaluate", "evaluate", "fit", "sample")


def random_name(rng):
    """Return a name for a file as no user would write it, or nearly."""
    letters = rng.choice(ALPHABETS)
    length = rng.choice((0, 1, 2, 9, 60, 64, 120, 127, 230, 255, 256))
    name = "".join(rng.choice(letters) for _ in range(length))
    return rng.choice(STEMS) + name.replace("..", "._")  # not out of the test's own folder


@pytest.mark.parametrize("seed", range(4))
def test_names_at_random_are_written_or_refused_in_one_line_and_nothing_else_changes(here, capsys, seed):
    rng = random.Random(seed)
    for _ in range(10):
        command, name = (
            rng.choice(("diff", "diff", "diff", "evaluate", "evaluate", "fit", "sample")),
            random_name(rng),
        )
        option = rng.choice(FILE_OPTIONS.get(command, ["--out"]))
        before = state(here.parent)
        code = main([*COMMANDS[command].split(), f"{option}={name}"])
        err, after = capsys.readouterr().err, state(here.parent)
        assert {path: after.get(path) for path in before} == before, (command, option, name)
        if code == 2:
            assert after == before and err.startswith(f"elbo-lab: error: {option}: ") and err.count("\n") == 1
        else:
            assert code == (1 if command == "diff" else 0) and "error" not in err
            assert len(after) > len(before), (command, option, name)
        for path in sorted(set(after) - set(before), reverse=True):
            Path(path).rmdir() if Path(path).is_dir() else Path(path).unlink()


def test_members_of_a_data_folder_are_inputs(here, capsys):
    (here / "mnist").mkdir()
    for name in ("mnist/train-images-idx3-ubyte", "t10k-images-idx3-ubyte.gz"):
        Path(name).write_bytes(b"\0\0\x08\x03")
        command = ["fit", "ppca", "--data", "mnist", "--data-dir", ".", "--json", name, "--force"]
        refused(here, capsys, command, "--json")


def test_the_law_catches_a_plan_without_its_checks(here, capsys, monkeypatch):
    monkeypatch.setattr(outputs, "check_replaceable", lambda *_: None)
    monkeypatch.setattr("elbo_lab.files.check_replaceable", lambda *_: None)
    with pytest.raises(AssertionError):
        refused(here, capsys, [*COMMANDS["diff"].split(), "--json", "notes.txt"], "--json")
    assert (here / "notes.txt").read_text() != "mine"


def test_a_file_system_that_ignores_case_is_found_out(tmp_path, monkeypatch):
    kind = Kind("a text", rb"t")
    for ignores in (False, True):
        monkeypatch.setattr(outputs, "_ignores_case", lambda _folder, ignores=ignores: ignores)
        plan = Plan()
        plan.writes("--json", tmp_path / "New", kind)
        if not ignores:
            plan.writes("--csv", tmp_path / "new", kind)
            continue
        with pytest.raises(ValueError, match="--csv: expected another file than that of --json"):
            plan.writes("--csv", tmp_path / "new", kind)


# -- what may be replaced ------------------------------------------------------------------------

AGAIN = {
    "compare": "--json o.json --csv o.csv --out f --report r",
    "fit": "--json o.json --out f",
    "sample": "--out f",
    "evaluate": "--json o.json",
    "diff": "--json o.json",
}


@pytest.mark.parametrize("command", AGAIN)
def test_a_command_replaces_its_own_outputs_and_empty_files_and_by_force_any(here, command):
    arguments = [*COMMANDS[command].split(), *AGAIN[command].split()]
    (here / "o.json").touch()
    expected = (0, 1) if command == "diff" else (0,)
    assert main(arguments) in expected
    assert main(arguments) in expected
    if command in ("evaluate", "diff"):
        (here / "o.json").write_text("mine")
        assert main(arguments) == 2
        assert main([*arguments, "--force"]) in expected
        assert (here / "o.json").read_text().startswith('{\n "schema"')


@pytest.mark.usefixtures("here")
def test_advice_replaces_advice_and_the_json_of_another_command_stays():
    advice = Advice({}, (), [])
    advice.to_json("advice.json")
    assert advice.to_json("advice.json") == Path("advice.json").read_text()
    with pytest.raises(ValueError, match="json: expected a new file, or the JSON of 'elbo-lab advise'"):
        advice.to_json("a.json")
    with replacing_anything():
        advice.to_json("a.json")
    assert json.loads(Path("a.json").read_text())["schema"] == "elbo_lab/advice/1"


@pytest.mark.parametrize("name", ["n" * 255, "ü" * 127, "n" * 250 + ".json"])
def test_the_longest_names_hold_a_record_and_its_parameters(tmp_path, name):
    side = side_file(tmp_path / name)
    side.touch()
    assert side.name.endswith(".parameters.npz") and side_file(tmp_path / f"{name[:-9]}2.json") != side


def test_names_that_differ_after_a_point_have_two_files_beside_them():
    assert str(side_file("a/out.json")) == "a/out.parameters.npz"
    assert side_file("run.1") != side_file("run.2")


@pytest.mark.parametrize(
    ("room", "pattern", "named"),
    [("fitting", r'yield "([a-z-]+)"', [*OF_FITS]), ("comparison", r'draw\["([a-z-]+)"\]', figure_names([]))],
)
def test_the_plan_knows_every_figure_by_name(room, pattern, named):
    source = (Path(elbo_lab.__file__).parent / room / "figures.py").read_text(encoding="utf-8")
    assert set(re.findall(pattern, source)) == set(named)
