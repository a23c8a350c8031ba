"""The difference of two runs in words: settings, changed rows, and how many rows agree."""

import json
from typing import TYPE_CHECKING, Any

from elbo_lab.report.blocks import block_lines, model_blocks, wrapped_texts
from elbo_lab.report.cells import Row, Rows, interval_text, number_text
from elbo_lab.report.grouping import model_label

if TYPE_CHECKING:
    from rich.text import Text

WORDS = {
    "identical": "identical but for rounding",
    "same": "the same within their error bars",
    "changed": "changed",
}
TITLES = ("bias A", "bias B", "variance B/A", "95 % interval", "time B/A", "row")


def difference_lines(
    settings: dict[str, list[Any]],
    rows: Rows,
    only: tuple[Rows, Rows],
    width: int,
    dash: str = "-",
    everything: bool = False,
) -> "list[Text | str]":
    """Return the lines to print: settings, the rows that changed (or all), and how many did not.

    Parameters
    ----------
    settings : dict
        {name: [in A, in B]} of the settings that differ.
    rows : list of dict
        As in `comparison.Difference`.
    only : tuple of list
        Identities of the rows of one run only: (in A, in B).
    width : int
    dash : str
    everything : bool
        Whether to show the rows that did not change.
    """
    lines: list[Text | str] = []
    for name, (a, b) in settings.items():
        lines += wrapped_texts(f"setting {name}: {_short(a)} -> {_short(b)}", width)
    for run, lone_rows in zip("AB", only, strict=True):
        for row in lone_rows:
            lines += wrapped_texts(f"only in {run}: {_label(row)}", width)
    lines += [""] if lines else []
    shown = [row for row in rows if everything or row["verdict"] == "changed"]
    if shown:
        lines += block_lines(model_blocks(shown, _cells), TITLES, width, dash)
        lines += [
            text
            for row in shown
            if row["reasons"]
            for text in wrapped_texts(f"{_label(row)}: {'; '.join(row['reasons'])}", width)
        ]
    return [*lines, *wrapped_texts(difference_summary(rows), width, "bold")]


def difference_summary(rows: Rows) -> str:
    """Return how many rows of both runs agree, in words."""
    counts = {word: 0 for word in ("identical", "same", "changed")}
    for row in rows:
        counts[row["verdict"]] += 1
    summary = ", ".join(f"{count} {WORDS[word]}" for word, count in counts.items() if count)
    return f"{len(rows)} rows in both: {summary or 'none'}"


def _cells(row: Row) -> tuple[str, ...]:
    interval = interval_text(row["variance_ratio_low"], row["variance_ratio_high"])
    names = ("bias_a", "bias_b", "variance_ratio")
    numbers = [number_text(row[name]) for name in names]
    return (*numbers, interval, number_text(row["time_ratio"]), row["verdict"])


def _label(row: Row) -> str:
    return f"{model_label(row)} {row['target']} {row['estimator']} ({row['data']}, {row['posterior']})"


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
