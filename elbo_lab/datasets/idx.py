"""IDX, the file format of MNIST: a header of big-endian numbers, then the bytes of one array.

    offset 0   two zero bytes
    offset 2   kind of number: 0x08 unsigned byte (others exist; image sets use none of them)
    offset 3   number of axes
    offset 4   length of each axis, 4 bytes each, most significant first
    then       the entries, last axis fastest

Source: Y. LeCun, C. Cortes, C. J. C. Burges, The MNIST database of handwritten digits, "File formats".
Whether a file is compressed is told by its first two bytes, whatever its name.
"""

import gzip
import math
import struct
import zlib

import numpy as np

from elbo_lab.errors import bad_value

GZIP_MARK = b"\x1f\x8b"
UNSIGNED_BYTE = 0x08
KINDS = {0x09: "signed bytes", 0x0B: "shorts", 0x0C: "ints", 0x0D: "floats", 0x0E: "doubles"}
# No deflated stream grows by more; a header that promises more is wrong, and is not worth the memory.
GREATEST_RATIO = 1032


def read_idx(path, n_axes):
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

    Raises
    ------
    BadValue
        In one line, if the file is cut off, longer than its header says, damaged, of another format,
        or of other numbers or axes.
    """
    try:
        with open(path, "rb") as file:
            compressed = file.read(2) == GZIP_MARK
        size = path.stat().st_size
        with (gzip.open if compressed else open)(path, "rb") as file:
            return _read(path, file, n_axes, size * GREATEST_RATIO if compressed else size)
    except EOFError:
        raise _refused(path, "cut off") from None
    # gzip.BadGzipFile is an OSError without a reason of the system's.
    except (OSError, zlib.error) as error:
        raise _refused(path, getattr(error, "strerror", None) or f"damaged: {error}") from None


def _read(path, file, n_axes, n_possible):
    start = file.read(4)
    if len(start) < 4 or start[:2] != b"\0\0":
        raise _refused(path, "no IDX file" if start else "empty")
    if start[2] != UNSIGNED_BYTE:
        kind = KINDS.get(start[2])
        raise _refused(path, f"an IDX file of {kind}" if kind else "no IDX file")
    if start[3] != n_axes:
        raise _refused(path, f"an IDX file with {start[3]} axes instead of {n_axes}")
    lengths = file.read(4 * n_axes)
    if len(lengths) < 4 * n_axes:
        raise _refused(path, "cut off")
    shape = struct.unpack(f">{n_axes}I", lengths)
    if math.prod(shape) > n_possible:
        raise _refused(path, f"cut off: the header promises {math.prod(shape)} entries")
    array = np.empty(shape, np.uint8)
    _fill(path, file, array)
    # Reading on also makes gzip compare its checksum.
    if file.read(1):
        raise _refused(path, f"longer than the {array.size} entries of its header")
    return array


def _fill(path, file, array):
    """Read straight into the array: the bytes are in memory once."""
    room, filled = array.reshape(-1).data, 0
    while filled < array.size:
        got = file.readinto(room[filled:])
        if not got:
            raise _refused(path, f"cut off: {filled} of {array.size} entries")
        filled += got


def _refused(path, reason):
    reason = " ".join(str(reason).split())
    return bad_value("data", "an IDX file of unsigned bytes", f"{str(path)!r} ({reason})", "fetch it again")
