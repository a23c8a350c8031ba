"""What every data set looks like, wherever it came from.

A `Dataset` is a table `x` with N rows (data) and D columns (observed dimensions), in float64 and
with finite entries only, plus what a table or a figure has to say about it: name, columns,
source, licence. Labels are carried along and never used: a latent-variable model sees `x` alone.

Nothing is centred or scaled here. A log-density is not invariant under scaling (its nats move by
the log of the scale), so that standardising must be the caller's wish.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from elbo_lab.errors import bad_value, check_count

FILES = Path(__file__).with_name("files")


# Two tables are not one yes or no: no generated __eq__ on arrays.
@dataclass(frozen=True, eq=False)
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
        The licence of a shipped set; empty for the user's own data.
    """

    name: str
    x: np.ndarray
    columns: tuple[str, ...] | None = None
    labels: np.ndarray | None = None
    source: str = ""
    licence: str = ""

    def rows(self, count, seed):
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
            The same set with x (count, D) and labels (count,).
        """
        count = check_count("rows", count)
        seed = check_count("seed", seed, minimum=0)
        if count > len(self.x):
            raise bad_value(
                "rows",
                f"at most the {len(self.x)} rows of {self.name}",
                count,
                "ask for fewer rows",
            )
        chosen = np.random.default_rng(seed).permutation(len(self.x))[:count]
        labels = None if self.labels is None else self.labels[chosen]
        return replace(self, x=self.x[chosen], labels=labels)


@dataclass(frozen=True)
class BuiltIn:
    """A data set inside the package: its line in a list, and how it is read.

    Parameters
    ----------
    name : str
        Name for `load` and the command line.
    summary : str
        One line for `elbo-lab list`.
    views : tuple of str
        Names of the views, the default first; empty when there is only the data itself.
    read : callable
        ``read(view, seed) -> Dataset``; a set without views is called with ``view=None``.
    """

    name: str
    summary: str
    views: tuple[str, ...]
    read: Callable[[str | None, int], Dataset]
