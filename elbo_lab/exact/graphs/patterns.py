"""Which cells of a row are missing, what must be summed or integrated for them, and by which rung.

A missing cell that no observed cell depends on drops out: its conditional sums to one. Working from the
leaves, a variable is *needed* if a cell of it is observed or one of its children is needed. A missing cell of
a needed variable is *hidden* if the variable has needed children, and dropped otherwise.

Rows with the same missing cells have the same sums and are computed together. The rungs:

    closed-form   nothing is hidden, or only reals, and these are linear-Gaussian with their needed children
    enumeration   the same for every value of hidden categories and bits
    quadrature    one or two hidden reals of any conditionals, for every value of the others
    long-run      anything else: draws, with a standard error

"Missing at random" is assumed throughout: whether a cell is missing may depend on what was observed in its
row, and on nothing else (Rubin 1976). The mechanism then has no say in what is known of theta.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import prod

import numpy as np
from numpy.typing import NDArray

from elbo_lab.arrays import Floats, Integers
from elbo_lab.models.graphs import BayesNet
from elbo_lab.models.graphs.gaussian import ConditionalGaussian, StandardNormal
from elbo_lab.models.graphs.predicted import LinearGaussian

LINEAR = (StandardNormal, LinearGaussian, ConditionalGaussian)
"""Conditionals that are linear-Gaussian, given all categories."""

# Values of the hidden categories and bits of a row that are listed at most; reals that a grid integrates.
MOST_VALUES = 4096
MOST_REALS = 2

Cell = tuple[str, int]
"""A variable, and the index of its component."""


@dataclass(frozen=True)
class Pattern:
    """Missing cells of a row, and what follows from them.

    Parameters
    ----------
    net : BayesNet
    missing : tuple of bool, length D
        In the order of the columns.
    """

    net: BayesNet
    missing: tuple[bool, ...]

    def _missing(self, name: str) -> NDArray[np.bool_]:
        """Return which components of a variable are missing (n,)."""
        return np.array(self.missing[self.net.places[name]])

    @cached_property
    def needed(self) -> tuple[str, ...]:
        """Variables whose conditionals count, parents before children."""
        found: set[str] = set()
        for name in reversed(self.net.order):
            if not self._missing(name).all() or found.intersection(self.net.children[name]):
                found.add(name)
        return tuple(name for name in self.net.order if name in found)

    def _hidden(self, name: str) -> NDArray[np.bool_]:
        """Return which components of a needed variable must be summed or integrated (n,)."""
        asked = any(child in self.needed for child in self.net.children[name])
        return self._missing(name) & asked

    @cached_property
    def counted(self) -> dict[str, Floats]:
        """Of every needed variable, 1 for components whose log p counts and 0 for those dropped (n,)."""
        return {name: (~self._missing(name) | self._hidden(name)).astype(np.float64) for name in self.needed}

    @cached_property
    def hidden(self) -> tuple[Cell, ...]:
        """The hidden cells, parents before children."""
        return tuple((name, int(i)) for name in self.needed for i in np.flatnonzero(self._hidden(name)))

    @cached_property
    def discrete(self) -> tuple[Cell, ...]:
        """The hidden cells of categories and bits."""
        return tuple(cell for cell in self.hidden if self.net.variables[cell[0]].discrete)

    @cached_property
    def reals(self) -> tuple[Cell, ...]:
        """The hidden cells of reals."""
        return tuple(cell for cell in self.hidden if not self.net.variables[cell[0]].discrete)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Numbers of values of the discrete hidden cells."""
        variables = [self.net.variables[name] for name, _ in self.discrete]
        return tuple(one.size if one.kind == "category" else 2 for one in variables)

    @cached_property
    def about_reals(self) -> tuple[str, ...]:
        """Needed variables with a hidden real of their own or as a parent."""
        real = {name for name, _ in self.reals}
        return tuple(name for name in self.needed if real.intersection((name, *self.net.parents[name])))

    @cached_property
    def linear(self) -> bool:
        """Whether all that concerns hidden reals is linear-Gaussian."""
        return all(isinstance(self.net.conditionals[name], LINEAR) for name in self.about_reals)

    @property
    def rung(self) -> str:
        """The highest rung of the ladder that gives the evidence of such rows."""
        if prod(self.sizes) > MOST_VALUES:
            return "long-run"
        if not self.linear:
            return "quadrature" if len(self.reals) <= MOST_REALS else "long-run"
        return "enumeration" if self.discrete else "closed-form"

    def listed(self, table: Floats) -> Floats:
        """Return rows (N, D) with every value of the hidden categories and bits (N G, D), 0 where missing."""
        values = np.stack(np.unravel_index(np.arange(prod(self.sizes)), self.sizes or (1,)), axis=1)
        full = np.repeat(np.where(self.missing, 0.0, table), len(values), axis=0)
        for i, (name, component) in enumerate(self.discrete):
            full[:, self.net.places[name].start + component] = np.tile(values[:, i], len(table))
        return full


def patterns(net: BayesNet, table: Floats) -> Iterator[tuple[Pattern, Integers]]:
    """Yield every pattern of missing cells (nan) in a table (N, D), with its rows."""
    missing = np.isnan(table)
    order = np.lexsort(missing.T[::-1])
    changes = np.flatnonzero((missing[order[1:]] != missing[order[:-1]]).any(axis=1)) + 1
    for start, stop in pairwise([0, *changes.tolist(), len(table)]):
        rows = np.sort(order[start:stop])
        yield Pattern(net, tuple(missing[rows[0]].tolist())), rows
