"""Labels of the user's own table: a column by name or number, whose classes are coded 0 to C - 1.

Classes may be words ("setosa") or numbers. They are coded in their order, numbers by size and words by the
alphabet, so that the codes do not depend on which row comes first; the names are kept, for tables and
errors. On new rows the codes are those of the fit, and a class that it has not seen is refused.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from elbo_lab.datasets.dataset import Dataset
from elbo_lab.errors import BadValue, bad_value, is_whole, short

Label = str | int
"""A column: its name, or its number from 0."""

SHOWN = 8


def position_of(label: Label, columns: Sequence[str] | None, n_columns: int, where: str) -> int:
    """Return the number of a column from its name or number; a name wins over a number.

    Parameters
    ----------
    label : str or int
    columns : sequence of str or None
        Names of all columns, None without any.
    n_columns : int
    where : str
        The data in an error.

    Raises
    ------
    ValueError
        If there is no such column.
    """
    if columns is not None and label in columns:
        if columns.count(label) > 1:
            expected, got = f"one column of {where} by that name", f"{columns.count(label)} named {label!r}"
            raise bad_value("label", expected, got, "give its number from 0")
        return columns.index(label)
    text = str(label).strip()
    if is_whole(label) or text.isdecimal():
        if 0 <= int(text) < n_columns:
            return int(text)
    last = n_columns - 1
    expected = f"a column number from 0 to {last} of {where}"
    if columns is not None:
        named = ", ".join(columns[:SHOWN]) + (", ..." if len(columns) > SHOWN else "")
        expected = f"a column of {where} ({named}), or its number from 0 to {last}"
    raise bad_value("label", expected, short(label))


def missing(where: str, place: str) -> BadValue:
    """Return the error for a row without a label."""
    return bad_value("label", f"a class in every row of {where}", place, "fill or drop the rows without one")


def coded(
    texts: Sequence[str], where: str, known: Sequence[str] | None = None
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return codes (N,) and the names of the classes of labels as text.

    Parameters
    ----------
    texts : sequence of str
    where : str
        The data in an error.
    known : sequence of str, optional
        The classes of a fit, whose codes are taken.

    Raises
    ------
    ValueError
        If every row has a class of its own, or a class is not among the known ones.
    """
    names = _canonical(sorted(set(texts)))
    classes = tuple(known) if known is not None else tuple(_in_order(set(names.values())))
    codes = {name: code for code, name in enumerate(classes)}
    unknown = sorted(set(names.values()) - set(classes))
    if unknown:
        expected = f"the classes of the fit ({', '.join(classes[:SHOWN])})"
        raise bad_value("label", expected, f"{short(unknown[0])} in {where}")
    if known is None and len(classes) == len(texts) > 2:
        expected = f"classes that several rows of {where} share"
        raise bad_value(
            "label", expected, f"{len(classes)} of them in {len(texts)} rows", "name another column"
        )
    return np.array([codes[names[text]] for text in texts], dtype=np.int64), classes


def _canonical(texts: Sequence[str]) -> dict[str, str]:
    """Return {text: name}; where all are numbers, '1' and '1.0' are one class."""
    try:
        return {text: f"{float(text):.15g}" for text in texts}
    except ValueError:
        return {text: text for text in texts}


def _in_order(names: set[str]) -> list[str]:
    try:
        return sorted(names, key=float)
    except ValueError:
        return sorted(names)


def with_label(dataset: Dataset, label: Label, known: Sequence[str] | None = None) -> Dataset:
    """Return the data set with a numeric column of its x as labels.

    Parameters
    ----------
    dataset : Dataset
        Without labels.
    label : str or int
    known : sequence of str, optional
        The classes of a fit.

    Raises
    ------
    ValueError
        If it has labels already, no such column, or no other one.
    """
    name = dataset.name
    if dataset.labels is not None:
        raise bad_value("label", f"no value: {name} brings its labels", short(label), "leave it out")
    index = position_of(label, dataset.columns, dataset.x.shape[1], name)
    values = dataset.x[:, index]
    codes, classes = coded([f"{value:.15g}" for value in values], name, known)
    return labelled(dataset, index, codes, classes)


def labelled(dataset: Dataset, index: int, codes: NDArray[np.int64], classes: tuple[str, ...]) -> Dataset:
    """Return the data set without one column, its x the features alone, with these labels."""
    if dataset.x.shape[1] < 2:
        raise bad_value("label", f"a column of {dataset.name} beside others", "its only column")
    columns = None
    if dataset.columns is not None:
        columns = (*dataset.columns[:index], *dataset.columns[index + 1 :])
    x = np.ascontiguousarray(np.delete(dataset.x, index, axis=1))
    return replace(dataset, x=x, columns=columns, labels=codes, classes=classes)
