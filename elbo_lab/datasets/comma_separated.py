"""Comma-separated tables: NumPy reads them, and the standard library finds the fault.

`numpy.loadtxt` parses a clean table in C. Only when it refuses do we walk through the file again
with the `csv` module, slowly, to name the line and the column of the first fault. So the common
way is fast and short, and the message is a person's and not a parser's.

The first row is a header when it is not all numbers. One exception protects data: a first row
that holds numbers and, besides them, only gaps (empty, NA) is a datum with holes, and is refused
as such.
"""

import csv
import gzip
import itertools

import numpy as np

from elbo_lab.errors import bad_value

GAPS = {"", "na", "n/a", "null", "none", "?"}
SEPARATORS = ";\t"
COMMAS_PLEASE = "separate the fields with commas"


def read_comma_separated(path):
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
    try:
        with _open(path) as lines:
            _, first = next(_rows(lines), (0, None))
        if first is None:
            raise bad_value("data", "at least one row", f"the empty file {str(path)!r}")
        columns = None if _is_datum(first) else _names(first, path)
        return _numbers(path, columns), columns
    except UnicodeDecodeError:
        raise bad_value(
            "data", "a text file in UTF-8", f"other bytes in {str(path)!r}", "save it as UTF-8"
        ) from None
    except csv.Error as error:
        raise bad_value("data", "comma-separated text", f"{str(path)!r} ({error})") from None


def _open(path):
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    # utf-8-sig: spreadsheets put a byte-order mark in front, which is no part of the first name.
    return opener(path, "rt", encoding="utf-8-sig", newline="")


def _rows(lines):
    """Yield (line number, fields) of every row that is not blank; reads no line ahead."""
    reader = csv.reader(lines)
    for row in reader:
        if len(row) > 1 or (row and row[0].strip()):
            yield reader.line_num, row


def _is_number(field):
    try:
        float(field)
    except ValueError:
        return False
    return True


def _is_datum(row):
    return any(map(_is_number, row)) and all(
        _is_number(field) or field.strip().lower() in GAPS for field in row
    )


def _names(header, path):
    names = tuple(name.strip() for name in header)
    if "" in names:
        raise bad_value(
            "data",
            f"a name for every column in the header of {str(path)!r}",
            f"an empty name for column {names.index('')}",
            "name it, or drop it if it holds row numbers or nothing",
        )
    return names


def _numbers(path, columns):
    with _open(path) as lines:
        if columns is not None:
            next(_rows(lines))
        text = (line for line in lines if line.strip())
        first = next(text, None)
        if first is None:
            raise bad_value("data", "at least one row", f"only a header in {str(path)!r}")
        text = itertools.chain([first], text)
        try:
            x = np.loadtxt(text, delimiter=",", comments=None, quotechar='"', ndmin=2)
        except UnicodeDecodeError:
            raise
        except ValueError as error:
            _explain(path, columns)
            raise bad_value("data", "numbers between commas", f"{str(path)!r} ({error})") from None
    if columns is not None and x.shape[1] != len(columns):
        _explain(path, columns)
    return x


def _explain(path, columns):
    """Raise the line that names the first fault of the table; return if there is none to name."""
    with _open(path) as lines:
        rows = _rows(lines)
        if columns is not None:
            next(rows)
        width = len(columns) if columns is not None else None
        for line, row in rows:
            width = width or len(row)
            if len(row) != width:
                # Decimal commas: 1,5;2,5
                foreign = any(mark in field for field in row for mark in SEPARATORS)
                raise bad_value(
                    "data",
                    f"{width} fields in every row of {str(path)!r}",
                    f"{len(row)} on line {line}",
                    COMMAS_PLEASE if foreign else "mend or drop that row",
                )
            for index, field in enumerate(row):
                if not _is_number(field):
                    _refuse_field(path, columns, line, index, field)


def _refuse_field(path, columns, line, index, field):
    name = f"{columns[index]!r} (index {index})" if columns is not None else f"index {index}"
    got = repr(field) if field.strip() else "an empty field"
    if field.strip().lower() in GAPS:
        remedy = "drop the column, or fill or drop the rows with gaps"
    elif any(mark in field for mark in SEPARATORS):
        remedy = COMMAS_PLEASE
    else:
        remedy = "drop the column, or code it as numbers"
    raise bad_value("data", f"numbers in column {name} of {str(path)!r}", f"{got} on line {line}", remedy)
