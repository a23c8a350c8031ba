"""Rows as a pandas DataFrame, where pandas is installed; the package does without it."""

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, cast

from elbo_lab.report.cells import Row

if TYPE_CHECKING:
    from pandas import DataFrame


def frame_of(rows: Sequence[Row], instead: str) -> "DataFrame":
    """Return rows as a DataFrame.

    Parameters
    ----------
    rows : sequence of dict
    instead : str
        What has the same rows without pandas.

    Raises
    ------
    ImportError
        If pandas is not installed.
    """
    try:
        pandas = import_module("pandas")
    except ImportError:
        line = f"to_pandas needs pandas: pip install pandas; or use {instead}, the same as a list of dicts"
        raise ImportError(line) from None
    return cast("DataFrame", pandas.DataFrame(list(rows)))
