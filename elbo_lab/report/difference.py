"""The difference of two runs: the finding in a sentence, the settings, and the changed rows as one table."""

import json
from collections.abc import Callable
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
MOST_ROWS = 15
WIDE = 100


def difference_lines(
    settings: dict[str, list[Any]],
    rows: Rows,
    only: tuple[Rows, Rows],
    width: int,
    dash: str = "-",
    everything: bool = False,
) -> "list[Text | str]":
    """Return the lines to print: the finding, the settings, and a table of the rows that changed (or of all).

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
        Whether to show the rows that did not change, and all that did.
    """
    lines: list[Text | str] = [*wrapped_texts(difference_summary(rows, only), width, "bold")]
    for run, lone_rows in zip("AB", only, strict=True):
        if lone_rows:
            lines += wrapped_texts(f"only in {run}: {_counted(lone_rows, everything)}", width)
    for name, (a, b) in settings.items():
        lines += wrapped_texts(f"setting {name}: {_short(a)} -> {_short(b)}", width)
    changed = [row for row in rows if row["verdict"] == "changed"]
    shown = rows if everything else changed[:MOST_ROWS]
    if not shown:
        return lines
    columns = _columns(everything, width >= WIDE)
    blocks = model_blocks(shown, lambda row: tuple(cell(row) for cell in columns.values()))
    lines += ["", *block_lines(blocks, tuple(columns), width, dash)]
    # What is the same for several estimators of a target is said once.
    reasons: dict[tuple[str, str], list[str]] = {}
    for row in shown:
        if row["reasons"]:
            why = f"({row['data']}, {row['posterior']}): {'; '.join(row['reasons'])}"
            reasons.setdefault((f"{model_label(row)} {row['target']}", why), []).append(row["estimator"])
    for (place, why), names in reasons.items():
        lines += wrapped_texts(f"{place} {', '.join(names)} {why}", width)
    if len(changed) > len(shown):
        more = f"and {len(changed) - len(shown)} more rows that changed: --all shows them"
        lines += wrapped_texts(more, width)
    return lines


def difference_summary(rows: Rows, only: tuple[Rows, Rows]) -> str:
    """Return in a sentence what a comparison of two runs found."""
    if not rows:
        return "Nothing to compare: no row is in both runs."
    counts = {word: sum(row["verdict"] == word for row in rows) for word in WORDS}
    names = list(dict.fromkeys(f"{row['estimator']} ({model_label(row)})" for row in rows if row["reasons"]))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    shares = [f"{count} {WORDS[word]}" for word, count in counts.items() if count and word != "changed"]
    both = "row" if len(rows) == 1 else "rows"
    if names:
        start = f"{counts['changed']} of {len(rows)} {both} in both runs changed beyond error bars"
        parts = [f"{start}: {', '.join(names[:3])}{more}", *shares]
    else:
        parts = [f"Nothing changed beyond error bars: of {len(rows)} {both} in both runs {', '.join(shares)}"]
    alone = sum(map(len, only))
    parts += [f"{alone} in one run only"] if alone else []
    return f"{'; '.join(parts)}."


def _columns(everything: bool, wide: bool) -> dict[str, Callable[[Row], str]]:
    """Return {title: cell} of the columns: a verdict where rows have several, a time where there is room."""
    columns: dict[str, Callable[[Row], str]] = {
        "bias A": lambda row: number_text(row["bias_a"]),
        "bias B": lambda row: number_text(row["bias_b"]),
        "variance B/A": lambda row: number_text(row["variance_ratio"]),
    }
    if wide or not everything:
        columns["95 % interval"] = lambda row: interval_text(
            row["variance_ratio_low"], row["variance_ratio_high"]
        )
    if wide:
        columns["time B/A"] = lambda row: number_text(row["time_ratio"])
    if wide or everything:
        columns["verdict"] = lambda row: row["verdict"]
    return columns


def _counted(rows: Rows, everything: bool) -> str:
    """Return how many rows are in one run only, and of what: estimators by model, or all rows."""
    if everything:
        return "; ".join(map(_label, rows))
    models = list(dict.fromkeys(map(model_label, rows)))
    names = list(dict.fromkeys(row["estimator"] for row in rows))
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    noun = "row" if len(rows) == 1 else "rows"
    return f"{len(rows)} {noun} of {', '.join(models)} ({', '.join(names[:4])}{more})"


def _label(row: Row) -> str:
    return f"{model_label(row)} {row['target']} {row['estimator']} ({row['data']}, {row['posterior']})"


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
