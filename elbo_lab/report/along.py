"""Estimators along a training: a line per checkpoint, a column per estimator, flips in sentences."""

from typing import Any

from elbo_lab.report.blocks import wrapped
from elbo_lab.report.cells import Row, clean_text, number_text

# Letters behind a cell for verdicts other than `ok`.
MARKS = {"FAIL": "!", "biased": "b"}
BLIND, FINE = "?", " "
HEAD = f"{'epoch':>6}{'ELBO':>9}{'gap':>8}"
WIDTH = 19
FLIPPED = ">"


def along_lines(
    points: list[Row], rows: list[Row], flips: list[Row], settings: dict[str, Any], width: int
) -> list[str]:
    """Return the lines of a table per target, the flips, and a legend.

    Parameters
    ----------
    points, rows, flips : list of dict
        As of `comparison.along.Along`.
    settings : dict
    width : int
        Characters per line; estimators that do not fit stand in a table below.
    """
    row = rows[0]
    about = f"{settings['models'][0]}  {clean_text(row['data'])}, {row['n_data']} rows, "
    about += f"K = {row['latent_dim']}, posterior {clean_text(settings['posterior'])}"
    lines = wrapped(about, width, hang=2)
    for target in settings["targets"]:
        lines += ["", *wrapped(f"{target}: variance and signal / noise", width)]
        chosen = [row for row in rows if row["target"] == target]
        turned = {flip["epoch"] for flip in flips if flip["target"] == target}
        names = list(dict.fromkeys(row["estimator"] for row in chosen))
        at_once = max(1, (width - len(HEAD)) // WIDTH)
        for start in range(0, len(names), at_once):
            lines += _block(points, chosen, names[start : start + at_once], turned)
            lines += [""]
    for flip in flips:
        lines += wrapped(f"{FLIPPED} {flip_text(flip, len(settings['targets']) > 1)}", width, hang=2)
    if not flips:
        lines += wrapped("No order of two estimators flips where exact variances or intervals tell.", width)
    return [*lines, "", *wrapped(_legend(settings), width)]


def _block(points: list[Row], rows: list[Row], names: list[str], turned: set[int]) -> list[str]:
    """Return the table of some estimators."""
    cells = {(row["epoch"], row["estimator"]): _cell(row) for row in rows}
    heads = [wrapped(name.replace("-", "- "), WIDTH - 1) for name in names]
    heads = [[part.replace("- ", "-") for part in head] for head in heads]
    deep = max(map(len, heads))
    lines = []
    for i in range(deep):
        parts = [head[i - deep + len(head)] if i >= deep - len(head) else "" for head in heads]
        left = HEAD if i == deep - 1 else " " * len(HEAD)
        lines.append((left + "".join(f"{part:>{WIDTH}}" for part in parts)).rstrip())
    for point in points:
        mark = FLIPPED if point["epoch"] in turned else " "
        gap = "-" if point["gap"] is None else number_text(point["gap"])
        line = f"{mark}{point['epoch']:>5}{point['elbo']:>9.5g}{gap:>8}"
        line += "".join(f"{cells.get((point['epoch'], name), '-'):>{WIDTH}}" for name in names)
        lines.append(line.rstrip())
    return lines


def _cell(row: Row) -> str:
    """Return variance, signal-to-noise ratio and the letter of the verdict."""
    verdict = row["bias_verdict"] or ""
    mark = BLIND if verdict.startswith("blind") else MARKS.get(verdict, FINE)
    ratio = "-" if row["snr"] is None else f"{row['snr']:.2g}"
    return f"{number_text(row['variance'])} {ratio:>6}{mark}"


def flip_text(flip: Row, with_target: bool = False) -> str:
    """Return the sentence of a flip: 'from epoch 15 on A has less variance than B'."""
    until = "on" if flip["until"] is None else f"until epoch {flip['until']}"
    what = f"{flip['less']} has less variance than {flip['more']}"
    target = f" ({flip['target']})" if with_target else ""
    return f"from epoch {flip['epoch']} {until} {what}; at epoch {flip['before']} it had more{target}"


def _legend(settings: dict[str, Any]) -> str:
    return (
        f"variance: trace of the covariance of one estimate from S = {settings['draws']} draws, "
        f"R = {settings['repeats']} repeats, the same noise at every checkpoint; signal / noise behind it. "
        f"{BLIND}: the test of bias is blind, {MARKS['biased']}: declared biased, {MARKS['FAIL']}: FAIL. "
        f"{FLIPPED}: the order of two estimators flips, by exact variances or by intervals that hold "
        f"together with {100 * settings['level']:.0f} %. ELBO and gap in nats per datum, - where not exact."
    )
