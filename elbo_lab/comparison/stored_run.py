"""Reading a run of `compare` from its JSON file; any other content is refused in one line."""

import json
import os
from os import PathLike
from pathlib import Path
from typing import Any, NoReturn

from elbo_lab.errors import BadValue, bad_value
from elbo_lab.memory import check_memory
from elbo_lab.reading import check_regular
from elbo_lab.study.rows import Row

IDENTITY = ("model", "variant", "data", "latent_dim", "posterior", "target", "estimator")
"""The keys that identify a row across runs."""
DECLARED = ("applicable", "unbiased", "reference")
NUMBERS = (
    "repeats reference_norm reference_se bias_norm variance variance_low variance_high seconds_per_estimate"
).split()

# Of memory: the text, and the numbers and words that are made of it.
BYTES_PER_CHARACTER = 8
REMEDY = "name the file that compare wrote"


def identity(row: Row) -> Row:
    """Return what identifies a row."""
    return {name: row[name] for name in IDENTITY}


def read_run(argument: str, path: str | PathLike[str]) -> tuple[dict[str, Any], dict[tuple[Any, ...], Row]]:
    """Return (settings, {identity: row}) of a JSON file of `compare`, or raise ValueError."""
    what = "a JSON file that 'elbo-lab compare --json' wrote"
    check_regular(argument, path)
    try:
        needed = BYTES_PER_CHARACTER * os.path.getsize(path)
        check_memory(argument, needed, f"the text of {str(path)!r}", REMEDY)
        content = json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=_no_number)
    except BadValue:
        raise
    except OSError as fault:
        raise bad_value(argument, what, f"{str(path)!r} ({fault.strerror})") from None
    except (ValueError, RecursionError):
        raise bad_value(argument, what, f"{str(path)!r}, which is no JSON") from None
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema not in (1, 2) or isinstance(schema, bool):
        raise bad_value(argument, what, f"{str(path)!r} with schema {schema!r}")
    rows, settings = content.get("rows"), content.get("settings")
    if schema == 1 and isinstance(rows, list):
        rows = [_from_schema_1(row) for row in rows]
    if not isinstance(settings, dict) or not isinstance(rows, list) or not all(map(_is_row, rows)):
        raise bad_value(argument, what, f"{str(path)!r}, whose settings or rows are damaged")
    by_identity = {tuple(identity(row).values()): row for row in rows}
    if len(by_identity) < len(rows):
        raise bad_value(argument, "rows that differ in model, data, target or estimator", "one of them twice")
    return settings, by_identity


def _from_schema_1(row: Any) -> Any:
    """Return a row of schema 1 with the keys of schema 2; a damaged row is returned unchanged."""
    if not isinstance(row, dict) or not {"unbiased_for", "biased"} <= set(row):
        return row
    kept = {key: value for key, value in row.items() if key not in ("unbiased_for", "biased")}
    return kept | {"unbiased": not row["biased"]}


def _no_number(word: str) -> NoReturn:
    raise ValueError(word)


def _is_row(row: Any) -> bool:
    """Tell whether a row has all keys that are read, with values of the right types."""
    if not isinstance(row, dict) or not {*IDENTITY, *DECLARED, *NUMBERS} <= set(row):
        return False
    kinds = (int, float, type(None))
    numbers = all(isinstance(row[name], kinds) and not isinstance(row[name], bool) for name in NUMBERS)
    texts = all(isinstance(row[name], (str, int, type(None))) for name in (*IDENTITY, *DECLARED))
    return numbers and texts and isinstance(row["target"], str) and isinstance(row["estimator"], str)
