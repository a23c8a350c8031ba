"""The file of `elbo-lab check --json`."""

import json
from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np

from elbo_lab.files import Kind, write_output

SCHEMA = "elbo_lab/check/1"
JSON = Kind("the JSON of 'elbo-lab check'", rb'\{\s*"schema":\s*"elbo_lab/check/')


def write_checks(path: str | PathLike[str], checks: Sequence[dict[str, Any]]) -> None:
    """Write the records of all that was checked as JSON; what is not finite is null."""
    content = {"schema": SCHEMA, "checks": [_finite(check) for check in checks]}
    write_output("json", path, json.dumps(content, indent=1, allow_nan=False) + "\n", JSON)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
