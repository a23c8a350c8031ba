"""What belongs together in a table or a figure: targets in their order, rows in their blocks."""

from collections.abc import Iterable
from typing import Any

from elbo_lab.estimators.targets import TARGETS, parse
from elbo_lab.report.cells import Row, Rows

FIRST = ("grad-phi-elbo", "grad-theta-elbo", "elbo", "log-evidence")
"""What most readers look for."""


def order_targets(rows: Iterable[Row]) -> list[str]:
    """Return the targets of the rows: `FIRST`, the others of `TARGETS`, and then any alphabetically."""
    known = list(dict.fromkeys([*FIRST, *TARGETS]))

    def place(name: str) -> tuple[int, int, str]:
        stem, n_draws = parse(name)
        return (known.index(stem) if stem in TARGETS else len(known), n_draws or 0, name)

    return sorted({row["target"] for row in rows}, key=place)


def group_key(row: Row) -> tuple[Any, ...]:
    """Return what identifies the block of a row: everything but target and estimator."""
    names = ("model", "variant", "data", "n_data", "latent_dim", "posterior")
    return tuple(row.get(name) for name in names)


def group_rows(rows: Iterable[Row]) -> dict[tuple[Any, ...], Rows]:
    """Return the rows by block {group_key: [row, ...]}, in order of first appearance."""
    groups: dict[tuple[Any, ...], Rows] = {}
    for row in rows:
        groups.setdefault(group_key(row), []).append(row)
    return groups


def model_label(row: Row) -> str:
    """Return model and variant as one name, such as 'gaussian-mixture full'."""
    return " ".join(part for part in (row["model"], row.get("variant")) if part)


def full_name(row: Row) -> str:
    """Return model and variant as the name that is accepted everywhere, such as 'gaussian-mixture:full'."""
    return ":".join(part for part in (row["model"], row.get("variant")) if part)


def exact_key(row: Row) -> str:
    """Return the key of the block of a row in `exact_values` and `exact_errors` of the settings."""
    return f"{full_name(row)} K={row['latent_dim']}"


def common_value(rows: Rows, settings: dict[str, Any], name: str) -> Any:
    """Return a setting: that of all rows if they agree, else that of `settings`, else None."""
    values = {row.get(name) for row in rows}
    return values.pop() if len(values) == 1 else settings.get(name)
