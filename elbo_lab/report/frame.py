"""Rows as a pandas DataFrame, where pandas is installed; the package does without it."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from elbo_lab.report.cells import Row


def frame_of(rows: Sequence[Row], instead: str) -> Any:
    """Return rows as a DataFrame, which no type checker of the package knows.

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
    return pandas.DataFrame(list(rows))
