"""Results survive the terminal: a closed pipe, a full standard output, no width, no stream at all."""

import errno
import io
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from other_process import ROOT, run_python
from test_outputs import COMMANDS, here, made, refused, state  # noqa: F401 - fixtures among them

from elbo_lab import files, fit
from elbo_lab.cli import streams
from elbo_lab.cli.main import main
from elbo_lab.cli.screen import Screen

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="streams of POSIX"),
    pytest.mark.usefixtures("here"),
]

OUTPUTS = {
    "compare": ("--json o.json --csv o.csv --out f", 0),
    "fit": ("--json o.json --out f", 0),
    "evaluate": ("--json o.json", 0),
    "sample": ("--out f", 0),
    "diff": ("--json o.json", 1),
    "diff a.json a.json": ("--json o.json", 0),
    "list": ("", 0),
}
WRITTEN = {"o.json", "o.csv", "f"}


def without_reader():
    """Return a stream into a pipe that nobody reads any more, as that of `| true`."""
    reading, writing = os.pipe()
    os.close(reading)
    return open(writing, "w", encoding="utf-8")


@pytest.fixture(params=OUTPUTS, ids=lambda command: command.replace(" ", "-"))
def command(request):
    """A command, the outputs that it is asked for, and its exit code."""
    words, code = OUTPUTS[request.param]
    outputs = {word for word in words.split() if word in WRITTEN}
    return [*COMMANDS.get(request.param, request.param).split(), *words.split()], outputs, code


def test_a_closed_pipe_costs_no_file_and_no_exit_code(command, monkeypatch, capsys):
    arguments, outputs, code = command
    with without_reader() as closed, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", closed)
        assert main(arguments) == code
    assert outputs <= set(os.listdir()) and capsys.readouterr().err == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_standard_output_costs_no_file_and_says_so(command, monkeypatch, capsys):
    arguments, outputs, _ = command
    if arguments[0] in ("compare", "fit"):
        pytest.skip("slow, and no other way than that of evaluate and sample")
    with open("/dev/full", "w", encoding="utf-8") as full, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", full)
        assert main(arguments) == 2
    assert outputs <= set(os.listdir())
    err = capsys.readouterr().err
    start = "elbo-lab: error: standard output: No space left on device; make room"
    assert err.startswith(start) and err.count("\n") == 1


def test_a_reader_that_leaves_while_the_record_comes_costs_no_figure(capsys):
    reading, writing = os.pipe()
    os.close(reading)
    arguments = [*COMMANDS["fit"].split(), "--json", f"/dev/fd/{writing}", "--out", "f"]
    assert main(arguments) == 0
    os.close(writing)
    assert os.listdir("f") and "written: f/" in capsys.readouterr().out


# -- streams as outputs --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "stream"])
def test_json_on_standard_output_is_json_alone(capfd, name):
    os.symlink("/dev/stdout", "stream")
    before = state(Path.cwd())
    assert main([*COMMANDS["diff"].split(), "--json", name]) == 1
    out, err = capfd.readouterr()
    assert json.loads(out)["schema"] == "elbo_lab/diff/1"
    assert "rows in both" in err and f"written: {name}" in err
    assert state(Path.cwd()) == before


