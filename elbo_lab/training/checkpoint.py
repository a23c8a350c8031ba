"""Checkpoints: one NPZ file of plain arrays and a JSON header, whole or not at all.

The file is a zip of .npy members, written to a temporary name and renamed, so a reader finds the old state
or the new one and nothing between. Members are stored without the time of writing: the same state gives
the same bytes. Nothing in it can run: pickled objects are neither written nor read.
"""

import io
import json
import zipfile
from functools import partial

import numpy as np

from elbo_lab.errors import bad_value
from elbo_lab.files import write_bytes

FORMAT = "elbo_lab checkpoint"
VERSION = 1
HEADER = "header"
# A zip does not count its members: a damaged directory can lose some without a word.
MEMBERS = "members"
# The earliest time that a zip can hold: members would else carry the clock.
NO_TIME = (1980, 1, 1, 0, 0, 0)
# Parts of the header of a fit, and what they are made of, where they are there.
KINDS = {"settings": dict, "model": dict, "data": dict, "job": dict, "posterior": (dict, type(None))}


def damaged(path, what, argument="checkpoint"):
    """Build the ValueError for a checkpoint of the right version with a wrong body."""
    return bad_value(argument, "a whole checkpoint of elbo_lab", f"{str(path)!r}, which is damaged ({what})")


class Parts(dict):
    """A dict out of a checkpoint: what is missing is a mistake in the file, not in the program."""

    def __init__(self, items, path, argument):
        super().__init__(items)
        self.path, self.argument = path, argument

    def __missing__(self, name):
        raise damaged(self.path, f"no {name!r} in it", self.argument)


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
        In one line, if there is no such file, or it is cut off, damaged, foreign, or of another version;
        and later, when a part is asked for that is not in it.
    """
    try:
        # Opened here, because np.load leaves the file of a damaged zip open.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        text = arrays.pop(HEADER).tobytes().decode("utf-8")
        header = json.loads(text, object_hook=partial(Parts, path=path, argument=argument))
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
    for name, kind in KINDS.items():
        if name in header and not isinstance(header[name], kind):
            raise damaged(path, f"its {name!r} is {type(header[name]).__name__}", argument)
    return header, Parts(arrays, path, argument)
