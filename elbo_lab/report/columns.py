"""The columns of a table, and which of them fit a width.

What a narrow terminal cannot hold is left out column by column, the most derived number first.
"""

from collections.abc import Callable
from typing import NamedTuple

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
        lambda row: number_text(row["bias_norm"]),
        "bias is the norm of mean estimate minus exact",
        "bias_norm",
    ),
    Column(
        "verdict",
        verdict,
        "verdict: FAIL if declared unbiased, but max|z| > {limit}; 'ok < b': a bias of b along the exact "
        "answer would be found in 99 of 100 cases; 'blind < b': the same, with b above {to_see}",
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


def fit_columns(rows: Rows, width: int) -> Frame:
    """Choose the columns that fit.

    Parameters
    ----------
    rows : list of dict
        All rows of all tables, so that every table of one print has the same columns.
    width : int
        Characters per line.

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
    for left_out in LEAVE_OUT:
        columns = tuple(column for column in COLUMNS if column.title not in left_out)
        widths = tuple(sizes[column.title] for column in columns)
        for gap in ("  ", " "):
            if name_width + sum(widths) + len(gap) * len(widths) <= width:
                return Frame(name_width, columns, widths, gap, missing_titles(left_out))
    everything = {column.title for column in COLUMNS}
    return Frame(name_width, (), (), " ", missing_titles(everything))


def missing_titles(left_out: set[str]) -> tuple[str, ...]:
    """Return the titles whose content a reader misses: one form of the interval is enough."""
    forms = {RELATIVE, "95 % interval"}
    gone = left_out if forms <= left_out else left_out - forms
    return tuple(c.title for c in COLUMNS if c.title in gone and c.title != RELATIVE)
