"""NumPy's own files: one array (.npy) or a zip of named arrays (.npz).

Pickled objects are never read: unpickling a stranger's file runs the stranger's code.
"""

import tokenize
import zipfile

import numpy as np

from elbo_lab.errors import bad_value

# What NumPy and zipfile raise on files that are damaged, foreign or hostile: MemoryError for a header
# that promises more than there is room for, RuntimeError for an encrypted member or an unknown packing.
BROKEN = (ValueError, MemoryError, OverflowError, RuntimeError, tokenize.TokenError, zipfile.BadZipFile)


def read_npy(path):
    """Return the one array of a .npy file at `path`, unchecked."""
    try:
        # The product of the lengths in a senseless header may overflow, with a warning.
        with path.open("rb") as file, np.errstate(all="ignore"):
            return np.lib.format.read_array(file, allow_pickle=False)
    except BROKEN as error:
        raise _not_numbers(path, error) from None


def read_npz(path):
    """Return the array named ``x``, or the only array, of a .npz file at `path`, unchecked."""
    if not zipfile.is_zipfile(path):
        raise _not_numbers(path, "no zip of arrays")
    try:
        # NumPy leaves a file of its own open where the list inside of the zip is damaged.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            names = arrays.files
            with np.errstate(all="ignore"):
                if "x" in names:
                    return arrays["x"]
                if len(names) == 1:
                    return arrays[names[0]]
    except BROKEN as error:
        raise _not_numbers(path, error) from None
    raise bad_value(
        "data",
        f"exactly one array, or one named 'x', in {str(path)!r}",
        f"{len(names)} arrays {names}",
        "save the data as np.savez(file, x=data)",
    )


def _not_numbers(path, error):
    reason = " ".join(str(error).split())
    return bad_value(
        "data",
        "an array of numbers",
        f"{str(path)!r} ({reason})",
        "save a numeric array with np.save; pickled objects are never loaded",
    )
