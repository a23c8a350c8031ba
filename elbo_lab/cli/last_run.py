"""The rows of the last comparison, from its report or its JSON file."""

import html
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

REPORT = Path("elbo-lab-report", "index.html")
EMBEDDED = re.compile(r'id="file-\d+"[^>]*>\s*(\{.*?)</', re.S)
MOST = 6
TEXTS = ("model", "target", "estimator")
NUMBERS = ("variance", "variance_low", "variance_high")


def read_rows(path: str | None) -> list[dict[str, Any]]:
    """Return the rows of a JSON file of compare, else those inside the report of this folder, else none."""
    if path is not None:
        from elbo_lab.comparison.stored_run import read_run

        return list(read_run("json", path)[1].values())
    try:
        page = REPORT.read_text(encoding="utf-8") if REPORT.is_file() else ""  # a pipe would never end
        rows = [json.loads(html.unescape(text)).get("rows") for text in EMBEDDED.findall(page)]
    except (OSError, ValueError, RecursionError):
        return []
    return [row for found in rows if isinstance(found, list) for row in found if isinstance(row, dict)]


def _is_measured(row: dict[str, Any]) -> bool:
    """Tell whether a row has what a line shows, of the right types."""
    texts = all(isinstance(row.get(name), str) for name in TEXTS)
    variance, *ends = (isinstance(row.get(name), float) for name in NUMBERS)
    return texts and variance and (all(ends) or row.get("variance_low") is None)


def in_words(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the first rows that were measured, one line each."""
    lines = [_line(row) for row in rows if _is_measured(row)]
    more = [f"and {len(lines) - MOST} more rows"] if len(lines) > MOST else []
    return lines[:MOST] + more


def _line(row: dict[str, Any]) -> str:
    from elbo_lab.report.cells import verdict_text

    model = f"{row['model']}:{row['variant']}" if row.get("variant") else row["model"]
    text = f"{model}, {row['target']}, {row['estimator']}: variance {row['variance']:.3g}"
    if row.get("variance_low") is not None:
        text += f" (95 %: {row['variance_low']:.3g} to {row['variance_high']:.3g})"
    seen = row.get("bias_detectable")
    word = verdict_text(
        row.get("bias_verdict"), seen if isinstance(seen, float) else None, row.get("bias_unit")
    )
    return f"{text}, {'bias not tested' if word == '-' else word}"
