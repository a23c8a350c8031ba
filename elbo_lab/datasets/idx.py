"""IDX, the file format of MNIST: a header of big-endian numbers, then the bytes of one array.

    offset 0   two zero bytes
    offset 2   kind of number: 0x08 unsigned byte (others exist; image sets use none of them)
    offset 3   number of axes
    offset 4   length of each axis, 4 bytes each, most significant first
    then       the entries, last axis fastest

Source: Y. LeCun, C. Cortes, C. J. C. Burges, The MNIST database of handwritten digits, "File formats".
The first two bytes of a file tell whether it is compressed, whatever its name.
"""

import gzip
import math
import os
import struct
import zlib
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray

from elbo_lab.errors import BadValue, bad_value
from elbo_lab.memory import FLOAT, check_memory
from elbo_lab.reading import FEWER, check_regular, pieces_of, unpack

GZIP_MARK = b"\x1f\x8b"
# Bytes that one compressed byte stands for at most.
LARGEST_EXPANSION = 1032
UNSIGNED_BYTE = 0x08
KINDS = {0x09: "signed bytes", 0x0B: "shorts", 0x0C: "ints", 0x0D: "floats", 0x0E: "doubles"}


def read_idx(path: Path, n_axes: int) -> NDArray[np.uint8]:
    """Return the array of unsigned bytes in an IDX file, compressed by gzip or not.

    Parameters
    ----------
    path : pathlib.Path
        An existing file.
    n_axes : int
        How many axes the array must have.

    Returns
    -------
    ndarray of uint8
        Read-only.

    Raises
    ------
    BadValue
        In one line, if the file is cut off, longer than its header says, damaged, of another format,
        or of other numbers or axes.
    """
    check_regular("data", path)
    try:
        with path.open("rb") as raw:
            compressed, most = raw.read(2) == GZIP_MARK, os.fstat(raw.fileno()).st_size
            raw.seek(0)
            if not compressed:
                return _entries(path, raw, n_axes, most)
            with gzip.open(raw) as file:
                return _entries(path, cast(IO[bytes], file), n_axes, most * LARGEST_EXPANSION)
    except EOFError:
        raise _refused(path, "cut off") from None
    except BadValue:
        raise
    # gzip.BadGzipFile is an OSError without a reason of the system's.
    except (OSError, zlib.error) as error:
        raise _refused(path, getattr(error, "strerror", None) or f"damaged: {error}") from None


def _entries(path: Path, file: IO[bytes], n_axes: int, most: int) -> NDArray[np.uint8]:
    """Return the array in an open file that holds `most` bytes at most."""
    start = 4 + 4 * n_axes
    head = file.read(start)
    if len(head) < 4 or head[:2] != b"\0\0":
        raise _refused(path, "no IDX file" if head else "empty")
    if head[2] != UNSIGNED_BYTE:
        kind = KINDS.get(head[2])
        raise _refused(path, f"an IDX file of {kind}" if kind else "no IDX file")
    if head[3] != n_axes:
        raise _refused(path, f"an IDX file with {head[3]} axes instead of {n_axes}")
    if len(head) < start:
        raise _refused(path, "cut off")
    shape = struct.unpack_from(f">{n_axes}I", head, offset=4)
    promised = math.prod(shape)
    if promised <= most:
        what = f"the {promised} entries that {str(path)!r} announces"
        check_memory("data", promised * (1 + FLOAT), what, FEWER)
        data = unpack(file, promised)
        found = len(data)
    else:
        found = sum(map(len, pieces_of(file, most)))
    if found < promised:
        raise _refused(path, f"cut off: {found} of {promised} entries")
    if file.read(1):
        raise _refused(path, f"longer than the {promised} entries of its header")
    data.flags.writeable = False
    return data.reshape(shape)


def _refused(path: Path, reason: object) -> BadValue:
    reason = " ".join(str(reason).split())
    return bad_value("data", "an IDX file of unsigned bytes", f"{str(path)!r} ({reason})", "fetch it again")
