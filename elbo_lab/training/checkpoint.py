"""Checkpoints: one NPZ file of plain arrays and a JSON header, written whole or not at all.

The file is a zip of .npy members, written to a temporary name and renamed, so a reader finds the old state
or the new one and nothing between. Members are stored without a time stamp: the same state gives the same
bytes. Loading runs no code: pickled objects are neither written nor read.

The state of a training is everything that its next step depends on, down to the generators, so that a
training that is saved and resumed equals, bit for bit, one that never stopped. A state is checked as a whole
before anything is changed: it may come from a damaged file, or from another training.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from functools import partial
from os import PathLike
from typing import IO, TYPE_CHECKING, Any, NoReturn

import numpy as np

from elbo_lab.errors import BadValue, bad_value
from elbo_lab.files import Kind, check_replaceable, write_bytes
from elbo_lab.reading import begins_as_zip, check_regular, members_of, read_member

if TYPE_CHECKING:
    from elbo_lab.training.batch import Vectors
    from elbo_lab.training.trainer import Training

Arrays = dict[str, np.ndarray]

Header = dict[str, Any]
"""Numbers, strings, lists and dicts, as JSON holds them."""

FORMAT = "elbo_lab checkpoint"
VERSION = 1
HEADER = "header"
CHECKPOINT = Kind("a checkpoint of elbo_lab", rb'PK\x03\x04.*header\.npy.*"format": "elbo_lab checkpoint"')
# A zip does not count its members: a damaged directory can lose some of them silently.
MEMBERS = "members"
# The earliest time that a zip can hold, in place of the time of writing.
NO_TIME = (1980, 1, 1, 0, 0, 0)
# Entries of the header of a fit and their types; each may be absent.
KINDS: dict[str, Any] = {
    "settings": dict,
    "words": dict,
    "model": dict,
    "data": dict,
    "job": dict,
    "posterior": (dict, type(None)),
    "first_stage": dict,
}
# No counter and no bound reaches it.
LARGEST_NUMBER = 1e300
# The numbers in the state of a training, by the names of its attributes.
PLAIN_STATE = "epoch step seen value_sum rows_seen first_value last_value best waited".split()


def damaged(path: str | PathLike[str], what: str, argument: str = "checkpoint") -> ValueError:
    """Build the ValueError for a checkpoint of the right version with a wrong body."""
    return bad_value(argument, "a whole checkpoint of elbo_lab", f"{str(path)!r}, which is damaged ({what})")


class Parts(dict):
    """A dict from a checkpoint: a missing key is an error in the file, not in the program."""

    def __init__(self, items: Any, path: str | PathLike[str], argument: str) -> None:
        super().__init__(items)
        self.path, self.argument = path, argument

    def __missing__(self, name: str) -> NoReturn:
        raise damaged(self.path, f"no {name!r} in the file", self.argument)


def save_checkpoint(path: str | PathLike[str], header: Header, arrays: Arrays) -> None:
    """Write a state to `path`.

    Parameters
    ----------
    path : str or path
    header : dict
        Of JSON values; floats are restored bit for bit.
    arrays : dict of str to ndarray

    Raises
    ------
    ValueError
        If a file of another kind is there.
    """
    check_replaceable("checkpoint", path, CHECKPOINT)
    preamble = {"format": FORMAT, "version": VERSION, MEMBERS: list(arrays)}
    text = json.dumps({**preamble, **header}, allow_nan=False)
    members = {HEADER: np.frombuffer(text.encode("utf-8"), dtype=np.uint8), **arrays}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in members.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", NO_TIME), member.getvalue())
    write_bytes(path, file.getvalue())


def load_checkpoint(path: str | PathLike[str], argument: str = "checkpoint") -> tuple[Header, Arrays]:
    """Return (header, arrays) of the state at `path`.

    Raises
    ------
    ValueError
        In one line, if there is no such file, or it is truncated, damaged, foreign, or of another version;
        and later, when a missing entry is read.
    """
    check_regular(argument, path)
    another_kind = bad_value(argument, "a checkpoint of elbo_lab", f"{str(path)!r}, a file of another kind")
    try:
        # Opened here, because a path would stay open where the list inside the zip is damaged.
        with open(path, "rb") as file:
            if not begins_as_zip(file):
                raise another_kind
            arrays = _read_members(file, argument)
        text = arrays.pop(HEADER).tobytes().decode("utf-8")
        header = json.loads(text, object_hook=partial(Parts, path=path, argument=argument))
    except BadValue:
        raise
    except FileNotFoundError:
        raise bad_value(argument, "an existing file", repr(str(path))) from None
    except (OSError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or "cut off or damaged"
        raise bad_value(argument, "a checkpoint of elbo_lab", f"{str(path)!r} ({reason})") from None
    except Exception:  # zip and npy readers raise many types of error on foreign bytes
        raise another_kind from None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise another_kind
    if type(header.get("version")) is not int or header["version"] != VERSION:
        got = f"version {header.get('version')} in {str(path)!r}"
        raise bad_value(argument, f"a checkpoint of version {VERSION}", got, "train anew")
    if header.pop(MEMBERS, None) != list(arrays):
        raise bad_value(argument, "a checkpoint of elbo_lab", f"{str(path)!r} (cut off or damaged)")
    for name, kind in KINDS.items():
        if name in header and not isinstance(header[name], kind):
            raise damaged(path, f"its {name!r} is {type(header[name]).__name__}", argument)
    return header, Parts(arrays, path, argument)


def _read_members(file: IO[bytes], argument: str) -> Arrays:
    """Return all arrays of a checkpoint; those of a file whose members are compressed are not unpacked."""
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        packed = any(member.compress_type != zipfile.ZIP_STORED for member in members)
        # Stored members cannot be longer in all than the file, unless it is crafted to share their bytes.
        if packed or sum(member.file_size for member in members) > os.fstat(file.fileno()).st_size:
            raise zipfile.BadZipFile
        return {name: read_member(archive, member, argument) for name, member in members_of(archive).items()}


def state_of(training: Training) -> tuple[Header, Arrays]:
    """Return (header, arrays): everything that the next step depends on.

    The header consists of numbers, strings, lists and dicts; it holds no wall time.
    """
    header = {name: getattr(training, name) for name in PLAIN_STATE} | {
        "counts": training.counts,
        "position": training.minibatches.position,
        "history": training.history,
        "order_rng": training.minibatches.rng.bit_generator.state,
        "noise_rng": training.noise_rng.bit_generator.state,
    }
    if training.further_sums:
        header["further_sums"] = training.further_sums
    if training.clipping is not None:
        header["clipping"] = [training.clipping.clipped, training.clipping.steps]
    arrays: Arrays = {"order": training.minibatches.order}
    groups = {"params": training.params, "slots": training.slots, "memory": training.memory}
    for group, vectors in (groups | {"best": training.best_params or {}}).items():
        arrays |= {f"{group}.{name}": vector for name, vector in vectors.items()}
    return header, arrays


def _are_numbers(values: object, count: int) -> bool:
    """Tell whether this is a list of so many numbers that a sum can reach."""
    if not isinstance(values, list) or len(values) != count:
        return False
    return all(type(value) in (int, float) and abs(value) < LARGEST_NUMBER for value in values)


def _is_row(row: object) -> bool:
    """Tell whether this is a row of a history: its phase, and numbers."""
    if not isinstance(row, dict) or not {"epoch", "step", "phase"} <= set(row):
        return False
    numbers = [value for name, value in row.items() if name != "phase"]
    return isinstance(row["phase"], str) and all(type(value) in (int, float) for value in numbers)


def restore(training: Training, header: Header, arrays: Arrays) -> None:
    """Resume from a state of a training with the same objective and plan.

    Raises
    ------
    ValueError
        In one line, before anything is changed, if the state is damaged or that of another training.
    """
    remedy = "the file is damaged or of another training"
    refuse = partial(bad_value, "checkpoint", "the whole state of this training", remedy=remedy)
    expected_header, expected = state_of(training)
    for name in expected_header:
        if name not in header:
            raise refuse(f"no {name!r}")
    for name in PLAIN_STATE:
        value, optional = header[name], name in ("first_value", "last_value", "best")
        kinds = (int, float) if optional or name == "value_sum" else int
        number = isinstance(value, kinds) and not isinstance(value, bool) and abs(value) < LARGEST_NUMBER
        if kinds is int and number:
            number = value >= 0
        if not (number or (optional and value is None)):
            raise refuse(f"{name} {value!r}")
    further = header["further_sums"] if training.further_sums else []
    if not _are_numbers(further, len(training.further_sums)):
        raise refuse(f"further_sums {further!r}")
    clipping = header["clipping"] if training.clipping is not None else [0, 0]
    if not _are_numbers(clipping, 2) or not 0 <= clipping[0] <= clipping[1]:
        raise refuse(f"clipping {clipping!r}")
    counts, position, history = header["counts"], header["position"], header["history"]
    if not isinstance(counts, dict) or set(counts) != set(training.params):
        raise refuse(f"counts {counts!r}")
    if not all(type(n) is int and n >= 0 for n in (*counts.values(), position)):
        raise refuse(f"counts {counts!r} and position {position!r}")
    # Every minibatch is of one epoch, and has one step, or several of phi and one of theta.
    per_epoch = -(-training.minibatches.n_rows // training.minibatches.batch)
    begun = header["seen"] - header["epoch"] * per_epoch
    end = per_epoch if header["epoch"] else 0
    if not 0 <= begun < per_epoch or position != training.minibatches.batch * (begun or end):
        raise refuse(f"{header['seen']} minibatches in {header['epoch']} epochs, and position {position!r}")
    if not max(counts.values()) <= header["step"] <= sum(counts.values()):
        raise refuse(f"counts {counts!r} in {header['step']} steps")
    if header["rows_seen"] * header["seen"] > training.minibatches.n_rows * header["step"]:
        raise refuse(f"{header['rows_seen']} rows seen in an epoch of {training.minibatches.n_rows}")
    if not isinstance(history, list) or not all(map(_is_row, history)):
        raise refuse("a history that is no list of rows")
    if header["seen"] and not history:
        raise refuse("an empty history")
    for name in ("order_rng", "noise_rng"):
        try:
            type(training.noise_rng.bit_generator)().state = header[name]
        except Exception:  # NumPy raises many types of error on a wrong state
            raise refuse(f"no state of a generator in {name!r}") from None
    expected = {key: array for key, array in expected.items() if not key.startswith("best.")}
    if header["best"] is not None:
        expected |= {f"best.{name}": vector for name, vector in training.params.items()}
    if set(expected) != set(arrays):
        raise refuse(f"missing or surplus arrays {sorted(set(expected) ^ set(arrays))}")
    for key, array in expected.items():
        if (arrays[key].shape, arrays[key].dtype) != (array.shape, array.dtype):
            got = f"{arrays[key].dtype} {arrays[key].shape}"
            raise refuse(f"{key} as {got}, expected {array.dtype} {array.shape}")
    if not np.array_equal(np.sort(arrays["order"]), np.arange(training.minibatches.n_rows)):
        raise refuse("an order that does not hold every row once")
    for name in PLAIN_STATE:
        setattr(training, name, header[name])
    training.further_sums = list(further)
    if training.clipping is not None:
        training.clipping.clipped, training.clipping.steps = clipping
    training.counts, training.history = dict(header["counts"]), list(header["history"])
    training.minibatches.position = header["position"]
    training.minibatches.order = arrays["order"]
    training.minibatches.rng.bit_generator.state = header["order_rng"]
    training.noise_rng.bit_generator.state = header["noise_rng"]
    groups: dict[str, Vectors] = {group: {} for group in ("params", "slots", "memory", "best")}
    for key, array in arrays.items():
        group, _, name = key.partition(".")
        if group in groups:
            # A C-contiguous copy, as compiled code reads it.
            groups[group][name] = np.array(array, order="C")
    training.params, training.slots, training.memory = groups["params"], groups["slots"], groups["memory"]
    training.best_params = groups["best"] or None
