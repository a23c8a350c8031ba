"""The comparison as text: one table per target, one block per model, one line per estimator.

The exact answer, its rung on the ladder of exactness and its error belong to the block and not to
the estimator, so the head of the block has them, once. Pairings that are undefined follow the numbers,
every reason once with the names of those that it concerns. What a narrow terminal cannot hold is left out
column by column, the most derived number first (mse follows from bias and variance), and the
caption names what is missing; a number is never wrapped or cut.
"""

import math
from typing import TYPE_CHECKING, Any

from elbo_lab.estimators.targets import describe, is_gradient
from elbo_lab.report.blocks import (
    dash_of,
    name_cell,
    print_lines,
    styled,
    text_of,
    wrapped,
    wrapped_texts,
)
from elbo_lab.report.cells import SMALL_ERROR, Row, Rows, clean_text, number_text, span_text, value_text
from elbo_lab.report.columns import Frame, fit_columns
from elbo_lab.report.grouping import common_value, group_rows, model_label, order_targets
from elbo_lab.study.rows import BLOCK_SHARE_TO_SEE, NATS_TO_SEE, SHARE_TO_SEE, bias_verdict
from elbo_lab.study.scene import WHERE

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

# A difference of two numbers is no more exact than they are.
ROUNDING = 1e-12
VERDICT_COLORS = {"FAIL": "bold red", "biased": "yellow", "ok": "green", "exact": "green"}
VERDICT_COLORS |= dict.fromkeys(("blind", "blind (block)", "blind (reference)"), "magenta")


def header_text(frame: Frame) -> str:
    """Return the line of column titles."""
    titles = [column.title.rjust(size) for column, size in zip(frame.columns, frame.widths, strict=True)]
    return frame.gap.join([name_cell("estimator", frame.name_width), *titles])


def row_lines(row: Row, frame: Frame, width: int) -> "list[Text]":
    """Return the lines of one estimator: its numbers, or the reason why there are none."""
    from rich.text import Text

    name = name_cell(row["estimator"], frame.name_width)
    words = span_text(row)
    if words is not None:
        room = width - frame.name_width - 2
        if room < 16:  # too narrow beside the name: the reason goes below
            return styled([name, *(f"  {part}" for part in wrapped(clean_text(words), width - 2))], "dim")
        first, *rest = wrapped(clean_text(words), room, hang=5)
        indent = " " * (frame.name_width + 2)
        return styled([f"{name}  {first}", *(indent + part for part in rest)], "dim")
    line = Text(name, "bold" if row["estimator"] == "exact" else "")
    for column, size in zip(frame.columns, frame.widths, strict=True):
        style = VERDICT_COLORS.get(bias_verdict(row) or "", "") if column.title in ("bias", "verdict") else ""
        line.append(frame.gap).append(column.cell(row).rjust(size), style)
    return [line]


def refusals(block: Rows) -> list[str]:
    """Return the estimators that are undefined here: each reason once, then their names."""
    names: dict[str | None, list[str]] = {}
    for row in block:
        if not row["applicable"]:
            names.setdefault(span_text(row), []).append(row["estimator"])
    return [clean_text(f"{reason}: {', '.join(refused)}") for reason, refused in names.items()]


def refusal_lines(block: Rows, width: int) -> "list[Text]":
    """Return the lines of the estimators that are undefined here."""
    return styled((line for text in refusals(block) for line in wrapped(text, width, hang=5)), "dim")


