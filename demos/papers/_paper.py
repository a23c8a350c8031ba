"""What a paper printed beside what its script found: a table, and a JSON file for those who ask for one.

A script of demos/papers reads its command line with `read_options` before it computes, so that a mistake is
told in the first second, and ends with `publish`. Run by itself it takes one option:

  python demos/papers/grosse_2015_sandwich.py --json out.json

A script with options of its own adds them to its `paper_parser` first. Run by another program (a test, a
gallery, a notebook), the words on the command line belong to that program and are not read.

Three scripts train on MNIST, which is no part of the package and may be fetched at first use. They read their
command line with `mnist_parser` before they look for the digits, and end with one line if there are none.
"""

import argparse
import inspect
import json
import math
import numbers
import sys

from elbo_lab.datasets import load
from elbo_lab.errors import UserMistake, bad_kind, bad_value
from elbo_lab.files import Kind, check_output, write_output

SCHEMA = 1
TABLE = Kind("the table of a paper", rb'\{\s*"schema":\s*\d+,\s*"title"')
COLUMNS = ("quantity", "published", "ours", "note")
QUICK_MARK = "(quick run: less far than the paper)"
MNIST = ("mnist:dynamic", "mnist-test:dynamic")


def paper_parser(description):
    """Return the parser of a script of a paper, with its option --json.

    Parameters
    ----------
    description : str
        What --help shows above the options: the docstring of the script.
    """
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        usage="%(prog)s [options]", description=description, formatter_class=as_written, allow_abbrev=False
    )
    parser.add_argument("--json", metavar="FILE", help="write the table, for programs")
    return parser


def read_options(parser):
    """Return the options of a script, or the defaults if somebody else runs it.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        From `paper_parser`.

    Raises
    ------
    SystemExit
        With code 2 and one line, if the command line makes no sense or names a file that cannot be written.
    """
    options = parser.parse_args(None if _is_own_command_line() else [])
    if options.json is not None:
        try:
            check_output("--json", options.json, TABLE)
        except ValueError as error:
            parser.error(str(error))
    return options


def mnist_parser(description):
    """Return a `paper_parser` that also knows --seconds and --data-dir.

    Parameters
    ----------
    description : str
        What --help shows above the options.
    """
    parser = paper_parser(description)
    parser.add_argument("--seconds", type=_seconds, help="stop every training after so many")
    parser.add_argument("--data-dir", metavar="FOLDER", help="where the IDX files of MNIST are")
    return parser


def read_mnist_sets(parser, options):
    """Return training and test digits, with the pixels' probabilities.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        From `mnist_parser`.
    options : argparse.Namespace
        From `read_options`.

    Returns
    -------
    tuple of Dataset
        60,000 and 10,000 rows.

    Raises
    ------
    SystemExit
        With code 2 and one line, if the files are nowhere or are none of MNIST.
    """
    try:
        return tuple(load(name, data_dir=options.data_dir) for name in MNIST)
    except UserMistake as mistake:
        return parser.error(str(mistake))


def _seconds(text):
    """Return a positive number of seconds, as argparse asks for it."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0.0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"expected a positive number of seconds, got {text!r}")
    return seconds


def publish(rows, caption, options, quick=False):
    """Print published results beside ours; write them as JSON where the command line says so.

    Parameters
    ----------
    rows : list of dict
        Each with 'quantity' (str) and 'ours' (number or str) and, where there is something to say,
        'published' (number, str such as "falls", or None) and 'note' (str, such as a figure or table number).
    caption : str
        What stands in the table, and whose.
    options : argparse.Namespace
        From `read_options`.
    quick : bool
        Whether ours are those of a quick run, shorter or coarser than the paper's; the caption then says so.

    Raises
    ------
    ValueError
        If a row lacks a column, has an unknown one, or holds a number that is not finite.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    rows = [_complete(row, index) for index, row in enumerate(rows)]
    caption = f"{caption} {QUICK_MARK}" if quick else caption
    table = Table(title=caption, title_justify="left", title_style="", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in COLUMNS:
        is_number = column in ("published", "ours")
        table.add_column(column, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_shown(row[column]) for column in COLUMNS))
    if options.json is not None:
        content = {"schema": SCHEMA, "title": caption, "rows": rows}
        text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        write_output("--json", options.json, text, TABLE)
    Console(highlight=False, markup=False).print(table)
    if options.json is not None:
        print(f"written: {options.json}")


def _complete(row, index):
    """Return a row with every column, in order, and plain numbers."""
    unknown = sorted(set(row) - set(COLUMNS))
    if unknown or not {"quantity", "ours"} <= set(row):
        got = f"{', '.join(map(repr, row))} in row {index}"
        raise bad_value("rows", "quantity, ours, and perhaps published, note", got)
    empty = {"published": None, "note": ""}
    return {column: _plain(row.get(column, empty.get(column)), column, index) for column in COLUMNS}


def _plain(value, column, index):
    """Return a value as JSON knows it; NumPy's numbers become Python's."""
    if isinstance(value, str) or (value is None and column == "published"):
        return value
    if column in ("published", "ours") and isinstance(value, numbers.Real):
        if not math.isfinite(value):
            raise bad_value(f"rows[{index}][{column!r}]", "a finite number", repr(value))
        return int(value) if isinstance(value, numbers.Integral) else float(value)
    expected = "a number or words" if column in ("published", "ours") else "words"
    raise bad_kind(f"rows[{index}][{column!r}]", expected, repr(value))


def _shown(value):
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{value:.4g}"


def _is_own_command_line():
    """Whether the script itself was started: it is the main module, and sys.argv the words of the shell.

    A runner may stand in for the main module and replace sys.argv, but never sys.orig_argv.
    """
    frame = inspect.currentframe()
    while frame.f_globals is globals():
        frame = frame.f_back
    is_main = frame.f_globals is vars(sys.modules["__main__"])
    return is_main and bool(sys.argv[0]) and sys.orig_argv[-len(sys.argv) :] == sys.argv
