"""Parameters that a fit holds: names of a layout, and the values that they keep.

    {"log_sigma": 0.0}               every number of a block
    {"W[3, 1]": 1.0}                 one entry
    {"mean[0]": [2.0, 54.0]}         the row of one component

A held parameter is constant, not penalised: the other parameters maximise with it fixed. A stepwise ascent
puts the value back after every step, which is the ascent in the other coordinates alone, because no optimiser
of the package mixes coordinates.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from elbo_lab.arrays import Floats
from elbo_lab.errors import LARGEST_DATUM, bad_kind, bad_value, short, unknown_name
from elbo_lab.layout import Layout

LARGEST_LOG = 100.0
"""Of a held logarithm: exp of twice as much, and its inverse, are numbers far within double precision."""

INDEXED = re.compile(r"(?P<name>[^\[\]]+?)\s*(?:\[(?P<index>[\d,\s]+)\])?")


@dataclass(frozen=True, eq=False)
class Held:
    """Coordinates of a vector and their values.

    Attributes
    ----------
    layout : Layout
    coordinates : ndarray of int (H,)
    values : ndarray (H,)
    """

    layout: Layout
    coordinates: NDArray[np.intp]
    values: Floats

    def put(self, vector: Floats) -> Floats:
        """Write the values into a vector (P,), in place, and return it."""
        vector[self.coordinates] = self.values
        return vector

    def still(self, vector: Floats) -> bool:
        """Whether a vector (P,) has exactly these values."""
        return bool(np.array_equal(vector[self.coordinates], self.values))

    def without(self, gradient: Floats) -> Floats:
        """Return a gradient (P,) with zeros at these coordinates."""
        free = gradient.copy()
        free[self.coordinates] = 0.0
        return free

    def mask(self, name: str) -> NDArray[np.bool_]:
        """Return which entries of a block are held, in its shape."""
        held = np.zeros(self.layout.size, dtype=bool)
        held[self.coordinates] = True
        shapes = dict(self.layout.entries)
        return held[self.layout.blocks[list(shapes).index(name)]].reshape(shapes[name])

    def block(self, name: str) -> Floats:
        """Return the values of a block, in its shape, zero where nothing is held."""
        return self.layout.view(self.put(np.zeros(self.layout.size)), name)


def held_in(layout: Layout, hold: Mapping[str, Any] | None) -> Held | None:
    """Return what {name: value} holds of a layout; None for nothing.

    Parameters
    ----------
    layout : Layout
        Of theta.
    hold : mapping of str to number or array, or None
        A name, or a name with an index as in 'W[3, 1]'; a number holds all entries that are named.

    Raises
    ------
    ValueError, TypeError
        In one line: an unknown name, with the nearest; an index or a shape that the block does not have; a
        value that is no finite number, or too large to compute with; a parameter that is named twice.
    """
    if not hold:
        return None
    coordinates: list[NDArray[np.intp]] = []
    values: list[Floats] = []
    for name, value in hold.items():
        where = _named(layout, name)
        coordinates.append(where.ravel())
        values.append(np.broadcast_to(_number(name, value, where.shape), where.shape).ravel())
    together = np.concatenate(coordinates)
    different, counts = np.unique(together, return_counts=True)
    if len(different) < len(together):
        twice = layout.name_of(int(different[counts > 1][0]))
        raise bad_value("hold", "every parameter once", f"{twice} twice")
    return Held(layout, together, np.concatenate(values))


def _named(layout: Layout, name: object) -> NDArray[np.intp]:
    """Return the coordinates of a name, in the shape of what it names."""
    found = INDEXED.fullmatch(name.strip()) if isinstance(name, str) else None
    block = found["name"] if found else name
    shapes = dict(layout.entries)
    if block not in shapes:
        if not shapes:
            raise bad_value("hold", "nothing: this model has no parameters theta", repr(name))
        raise unknown_name("hold", block, list(shapes), all_names=f"theta has {', '.join(shapes)}")
    part = layout.blocks[list(shapes).index(str(block))]
    where = np.arange(part.start, part.stop).reshape(shapes[str(block)])
    if found is None or found["index"] is None:
        return where
    index = tuple(int(i) for i in found["index"].split(",") if i.strip())
    if len(index) > where.ndim or any(i >= n for i, n in zip(index, where.shape, strict=False)):
        raise bad_value("hold", f"an index within the shape {where.shape} of {block}", repr(name))
    return np.asarray(where[index])


def _number(name: str, value: object, shape: tuple[int, ...]) -> Floats:
    """Return a value as floats of a shape, or as one float."""
    try:
        array = np.asarray(value)
    except ValueError:
        raise bad_value("hold", f"numbers for {name}", "ragged rows") from None
    if array.dtype.kind not in "iuf":
        raise bad_kind("hold", f"numbers for {name}", short(value))
    if array.shape not in ((), shape):
        expected = (
            f"one number, or numbers of shape {shape}, for {name}" if shape else f"one number for {name}"
        )
        raise bad_value("hold", expected, f"shape {array.shape}")
    if not np.isfinite(array).all():
        raise bad_value("hold", f"finite numbers for {name}", short(value))
    is_log = name.rpartition(".")[2].startswith("log_")
    most = LARGEST_LOG if is_log else LARGEST_DATUM
    if array.size and np.abs(array).max() > most:
        remedy = "it is a natural logarithm" if is_log else "change the unit"
        raise bad_value("hold", f"numbers from {-most:g} to {most:g} for {name}", short(value), remedy)
    return array.astype(np.float64)


def check_representable(held: Held, dtype: DTypeLike) -> None:
    """Refuse values that a training in a smaller dtype would round."""
    rounded = held.values.astype(dtype).astype(np.float64)
    for coordinate, value, stored in zip(held.coordinates, held.values, rounded, strict=True):
        if value != stored:
            name = held.layout.name_of(int(coordinate))
            expected = f"a number that {np.dtype(dtype).name} has exactly, for {name}"
            raise bad_value("hold", expected, value, f"use dtype float64, or {float(stored)!r}")