def exact_numbers(row: Row, settings: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """Return {target: (exact value, its error)} of the block of a row, as far as `settings` know them."""
    name = ":".join(part for part in (row["model"], row.get("variant")) if part)
    label = f"{name} K={row['latent_dim']}"
    values, errors = (settings.get(f"exact_{what}", {}).get(label, {}) for what in ("values", "errors"))
    return {target: (value, errors.get(target, 0.0)) for target, value in values.items()}


def exact_gap(known: dict[str, tuple[float, float]]) -> tuple[float, float] | None:
    """Return log p - ELBO and its error, or None where one of the two is unknown; zero within rounding."""
    if not {"log-evidence", "elbo"} <= known.keys():
        return None
    (log_p, error), (elbo, elbo_error) = known["log-evidence"], known["elbo"]
    gap = log_p - elbo
    return gap if abs(gap) > ROUNDING * max(1.0, abs(log_p)) else 0.0, math.hypot(error, elbo_error)


def exact_text(row: Row, settings: dict[str, Any]) -> str:
    """Return the exact answer of a block: the signed value where `settings` knows it, else the norm."""
    known = exact_numbers(row, settings)
    error = row.get("reference_se")
    if row["target"] in known:
        value, _ = known[row["target"]]
        return f"exact {value_text(value, error, digits_of(exact_gap(known)))}"
    word = "exact norm" if is_gradient(row["target"]) else "exact, absolute,"
    return f"{word} {value_text(row['reference_norm'], error)}"


def digits_of(gap: tuple[float, float] | None) -> float:
    """Return the difference that the digits of log p and ELBO have to show: the gap, or one nat."""
    return min(abs(gap[0]) or 1.0, 1.0) if gap else 1.0


def gap_text(row: Row, settings: dict[str, Any]) -> str | None:
    """Return 'log p, ELBO, gap' of the block of a row, or None where one of them is unknown."""
    known = exact_numbers(row, settings)
    gap = exact_gap(known)
    if gap is None:
        return None
    # An error that no digit shows is left to the head of its own table.
    shown = {what: (value, error if error > SMALL_ERROR else None) for what, (value, error) in known.items()}
    log_p, elbo = (value_text(*shown[target], digits_of(gap)) for target in ("log-evidence", "elbo"))
    difference = value_text(gap[0], gap[1] if gap[1] > SMALL_ERROR else None) if gap[0] else "0"
    return f"log p {log_p}, ELBO {elbo}, gap {difference} nats per datum"


def block_parts(rows: Rows, settings: dict[str, Any]) -> tuple[list[str], str | None]:
    """Return what the head of a block says beside its name, in parts, and its line of `gap_text`.

    The parts are data, latent dimension, posterior, place of q, noise and exact answer, as far as known.
    """
    row = rows[0]
    known = next((r for r in rows if r.get("reference_norm") is not None), None)
    parts = []
    if row["n_data"] is not None:  # else the model refused the data
        rows_word = "row" if row["n_data"] == 1 else "rows"
        parts += [f"{clean_text(row['data'])}, {row['n_data']} {rows_word}", f"K = {row['latent_dim']}"]
    if row.get("posterior"):
        parts.append(f"posterior {clean_text(row['posterior'])}")
    if settings.get("at") in WHERE:
        parts.append(f"q {WHERE[settings['at']]}")
    if settings.get("noise", "independent") != "independent":
        parts.append(f"{settings['noise']} noise")
    if known is not None:
        parts.append(f"{exact_text(known, settings)} ({known['reference']})")
        if known.get("reference_note"):
            parts.append(clean_text(known["reference_note"]))
    return parts, gap_text(known, settings) if known is not None else None


def block_head(rows: Rows, settings: dict[str, Any], width: int) -> "list[Text]":
    """Return the lines that name a block and its exact answer; a part stays on one line if it fits there."""
    name = clean_text(model_label(rows[0]))
    parts, gap = block_parts(rows, settings)
    lines = [name]
    for part in parts:
        separator = "  " if lines[-1] == name else ", "
        if len(lines[-1]) + len(separator) + len(part) <= width:
            lines[-1] += separator + part
        else:
            lines.append("  " + part)
    lines += [f"  {gap}"] if gap else []
    # A line that fits keeps its indent, which wrapping would take for a space between words.
    fitted = ([line] if len(line) <= width else wrapped(line, width, hang=4) for line in lines)
    texts = styled(piece for pieces in fitted for piece in pieces)
    texts[0].stylize("bold cyan", 0, len(name))
    return texts


def limit_text(rows: Rows) -> str:
    """Return the limit of |z| in the rows, or from where to where it lies."""
    limits = [row["bias_z_limit"] for row in rows if row.get("bias_z_limit") is not None]
    ends = dict.fromkeys(number_text(end(limits)) for end in (min, max) if limits)
    return " to ".join(ends) or "its limit"


def to_see_text(rows: Rows) -> str:
    """Return what a test has to see to be no longer blind, and what else the verdicts of the rows need."""
    if is_gradient(rows[0]["target"]):
        text = f"{100 * SHARE_TO_SEE:g} % of its norm"
    else:
        text = f"{NATS_TO_SEE} nats or {100 * SHARE_TO_SEE:g} % of the gap log p - ELBO"
    if any(row.get("bias_unit") == "rms" for row in rows):
        text += "; '% rms': of the root mean square of one estimate, where the exact answer is zero"
    words = {bias_verdict(row) for row in rows}
    if "blind (block)" in words:
        text += f"; '(block)': {100 * BLOCK_SHARE_TO_SEE:g} % of one block of parameters would not be found"
    if "blind (reference)" in words:
        text += "; '(reference)': the error of the exact answer alone hides as much"
    return text


def repeats_text(rows: Rows, repeats: int | None) -> str:
    """Return the number of repeats in words; a test of some rows may have been repeated with more."""
    if repeats is None:
        return "R"
    least = "at least " if any((row["repeats"] or 0) > repeats for row in rows) else ""
    return f"{least}R = {repeats}"


def caption_lines(rows: Rows, settings: dict[str, Any], frame: Frame, width: int) -> "list[Text]":
    """Return the sentence under a table: units, columns, S and R, the noise, and what is left out."""
    words = {name: common_value(rows, settings, name) for name in ("draws", "repeats")}
    meaning = "; ".join(column.meaning for column in frame.columns).format(
        draws=f"S = {words['draws']}" if words["draws"] is not None else "S",
        repeats=repeats_text(rows, words["repeats"]),
        limit=limit_text(rows),
        to_see=to_see_text(rows),
    )
    unit = "nats per unit of parameter" if is_gradient(rows[0]["target"]) else "nats"
    text = f"In {unit} (variance and mse squared): {meaning}."
    if settings.get("noise", "independent") != "independent":
        text += f" Noise within an estimate: {settings['noise']}."
    if any(row.get("reference_note") for row in rows):
        text += (
            " Reference shares: pullback: the exact answer rests on the derivatives of the user's model, "
            "which no difference of exact values confirms here."
        )
    if frame.left_out:
        text += f" Left out for lack of width: {', '.join(frame.left_out).rstrip('.')}."
    return wrapped_texts(text, width, "dim italic")


def table_lines(rows: Rows, settings: dict[str, Any], frame: Frame, width: int, dash: str) -> "list[Text]":
    """Return all lines of the table of one target.

    Parameters
    ----------
    rows : list of dict
        Rows of one target.
    settings : dict
        `draws` and `repeats` are read where the rows do not agree.
    frame : Frame
        From `fit_columns`.
    width : int
        Characters per line.
    dash : str
        One character for rules.
    """
    target = rows[0]["target"]
    title = " - ".join(part for part in (clean_text(target), describe(target)) if part)
    rule = styled([dash * width], "dim")
    lines = styled(wrapped(title, width, hang=2), "bold") + styled([header_text(frame)], "dim")
    for block in group_rows(rows).values():
        lines += rule + block_head(block, settings, width)
        for row in block:
            if row["applicable"]:
                lines += row_lines(row, frame, width)
        lines += refusal_lines(block, width)
    return lines + rule + caption_lines(rows, settings, frame, width)


def comparison_lines(rows: Rows, settings: dict[str, Any], width: int, dash: str = "\u2500") -> "list[Text]":
    """Return the lines of the comparison, one table per target.

    Parameters
    ----------
    rows : list of dict
        Rows with the keys of the JSON schema.
    settings : dict
        Settings of the run; the captions name its `draws` and `repeats`.
    width : int
        Characters per line.
    dash : str
        One character for rules.
    """
    frame = fit_columns(rows, width)
    lines: list[Text] = []
    for target in order_targets(rows):
        lines += styled([""]) if lines else []
        chosen = [row for row in rows if row["target"] == target]
        lines += table_lines(chosen, settings, frame, width, dash)
    return lines


def print_tables(rows: Rows, settings: dict[str, Any], console: "Console") -> None:
    """Print `comparison_lines` as wide as a console of rich; colour appears on a terminal only."""
    print_lines(comparison_lines(rows, settings, console.width, dash_of(console)), console)


def table_text(rows: Rows, settings: dict[str, Any], width: int = 120) -> str:
    """Return `comparison_lines` as plain text."""
    return text_of(comparison_lines(rows, settings, width))
