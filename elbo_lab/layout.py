"""Named, shaped views into one flat parameter vector.

`theta` and `phi` are one-dimensional arrays, so that optimisers, checkpoints, finite differences and
gradient statistics act on a plain vector; a `Layout` names its parts. Views are never copies. Gradients of
many repeats have leading axes, (..., P), and are viewed in the same way.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np
from numpy.typing import ArrayLike

from elbo_lab.arrays import Floats
from elbo_lab.errors import bad_value

Entries = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True)
class Layout:
    """An ordered list of named shapes.

    Parameters
    ----------
    entries : tuple of (str, tuple of int)
        Name and shape of each block, in their order in the vector.

    Examples
    --------
    >>> layout = Layout((("W", (2, 3)), ("b", (3,))))
    >>> layout.size
    9
    >>> layout.name_of(5)
    'W[1, 2]'
    """

    entries: Entries
    size: int = field(init=False)
    _where: dict[str, tuple[slice, tuple[int, ...]]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names = [name for name, _ in self.entries]
        if len(set(names)) < len(names):
            raise bad_value("entries", "different names", names)
        sizes = [math.prod(shape) for _, shape in self.entries]
        ends = list(accumulate(sizes, initial=0))
        where = {name: (slice(*ends[i : i + 2]), shape) for i, (name, shape) in enumerate(self.entries)}
        object.__setattr__(self, "size", ends[-1])
        object.__setattr__(self, "_where", where)

    def views(self, vector: Floats) -> dict[str, Floats]:
        """Return {name: view of shape (..., *shape)} of `vector` (..., P)."""
        lead = self._lead(vector)
        return {name: vector[..., part].reshape(lead + shape) for name, (part, shape) in self._where.items()}

    @property
    def blocks(self) -> tuple[slice, ...]:
        """Where each block lies in the vector."""
        return tuple(where for where, _ in self._where.values())

    def view(self, vector: Floats, name: str) -> Floats:
        """Return the one of `views` with this name."""
        part, shape = self._where[name]
        return vector[..., part].reshape(self._lead(vector) + shape)

    def _lead(self, vector: Floats) -> tuple[int, ...]:
        """Return the axes of `vector` before that of the parameters, whose number is checked."""
        shape = vector.shape
        if not shape or shape[-1] != self.size:
            raise bad_value("vector", f"last axis of {self.size} parameters", f"shape {shape}")
        return shape[:-1]

    def pack(self, parts: Mapping[str, ArrayLike], lead: tuple[int, ...] = ()) -> Floats:
        """Return a new vector (*lead, P) from {name: array (*lead, *shape)}; missing names are zero.

        The vector has the common dtype of the parts.
        """
        floats = {dtype for dtype in map(_dtype, parts.values()) if dtype.kind == "f"}
        dtype = np.result_type(*floats) if floats else np.float64
        # If every entry is given, none must be set to zero.
        new = np.empty if len(parts) == len(self.entries) else np.zeros
        vector = new((*lead, self.size), dtype)
        views = self.views(vector)
        for name, value in parts.items():
            if name not in views:
                raise bad_value("parts", f"names among {list(views)}", repr(name))
            views[name][...] = value
        return vector

    def name_of(self, index: int) -> str:
        """Return the readable name of one coordinate, such as 'decoder.W2[3, 7]'."""
        start = index
        for name, shape in self.entries:
            count = math.prod(shape)
            if start < count:
                where = ", ".join(str(i) for i in np.unravel_index(start, shape)) if shape else ""
                return f"{name}[{where}]" if where else name
            start -= count
        raise bad_value("index", f"a coordinate below {self.size}", index)

    def prefixed(self, prefix: str) -> Entries:
        """Return the entries with `prefix.` before every name, for a layout that contains this one."""
        return tuple((f"{prefix}.{name}", shape) for name, shape in self.entries)


def _dtype(value: ArrayLike) -> np.dtype:
    return value.dtype if isinstance(value, np.ndarray) else np.asarray(value).dtype
