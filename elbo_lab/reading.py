"""Files of others, read with a limit: their own size, and the memory that there is.

A file says how large its content is: an array by its shape, a compressed member by its unpacked length. Both
may be damaged or invented, so that nothing is allocated because of what they say alone. A pipe, a device
or a socket has no size, and may never end: only regular files are read.
"""

import math
import os
import zipfile
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from elbo_lab.errors import bad_value
from elbo_lab.files import StrPath
from elbo_lab.memory import check_memory

# Bytes that are unpacked at a time.
PIECE = 1 << 20
ZIP_MARK = b"PK"
FEWER = "take fewer rows or columns"
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def check_regular(argument: str, path: StrPath) -> None:
    """Refuse a pipe, a device or a socket, which may keep the reader waiting for ever."""
    # What is not there, and a folder, is told by who opens it.
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        got = f"{str(path)!r}, a pipe, a device or a socket"
        raise bad_value(argument, "a regular file", got, "save its content as a file first")


def begins_as_zip(file: IO[bytes]) -> bool:
    """Tell whether an open file begins as a zip; it stands at its beginning afterwards."""
    mark = file.read(len(ZIP_MARK))
    file.seek(0)
    return mark == ZIP_MARK


def read_array(file: IO[bytes], size: int, argument: str, held: int = 0) -> NDArray[Any]:
    """Return the array in NumPy's format that begins where an open file stands.

    Parameters
    ----------
    file : binary file that can seek
    size : int
        Bytes of its header and entries, at most.
    argument : str
        For the error.
    held : int
        Bytes for each entry that the caller will take beside the array.

    Raises
    ------
    ValueError
        If this is no array of plain numbers, if it announces more than there is, or more than fits into
        memory.
    """
    start = file.tell()
    try:
        shape, _, dtype = HEADERS[np.lib.format.read_magic(file)](file)
    except Exception as error:  # NumPy raises many types of error on a header that is none
        raise ValueError(f"no array of NumPy's: {error}") from None
    if not all(type(length) is int and length >= 0 for length in shape):
        raise ValueError(f"an array of shape {shape}")
    if dtype.hasobject:
        raise ValueError("objects instead of numbers")
    count, found = math.prod(shape), size - (file.tell() - start)
    if count * dtype.itemsize > found:
        raise ValueError(f"cut off: {found} of {count * dtype.itemsize} bytes")
    check_memory(argument, count * (dtype.itemsize + held), f"an array of shape {shape}", FEWER)
    file.seek(start)
    return np.lib.format.read_array(file, allow_pickle=False)


def read_member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, argument: str, held: int = 0
) -> NDArray[Any]:
    """Return the array in a member of a zip, as `read_array`."""
    with archive.open(member) as file:
        return read_array(file, member.file_size, argument, held)


def members_of(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return {name: member} of the arrays that `numpy.savez` wrote."""
    return {member.filename.removesuffix(".npy"): member for member in archive.infolist()}


def pieces_of(file: IO[bytes], size: int) -> Iterator[bytes]:
    """Yield the next bytes of an open file in pieces, at most `size` bytes in all."""
    while size and (piece := file.read(min(PIECE, size))):
        size -= len(piece)
        yield piece


def unpack(file: IO[bytes], size: int) -> NDArray[np.uint8]:
    """Return the next bytes of an open file, at most `size`, of which there is never a second copy."""
    data, found = np.empty(size, np.uint8), 0
    for piece in pieces_of(file, size):
        data[found : found + len(piece)] = np.frombuffer(piece, np.uint8)
        found += len(piece)
    return data[:found]
