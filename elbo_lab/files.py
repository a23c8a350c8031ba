"""Files on disk, written whole or not at all.

The bytes go to a temporary file beside the target, are forced to the disk (fsync), and the file is renamed
over the target, which is atomic. Whatever happens in between (a full disk, an exception, kill -9, a power
cut), the target holds all of the old bytes or all of the new ones. Without the fsync some file systems write
the new name before the bytes, and a power cut leaves an empty file. Only kill -9 and a power cut can leave
the temporary file behind; its name begins with a dot, and a later writer of the same file removes it.

A link is followed and stays a link. A device, pipe or socket is refused: renaming would replace it by a file.
"""

import contextlib
import errno
import glob
import io
import os
import stat
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from elbo_lab.errors import bad_value

StrPath = str | os.PathLike[str]

# Characters of the target's name in that of the temporary file; each may take four bytes.
SHORT_NAME = 48
HOUR = 60 * 60


def check_writable(argument: str, path: StrPath) -> None:
    """Raise ValueError now if a file at `path` could not be written later."""
    _check_folder(argument, _target(argument, path).parent, path)


def check_folder_writable(argument: str, path: StrPath) -> None:
    """Raise ValueError now if files in a folder at `path` could not be written later."""
    folder = Path(path).absolute()
    while not os.path.exists(folder):
        if folder.is_symlink():
            got = f"{str(path)!r}, where {str(folder)!r} is a link to nothing"
            raise bad_value(argument, "a place in an existing folder", got)
        folder = folder.parent
    _check_folder(argument, folder, path)


def _check_folder(argument: str, folder: Path, path: StrPath) -> None:
    """Refuse a folder in which no file can be created."""
    if not folder.is_dir():
        got = f"{str(path)!r}, where {str(folder)!r} is no folder"
        raise bad_value(argument, "a place in an existing folder", got)
    try:
        # Permissions do not tell: root has all of them, and still cannot write to /proc.
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        got = f"{str(path)!r} ({error.strerror})"
        raise bad_value(argument, "a writable place", got, "choose another folder") from None


def _target(argument: str, path: StrPath) -> Path:
    """Return the file at the end of a chain of links; refuse all but a regular file or a new name."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise bad_value(argument, "a file name", f"{str(path)!r}, a link to itself") from None
        if error.errno == errno.ENAMETOOLONG:
            raise bad_value(argument, "a file name", f"one of {len(str(path))} characters") from None
        mode = None
    if mode is not None and stat.S_ISDIR(mode):
        raise bad_value(argument, "a file name", f"the folder {str(path)!r}")
    if mode is not None and not stat.S_ISREG(mode):
        got = f"{str(path)!r}, a device, pipe or socket"
        raise bad_value(argument, "a regular file or a new name", got)
    return Path(os.path.realpath(path))


def write_text(path: StrPath, text: str) -> None:
    """Write text in UTF-8 to `path`, whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_arrays(path: StrPath, arrays: Mapping[str, Any]) -> None:
    """Write {name: array} to `path` as NPZ, whole or not at all; the same arrays give the same bytes."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    write_bytes(path, file.getvalue())


def write_bytes(path: StrPath, data: bytes | bytearray | memoryview) -> None:
    """Write bytes to `path`, whole or not at all.

    Parameters
    ----------
    path : str or os.PathLike
        A file in an existing folder; an older file there is replaced, a link is followed.
    data : bytes-like

    Raises
    ------
    ValueError
        If `path` exists and is no regular file.
    OSError
        If the system refuses, for example on a full disk; the older file is unchanged, and no temporary
        file is left.
    """
    target = _target("path", path)
    # A name of 255 bytes is allowed, and the temporary one must not be longer.
    prefix = f".{target.name[:SHORT_NAME]}."
    _remove_leftovers(target.parent, prefix)
    temporary = target.with_name(f"{prefix}{os.getpid()}-{threading.get_ident()}")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        if error.filename is None:
            raise
        # The error names the user's file, not the temporary one.
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        temporary.unlink(missing_ok=True)


def _remove_leftovers(folder: Path, prefix: str) -> None:
    """Remove the temporary files of writers that were killed an hour ago or earlier."""
    for path in folder.glob(f"{glob.escape(prefix)}*-*"):
        # Another writer may remove it at the same time.
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > HOUR:
                path.unlink()
