"""Several models on the same rows as a table: the best first, the others by how far they are behind."""

from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

from elbo_lab.report import wrapped_texts

if TYPE_CHECKING:
    from elbo_lab.fitting import SideBySide

HEADS = ("log p per row", "behind the best", "p = 0")


def _with_error(value: float, error: float | None) -> str:
    return f"{value:.3f}" if error is None else f"{value:.3f} +- {error:.3f}"


def print_standings(result: "SideBySide", console: Console) -> None:
    """Print the table of the models, in nats per row with standard errors, and what it does not show."""
    settings, standings = result.settings, result.standings
    part = "" if settings["part"] == "given" else f", {settings['part']} rows"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(f"{settings['data']}{part}\n{len(result.rows)} rows, in nats", overflow="fold")
    some_impossible = any(one.impossible for one in standings)
    for head in HEADS if some_impossible else HEADS[:2]:
        table.add_column(f"\n{head}", justify="right", no_wrap=True)
    labels = [one.model for one in standings]
    for one in standings:
        named = one.model if labels.count(one.model) == 1 else f"{one.model} ({one.checkpoint})"
        value = _with_error(one.log_p, one.error)
        behind = "" if one.behind_error is None else _with_error(one.behind, one.behind_error)
        if one.impossible:
            behind = "-inf"
        cells = (named, f"{value}{' sampled' if one.sampled else ''}", behind)
        table.add_row(*cells, *([str(one.impossible or "")] if some_impossible else []))
    console.print(table)
    for one in standings:
        if one.impossible and one.impossible < len(result.rows):
            said = f"{one.model}: log p(x) = -inf in {one.impossible} rows; on the others, which flatter it,"
            line = (
                f"{said} it differs from the best by {_with_error(one.behind, one.behind_error)} nats per row"
            )
            for text in wrapped_texts(line, console.width):
                console.print(text)
