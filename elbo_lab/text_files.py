"""Text on disk, whole or not at all."""

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
    """Write text to a temporary name beside `path`, then rename it."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
