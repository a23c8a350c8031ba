"""Tables with a label in their last column: what models of p(y | x) and of p(x | y) have in common.

A label counts its class from 0. It is data of a kind of its own: a model either explains it (a classifier,
whose features are given) or is given it (a conditional model, whose features are explained).
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from elbo_lab.arrays import Floats
from elbo_lab.errors import bad_value, check_data

if TYPE_CHECKING:
    from elbo_lab.datasets import Dataset

REMEDY = "use a data set with labels such as digits, or name the column that holds them (label, --label)"


def labelled_table(dataset: "Dataset", name: str) -> NDArray[np.float64]:
    """Return the table (M, D + 1) of features and labels of a data set.

    Raises
    ------
    ValueError
        If it has no labels.
    """
    if dataset.labels is None:
        raise bad_value("data", f"rows with labels for {name}", f"no labels with {dataset.name}", REMEDY)
    return np.column_stack([dataset.x, dataset.labels]).astype(np.float64)


def check_classes(dataset: "Dataset", name: str) -> None:
    """Refuse rows to be fitted that all have the same label; new rows may."""
    if dataset.labels is not None and np.ptp(dataset.labels) == 0:
        got = f"only {dataset.class_names[dataset.labels[0]]!r} with {dataset.name}"
        raise bad_value("data", f"labels of at least two classes for {name}", got, REMEDY)


def classes_of(x: Floats) -> int:
    """Return C, the number of classes of a table (M, D + 1): one more than the largest label.

    Raises
    ------
    ValueError
        If there is no feature, or no second class.
    """
    if x.shape[1] < 2:
        raise bad_value("data", "at least one feature besides the labels", f"{x.shape[1]} column")
    largest = x[:, -1].max()
    expected = "labels 0, 1, ... of at least two classes in the last column"
    if not 1 <= largest < len(x):
        raise bad_value("data", expected, f"{largest:g} as the largest", REMEDY)
    if np.ptp(x[:, -1]) == 0:
        raise bad_value("data", expected, f"{largest:g} in all rows", REMEDY)
    return int(largest) + 1


def check_labels(x: Floats, n_columns: int, n_classes: int, argument: str) -> Floats:
    """Return x (N, D + 1) as floats if its last column holds classes from 0 to C - 1, or raise ValueError."""
    x = check_data(x, argument, n_columns=n_columns)
    labels = x[:, -1]
    wrong = np.flatnonzero((labels < 0) | (labels >= n_classes) | (labels != np.floor(labels)))
    if len(wrong):
        row = wrong[0]
        expected = f"labels from 0 to {n_classes - 1} in the last column, the classes of the training rows"
        raise bad_value(argument, expected, f"{labels[row]:g} at row {row}")
    return x


def one_hot(labels: Floats, n_classes: int) -> Floats:
    """Return the indicators [y = c] (..., C) of labels (...), in their dtype."""
    return (labels[..., None] == np.arange(n_classes)).astype(labels.dtype)
