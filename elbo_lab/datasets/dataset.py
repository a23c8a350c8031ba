"""What every data set looks like, wherever it came from.

A `Dataset` is a table `x` with N rows (data) and D columns (observed dimensions), in float64 and
with finite entries only, plus what a table or a figure has to say about it: name, columns,
source, licence. Labels are carried along and never used: a latent-variable model sees `x` alone.

Nothing is centred or scaled here. A log-density is not invariant under scaling (its nats move by
the log of the scale), so that standardising is left to the caller.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elbo_lab.arrays import Integers
from elbo_lab.errors import bad_kind, bad_value, check_count

FILES = Path(__file__).with_name("files")
# A child stream of its own: the held-out rows are not the first ones of `rows` with the same seed.
SPLIT_KEY = (0x5B117,)


# Two tables are not one yes or no: no generated __eq__ on arrays.
@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A table of observations with its origin.

    Parameters
    ----------
    name : str
        Short name for tables and files, for example ``digits:raw``.
    x : ndarray of float64, shape (N, D)
        One datum per row.
    columns : tuple of str, length D, or None
        Names of the columns, where the source has them.
    labels : ndarray of int, shape (N,), or None
        Known classes, where the source has them.
    source : str
        The citation, or the path of the user's file.
    licence : str
        The licence of a set with a name; empty for the user's own data.
    probabilities : ndarray of float32, shape (N, D), or None
        Where x is a Bernoulli draw (the `dynamic` views): the chances of a 1 from which it was drawn,
        so that a trainer can draw anew at every step.
    image_shape : tuple of int, or None
        Where a row is an image: its height and width, with height * width = D.
    factors : mapping of str to ndarray of int (N,), or None
        Where each row was made from known factors: the value of each, by name.
    unit : str
        Of all columns, where they share one that is known.
    classes : tuple of str, or None
        Names of the labels 0, 1, ..., where they have others than their numbers.
    """

    name: str
    x: NDArray[np.float64]
    columns: tuple[str, ...] | None = None
    labels: NDArray[np.int64] | None = None
    source: str = ""
    licence: str = ""
    probabilities: NDArray[np.float32] | None = None
    image_shape: tuple[int, int] | None = None
    unit: str = ""
    factors: Mapping[str, NDArray[np.int64]] | None = None
    classes: tuple[str, ...] | None = None

    def __repr__(self) -> str:
        columns = f", columns {', '.join(self.columns)}" if self.columns and len(self.columns) <= 12 else ""
        return f"<Dataset {self.name}: x {self.x.shape}{columns}>"

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the labels 0 to C - 1; empty without labels."""
        if self.labels is None or self.classes is not None:
            return self.classes or ()
        return tuple(map(str, range(int(self.labels.max()) + 1)))

    def rows(self, count: int, seed: int) -> "Dataset":
        """Return `count` different rows, chosen and ordered by a seeded permutation.

        The first rows for one seed stay the same when `count` grows.

        Parameters
        ----------
        count : int
            Between 1 and N.
        seed : int
            Seed of the permutation.

        Returns
        -------
        Dataset
            The same set with x (count, D), and labels and probabilities to match.
        """
        return self._at(self.places(count, seed))

    def places(self, count: int, seed: int) -> Integers:
        """Return where the rows are (count,) that `rows` chooses, counted from 0."""
        count = check_count("rows", count)
        seed = check_count("seed", seed, minimum=0)
        if count > len(self.x):
            expected = f"at most the {len(self.x)} rows of {self.name}"
            raise bad_value("rows", expected, count, "ask for fewer rows")
        return np.random.default_rng(seed).permutation(len(self.x))[:count]

    def split(self, holdout: float, seed: int = 0) -> "tuple[Dataset, Dataset]":
        """Return two parts: rows to train on, and rows that are held out.

        Which rows are held out depends on N, `holdout` and `seed` alone. The seed is not that of a fit,
        so that fits with different seeds are judged on the same rows. Both parts keep the order of the
        data.

        Parameters
        ----------
        holdout : float
            Share of the rows that is held out, above 0 and below 1; ceil(holdout * N) rows, where
            `holdout` counts as the decimal number that it prints as.
        seed : int, default 0
            Seed of the permutation.

        Returns
        -------
        train, held_out : Dataset
            Copies of the rows; each part has at least one.
        """
        if isinstance(holdout, bool) or not isinstance(holdout, (int, float, np.number)):
            raise bad_kind("holdout", "a number between 0 and 1", repr(holdout))
        seed = check_count("seed", seed, minimum=0)
        if not 0 < holdout < 1:
            raise bad_value("holdout", "a share above 0 and below 1", holdout)
        # 0.07 of 100 rows are 7, and not the 8 that ceil makes of 7.000000000000001.
        n_held_out = math.ceil(Fraction(str(holdout)) * len(self.x))
        if n_held_out >= len(self.x):
            got = f"{holdout}, which holds out {n_held_out} of {len(self.x)} rows"
            raise bad_value("holdout", "a share that leaves a row to train on", got, "hold out less")
        sequence = np.random.SeedSequence(seed, spawn_key=SPLIT_KEY)
        order = np.random.default_rng(sequence).permutation(len(self.x))
        return self._at(np.sort(order[n_held_out:])), self._at(np.sort(order[:n_held_out]))

    def _at(self, chosen: Integers) -> "Dataset":
        """Return the set with only the chosen rows."""
        parts: dict[str, Any] = {name: getattr(self, name) for name in ("x", "labels", "probabilities")}
        found: dict[str, Any] = {name: part[chosen] for name, part in parts.items() if part is not None}
        if self.factors is not None:
            found["factors"] = {name: values[chosen] for name, values in self.factors.items()}
        return replace(self, **found)


@dataclass(frozen=True)
class BuiltIn:
    """A data set with a name: its line in a list, and how it is read.

    Parameters
    ----------
    name : str
        Name for `load` and the command line.
    summary : str
        One line for `elbo-lab list`.
    views : tuple of str
        Names of the views, the default first; empty when there is only the data itself.
    read : callable
        ``read(view, seed, data_dir=None) -> Dataset``; a set without views is called with
        ``view=None``, and one inside the package has no use for `data_dir`.
    shipped : bool
        Whether its files are inside the package; else they are looked for on the user's disk and in
        the network.
    title : str
        Its name in a figure or a sentence.
    synonyms : tuple of str
        Its other names.
    """

    name: str
    summary: str
    views: tuple[str, ...]
    read: Callable[..., Dataset]
    shipped: bool = True
    title: str = ""
    synonyms: tuple[str, ...] = ()
