"""Checkpoints: one NPZ file of plain arrays and a JSON header, whole or not at all.

The file is a zip of .npy members, written to a temporary name and renamed, so a reader finds the old state
or the new one and nothing between. Members are stored without the time of writing: the same state gives
the same bytes. Nothing in it can run: pickled objects are neither written nor read.
"""

import io
import json
import zipfile

import numpy as np

from elbo_lab.errors import bad_value
from elbo_lab.text_files import write_bytes

FORMAT = "elbo_lab checkpoint"
VERSION = 1
HEADER = "header"
# A zip does not count its members: a damaged directory can lose some without a word.
MEMBERS = "members"
# The earliest time that a zip can hold: members would else carry the clock.
NO_TIME = (1980, 1, 1, 0, 0, 0)


def save_checkpoint(path, header, arrays):
    """Write a state to `path`.

    Parameters
    ----------
    path : str or path
    header : dict
        Of JSON values; floats come back bit for bit.
    arrays : dict of str to ndarray
    """
    about = {"format": FORMAT, "version": VERSION, MEMBERS: list(arrays)}
    text = json.dumps({**about, **header}, allow_nan=False)
    members = {HEADER: np.frombuffer(text.encode("utf-8"), dtype=np.uint8), **arrays}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in members.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", NO_TIME), member.getvalue())
    write_bytes(path, file.getvalue())


def load_checkpoint(path, argument="checkpoint"):
    """Return (header, arrays) of the state at `path`.

    Raises
    ------
    ValueError
        In one line, if there is no such file, or it is cut off, damaged, foreign, or of another version.
    """
    try:
        # Opened here, because np.load leaves the file of a damaged zip open.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        header = json.loads(arrays.pop(HEADER).tobytes().decode("utf-8"))
    except FileNotFoundError:
        raise bad_value(argument, "an existing file", repr(str(path))) from None
    except (OSError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or "cut off or damaged"
        raise bad_value(argument, "a checkpoint of elbo_lab", f"{str(path)!r} ({reason})") from None
    except Exception:  # what zip and npy readers trip over in foreign bytes is no closed list
        raise bad_value(
            argument, "a checkpoint of elbo_lab", f"{str(path)!r}, a file of another kind"
        ) from None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise bad_value(argument, "a checkpoint of elbo_lab", f"{str(path)!r}, a file of another kind")
    if header.get("version") != VERSION:
        got = f"version {header.get('version')} in {str(path)!r}"
        raise bad_value(argument, f"a checkpoint of version {VERSION}", got, "train anew")
    if header.pop(MEMBERS, None) != list(arrays):
        raise bad_value(argument, "a checkpoint of elbo_lab", f"{str(path)!r} (cut off or damaged)")
    return header, arrays
