"""The columns of a table, and which of them fit a width.

What a narrow terminal cannot hold is left out column by column, the most derived number first.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from elbo_lab.errors import bad_value, unknown_name
from elbo_lab.report.cells import (
    Row,
    Rows,
    clean_text,
    interval_text,
    number_text,
    relative_interval_text,
    span_text,
    time_text,
    verdict,
)


class Column(NamedTuple):
    """One column: its title, the text of its cell, and how the caption explains it."""

    title: str
    cell: Callable[[Row], str]
    meaning: str
    """Part of the caption; {draws}, {repeats}, {limit} and {to_see} are filled in."""
    key: str
    """The number of the row that the column is sorted by."""


COLUMNS = (
    Column(
        "bias",
        # Of a gradient the norm; runs of earlier versions have the norm only.
        lambda row: number_text(row["bias_norm"] if row.get("bias") is None else row["bias"]),
        "bias is mean estimate minus exact, of a gradient the norm",
        "bias_norm",
    ),
    Column(
        "verdict",
        verdict,
        "verdict: FAIL if declared unbiased, but max|z| > {limit}; 'ok < b': a bias of b along the exact "
        "answer would be found in 99 of 100 cases; 'blind < b': the same, with b above {to_see}; biased: "
        "declared so, which is no fault",
        "bias_detectable",
    ),
    Column(
        "max|z|",
        lambda row: number_text(row["bias_max_z"]),
        "max|z| is the bias in standard errors, of the coordinate or projection nearest to its limit",
        "bias_max_z",
    ),
    Column(
        "variance",
        lambda row: number_text(row["variance"]),
        "variance is the trace of the covariance of one estimate from {draws} draws",
        "variance",
    ),
    Column(
        "95 % interval",
        lambda row: interval_text(row["variance_low"], row["variance_high"]),
        "the 95 % interval is that of the variance, from batch means over {repeats} repeats",
        "variance",
    ),
    Column(
        "95 % int.",
        relative_interval_text,
        "95 % int. is the 95 % interval of the variance, relative to it, from batch means over "
        "{repeats} repeats",
        "variance",
    ),
    Column("mse", lambda row: number_text(row["mse"]), "mse = bias^2 + variance, the bias as printed", "mse"),
    Column(
        "snr",
        lambda row: number_text(row["snr"]),
        "snr = norm of the expectation / sqrt(variance), noise of the mean taken out (0: nothing is left)",
        "snr",
    ),
    Column(
        "time",
        lambda row: time_text(row["seconds_per_estimate"]),
        "time is per estimate, and moves with the load of the machine",
        "seconds_per_estimate",
    ),
    Column(
        "effic.",
        lambda row: number_text(row["efficiency"]),
        "effic. is the efficiency 1 / (mse x seconds)",
        "efficiency",
    ),
)

NAMES = {"z": "max|z|", "interval": "95 % interval", "efficiency": "effic.", "cost": "time"}
"""Other names of columns, which are easier to type."""
DESCENDING = ("snr", "effic.")
"""Where more is better."""

RELATIVE = "95 % int."
"""The short form of the interval, used where the long one does not fit."""

# What is left out, step by step, until the rest fits: first what follows from other columns, then
# the interval turns into its short form; bias, verdict and variance are the last to go.
LEAVE_OUT = (
    {RELATIVE},
    {RELATIVE, "mse"},
    {RELATIVE, "mse", "snr"},
    {RELATIVE, "mse", "snr", "effic."},
    {"95 % interval", "mse", "snr", "effic."},
    {"95 % interval", "mse", "snr", "effic.", "max|z|"},
    {"95 % interval", "mse", "snr", "effic.", "max|z|", "time"},
    {"95 % interval", "mse", "snr", "effic.", "max|z|", "time", RELATIVE},
    {"95 % interval", "mse", "snr", "effic.", "max|z|", "time", RELATIVE, "variance"},
)


class Frame(NamedTuple):
    """The columns that fit a width."""

    name_width: int
    columns: tuple[Column, ...]
    widths: tuple[int, ...]
    gap: str
    left_out: tuple[str, ...]
    """Titles of the columns that do not fit."""


def find_column(argument: str, name: str) -> Column:
    """Return the column of a title or another of its names, or raise ValueError."""
    title = NAMES.get(name, name)
    found = next((column for column in COLUMNS if column.title == title), None)
    if found is None:
        titles = [column.title for column in COLUMNS if " " not in column.title]
        raise unknown_name(argument, name, [*titles, *NAMES], "docs/comparing.md has them all")
    return found


def check_columns(columns: Sequence[str] | None, sort: str | None) -> None:
    """Refuse names of columns, and of the one to sort by, that are unknown."""
    for name in columns or ():
        find_column("columns", name)
    if sort is not None:
        find_column("sort", sort)


def sorted_rows(rows: Rows, sort: str | None) -> Rows:
    """Return rows by the number of a column, the best first, those without at the end; stable.

    Biases and intervals count by their size.
    """
    if sort is None:
        return rows
    column = find_column("sort", sort)
    sign = -1.0 if column.title in DESCENDING else 1.0

    def place(row: Row) -> float:
        value = row[column.key]
        return math.inf if value is None else sign * value

    return sorted(rows, key=place)


def fit_columns(rows: Rows, width: int, columns: Sequence[str] | None = None) -> Frame:
    """Choose the columns that fit.

    Parameters
    ----------
    rows : list of dict
        All rows of all tables, so that every table of one print has the same columns.
    width : int
        Characters per line.
    columns : list of str, optional
        Names of those that are asked for; of these the last are left out first.

    Returns
    -------
    Frame
    """
    from rich.cells import cell_len

    names = [cell_len(clean_text(row["estimator"])) for row in rows]
    name_width = min(max([*names, len("estimator")]), max(width - 9, 1))
    with_numbers = [row for row in rows if span_text(row) is None]
    sizes = {
        column.title: max([len(column.title), *(len(column.cell(row)) for row in with_numbers)])
        for column in COLUMNS
    }
    steps = [tuple(column for column in COLUMNS if column.title not in left_out) for left_out in LEAVE_OUT]
    if columns is not None:
        asked = tuple(dict.fromkeys(find_column("columns", name) for name in columns))
        if not asked:
            raise bad_value("columns", "at least one column", "none")
        steps = [asked[:count] for count in range(len(asked), 0, -1)]
    for step in steps:
        widths = tuple(sizes[column.title] for column in step)
        for gap in ("  ", " "):
            if name_width + sum(widths) + len(gap) * len(widths) <= width:
                return Frame(name_width, step, widths, gap, missing_titles(steps, step, columns is None))
    return Frame(name_width, (), (), " ", missing_titles(steps, (), columns is None))


def missing_titles(
    steps: Sequence[tuple[Column, ...]], shown: tuple[Column, ...], either: bool
) -> tuple[str, ...]:
    """Return the titles whose content a reader misses; with `either` one form of the interval is enough."""
    gone = [column.title for column in (COLUMNS if either else steps[0]) if column not in shown]
    forms = {RELATIVE, "95 % interval"}
    if either and not forms <= set(gone):
        gone = [title for title in gone if title not in forms]
    return tuple(title for title in gone if not either or title != RELATIVE)
