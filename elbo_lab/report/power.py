"""The second verdicts: what the tests of blind rows say after more repeats."""

from typing import TYPE_CHECKING, Any

from elbo_lab.report.blocks import block_lines, model_blocks, wrapped_texts
from elbo_lab.report.cells import Row, Rows, verdict

if TYPE_CHECKING:
    from rich.text import Text

TITLES = ("verdict", "repeats", "second verdict")


def _cells(row: Row) -> tuple[str, ...]:
    before = verdict(row | {"bias_detectable": row["bias_detectable_first"], "bias_max_z": 0.0})
    return before, str(row["repeats"]), verdict(row)


def power_lines(rows: Rows, settings: dict[str, Any], width: int, dash: str = "-") -> "list[Text]":
    """Return the lines of the table of second verdicts, at most `width` wide; none without `power`."""
    power = settings.get("power")
    if power is None:
        return []
    heading = f"Repeated until the test sees {100 * power:g} %"
    repeated = [row for row in rows if row.get("bias_detectable_first") is not None]
    words = [row.get("bias_verdict") for row in rows if row.get("bias_detectable_first") is None]
    caption = (
        f"{len(repeated)} rows repeated, none more than {100 * settings['repeats']} times; the tables above "
        f"have their new numbers. Not repeated: {words.count('blind')} blind rows that would need more, "
        f"and {words.count('blind (reference)')} of which the error of the exact answer alone hides a bias."
    )
    table = block_lines(model_blocks(repeated, _cells), TITLES, width, dash) if repeated else []
    return [*wrapped_texts(heading, width, "bold"), *table, *wrapped_texts(caption, width, "dim italic")]
