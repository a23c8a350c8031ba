"""Comma-separated tables: NumPy reads them, and the standard library finds the fault.

`numpy.loadtxt` parses a clean table in C. Only when it refuses do we walk through the file again
with the `csv` module, slowly, to name the line and the column of the first fault. So the common
case is fast and short, and the message is written for a person.

The first row is a header when it is not all numbers. One exception protects data: a first row
that holds numbers and, besides them, only gaps (empty, NA) is a datum with holes, and is refused
as such.

One column may hold labels, which may be words: it is read as text, and no header is looked for in it.
"""

import csv
import gzip
import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO, cast

import numpy as np
from numpy.typing import NDArray

from elbo_lab.datasets.labels import Label, missing, position_of
from elbo_lab.errors import BadValue, bad_value
from elbo_lab.memory import available_bytes, too_large
from elbo_lab.reading import FEWER

Columns = tuple[str, ...] | None
"""Names of the columns (D), or None without a header."""

GAPS = {"", "na", "n/a", "null", "none", "?"}
SEPARATORS = ";\t"
COMMAS_PLEASE = "separate the fields with commas"
# Of memory: for a line as it is cut into fields, and for a number on its way into the table.
BYTES_PER_CHARACTER, BYTES_PER_NUMBER = 16, 24


def read_comma_separated(path: Path) -> tuple[NDArray[np.float64], Columns]:
    """Read a table of numbers from a .csv or .csv.gz file.

    Parameters
    ----------
    path : pathlib.Path
        An existing file; UTF-8, fields separated by commas, with or without a header row.

    Returns
    -------
    x : ndarray of float64, shape (N, D)
    columns : tuple of str, length D, or None
        The header, where there is one.
    """
    return _read(path)


def read_labelled(path: Path, label: Label) -> tuple[NDArray[np.float64], Columns, int, list[str]]:
    """Read a table of which one column holds labels, words or numbers.

    Parameters
    ----------
    path : pathlib.Path
        As for `read_comma_separated`.
    label : str or int
        The column, by the name in the header or by its number from 0.

    Returns
    -------
    x : ndarray of float64, shape (N, D + 1)
        With zeros in the column of the labels.
    columns : tuple of str, length D + 1, or None
    index : int
        Where the labels were.
    texts : list of str, length N
    """
    labels = Labels(label, path)
    x, columns = _read(path, labels)
    return x, columns, labels.index, labels.texts


class Labels:
    """The column of the labels of one file: where it is, and what it holds.

    Parameters
    ----------
    label : str or int
    path : pathlib.Path
    """

    def __init__(self, label: Label, path: Path) -> None:
        self.label, self.where, self.index = label, repr(str(path)), -1
        self.codes: dict[str, int] = {}

    def find(self, first: list[str]) -> bool:
        """Look for the column in the first row; return whether that row is a datum, and no header."""
        names = [name.strip() for name in first]
        if self.label in names:
            self.index = position_of(self.label, names, len(names), self.where)
            return False
        # By its number: the other columns tell whether this is a header.
        text = str(self.label).strip()
        rest = list(first)
        if text.isdecimal() and int(text) < len(rest):
            del rest[int(text)]
        is_datum = _is_datum(rest)
        self.index = position_of(self.label, None if is_datum else names, len(first), self.where)
        return is_datum

    def code(self, field: str) -> float:
        """Return a number for the text of a label, in the order of their coming."""
        if is_no_label(field):
            raise ValueError("no label")
        return float(self.codes.setdefault(field.strip(), len(self.codes)))

    def take(self, x: NDArray[np.float64]) -> None:
        """Turn the numbers in a table (N, D + 1) back into texts."""
        names = list(self.codes)
        self.texts = [names[int(code)] for code in x[:, self.index]]
        x[:, self.index] = 0.0


def _read(path: Path, labels: Labels | None = None) -> tuple[NDArray[np.float64], Columns]:
    try:
        with open_text(path) as file:
            _, first = next(_rows(_lines(file, path)), (0, None))
            if first is None:
                raise bad_value("data", "at least one row", f"the empty file {str(path)!r}")
            is_datum = _is_datum(first) if labels is None else labels.find(first)
            columns = None if is_datum else _names(first, path)
            if columns is None:
                file.seek(0)
            return _numbers(file, columns, path, labels), columns
    except UnicodeDecodeError:
        got = f"other bytes in {str(path)!r}"
        raise bad_value("data", "a text file in UTF-8", got, "save it as UTF-8") from None
    except csv.Error as error:
        raise bad_value("data", "comma-separated text", f"{str(path)!r} ({error})") from None


def open_text(path: Path) -> TextIO:
    """Open a .csv or .csv.gz file."""
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    # utf-8-sig: spreadsheets put a byte-order mark in front, which is no part of the first name.
    return cast(TextIO, opener(path, "rt", encoding="utf-8-sig", newline=""))


