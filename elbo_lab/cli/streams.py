"""Standard streams that are closed, full, or without a reader."""

import io
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO


def open_streams() -> None:
    """Open those of standard input, output and error that are closed; print every letter in some way.

    Else the next file that is opened would take their place, and receive what is meant for a terminal.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")  # a name in letters that it has not


class Outliving(io.TextIOBase):
    """A stream for a script that is to go on after its reader has gone: what it prints then is lost."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write, if anybody reads it."""
        self._try(self.stream.write, text)
        return len(text)

    def flush(self) -> None:
        """Flush, if anybody reads it."""
        self._try(self.stream.flush)

    def _try(self, act: Callable[..., object], *arguments: str) -> None:
        try:
            act(*arguments)
        except BrokenPipeError:
            discard(self.stream)
        except OSError as fault:
            raise named(fault) from None


def discard(stream: TextIO) -> None:
    """Let what a stream still holds end in nothing: Python would fail to flush it at the exit."""
    with suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())
        os.close(nothing)


def flush() -> None:
    """Flush standard output; an OSError says so."""
    try:
        sys.stdout.flush()
    except OSError as fault:
        settle()
        raise named(fault) from None


def settle() -> None:
    """Flush standard output if that is possible; else discard what it holds."""
    try:
        sys.stdout.flush()
    except OSError:
        discard(sys.stdout)


def named(fault: OSError) -> OSError:
    """Return an error of the system as one of standard output."""
    return OSError(fault.errno, f"standard output: {fault.strerror}")
