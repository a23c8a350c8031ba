"""The variables of a graph, and how their values enter a formula.

Three kinds: a `category` has states 0..C-1 and no axis of its own, `bits` are n zeros and ones, `real` are n
numbers; the n components of one variable are independent given its parents (a plate). A category enters a
linear form as the indicators of its states, [z = c] for c = 0..C-1; bits and reals enter as they are.

Axes: a category is an integer array (..., S, N), everything else (..., S, N, n). S and N may be one for
values that draws or data share, and what was observed may lack the axis S.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from elbo_lab.arrays import Draws, Floats, Integers

Kind = Literal["category", "bits", "real"]
Values = Mapping[str, NDArray[Any]]
"""{name of a variable: its values}, whole numbers for a category."""


@dataclass(frozen=True)
class Variable:
    """A named variable.

    Attributes
    ----------
    name : str
    kind : {'category', 'bits', 'real'}
    size : int
        C states of a category, or n components.
    states : tuple of str
        Names of the states of a category, () for numbers.
    """

    name: str
    kind: Kind
    size: int
    states: tuple[str, ...] = ()

    @property
    def discrete(self) -> bool:
        return self.kind != "real"

    @property
    def n_components(self) -> int:
        """Columns of a table that hold the variable: one for a category."""
        return 1 if self.kind == "category" else self.size

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of these columns: that of the variable, or 'name[0]', 'name[1]' and so on."""
        if self.n_components == 1:
            return (self.name,)
        return tuple(f"{self.name}[{i}]" for i in range(self.size))

    def batch(self, value: NDArray[Any]) -> NDArray[Any]:
        """Return a value with an axis S before N."""
        least = 2 if self.kind == "category" else 3
        return value if value.ndim >= least else value[None]

    def entering(self, value: NDArray[Any]) -> Floats:
        """Return what a value adds to the inputs of a linear form (..., S, N, C or n)."""
        value = self.batch(value)
        if self.kind == "category":
            return (value[..., None] == np.arange(self.size)).astype(np.float64)
        return value

    def of_columns(self, columns: Floats) -> Draws:
        """Return the value of columns (..., M, 1 or n) of a table."""
        return columns[..., 0].astype(np.intp) if self.kind == "category" else columns

    def as_columns(self, value: Draws) -> Floats:
        """Return a value as columns (..., 1 or n) of a table."""
        return (value[..., None] if self.kind == "category" else value).astype(np.float64)


def inputs_of(parents: Sequence[Variable], values: Values) -> Floats:
    """Return the inputs (..., S, N, sum of widths) of a linear form: the values of the parents side by side.

    Without parents they are (1, 1, 0).
    """
    entering = [parent.entering(values[parent.name]) for parent in parents]
    if not entering:
        return np.zeros((1, 1, 0))
    batch = np.broadcast_shapes(*(one.shape[:-1] for one in entering))
    return np.concatenate([np.broadcast_to(one, (*batch, one.shape[-1])) for one in entering], axis=-1)


def rows_of(parents: Sequence[Variable], values: Values) -> Integers:
    """Return the row (..., S, N) of a table over categories that their values choose, the last fastest.

    Without parents it is row 0, (1, 1).
    """
    row: Integers = np.zeros((1, 1), np.intp)
    for parent in parents:
        row = row * parent.size + parent.batch(values[parent.name])
    return row


def folded(gradient: Floats, shape: tuple[int, int]) -> Floats:
    """Sum a gradient (..., S, N, n) over the draws, or the data, that share a value of shape (S, N)."""
    for axis, length in zip((-3, -2), shape, strict=True):
        if length < gradient.shape[axis]:
            gradient = gradient.sum(axis=axis, keepdims=True)
    return gradient
