"""The comparison as text: what each model is, one table per target, what is undefined, and one legend.

A table has one block per model and one line per estimator. Data, q, log p and ELBO belong to the model and
stand above all tables; the exact answer, its rung on the ladder of exactness and its error belong to the
block, so its head has them. Pairings that are undefined follow the tables, every reason once with the names
of those that it concerns. What a narrow terminal cannot hold is left out column by column, the most derived
number first (mse follows from bias and variance), and the legend names what is missing; a number is never
wrapped or cut.
"""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from elbo_lab.estimators.targets import describe, is_gradient
from elbo_lab.report.blocks import (
    name_cell,
    styled,
    text_of,
    wrapped,
    wrapped_texts,
)
from elbo_lab.report.cells import SMALL_ERROR, Row, Rows, clean_text, number_text, span_text, value_text
from elbo_lab.report.columns import Column, Frame, fit_columns, sorted_rows
from elbo_lab.report.grouping import common_value, exact_key, group_rows, model_label, order_targets
from elbo_lab.report.power import power_lines
from elbo_lab.report.ratios import ratio_lines
from elbo_lab.study.rows import BLOCK_SHARE_TO_SEE, NATS_TO_SEE, SHARE_TO_SEE, bias_verdict
from elbo_lab.study.scene import WHERE

if TYPE_CHECKING:
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
    """Return the estimators that are undefined here: each reason once, without their names, then these."""
    names: dict[str, list[str]] = {}
    for row in block:
        if not row["applicable"]:
            reason = str(span_text(row)).replace(f"n/a: {row['estimator']} ", "n/a: ")
            names.setdefault(reason, []).append(row["estimator"])
    return [clean_text(f"{reason}: {', '.join(refused)}") for reason, refused in names.items()]


def refusal_lines(rows: Rows, width: int) -> "list[Text]":
    """Return a paragraph for each model with the estimators that are undefined on it."""
    lines: list[str] = []
    for block in group_rows(rows).values():
        reasons = [text.removeprefix("n/a: ") for text in refusals(block)]
        if reasons:
            text = f"n/a on {clean_text(model_label(block[0]))}: {'; '.join(reasons)}."
            lines += wrapped(text, width, hang=5)
    return styled(lines, "dim")


