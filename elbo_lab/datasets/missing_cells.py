"""Tables in which cells are missing, and categories have names: the data of a graph.

Only models that say what a missing cell means read a file like this; `load` refuses gaps. An empty field, NA,
null and the like are missing. A column is found by its name in the header, in any order, and one that the
file lacks is missing in every row. A state of a category is written by its name or its number.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from elbo_lab.datasets.comma_separated import is_gap, is_number, open_text, rows_of_file
from elbo_lab.datasets.dataset import Dataset
from elbo_lab.errors import BadValue, bad_value, unknown_name
from elbo_lab.reading import check_regular

States = Mapping[str, Sequence[str]]
"""{column of a category: names of its states}."""


def read_with_gaps(path: Path, columns: Sequence[str], states: States) -> Dataset:
    """Return the table of a .csv or .csv.gz file, nan where a cell is missing.

    Parameters
    ----------
    path : pathlib.Path
        An existing file; with a header, or with all columns in their order.
    columns : sequence of str
        Names of the D columns of the table, in order.
    states : dict

    Returns
    -------
    Dataset
        x (N, D).

    Raises
    ------
    ValueError
        In one line, for an unknown column, a field that is no number and no state, rows of another length.
    """
    check_regular("data", path)
    try:
        with open_text(path) as file:
            lines = list(rows_of_file(file, path))
    except (UnicodeDecodeError, OSError, EOFError) as error:
        raise bad_value("data", "a readable CSV file in UTF-8", f"{str(path)!r} ({error})") from None
    if not lines:
        raise bad_value("data", "at least one row", f"the empty file {str(path)!r}")
    header = [field.strip() for field in lines[0][1]]
    if _is_row(header, columns, states):
        header = list(columns)
    else:
        lines = lines[1:]
    for name in header:
        if name not in columns:
            raise unknown_name(
                f"columns of {str(path)!r}", name, columns, f"the graph has {', '.join(columns)}"
            )
        if header.count(name) > 1:
            raise bad_value("data", f"each column once in {str(path)!r}", f"{name!r} twice")
    if not lines:
        raise bad_value("data", "at least one row", f"only a header in {str(path)!r}")
    x = np.full((len(lines), len(columns)), np.nan)
    places = [list(columns).index(name) for name in header]
    for n, (line, row) in enumerate(lines):
        if len(row) != len(header):
            expected = f"{len(header)} fields in every row of {str(path)!r}"
            raise bad_value("data", expected, f"{len(row)} on line {line}", "mend or drop that row")
        for place, field in zip(places, row, strict=True):
            x[n, place] = _value(field.strip(), columns[place], states, line)
    stem = path.name.removesuffix(".gz").removesuffix(".csv")
    return Dataset(stem, x, tuple(columns), source=str(path))


def _is_row(fields: Sequence[str], columns: Sequence[str], states: States) -> bool:
    """Whether a first row holds values of the columns in their order, and no names."""
    if len(fields) != len(columns) or all(field in columns for field in fields):
        return False
    pairs = zip(fields, columns, strict=True)
    return all(is_gap(f) or is_number(f) or f in states.get(column, ()) for f, column in pairs)


def _value(field: str, column: str, states: States, line: int) -> float:
    """Return the number of a field, nan for a gap."""
    names = states.get(column, ())
    if field in names:
        return float(list(names).index(field))
    if is_gap(field):
        return np.nan
    if is_number(field):
        return float(field)
    raise _fault(field, column, names, line)


def _fault(field: str, column: str, names: Sequence[str], line: int) -> BadValue:
    kinds = f"one of {', '.join(names)}, or a number" if names else "a number"
    return bad_value("data", f"{kinds} in column {column!r}", f"{field!r} on line {line}")
