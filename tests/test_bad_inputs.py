"""Whatever stands after an option: done, or refused in one line that names it, and no file is harmed.

Cases are drawn by seed from every option of every command and every class of bad value. The options are those
of the parser, so that a new one is tried as well; `pytest -m slow tests/test_bad_inputs.py` tries many more.
"""

import argparse
import os
import random
import re
import shutil
import signal
import sys

import numpy as np
import pytest
from test_outputs import make_inputs, state

from elbo_lab.cli.main import POSITIONAL, build_parser, main

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links, devices and pipes of POSIX")

# Runs that take a moment: what an option changes is then a moment as well.
COMMANDS = {
    "compare": (
        "compare gaussian-mle --rows 4 --repeats 9 --draws 2 --threads 1 --only elbo-log-weight --no-report"
    ),
    "advise": "advise gaussian-mle --rows 4 --repeats 20 --draws 2 --threads 1",
    "draws": "draws gaussian-mle --rows 4",
    "fit": "fit deep-bernoulli --data bits.csv --latent 1 --hidden 3 --epochs 2 --threads 1",
    "evaluate": "evaluate c.npz --data bits.csv --importance-samples 9",
    "sample": "sample c.npz --count 5 --out s",
    "race": "race ppca --data faithful --latent 1 --steps 5 --repeats 2 --rates 0.1 --threads 1",
    "diff": "diff a.json b.json",
    "list": "list models",
    "explain": "explain dreg",
    "demo": "demo 0 --notebook",
    "check": "check reparameterization",
    "doctor": "doctor",
}
VALUES = {
    "nothing": "",
    "a space": " ",
    "not a number": "nan",
    "infinity": "inf",
    "zero": "0",
    "below zero": "-1",
    "a fraction": "1.5",
    "larger than memory": "1000000000000",
    "larger than any integer": "9" * 30,
    "a number with an underscore": "1_000",
    "full-width digits": "１２",
    "a word": "zebra",
    "a name of another kind": "reparameterization",
    "capital letters": "PPCA",
    "commas only": ",,",
    "a name twice": "score-function,score-function",
    "a very long word": "x" * 5000,
    "a NUL": "a\0b",
    "a line break": "a\nb",
    "an escape sequence": "\x1b[31mred",
    "not UTF-8": "\udcff",
    "a format": "%s {0} %(name)s",
    "an expression": "__import__('os')",
    "an assignment": "adam:rate=",
    "a colon": "sgd:",
    "a folder": "folder",
    "no such file": "no/such/file.csv",
    "a pipe": "pipe",
    "a device": "/dev/zero",
    "bytes": "junk",
    "a text": "notes.txt",
    "the checkpoint": "c.npz",
    "the data": "bits.csv",
    "a dash": "-",
}
# What leaves the parser with code 0, and what opens the machine's own folders.
LEFT_OUT = {"--help", "--version", "--force"}
# A number that is as good as endless is no mistake where it only takes time.
ENDLESS = {"--epochs", "--phi-steps", "--restarts", "--importance-samples", "--budget", "--patience"}
LARGE = {"infinity", "larger than memory", "larger than any integer"}
QUICK, MANY = 60, 440
SECONDS = 60


def options_of(command):
    """Return the options and positional arguments of a command; None stands for a positional one."""
    subcommands = next(a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    actions = subcommands.choices[command]._actions if command in subcommands.choices else []
    takes = [action for action in actions if action.nargs != 0 and not LEFT_OUT & set(action.option_strings)]
    return [action.option_strings[-1] if action.option_strings else action.dest for action in takes]


def cases(count):
    """Return `count` cases by seed."""
    everything = [
        (command, option, what)
        for command in COMMANDS
        for option in options_of(command)
        for what in VALUES
        if not (option in ENDLESS and what in LARGE)
    ]
    return random.Random(0).sample(everything, min(count, len(everything)))


def arguments(command, option, value):
    """Return the command with a bad value; a positional argument is replaced."""
    words = COMMANDS[command].split()
    if option.startswith("-"):
        return [*words, f"{option}={value}"]
    place = 1 + [name for name in options_of(command) if not name.startswith("-")].index(option)
    return [*words[:place], value, *words[place + 1 :]]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with what the commands read."""
    folder = tmp_path_factory.mktemp("made")
    make_inputs(folder, COMMANDS, "bits.csv", np.random.default_rng(0).random((12, 4)) < 0.5)
    shutil.rmtree(folder / "figures")
    (folder / "notes.txt").write_text("mine")
    (folder / "junk").write_bytes(bytes(range(256)))
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """A copy of that folder as the working folder."""
    folder = tmp_path / "here"
    shutil.copytree(made, folder, ignore=shutil.ignore_patterns("pipe"))
    os.mkfifo(folder / "pipe")
    monkeypatch.chdir(folder)
    before = signal.signal(signal.SIGALRM, too_long)
    yield folder
    signal.signal(signal.SIGALRM, before)


def too_long(*_):
    """End a case that would wait for ever."""
    raise TimeoutError(f"more than {SECONDS} s")


def check(code, out, err, before, after, option):
    """Hold what a command left behind against the law."""
    lines = [line for line in err.splitlines() if "warning: " not in line]
    assert "Traceback" not in err + out
    assert all(after.get(name) == found for name, found in before.items()), "a file was changed"
    if code in (0, 1, 3):
        return
    assert code == 2, (code, err)
    assert len(lines) == 1 and len(lines[0]) < 700, lines
    assert lines[0].startswith("elbo-lab: error: ")
    assert re.search(rf"{option.lstrip('-')}\b|{option.replace('-', '_').lstrip('_')}\b|data\b", lines[0]), (
        lines
    )
    assert lines[0].isprintable()
    assert after == before, "a refused command left a file"


def run(here, capsys, command, option, value):
    """Run one case in this process."""
    before = state(here)
    signal.alarm(SECONDS)
    try:
        code = main(arguments(command, option, value))
    except SystemExit as leaving:
        code = leaving.code
    finally:
        signal.alarm(0)
    out, err = capsys.readouterr()
    check(code, out, err, before, state(here), POSITIONAL.get(command, {}).get(option, option))


def name(case):
    command, option, what = case
    return f"{command}-{option}-{what.replace(' ', '-')}"


@pytest.mark.parametrize("case", cases(QUICK), ids=name)
def test_any_value_of_any_option_is_taken_or_refused_in_one_line(here, capsys, case):
    command, option, what = case
    run(here, capsys, command, option, VALUES[what])


@pytest.mark.slow
@pytest.mark.parametrize("case", cases(QUICK + MANY)[QUICK:], ids=name)
def test_many_more_values_are_taken_or_refused_in_one_line(here, capsys, case):
    command, option, what = case
    run(here, capsys, command, option, VALUES[what])