def exact_numbers(row: Row, settings: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """Return {target: (exact value, its error)} of the block of a row, as far as `settings` know them."""
    key = exact_key(row)
    values, errors = (settings.get(f"exact_{what}", {}).get(key, {}) for what in ("values", "errors"))
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


def model_parts(row: Row, settings: dict[str, Any]) -> list[str]:
    """Return data, latent dimension, prior, posterior, place of q and noise of a model, as far as known."""
    parts = []
    if row["n_data"] is not None:  # else the model refused the data
        rows_word = "row" if row["n_data"] == 1 else "rows"
        parts += [f"{clean_text(row['data'])}, {row['n_data']} {rows_word}", f"K = {row['latent_dim']}"]
    parts += prior_parts(settings)
    if row.get("posterior"):
        parts.append(f"posterior {clean_text(row['posterior'])}")
    if settings.get("at") in WHERE:
        parts.append(f"q {WHERE[settings['at']]}")
    if settings.get("noise", "independent") != "independent":
        parts.append(f"{settings['noise']} noise")
    if row["model"] in settings.get("gradient_by", {}):
        parts.append(f"gradient by {settings['gradient_by'][row['model']]}")
    return parts


def prior_parts(settings: dict[str, Any]) -> list[str]:
    """Return the family of the prior, where it is not that of the model."""
    return [f"prior {settings['latent_prior']}"] if settings.get("latent_prior") else []


def conditions(rows: Rows, settings: dict[str, Any]) -> list[str]:
    """Return what tells two comparisons apart: data, rows, draws, repeats, prior, posterior, q, noise."""
    data = list(dict.fromkeys(clean_text(row["data"]) for row in rows if row["data"]))
    sizes = sorted({row["n_data"] for row in rows if row["n_data"]})
    count = " to ".join(str(n) for n in dict.fromkeys((sizes[0], sizes[-1]))) if sizes else "no"
    parts = [data[0] if len(data) == 1 else "the data of each model", f"{count} rows"]
    parts += [f"{settings['draws']} draws per estimate", f"{settings['repeats']} repeats"]
    parts += [*prior_parts(settings), f"posterior {settings['posterior']}", f"q {WHERE[settings['at']]}"]
    return parts + ([f"{settings['noise']} noise"] if settings["noise"] != "independent" else [])


def exact_parts(rows: Rows, settings: dict[str, Any]) -> list[str]:
    """Return the exact answer of a block with its rung, and its note, as far as known."""
    known = next((row for row in rows if row.get("reference_norm") is not None), None)
    if known is None:
        return []
    note = [clean_text(known["reference_note"])] if known.get("reference_note") else []
    return [f"{exact_text(known, settings)} ({known['reference']})", *note]


def head_lines(row: Row, parts: list[str], width: int) -> "list[Text]":
    """Return the name of a model, and parts that say more; a part stays on one line if it fits there."""
    name = clean_text(model_label(row))
    lines = [name]
    for part in parts:
        separator = "  " if lines[-1] == name else ", "
        if len(lines[-1]) + len(separator) + len(part) <= width:
            lines[-1] += separator + part
        else:
            lines.append("  " + part)
    # A line that fits keeps its indent, which wrapping would take for a space between words.
    fitted = ([line] if len(line) <= width else wrapped(line, width, hang=4) for line in lines)
    texts = styled(piece for pieces in fitted for piece in pieces)
    texts[0].stylize("bold cyan", 0, len(name))
    return texts


def model_lines(rows: Rows, settings: dict[str, Any], width: int) -> "list[Text]":
    """Return what each model is, with log p, ELBO and gap; those that refused the data are left out."""
    lines: list[Text] = []
    for block in group_rows(rows).values():
        row = block[0]
        if row["n_data"] is not None:
            lines += head_lines(row, model_parts(row, settings), width)
            gap = gap_text(row, settings)
            lines += styled(wrapped(gap, width - 2)) if gap else []
            if gap:
                lines[-1].pad_left(2)
    return lines


def limit_text(rows: Rows) -> str:
    """Return the limit of |z| in the rows, or from where to where it lies."""
    limits = [row["bias_z_limit"] for row in rows if row.get("bias_z_limit") is not None]
    ends = dict.fromkeys(number_text(end(limits)) for end in (min, max) if limits)
    return " to ".join(ends) or "its limit"


def to_see_text(rows: Rows) -> str:
    """Return what a test has to see to be no longer blind, and what else the verdicts of the rows need."""
    share = f"{100 * SHARE_TO_SEE:g} %"
    texts = {True: f"{share} of its norm", False: f"{NATS_TO_SEE} nats or {share} of the gap log p - ELBO"}
    kinds = dict.fromkeys(is_gradient(row["target"]) for row in rows)
    text = (
        texts[next(iter(kinds))] if len(kinds) == 1 else f"{texts[True]} (gradients), {texts[False]} (values)"
    )
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


def meanings(columns: Iterable[Column], rows: Rows, settings: dict[str, Any]) -> list[str]:
    """Return what each column means in the tables of these rows."""
    words = {name: common_value(rows, settings, name) for name in ("draws", "repeats")}
    filled = {
        "draws": f"S = {words['draws']}" if words["draws"] is not None else "S",
        "repeats": repeats_text(rows, words["repeats"]),
        "limit": limit_text(rows),
        "to_see": to_see_text(rows),
    }
    return [column.meaning.format(**filled) for column in columns]


def legend_lines(rows: Rows, settings: dict[str, Any], frame: Frame, width: int) -> "list[Text]":
    """Return the legend of all tables: units, columns, S and R, the noise, and what is left out."""
    meaning = "; ".join(meanings(frame.columns, rows, settings))
    kinds = {is_gradient(row["target"]) for row in rows}
    per_unit = "nats per unit of parameter"
    unit = f"nats, gradients in {per_unit}" if len(kinds) == 2 else per_unit if True in kinds else "nats"
    text = f"In {unit} (variance and mse squared): {meaning}."
    if settings.get("noise", "independent") != "independent":
        text += f" Noise within an estimate: {settings['noise']}."
    if any(row.get("reference_note") for row in rows):
        text += (
            " Reference shares: pullback: the exact answer rests on the derivatives of the user's model, "
            "which no difference of exact values confirms here."
        )
    if frame.left_out:
        text += f" Left out for lack of width: {', '.join(frame.left_out)} (--columns chooses)."
    return wrapped_texts(text, width, "dim italic")


def table_lines(
    rows: Rows, settings: dict[str, Any], frame: Frame, width: int, dash: str, sort: str | None
) -> "list[Text]":
    """Return all lines of the table of one target.

    Parameters
    ----------
    rows : list of dict
        Applicable rows of one target.
    settings : dict
    frame : Frame
        From `fit_columns`.
    width : int
        Characters per line.
    dash : str
        One character for rules.
    sort : str or None
        As for `comparison_lines`.
    """
    target = rows[0]["target"]
    title = " - ".join(part for part in (clean_text(target), describe(target)) if part)
    blocks = group_rows(rows)
    rule = styled([dash * width], "dim") if len(blocks) > 1 else []
    lines = styled(wrapped(title, width, hang=2), "bold") + styled([header_text(frame)], "dim")
    for block in blocks.values():
        lines += rule + head_lines(block[0], exact_parts(block, settings), width)
        for row in sorted_rows(block, sort):
            lines += row_lines(row, frame, width)
    return lines + rule


def comparison_lines(
    rows: Rows,
    settings: dict[str, Any],
    width: int,
    dash: str = "\u2500",
    columns: Sequence[str] | None = None,
    sort: str | None = None,
) -> "list[Text]":
    """Return the lines of the comparison: models, one table per target, what is undefined, a legend.

    Below them stand the tables of `against` and of `power`, if asked for.

    Parameters
    ----------
    rows : list of dict
        Rows with the keys of the JSON schema.
    settings : dict
        Settings of the run; the legend names its `draws` and `repeats`.
    width : int
        Characters per line.
    dash : str
        One character for rules.
    columns : list of str, optional
        Names of columns, in their order; what fits if not given.
    sort : str, optional
        Name of the column by which the rows of a block are ordered, the best first.
    """
    frame = fit_columns(rows, width, columns)
    shown = [row for row in rows if row["applicable"]]
    lines = model_lines(rows, settings, width)
    for target in order_targets(shown):
        chosen = [row for row in shown if row["target"] == target]
        lines += styled([""]) + table_lines(chosen, settings, frame, width, dash, sort)
    refused = refusal_lines(rows, width)
    lines += styled([""]) + refused if refused else []
    lines += styled([""]) + legend_lines(shown, settings, frame, width) if shown else []
    for lines_of in (ratio_lines, power_lines):
        more = lines_of(rows, settings, width, dash)
        lines += styled([""]) + more if more else []
    return lines


def table_text(
    rows: Rows, settings: dict[str, Any], width: int = 120, columns: Sequence[str] | None = None
) -> str:
    """Return `comparison_lines` as plain text."""
    return text_of(comparison_lines(rows, settings, width, columns=columns))
