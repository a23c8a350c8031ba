"""kill -9 at random moments, again and again: the end is, byte for byte, that of an undisturbed run."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from other_process import ROOT, run_python

from elbo_lab.training import load_checkpoint, save_checkpoint

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no kill -9 on this system")

# A save after every step, so that many kills fall into one.
FIT = """
import sys
from elbo_lab.cli.main import main
from elbo_lab.cli import screen
from elbo_lab.fitting import checkpoints
from elbo_lab.report import numbers
checkpoints.INTERVAL = 0.0
"""
START = "fit deep-bernoulli --data ../bits.csv --hidden 4 --batch 10 --latent 2 --threads 1".split()
RESUME = "fit --threads 1 --resume k.npz".split()


def folders(tmp_path):
    """Return two empty folders beside the data."""
    bits = np.random.default_rng(0).random((60, 5)) < 0.4
    np.savetxt(tmp_path / "bits.csv", bits, fmt="%d", delimiter=",")
    made = tmp_path / "killed", tmp_path / "whole"
    for folder in made:
        folder.mkdir()
    return made


def check_end(folder, whole):
    """Check what a chain of kills and resumptions has left at its end."""
    assert sorted(os.listdir(folder)) == ["k.json", "k.npz"]  # no temporary file, no lock
    assert (folder / "k.npz").read_bytes() == (whole / "k.npz").read_bytes()
    ours, theirs = (json.loads((place / "k.json").read_text()) for place in (folder, whole))
    for record in (ours, theirs):
        del record["final"]["seconds"]
    assert ours == theirs


# One process has imported everything; its children train, and are killed.
CHAIN = (
    FIT
    + """
import numba  # takes longest
import json, os, random, signal, time
start, resume, whole, kills = sys.argv[1:]
start, resume, rng = start.split(), resume.split(), random.Random(0)

def next_words():
    return resume if os.path.exists("k.npz") else [*start, "--checkpoint", "k.npz"]

def child(words):
    pid = os.fork()
    if pid == 0:
        os._exit(main(words))
    return pid

here = os.getcwd()
os.chdir(whole)
assert os.waitpid(child(start), 0)[1] == 0  # compiles, which may take longer than all that follows
began = time.monotonic()
assert os.waitpid(child([*start, "--checkpoint", "k.npz", "--json", "k.json"]), 0)[1] == 0
seconds = time.monotonic() - began
os.chdir(here)
killed, found = 0, set()
with open(os.path.join(whole, "k.npz"), "rb") as file:
    expected = file.read()
while killed < int(kills):
    pid = child(next_words())
    time.sleep(rng.uniform(0.0, seconds))
    os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    killed += status == signal.SIGKILL
    if status == 0:  # before its kill: begin again
        with open("k.npz", "rb") as file:
            assert file.read() == expected
        os.remove("k.npz")
    found.update(name.rpartition(".")[2] for name in os.listdir())
assert os.waitpid(child([*next_words(), "--json", "k.json"]), 0)[1] == 0
print("found", *sorted(found))
"""
)


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Ten kills of one training: its folder, that of a whole run, and the endings seen between the kills."""
    folder, whole = folders(tmp_path_factory.mktemp("kills"))
    words = [" ".join([*command, "--epochs", "10"]) for command in (START, RESUME)]
    done = run_python("-c", CHAIN, *words, whole, 10, cwd=folder, OPENBLAS_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    return folder, whole, done.stdout.splitlines()[-1].split()[1:]


def test_ten_kills_at_random_moments_change_no_bit_and_leave_nothing(killed):
    folder, whole, found = killed
    check_end(folder, whole)
    assert "lock" in found  # they did fall into the training


def test_a_bit_that_a_kill_had_changed_and_what_it_had_left_would_be_seen(killed, tmp_path):
    folder, whole, _ = killed
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / ".k.npz.7-8.elbo-lab-tmp").touch()
    with pytest.raises(AssertionError):
        check_end(copy, whole)
    (copy / ".k.npz.7-8.elbo-lab-tmp").unlink()
    header, arrays = load_checkpoint(copy / "k.npz")
    theta = np.nextafter(arrays["job.params.theta"], np.inf)
    save_checkpoint(copy / "k.npz", header, {**arrays, "job.params.theta": theta})
    with pytest.raises(AssertionError):
        check_end(copy, whole)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_a_hundred_kills_in_fresh_processes_change_no_bit(tmp_path, seed):
    rng, epochs = random.Random(seed), ["--epochs", "100"]
    folder, whole = folders(tmp_path)
    code = FIT + "sys.exit(main(sys.argv[1:]))"

    def next_words():
        return RESUME if (folder / "k.npz").exists() else [*START, "--checkpoint", "k.npz"]

    def begin(words, place):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", code, *words, *epochs]
        return subprocess.Popen(command, cwd=place, env=environment, stdout=subprocess.DEVNULL)

    began = time.monotonic()
    assert begin([*START, "--checkpoint", "k.npz", "--json", "k.json"], whole).wait(120) == 0
    seconds = time.monotonic() - began
    killed = 0
    while killed < 10:
        with begin(next_words(), folder) as process:
            time.sleep(rng.uniform(0.0, seconds))
            process.kill()
            killed += process.wait() == -signal.SIGKILL
        if process.returncode == 0:  # before its kill: begin again
            assert (folder / "k.npz").read_bytes() == (whole / "k.npz").read_bytes()
            (folder / "k.npz").unlink()
    with begin([*next_words(), "--json", "k.json"], folder) as process:
        assert process.wait(120) == 0
    check_end(folder, whole)
