"""Files on disk, written whole or not at all, and only over files of the same kind.

The bytes go to a temporary file beside the target, are forced to the disk (fsync), and the file is renamed
over the target, which is atomic. Whatever happens in between (a full disk, an exception, kill -9, a power
cut), the target holds all of the old bytes or all of the new ones. Without the fsync some file systems write
the new name before the bytes, and a power cut leaves an empty file. Only kill -9 and a power cut can leave
the temporary file behind; its name begins with a dot, and the next writer of the same file removes it. The
lock of the temporary file, which dies with its writer, tells it from that of a writer at work.

An older file is replaced if its first or last bytes say that elbo_lab wrote it as the same kind of output;
any other is replaced only within `replacing_anything`.

A link is followed and stays a link. An open stream (/dev/stdout, /dev/fd/63 of a shell) is written to. Any
other device, pipe or socket is refused: renaming would replace it by a file.
"""

import contextlib
import errno
import glob
import io
import json
import os
import re
import tempfile
import threading
import time
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from elbo_lab.errors import bad_kind, bad_value
from elbo_lab.locks import locked

StrPath = str | os.PathLike[str]

# Bytes of a name that most file systems take.
LONGEST_NAME = 255
# Characters of the target's name in that of the temporary file; each may take four bytes.
SHORT_NAME = 48
TEMPORARY = "elbo-lab-tmp"
HOUR = 60 * 60
# Links that a system follows.
MOST_LINKS = 40
# Bytes at the beginning and the end of a file that tell its kind.
HEAD, TAIL = 4096, 64


class Kind(NamedTuple):
    """A kind of output, told from all other files by its first and last bytes.

    Attributes
    ----------
    words : str
        As in "the JSON of 'elbo-lab fit'".
    pattern : bytes
        Regular expression that the first bytes, followed by the last ones, match from their beginning.
    """

    words: str
    pattern: bytes


# `write_arrays` signs its files with the comment of the zip.
SIGNATURE = b"elbo_lab"
ARRAYS = Kind("arrays of elbo_lab", rb"PK\x03\x04.*" + SIGNATURE + rb"\Z")

_replacing: ContextVar[bool] = ContextVar("replacing", default=False)


@contextlib.contextmanager
def replacing_anything(replacing: bool = True) -> Iterator[None]:
    """Let outputs replace files of any kind (`--force` of the command line)."""
    token = _replacing.set(replacing)
    try:
        yield
    finally:
        _replacing.reset(token)


def short_name(stem: str, ending: str) -> str:
    """Return stem + ending, where that is too long for a file name with a digest in place of a part."""
    name, digest = stem + ending, f"~{zlib.crc32(os.fsencode(stem)):08x}"
    while len(os.fsencode(name)) > LONGEST_NAME:
        stem = stem[:-1]
        name = stem + digest + ending
    return name


def check_output(argument: str, path: StrPath, kind: Kind) -> None:
    """Raise ValueError now if an output of this kind could not be written later, or would replace another."""
    check_writable(argument, path)
    check_replaceable(argument, path, kind)


def check_writable(argument: str, path: StrPath) -> None:
    """Raise ValueError now if a file at `path` could not be written later."""
    target = _target(argument, path)
    if isinstance(target, Path):
        _check_folder(argument, target.parent, path)


def check_replaceable(argument: str, path: StrPath, kind: Kind) -> None:
    """Raise ValueError if there is a file at `path` that is neither empty nor of this kind."""
    target = _target(argument, path)
    if not isinstance(target, Path) or not target.exists() or _replacing.get():
        return
    expected = f"a new file, or {kind.words}"
    try:
        with target.open("rb") as file:
            ends = file.read(HEAD)
            file.seek(max(len(ends), target.stat().st_size - TAIL))
            ends += file.read()
    except OSError as error:
        raise bad_value(argument, expected, f"{str(path)!r} ({error.strerror})") from None
    if ends and not re.match(kind.pattern, ends, re.DOTALL):
        remedy = "name another, remove it, or replace it with --force"
        raise bad_value(argument, expected, f"{str(path)!r}, which is neither", remedy)


