"""Paired ratios of variances as a table: one block per model and target."""

from typing import TYPE_CHECKING, Any

from elbo_lab.report.blocks import block_lines, dash_of, print_lines, wrapped_texts
from elbo_lab.report.cells import Row, Rows, clean_text, interval_text, number_text
from elbo_lab.report.grouping import group_rows, model_label, order_targets

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

TITLES = ("ratio", "95 % interval", "verdict")


def _cells(row: Row) -> tuple[str, ...]:
    interval = interval_text(row["variance_ratio_low"], row["variance_ratio_high"])
    return number_text(row["variance_ratio"]), interval, row["variance_verdict"]


def ratio_lines(rows: Rows, settings: dict[str, Any], width: int, dash: str = "-") -> "list[Text]":
    """Return the lines of the table of paired ratios, at most `width` wide; none without ratios."""
    rows = [row for row in rows if row.get("variance_verdict") is not None]
    if not rows:
        return []
    blocks = []
    for target in order_targets(rows):
        for block in group_rows([row for row in rows if row["target"] == target]).values():
            cells = [(row["estimator"], _cells(row)) for row in block]
            blocks.append((f"{model_label(block[0])}  {target}", cells))
    against = clean_text(settings["against"])
    heading = f"Variance relative to {against}, on the same random numbers"
    caption = (
        f"ratio = variance / variance of {against}; the 95 % interval is from the same batches of both; "
        "beats: the interval lies below 1, loses: above it. '-' where the variance below is zero."
    )
    table = block_lines(blocks, TITLES, width, dash)
    return [*wrapped_texts(heading, width, "bold"), *table, *wrapped_texts(caption, width, "dim italic")]


def print_ratios(rows: Rows, settings: dict[str, Any], console: "Console") -> None:
    """Print the table of paired ratios, with an empty line before it; nothing without ratios."""
    lines = ratio_lines(rows, settings, console.width, dash_of(console))
    print_lines(["", *lines] if lines else [], console)
