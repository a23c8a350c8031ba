"""The second verdicts: what the tests of blind rows say after more repeats."""

from typing import TYPE_CHECKING, Any

from elbo_lab.report.blocks import block_lines, model_blocks, wrapped_texts
from elbo_lab.report.cells import Row, Rows, first_verdict, verdict

if TYPE_CHECKING:
    from rich.text import Text

TITLES = ("verdict", "repeats", "second verdict")


def _cells(row: Row) -> tuple[str, ...]:
    return first_verdict(row), str(row["repeats"]), verdict(row)


def power_lines(rows: Rows, settings: dict[str, Any], width: int, dash: str = "-") -> "list[Text]":
    """Return the lines of the table of second verdicts, at most `width` wide; none without `power`."""
    power = settings.get("power")
    if power is None:
        return []
    heading = f"Repeated until the test sees {100 * power:g} %"
    repeated = [row for row in rows if row.get("bias_detectable_first") is not None]
    words = [row.get("bias_verdict") for row in rows if row.get("bias_detectable_first") is None]
    left = {
        "that would need more": words.count("blind"),
        "of which the error of the exact answer alone hides a bias": words.count("blind (reference)"),
    }
    parts = []
    if repeated:
        most = 100 * settings["repeats"]
        numbers = f"{len(repeated)}, with at most {most} estimates each"
        parts.append(f"Rows repeated: {numbers}; their new numbers stand above.")
    parts += [f"Not repeated: blind rows {why}: {count}." for why, count in left.items() if count]
    caption = " ".join(parts) or "No row is blind: none was repeated."
    table = block_lines(model_blocks(repeated, _cells), TITLES, width, dash) if repeated else []
    return [*wrapped_texts(heading, width, "bold"), *table, *wrapped_texts(caption, width, "dim italic")]