def check_folder_writable(argument: str, path: StrPath) -> None:
    """Raise ValueError now if files in a folder at `path` could not be written later."""
    _check_name(argument, "a folder", path)
    folder = Path(path).absolute()
    while not os.path.exists(folder):
        if folder.is_symlink():
            got = f"{str(path)!r}, where {str(folder)!r} is a link to nothing"
            raise bad_value(argument, "a place in an existing folder", got)
        folder = folder.parent
    _check_folder(argument, folder, path)


def _check_name(argument: str, expected: str, path: StrPath) -> None:
    """Refuse a name that no file or folder can have."""
    text = os.fspath(path) if isinstance(path, (str, os.PathLike)) else None
    if not isinstance(text, str):
        raise bad_kind(argument, f"{expected}, a str or a path", repr(path))
    if not text:
        raise bad_value(argument, expected, repr(text))
    if "\0" in text:
        raise bad_value(argument, expected, "a name with a NUL character")
    try:
        os.stat(path)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise bad_value(argument, expected, f"{text!r}, a link to itself") from None
        if error.errno == errno.ENAMETOOLONG:
            raise bad_value(argument, expected, f"one of {len(text)} characters") from None


def _check_folder(argument: str, folder: Path, path: StrPath) -> None:
    """Refuse a folder in which no file can be created."""
    if folder == Path(path).absolute() and not folder.is_dir():
        raise bad_value(argument, "a folder", f"{str(path)!r}, which is a file")
    if not folder.is_dir():
        got = f"{str(path)!r}, where {str(folder)!r} is no folder"
        raise bad_value(argument, "a place in an existing folder", got)
    try:
        # Permissions do not tell: root has all of them, and still cannot write to /proc.
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        got = f"{str(path)!r} ({error.strerror})"
        raise bad_value(argument, "a writable place", got, "choose another folder") from None


def _target(argument: str, path: StrPath) -> Path | int:
    """Return the file at the end of a chain of links, or the descriptor of an open stream.

    All but these, a regular file and a new name, are refused.
    """
    _check_name(argument, "a file name", path)
    if os.path.basename(path) in ("", os.curdir, os.pardir):
        raise bad_value(argument, "a file name", f"{str(path)!r}, that of a folder")
    descriptor = descriptor_of(path)
    if descriptor is not None:
        return descriptor
    if os.path.isdir(path):
        raise bad_value(argument, "a file name", f"the folder {str(path)!r}")
    if os.path.exists(path) and not os.path.isfile(path):
        got = f"{str(path)!r}, a device, pipe or socket"
        raise bad_value(argument, "a regular file or a new name", got)
    return Path(os.path.realpath(path))


def descriptor_of(path: StrPath) -> int | None:
    """Return N where `path` leads to /dev/fd/N, as /dev/stdout does, and that stream takes bytes."""
    place = os.fspath(path)
    for _ in range(MOST_LINKS):
        folder, name = os.path.split(os.path.abspath(place))
        folder = os.path.realpath(folder)
        if name.isdecimal() and folder in ("/dev/fd", f"/proc/{os.getpid()}/fd"):
            with contextlib.suppress(OSError):
                os.write(int(name), b"")  # an error unless it is open for writing
                return int(name)
            return None
        try:
            place = os.path.join(folder, os.readlink(os.path.join(folder, name)))
        except OSError:
            return None
    return None


def write_output(argument: str, path: StrPath, data: str | bytes, kind: Kind) -> None:
    """Write an output of this kind to `path`, text in UTF-8, whole or not at all.

    Raises
    ------
    ValueError
        If it cannot be written there, or a file of another kind is there.
    OSError
        As from `write_bytes`.
    """
    check_output(argument, path, kind)
    write_bytes(path, data.encode("utf-8") if isinstance(data, str) else data)


def json_kind(command: str, schema: str) -> Kind:
    """Return the kind of the JSON of a command that begins with a schema such as "elbo_lab/fit/1"."""
    pattern = rf'\{{\s*"schema":\s*"{schema.rstrip("0123456789")}'
    return Kind(f"the JSON of 'elbo-lab {command}'", pattern.encode())


