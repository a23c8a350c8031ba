"""Running a student's file apart: in a process of its own, with a limit of time and, on Linux, of memory.

This keeps mistakes from doing harm: endless loops, exhausted memory, gigabytes of output. It is no wall
against malice, for the file is a program with the rights of whoever runs the check.
"""

import ast
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from elbo_lab.errors import bad_value, short
from elbo_lab.exercises import worker
from elbo_lab.exercises.base import Call, Result, Seeded

MEMORY = 2 << 30
LARGEST_FILE = 1 << 20
MOST_PRINTED = 2000
"""Characters of the student's output that are kept."""
ASSIGNMENT = re.compile(r"^(EXERCISE|SEED)\s*=\s*([^#\n]+)", re.M)


@dataclass(frozen=True)
class Outcome:
    """What came of one call: a result, or why there is none."""

    result: Result = None
    message: str = ""


@dataclass(frozen=True)
class Run:
    """What came of a student's file.

    Attributes
    ----------
    outcomes : list of Outcome
        One for each call.
    imports_lab : bool
    limited : bool
        Whether memory was limited.
    printed : str
        The beginning of what the file printed.
    failure : str
        Why the file could not be run at all, or ''.
    """

    outcomes: list[Outcome]
    imports_lab: bool = False
    limited: bool = False
    printed: str = ""
    failure: str = ""


@dataclass(frozen=True)
class Source:
    """A student's file, read and not run."""

    path: Path
    text: str
    constants: dict[str, Any] = field(default_factory=dict)

    def imports_lab(self) -> bool:
        """Whether there is an import of elbo_lab in any form that can be seen without running the file."""
        with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
            for node in ast.walk(ast.parse(self.text)):
                names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                if any(name.partition(".")[0] == worker.LAB for name in names):
                    return True
        return False


def read_source(argument: str, path: str) -> Source:
    """Return a student's file with its constants EXERCISE and SEED, read without running it.

    Raises
    ------
    ValueError
        If there is no such file, or it is none that `elbo-lab exercise new` began.
    """
    place = Path(path)
    if not place.is_file():
        raise bad_value(argument, "an existing file", repr(path), "'elbo-lab exercise new NAME' writes one")
    if place.stat().st_size > LARGEST_FILE:
        raise bad_value(argument, "a Python file", f"{path!r}, larger than a megabyte")
    try:
        text = place.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise bad_value(argument, "a Python file in UTF-8", repr(path)) from None
    constants: dict[str, Any] = {}
    for name, value in ASSIGNMENT.findall(text):
        with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
            constants.setdefault(name, ast.literal_eval(value.strip()))
    remedy = "'elbo-lab exercise new NAME' writes a file with both lines"
    if not isinstance(constants.get("EXERCISE"), str):
        raise bad_value(argument, 'a line EXERCISE = "name"', f"{path!r} without one", remedy)
    seed = constants.get("SEED")
    if type(seed) is not int or seed < 0:
        got = f"{path!r} without one" if seed is None else f"SEED = {short(seed)}"
        raise bad_value(argument, "a line SEED = with a whole number from 0", got, remedy)
    return Source(place.resolve(), text, constants)


def run_file(path: Path, calls: Sequence[Call], seconds: float, memory: int = MEMORY) -> Run:
    """Run a student's file and the calls in a process of its own, and end it with all its children.

    Parameters
    ----------
    path : Path
    calls : sequence of Call
    seconds : float
        For everything together.
    memory : int
        Bytes.
    """
    with tempfile.TemporaryDirectory(prefix="elbo-lab-", ignore_cleanup_errors=True) as folder:
        task, results = Path(folder, "task.json"), Path(folder, "results.jsonl")
        sent = [[call.function, [_sent(value) for value in call.arguments]] for call in calls]
        content = {"file": str(path), "calls": sent, "memory": memory}
        task.write_text(json.dumps(content), encoding="utf-8")
        command = [sys.executable, "-P", "-B", worker.__file__, str(task), str(results)]
        printed, ended = _ended(command, seconds)
        lines = _lines(results)
    return _run_of(lines, len(calls), printed, ended, seconds)


def _sent(value: Any) -> Any:
    return {"seed": value.seed} if isinstance(value, Seeded) else worker.encoded(value)


def _ended(command: list[str], seconds: float) -> tuple[str, int | None]:
    """Return what a process printed, and its exit code, or None if its time was over."""
    # One thread: a small array needs no more, and each reserves memory.
    environment = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | environment | {"PYTHONIOENCODING": "utf-8"},
        start_new_session=os.name != "nt",
    )
    assert process.stdout is not None
    kept = bytearray()
    reader = threading.Thread(target=_keep, args=(process.stdout, kept), daemon=True)
    reader.start()
    try:
        code: int | None = process.wait(seconds)
    except subprocess.TimeoutExpired:
        code = None
    finally:
        _end_all(process)
        reader.join(1.0)
    return kept.decode("utf-8", errors="replace"), code


def _keep(stream: BinaryIO, kept: bytearray) -> None:
    """Keep the beginning of a stream, and read the rest away, so that its writer never waits."""
    with suppress(OSError, ValueError), stream:
        while block := stream.read1(1 << 16):  # type: ignore[attr-defined]
            kept += block[: max(0, MOST_PRINTED - len(kept))]


def _end_all(process: "subprocess.Popen[bytes]") -> None:
    """End a process and its children."""
    if os.name == "nt":
        if process.poll() is None:
            subprocess.run(
                ["taskkill", "/T", "/F", "/PID", str(process.pid)], capture_output=True, check=False
            )
    else:
        with suppress(OSError):  # all have ended
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _lines(results: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a file of outcomes; the last one may have been cut off."""
    if not results.is_file():
        return []
    lines = []
    for line in results.read_text(encoding="utf-8").splitlines():
        with suppress(ValueError):
            lines.append(json.loads(line))
    return lines


def _run_of(
    lines: list[dict[str, Any]], n_calls: int, printed: str, ended: int | None, seconds: float
) -> Run:
    """Return a run from the lines of its outcomes."""
    loaded = any("loaded" in line for line in lines)
    told = [line for line in lines if "result" in line or "message" in line]
    if ended is None:
        why = f"did not come to an end within {seconds:g} s"
    elif ended < 0:
        names = {one.value: one.name for one in signal.Signals}  # those of real time have none
        why = f"ended Python by signal {names.get(-ended, -ended)}"
    else:
        why = f"ended Python with exit code {ended}"
    outcomes = [Outcome(worker.decoded(line.get("result")), line.get("message", "")) for line in told]
    failure = ""
    if not loaded:
        failure = f"the file {outcomes[0].message if outcomes else why}"
        outcomes = []
    missing = n_calls - len(outcomes)
    if missing:
        outcomes += [Outcome(message=failure or why)]
        outcomes += [Outcome(message=failure or "was not reached")] * (missing - 1)
    return Run(
        outcomes,
        imports_lab=any("imports_lab" in line for line in lines),
        limited=any(line.get("limited", False) for line in lines),
        printed=printed,
        failure=failure,
    )
