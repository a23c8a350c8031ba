"""What several subcommands share: options, the check of their files, and the arguments of a function."""

import inspect
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import Any

from elbo_lab.files import check_folder_writable, check_writable


def add_measuring(parser: ArgumentParser) -> None:
    """Add the options of `compare` and `advise` that say what is measured, and how."""
    add = parser.add_argument
    add("--data", metavar="NAME_OR_FILE", help="data set, CSV, NPY or NPZ; a model's own if not given")
    add("--latent", type=int, metavar="K", help="latent dimensions or mixture components")
    add("--rows", type=int, metavar="N", help="data rows, a seeded choice (default 32, or one whole table)")
    add("--draws", type=int, default=10, metavar="S", help="draws per estimate (default 10)")
    add("--seed", type=int, default=0, metavar="N", help="reproduces everything but seconds (default 0)")
    add("--threads", type=int, metavar="T", help="changes nothing but the time (default: all cores)")


def check_outputs(options: Namespace) -> None:
    """Raise ValueError now if the files of --json, --csv or --out could not be written later."""
    given = {name: path for name, path in vars(options).items() if path is not None}
    for name in ("json", "csv"):
        if name in given:
            check_writable(f"--{name}", given[name])
    if "out" in given:
        check_folder_writable("--out", given["out"])


def arguments_of(function: Callable[..., Any], options: Namespace) -> dict[str, Any]:
    """Return the options that a function has as arguments {name: value}."""
    declared = inspect.signature(function).parameters
    return {name: value for name, value in vars(options).items() if name in declared}