def write_json(path: StrPath | None, content: Mapping[str, Any], kind: Kind) -> str:
    """Return content as JSON text; write it to `path` as well if given, as `write_output`."""
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    if path is not None:
        write_output("json", path, text, kind)
    return text


def plain(value: Any) -> Any:
    """Return a JSON value: arrays as lists, NumPy numbers as Python's, floats that are not finite as null."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def write_arrays(argument: str, path: StrPath, arrays: Mapping[str, Any]) -> None:
    """Write {name: array} to `path` as NPZ, as `write_output`; the same arrays give the same bytes."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    with zipfile.ZipFile(file, "a") as archive:
        archive.comment = SIGNATURE
    write_output(argument, path, file.getvalue(), ARRAYS)


def write_bytes(path: StrPath, data: bytes | bytearray | memoryview) -> None:
    """Write bytes to `path`, whole or not at all.

    Parameters
    ----------
    path : str or os.PathLike
        A file in an existing folder; an older file there is replaced, whatever it is. A link is followed.
    data : bytes-like

    Raises
    ------
    ValueError
        If `path` exists and is no regular file.
    OSError
        If the system refuses, for example on a full disk; it names the file. The older file is unchanged,
        and no temporary file is left.
    """
    target = _target("path", path)
    try:
        if isinstance(target, int):
            with open(os.dup(target), "wb") as stream:
                stream.write(data)
        else:
            _replace(target, data)
    except OSError as error:
        if error.errno is None:
            raise
        # The user's file, not the temporary one.
        raise OSError(error.errno, error.strerror, str(path)) from None


def _replace(target: Path, data: bytes | bytearray | memoryview) -> None:
    """Write bytes to a temporary file and rename it to `target`."""
    # A name of 255 bytes is allowed, and the temporary one must not be longer.
    prefix = f".{target.name[:SHORT_NAME]}."
    _remove_leftovers(target.parent, prefix)
    temporary = target.with_name(f"{prefix}{os.getpid()}-{threading.get_ident()}.{TEMPORARY}")
    try:
        with _kept(temporary):
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _kept(temporary: Path) -> Iterator[None]:
    """Hold the lock of a temporary file, so that nobody takes it for left over."""
    if os.name == "nt":  # an open file can be neither removed nor renamed there
        yield
        return
    while True:
        with locked(temporary) as state:
            if state is not False:  # somebody who looks whether it is left over
                yield
                return


def _remove_leftovers(folder: Path, prefix: str) -> None:
    """Remove the temporary files of writers that were killed; where nothing locks, after an hour."""
    for path in folder.glob(f"{glob.escape(prefix)}*.{TEMPORARY}"):
        # On Windows an open file cannot be removed, not even by the one who looks.
        looked = contextlib.nullcontext(None) if os.name == "nt" else locked(path, 0)
        # Another writer may remove it at the same time.
        with contextlib.suppress(OSError), looked as state:
            if state or (state is None and time.time() - path.stat().st_mtime > HOUR):
                path.unlink()


@contextlib.contextmanager
def sole_writer(argument: str, path: StrPath) -> Iterator[None]:
    """Refuse, for as long as this lasts, any other run that would write the file at `path` again and again.

    The lock is a file beside it, which goes at the end; after kill -9 it stays, without a lock on it.

    Raises
    ------
    ValueError
        If another run writes to `path`, or nothing can be written there.
    """
    check_writable(argument, path)
    target = Path(os.path.realpath(path))
    lock = target.with_name(short_name(f".{target.name}", ".lock"))
    with contextlib.ExitStack() as stack:
        if os.name == "nt":
            stack.callback(_remove, lock)  # once it is closed
        state = stack.enter_context(locked(lock))
        if state is False:
            got = f"{str(path)!r}, which another run is writing"
            raise bad_value(argument, "a file of one run", got, "wait for its end, or name another")
        if state is None:
            warnings.warn(f"no file locks here: let no other run write {str(path)!r}", stacklevel=3)
        if os.name != "nt":
            stack.callback(_remove, lock)  # while it is locked
        yield


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
