"""Files on disk, whole or not at all.

What is written goes to a temporary name beside the target, is forced to the disk (fsync), and is then
renamed over the target, which the system does in one piece. Whatever happens in between (a full disk,
an exception, kill -9, a power cut), the target holds all of the old bytes or all of the new ones.
Without the fsync some file systems write the new name before the bytes, and a power cut leaves an
empty file. Only kill -9 and a power cut can leave the temporary file behind; its name begins with a dot.

A link is followed and stays a link. What is no regular file (a device, a pipe, a socket) is refused: the
renaming would put a file in its place.
"""

import errno
import io
import os
import stat
import tempfile
import threading
from pathlib import Path

import numpy as np

from elbo_lab.errors import bad_value

StrPath = str | os.PathLike[str]


def check_writable(argument, path):
    """Raise ValueError now if a file at `path` could not be written later."""
    target = _target(argument, path)
    _check_folder(argument, target.parent, path, tempfile.mkstemp)


def check_folder_writable(argument, path):
    """Raise ValueError now if files in a folder at `path` could not be written later."""
    folder = Path(path).absolute()
    while not os.path.exists(folder):
        if folder.is_symlink():
            got = f"{str(path)!r}, where {str(folder)!r} is a link to nothing"
            raise bad_value(argument, "a place in an existing folder", got)
        folder = folder.parent
    exists = os.path.exists(path)
    _check_folder(argument, folder, path, tempfile.mkstemp if exists else tempfile.mkdtemp)


def _check_folder(argument, folder, path, make):
    """Refuse a folder in which `make` (a new file, or a new folder) fails."""
    if not folder.is_dir():
        got = f"{str(path)!r}, where {str(folder)!r} is no folder"
        raise bad_value(argument, "a place in an existing folder", got)
    reason = "" if os.access(folder, os.W_OK | os.X_OK) else os.strerror(errno.EACCES)
    if not reason:
        # Root is allowed everything, and still cannot write to /proc: only trying tells.
        try:
            made = make(prefix=".probe-", dir=folder)
            if make is tempfile.mkdtemp:
                os.rmdir(made)
            else:
                os.close(made[0])
                os.unlink(made[1])
        except OSError as error:
            reason = error.strerror or "refused"
    if reason:
        raise bad_value(argument, "a writable place", f"{str(path)!r} ({reason})", "choose another folder")


def _target(argument, path):
    """Return where the bytes go: the end of a chain of links; refuse all but a regular file or a new name."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise bad_value(argument, "a file name", f"{str(path)!r}, a link to itself") from None
        mode = None
    if mode is not None and stat.S_ISDIR(mode):
        raise bad_value(argument, "a file name", f"the folder {str(path)!r}")
    if mode is not None and not stat.S_ISREG(mode):
        got = f"{str(path)!r}, a device, pipe or socket"
        raise bad_value(argument, "a regular file or a new name", got)
    return Path(os.path.realpath(path))


def write_text(path, text):
    """Write text in UTF-8 to `path`, whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_arrays(path, arrays):
    """Write {name: array} to `path` as NPZ, whole or not at all; the same arrays give the same bytes."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    write_bytes(path, file.getvalue())


def write_bytes(path, data):
    """Write bytes to `path`, whole or not at all.

    Parameters
    ----------
    path : str or os.PathLike
        A file in an existing folder; an older file there is replaced, a link is followed.
    data : bytes-like

    Raises
    ------
    ValueError
        If there is something at `path` that is no regular file.
    OSError
        If the system refuses, for example on a full disk; the older file stands as it was, and
        nothing is left beside it.
    """
    target = _target("path", path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{threading.get_ident()}")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        if error.filename is None:
            raise
        # The user knows the name that was asked for, not the temporary one.
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        temporary.unlink(missing_ok=True)
