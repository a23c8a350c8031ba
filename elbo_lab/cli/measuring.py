"""The options of `compare` and `advise` that say what is measured, and how."""

from collections.abc import Callable
from typing import Any


def add_measuring(add: Callable[..., Any]) -> None:
    """Add them by the `add_argument` of a parser."""
    add("--data", metavar="NAME_OR_FILE", help="data set, CSV, NPY or NPZ; a model's own if not given")
    add("--latent", type=int, metavar="K", help="latent dimensions or mixture components")
    add("--rows", type=int, metavar="N", help="data rows, a seeded choice (default 32, or one whole table)")
    add("--draws", type=int, default=10, metavar="S", help="draws per estimate (default 10)")
    add("--seed", type=int, default=0, metavar="N", help="reproduces everything but seconds (default 0)")
    add("--threads", type=int, metavar="T", help="changes nothing but the time (default: all cores)")
