"""The comparison in a few lines: what was compared, the gap of each model, and its least noisy gradient."""

from collections.abc import Collection
from typing import Any

from elbo_lab.report.cells import Row, Rows, clean_text, number_text
from elbo_lab.report.grouping import group_rows, model_label, order_targets
from elbo_lab.report.tables import gap_text
from elbo_lab.study.scene import WHERE

MAIN = "grad-phi-elbo"
MOST_BLOCKS = 16


def summary_lines(rows: Rows, settings: dict[str, Any], references: Collection[str]) -> list[str]:
    """Return at most a screen of lines.

    Parameters
    ----------
    rows : list of dict
        Rows with the keys of the JSON schema.
    settings : dict
        Settings of the run.
    references : collection of str
        Estimators that need an exact answer, which no user has.
    """
    targets = order_targets(rows)
    names = list(dict.fromkeys(row["estimator"] for row in rows))
    counted = (names, "estimator"), (targets, "target")
    counts = [f"{len(found)} {word}{'s' * (len(found) != 1)}" for found, word in counted]
    head = f"Comparison of {' and '.join(counts)}: S = {settings['draws']}, "
    head += f"R = {settings['repeats']}, seed {settings['seed']}, q {WHERE[settings['at']]}"
    main = MAIN if MAIN in targets else targets[-1]
    groups = list(group_rows(rows).values())
    lines = [head]
    for block in groups[:MOST_BLOCKS]:
        row = block[0]
        parts = [f"  {clean_text(model_label(row))}, {clean_text(row['data'])}, K = {row['latent_dim']}"]
        parts += [text] if (text := gap_text(row, settings)) else []
        parts += [text] if (text := _least(block, main, references)) else []
        lines.append("; ".join(parts))
    if len(groups) > MOST_BLOCKS:
        lines.append(f"  and {len(groups) - MOST_BLOCKS} more")
    failed = sum(row["bias_verdict"] == "FAIL" for row in rows)
    lines += [f"  FAIL: {failed} of {len(rows)} rows differ from the exact answer"] if failed else []
    return [
        *lines,
        ".table() has all numbers; .plot(name) draws a figure, .plot() all; .rows is a list of dicts",
    ]


def _least(block: Rows, target: str, references: Collection[str]) -> str | None:
    """Return the estimator of least variance among the unbiased ones of a target, in words."""

    def counts(row: Row) -> bool:
        unbiased = row["unbiased"] and row["bias_verdict"] != "FAIL"
        return bool(row["target"] == target and row["variance"] and unbiased)

    found = [row for row in block if counts(row) and row["estimator"] not in references]
    if not found:
        return None
    best = min(found, key=lambda row: row["variance"])
    return f"{target}: least variance {number_text(best['variance'])}, {clean_text(best['estimator'])}"
