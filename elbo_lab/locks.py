"""Locks of the operating system on files: they die with the process that holds them, however it ends.

`flock` on POSIX, `msvcrt.locking` on Windows. Where the system or the file system has neither, nothing is
locked, and the caller is told so. A lock belongs to an open file and not to its name: a file that another
process removed between opening and locking is opened anew.
"""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


# What the systems say if another open file holds the lock; any other refusal means that there are no locks.
HELD = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK}


@contextmanager
def locked(path: Path, flags: int = os.O_CREAT) -> Iterator[bool | None]:
    """Open and lock the file at `path`; yield True, False if another holds it, None where there are no locks.

    Parameters
    ----------
    path : pathlib.Path
    flags : int
        By default a missing file is created; with 0 it is an error.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | flags, 0o666)
        state: bool | None = True
        try:
            _lock(descriptor)
        except OSError as error:
            state = False if error.errno in HELD else None
        if state is not True or _is_at(descriptor, path):
            break
        os.close(descriptor)
    try:
        yield state
    finally:
        os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    """Tell whether an open file still has its name."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    return False
