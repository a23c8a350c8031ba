"""One plan of all that a command reads and writes, checked before its work begins.

No two of the files may be one and the same: whether the names say so, or links, or hard links, or a file
system that ignores case. An output goes to a new file or replaces one of its own kind (see `files`). A folder
of figures stands for all figures that may be written there.
"""

import os
import stat
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from elbo_lab.errors import bad_value
from elbo_lab.files import (
    Kind,
    StrPath,
    check_folder_writable,
    check_replaceable,
    check_writable,
    descriptor_of,
)

STREAMS = {1: "standard output", 2: "standard error"}


class _File(NamedTuple):
    argument: str
    path: StrPath
    identity: tuple[Any, ...]
    written: bool


class Plan:
    """The files of one command.

    Attributes
    ----------
    taken : set of int
        Descriptors that outputs are written to, for those who print.
    """

    def __init__(self) -> None:
        self.taken: set[int] = set()
        self._files: list[_File] = []
        for number, name in STREAMS.items():
            with suppress(OSError):
                status = os.fstat(number)
                if stat.S_ISREG(status.st_mode):
                    self._files.append(_File(name, name, (status.st_dev, status.st_ino), True))

    def reads(self, argument: str, path: StrPath | None) -> None:
        """Add an input, if it is a file; None stands for an option that was not given."""
        if path is not None and os.path.isfile(path):
            self._add(argument, path, written=False)

    def writes(self, argument: str, path: StrPath | None, kind: Kind | None) -> None:
        """Add an output, or raise ValueError if it cannot be written; with kind None over any file."""
        if path is None:
            return
        check_writable(argument, path)
        self._add(argument, path, written=True)
        if kind is not None:
            check_replaceable(argument, path, kind)
        descriptor = descriptor_of(path)
        if descriptor is not None:
            self.taken.add(descriptor)

    def fills(self, argument: str, folder: StrPath | None, files: Iterable[tuple[str, Kind]]) -> None:
        """Add a folder and the (name, kind) of all files that may be written into it."""
        if folder is None:
            return
        check_folder_writable(argument, folder)
        place = os.path.realpath(folder)
        for one in self._files:
            # A file cannot be where the folder, or one above it, will be.
            above = Path(place).is_relative_to(os.path.realpath(one.path))
            if one.written and above and not os.path.exists(one.path):
                raise _collision(one.argument, argument, one.path)
        for name, kind in files:
            path = os.path.join(folder, name)
            self._add(argument, path, written=True)
            check_replaceable(argument, path, kind)

    def _add(self, argument: str, path: StrPath, written: bool) -> None:
        """Add a file, or raise ValueError if it is one of the others and one of the two is written."""
        new = _File(argument, path, _identity(path), written)
        for one in self._files:
            if (one.written or written) and _same(one.identity, new.identity):
                first, second = (new, one) if written else (one, new)
                raise _collision(first.argument, second.argument, first.path)
        self._files.append(new)


def _collision(argument: str, other: str, path: StrPath) -> ValueError:
    return bad_value(argument, f"another file than that of {other}", repr(str(path)), "name another")


def _identity(path: StrPath) -> tuple[Any, ...]:
    """Return the descriptor of a stream, (device, inode) of a file, or (folder, name) of a new one."""
    descriptor = descriptor_of(path)
    if descriptor is not None:
        return (descriptor,)
    with suppress(OSError):
        status = os.stat(path)
        return status.st_dev, status.st_ino
    return os.path.split(os.path.realpath(path))


def _same(a: tuple[Any, ...], b: tuple[Any, ...]) -> bool:
    """Tell whether two identities are those of one file; the names of two new files may differ in case."""
    if a == b or len(a) + len(b) < 4 or a[0] != b[0] or not isinstance(a[1], str):
        return a == b
    return a[1].casefold() == b[1].casefold() and _ignores_case(a[0])


def _ignores_case(folder: str) -> bool:
    """Tell whether names in a folder are the same in upper and lower case."""
    with tempfile.NamedTemporaryFile(prefix="a", dir=folder) as file:
        return os.path.exists(os.path.join(folder, os.path.basename(file.name).swapcase()))