def _lines(file: TextIO, path: Path) -> Iterator[str]:
    """Yield the lines of a file; refuse a line, or numbers, that do not fit into memory."""
    available, n_numbers = available_bytes(), 0
    longest, most = available // BYTES_PER_CHARACTER, available // BYTES_PER_NUMBER
    while line := file.readline(longest):
        n_numbers += line.count(",") + 1
        if len(line) >= longest or n_numbers > most:
            what = f"a line of {len(line)} characters" if len(line) >= longest else f"{n_numbers} numbers"
            raise too_large("data", f"{what} and more in {str(path)!r}", available, FEWER)
        yield line


def _rows(lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, fields) of every row that is not blank; reads no line ahead."""
    reader = csv.reader(lines)
    for row in reader:
        if len(row) > 1 or (row and row[0].strip()):
            yield reader.line_num, row


def rows_of_file(file: TextIO, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, fields) of every row of an open file that is not blank."""
    return _rows(_lines(file, path))


def is_number(field: str) -> bool:
    """Whether a field reads as a number."""
    try:
        float(field)
    except ValueError:
        return False
    return True


def is_gap(field: str) -> bool:
    """Whether a field says that nothing is there."""
    return field.strip().lower() in GAPS


def is_no_label(field: str) -> bool:
    """Whether a field of labels says that nothing is there: a gap, or no number."""
    return is_gap(field) or field.strip().lower() == "nan"


def _is_datum(row: list[str]) -> bool:
    return any(map(is_number, row)) and all(is_number(field) or is_gap(field) for field in row)


def _names(header: list[str], path: Path) -> tuple[str, ...]:
    names = tuple(name.strip() for name in header)
    if "" in names:
        expected = f"a name for every column in the header of {str(path)!r}"
        remedy = "name it, or drop it if it holds row numbers or nothing"
        raise bad_value("data", expected, f"an empty name for column {names.index('')}", remedy)
    return names


def _numbers(file: TextIO, columns: Columns, path: Path, labels: Labels | None = None) -> NDArray[np.float64]:
    """Return the rows that follow in a file as numbers (N, D)."""
    lines = (line for line in _lines(file, path) if line.strip())
    first = next(lines, None)
    if first is None:
        raise bad_value("data", "at least one row", f"only a header in {str(path)!r}")
    reason = "rows of another length than the header"
    converters: dict[int | str, Callable[[str], Any]] = {}
    if labels is not None:
        converters[labels.index] = labels.code
    rows = itertools.chain([first], lines)
    try:
        x = np.loadtxt(rows, delimiter=",", comments=None, quotechar='"', ndmin=2, converters=converters)
        if columns is None or x.shape[1] == len(columns):
            if labels is not None:
                labels.take(x)
            return x
    except (UnicodeDecodeError, BadValue):
        raise
    except ValueError as error:
        reason = str(error)
    raise _first_fault(path, columns, labels) or bad_value(
        "data", "numbers between commas", f"{str(path)!r} ({reason})"
    )


def _first_fault(path: Path, columns: Columns, labels: Labels | None = None) -> BadValue | None:
    """Return the error that names the first fault of the table, or None if `csv` finds none."""
    with open_text(path) as file:
        rows = _rows(_lines(file, path))
        if columns is not None:
            next(rows)
        width = 0 if columns is None else len(columns)
        for line, row in rows:
            width = width or len(row)
            if len(row) != width:
                # Decimal commas: 1,5;2,5
                foreign = any(mark in field for field in row for mark in SEPARATORS)
                expected = f"{width} fields in every row of {str(path)!r}"
                remedy = COMMAS_PLEASE if foreign else "mend or drop that row"
                return bad_value("data", expected, f"{len(row)} on line {line}", remedy)
            for index, field in enumerate(row):
                if labels is not None and index == labels.index:
                    if is_no_label(field):
                        return missing(labels.where, f"{_shown(field)} on line {line}")
                elif not is_number(field):
                    name = f"index {index}" if columns is None else f"{columns[index]!r} (index {index})"
                    expected = f"numbers in column {name} of {str(path)!r}"
                    remedy = _remedy(field, may_be_labels=labels is None)
                    return bad_value("data", expected, f"{_shown(field)} on line {line}", remedy)
    return None


def _shown(field: str) -> str:
    return repr(field) if field.strip() else "an empty field"


def _remedy(field: str, may_be_labels: bool) -> str:
    """Return what to do about a field that is no number."""
    if is_gap(field):
        return "drop the column, or fill or drop the rows with gaps"
    if any(mark in field for mark in SEPARATORS):
        return COMMAS_PLEASE
    if may_be_labels:
        return "drop the column, code it as numbers, or name it as the labels (label, --label)"
    return "drop the column, or code it as numbers"
