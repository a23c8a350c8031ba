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
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from elbo_lab.errors import BadValue, bad_value

GZIP_MARK = b"\x1f\x8b"
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
    data = _read(path)
    start = 4 + 4 * n_axes
    if len(data) < 4 or data[:2] != b"\0\0":
        raise _refused(path, "no IDX file" if data else "empty")
    if data[2] != UNSIGNED_BYTE:
        kind = KINDS.get(data[2])
        raise _refused(path, f"an IDX file of {kind}" if kind else "no IDX file")
    if data[3] != n_axes:
        raise _refused(path, f"an IDX file with {data[3]} axes instead of {n_axes}")
    if len(data) < start:
        raise _refused(path, "cut off")
    shape = struct.unpack_from(f">{n_axes}I", data, offset=4)
    promised, found = math.prod(shape), len(data) - start
    if found < promised:
        raise _refused(path, f"cut off: {found} of {promised} entries")
    if found > promised:
        raise _refused(path, f"longer than the {promised} entries of its header")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _read(path: Path) -> bytes:
    """Return the bytes of a file, unpacked."""
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if data[:2] == GZIP_MARK else data
    except EOFError:
        raise _refused(path, "cut off") from None
    # gzip.BadGzipFile is an OSError without a reason of the system's.
    except (OSError, zlib.error) as error:
        raise _refused(path, getattr(error, "strerror", None) or f"damaged: {error}") from None


def _refused(path: Path, reason: object) -> BadValue:
    reason = " ".join(str(reason).split())
    return bad_value("data", "an IDX file of unsigned bytes", f"{str(path)!r} ({reason})", "fetch it again")
