"""Paired ratios of variances as a table: one block per model and target."""

from typing import TYPE_CHECKING, Any

from elbo_lab.report.blocks import block_lines, model_blocks, wrapped_texts
from elbo_lab.report.cells import Row, Rows, clean_text, interval_text, number_text

if TYPE_CHECKING:
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
    against = clean_text(settings["against"])
    heading = f"Variance relative to {against}, on the same random numbers"
    caption = (
        f"ratio = variance / variance of {against}; the 95 % interval is from the same batches of both; "
        "beats: the interval lies below 1, loses: above it. '-' where the variance below is zero."
    )
    table = block_lines(model_blocks(rows, _cells), TITLES, width, dash)
    return [*wrapped_texts(heading, width, "bold"), *table, *wrapped_texts(caption, width, "dim italic")]
