"""Files on disk, whole or not at all.

What is written goes to a temporary name beside the target, is forced to the disk (fsync), and is then
renamed over the target, which the system does in one piece. Whatever happens in between (a full disk,
an exception, kill -9, a power cut), the target holds all of the old bytes or all of the new ones.
Without the fsync some file systems write the new name before the bytes, and a power cut leaves an
empty file. Only kill -9 and a power cut can leave the temporary file behind; its name begins with a dot.
"""

import os
import threading
from pathlib import Path

from elbo_lab.errors import bad_value


def check_writable(argument, path):
    """Raise ValueError now if a file at `path` could not be written later."""
    folder = Path(path).absolute().parent
    if Path(path).is_dir():
        raise bad_value(argument, "a file name", f"the folder {str(path)!r}")
    _check_folder(argument, folder, path)


def check_folder_writable(argument, path):
    """Raise ValueError now if files in a folder at `path` could not be written later."""
    folder = Path(path).absolute()
    while not folder.exists():
        folder = folder.parent
    _check_folder(argument, folder, path)


def _check_folder(argument, folder, path):
    if not folder.is_dir():
        got = f"{str(path)!r}, where {str(folder)!r} is no folder"
        raise bad_value(argument, "a place in an existing folder", got)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise bad_value(argument, "a writable place", f"{str(path)!r}", "choose another folder")


def write_text(path, text):
    """Write text in UTF-8 to `path`, whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path, data):
    """Write bytes to `path`, whole or not at all.

    Parameters
    ----------
    path : str or os.PathLike
        A file in an existing folder; an older file there is replaced.
    data : bytes-like

    Raises
    ------
    OSError
        If the system refuses, for example on a full disk; the older file stands as it was, and
        nothing is left beside it.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