def test_both_streams_may_be_taken_and_nothing_mixes(capfd):
    words = "--json /dev/stdout --csv /dev/stderr --out f"
    assert main([*COMMANDS["compare"].split(), *words.split()]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["schema"] == 2 and err.startswith("model,variant,")
    assert len(err.splitlines()) == len(json.loads(out)["rows"]) + 1


def test_a_pipe_of_the_shell_is_written_to(capsys):
    reading, writing = os.pipe()
    assert main([*COMMANDS["diff"].split(), "--json", f"/dev/fd/{writing}"]) == 1
    os.close(writing)
    with open(reading, encoding="utf-8") as stream:
        assert json.load(stream)["schema"] == "elbo_lab/diff/1"
    assert "rows in both" in capsys.readouterr().out


def test_no_file_of_parameters_stands_beside_a_stream_and_no_checkpoint_goes_to_one(capfd):
    names = {name for name in os.listdir("/dev") if "parameters" in name}
    large = "fit deep-bernoulli --data digits --latent 2 --hidden 99 --epochs 1 --json /dev/stdout"
    assert main(large.split()) == 0
    parameters = json.loads(capfd.readouterr().out)["parameters"]
    assert parameters["numbers"] > 10_000 and parameters["file"] is None
    assert {name for name in os.listdir("/dev") if "parameters" in name} == names
    refused(Path.cwd(), capfd, [*COMMANDS["fit"].split(), "--checkpoint", "/dev/stdout"], "--checkpoint")


def test_the_file_under_standard_output_is_no_other_output(capsys):
    saved = os.dup(1)
    with open("out.txt", "w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
    try:
        line = refused(Path.cwd(), capsys, [*COMMANDS["diff"].split(), "--json", "out.txt"], "--json")
    finally:
        os.dup2(saved, 1)
        os.close(saved)
    assert "than that of standard output" in line


# -- faults of the disk --------------------------------------------------------------------------


def test_a_full_disk_names_the_file_and_the_remedy_and_the_rest_is_shown_and_written(monkeypatch, capsys):
    write = files.write_bytes

    def full(path, data):
        if str(path) == "o.json":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "o.json")
        write(path, data)

    monkeypatch.setattr(files, "write_bytes", full)
    words = "--json o.json --csv o.csv --out f"
    assert main([*COMMANDS["compare"].split(), *words.split()]) == 2
    out, err = capsys.readouterr()
    assert err == "elbo-lab: error: 'o.json': No space left on device; " + (
        "make room on that disk, or name a file on another\n"
    )
    assert "grad-theta-elbo" in out and "written: o.csv, f/" in out and "o.json" not in out
    assert {"o.csv", "f"} <= set(os.listdir())


def test_a_limit_on_the_size_of_files_names_the_file_and_the_remedy(capsys):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        assert main([*COMMANDS["evaluate"].split(), "--json", "o.json"]) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    err = capsys.readouterr().err
    assert err.startswith("elbo-lab: error: 'o.json': File too large; raise the limit") and "ulimit -f" in err
    assert [name for name in os.listdir() if "o.json" in name] == []


# -- widths, closed streams, the environment -----------------------------------------------------


@pytest.mark.parametrize(("columns", "width"), [("0", 80), ("1", 20), ("19", 20), ("20", 20), ("100", 100)])
def test_a_terminal_of_no_width_prints(monkeypatch, capsys, columns, width):
    monkeypatch.setenv("COLUMNS", columns)
    assert Screen().width == width
    for command in ("diff", "evaluate"):
        assert main(COMMANDS[command].split()) in (0, 1)
        lines = capsys.readouterr().out.splitlines()
        assert len([line for line in lines if line.strip()]) > 3


def test_a_mistake_without_standard_error_keeps_its_exit_code(tmp_path):
    script = 'exec "$0" -m elbo_lab diff no.json no.json 2>&-'
    done = subprocess.run(
        ["sh", "-c", script, sys.executable],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, b"")


def test_a_stream_that_is_closed_is_not_taken_by_the_next_file(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "stderr", None)
    saved = os.dup(2)
    os.close(2)
    try:
        streams.open_streams()
        sys.stderr.write("nobody reads this")
        with open(tmp_path / "a", "w", encoding="utf-8") as file:
            assert file.fileno() > 2
        sys.stderr.close()
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def test_a_name_in_letters_that_the_terminal_has_not_is_printed(monkeypatch):
    sheet = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", sheet)
        assert main([*COMMANDS["diff"].split(), "--json", "\u00fc\udcff.json"]) == 1
    assert sheet.buffer.getvalue().endswith(b"written: \\xfc\\udcff.json\n")


@pytest.mark.parametrize("value", ["0", "-1", "many"])
def test_a_number_of_threads_that_numba_refuses_is_refused_before_the_work(monkeypatch, capsys, value):
    monkeypatch.setenv("NUMBA_NUM_THREADS", value)
    refused(Path.cwd(), capsys, COMMANDS["diff"].split(), "NUMBA_NUM_THREADS")


@pytest.mark.parametrize("words", [f"{COMMANDS['fit']} --out f --json o.json", "compare --json o.json"])
def test_a_backend_that_matplotlib_does_not_know_is_refused_before_the_work(words):
    done = run_python("-m", "elbo_lab", *words.split(), cwd=Path.cwd(), MPLBACKEND="nope")
    expected = "elbo-lab: error: MPLBACKEND: expected a backend of Matplotlib, got 'nope'; unset it\n"
    assert (done.returncode, done.stderr) == (2, expected)
    assert not Path("o.json").exists()


# -- two runs on one checkpoint ------------------------------------------------------------------


def test_of_two_fits_on_one_checkpoint_the_second_is_told():
    told, anew = [], {"model": "factor-analysis", "data": "d.csv"}

    def second(*_):
        for again in ({"resume": "new.npz"}, {**anew, "checkpoint": "new.npz"}):
            with pytest.raises(ValueError, match=r"which another run is writing; wait") as caught:
                fit(**again)
            told.append(str(caught.value))

    fit("factor-analysis", "d.csv", latent=1, epochs=2, checkpoint="new.npz", progress=second)
    assert len(told) >= 2
    assert fit(resume="new.npz", epochs=3).stopped
