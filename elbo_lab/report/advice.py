"""The advice: the finding in a sentence for each gradient, and the measurements as one table."""

import math
from typing import TYPE_CHECKING

from elbo_lab.report.blocks import Block, block_lines, wrapped_texts
from elbo_lab.report.cells import Row, Rows, interval_text, number_text, time_text
from elbo_lab.study.scene import WHERE

if TYPE_CHECKING:
    from rich.text import Text

TIMING = 1.5
"""By what factor measured times may err on a busy machine."""

SUBJECTS = {
    "grad-phi-elbo": "Gradient of the ELBO in phi",
    "grad-theta-elbo": "Gradient of the ELBO in theta",
}
SHORT = {"near": "near best", "start": "at start"}
MOST_ROWS = 12
WIDE = 112


def row_of(rows: Rows, name: str) -> Row:
    """Return the row of an estimator."""
    return next(row for row in rows if row["estimator"] == name)


def recommend(target: str, names: list[str], places: dict[str, Rows], budget: float | None) -> str:
    """Return the advice where one estimator or several lose nowhere.

    Parameters
    ----------
    target : str
    names : list of str
        The estimators that lose nowhere, the best first.
    places : dict
        {place: rows of the candidates, the best first}.
    budget : float or None
        In seconds.
    """
    text = f"{SUBJECTS[target]}: take {names[0]}"
    if len(names) > 1:
        others = f"{', '.join(names[1:-1])} and {names[-1]}" if len(names) > 2 else names[1]
        quiet = all(row_of(rows, names[1])["work_ratio"] is None for rows in places.values())
        close = (
            f"no noise either, but slower: {others}"
            if quiet
            else f"too close to call, {others} will do as well"
        )
        text += f"; {close}"
    said = [text, *(_next_best(rows, names, at) for at, rows in places.items())]
    return ". ".join(filter(None, said)) + "." + (_bought(places, names[0], budget) if budget else "")


def _next_best(rows: Rows, names: list[str], at: str) -> str:
    """Say how far behind the first is that could not do as well, or the advised where another did better."""
    where, best, chosen = WHERE[at].capitalize(), rows[0], row_of(rows, names[0])
    behind = [row for row in rows if row["estimator"] not in names]
    if chosen is not best and best["estimator"] not in names:
        row, than = chosen, f" as {best['estimator']}"
    elif behind:
        row, than = behind[0], ""
    else:
        return f"{where} it is the only candidate" if len(rows) == 1 else ""
    if row["work_ratio"] is None:
        return f"{where} it has no noise" if best is chosen else f"{where} {best['estimator']} has no noise"
    interval = interval_text(row["work_ratio_low"], row["work_ratio_high"])
    doubt = "" if row["verdict"] == "loses" else ", which may be chance"
    if doubt and row["work_ratio_low"] > 1.0:
        doubt = f", within the factor {TIMING} by which measured times may err"
    times = f"{number_text(row['work_ratio'])} {interval} times as long{than}"
    return f"{where} {row['estimator']} takes {times} for the same precision{doubt}"


def _bought(places: dict[str, Rows], name: str, budget: float | None) -> str:
    """Say what the budget buys."""
    words = []
    for at, rows in places.items():
        row = row_of(rows, name)
        count = int(budget / row["seconds_per_estimate"])
        share = number_text(100 / (row["snr"] * count**0.5)) if row["snr"] else None
        error = f", a relative error of {share} %," if share else ""
        noun = "estimate" if count == 1 else "estimates"
        words.append(f"{count} {noun}{error} {WHERE[at]}")
    return f" {time_text(budget)} buy {' and '.join(words)}."


def it_depends(target: str, unbeaten: dict[str, list[str]]) -> str:
    """Return the advice where every candidate loses somewhere; {place: names} do not lose there."""
    words = ", and ".join(f"{' or '.join(names)} {WHERE[at]}" for at, names in unbeaten.items())
    return f"{SUBJECTS[target]}: it depends on how far q is trained. Take {words}, where training begins."


def no_candidate(target: str, rows: Rows) -> str:
    """Return the advice where no candidate is left: the reasons."""
    reasons = dict.fromkeys(f"{row['estimator']} ({row['reason']})" for row in rows if row["reason"])
    remedy = " Fewer draws or a larger budget may help." if any("budget" in r for r in reasons) else ""
    why = ", ".join(reasons) or "no unbiased estimator can do with so few draws"
    return f"{SUBJECTS[target]}: no candidate: {why}.{remedy}"


# -- the table -------------------------------------------------------------------------------------


def measurement_lines(rows: Rows, width: int, dash: str = "-") -> "list[Text | str]":
    """Return the lines of the table: a row for each estimator, with what it costs at both places of q.

    Parameters
    ----------
    rows : list of dict
        As in `comparison.Advice`.
    width : int
    dash : str
    """
    blocks: list[Block] = []
    hidden: list[str] = []
    refused: set[str] = set()
    for target, subject in SUBJECTS.items():
        judged = _by_estimator([row for row in rows if row["target"] == target])
        refused |= {row["estimator"] for row in rows if row["target"] == target} - set(judged)
        if judged:
            names = list(judged)
            shown = names if len(names) <= MOST_ROWS + 1 else names[:MOST_ROWS]
            hidden += names[len(shown) :]
            blocks.append((subject, [(name, _cells(judged[name], width >= WIDE)) for name in shown]))
    if not blocks:
        return []
    titles = (*SHORT.values(), "evaluations", "time")
    lines = block_lines(blocks, titles, width, dash)
    if hidden:
        lines += wrapped_texts(f"and {len(hidden)} that cost more: {', '.join(hidden)}", width)
    caption = (
        "near best, at start: time to the same precision (variance x time of an estimate), in times that of "
        f"the best, for q {WHERE['near']} and {WHERE['start']}; ?: may be as good as the best, by chance or "
        f"as times may err by a factor of {TIMING}. evaluations: of log p(x, z) or its slope for a datum, in "
        "an estimate; time: of an estimate."
    )
    if refused:
        caption += f" Without a number: {len(refused)} estimators (--json has the reasons)."
    blind = sum(str(row["bias_verdict"]).startswith("blind") for row in rows)
    if blind:
        caption += (
            f" That an estimator is unbiased is declared; {blind} of {len(rows)} tests of it would see a "
            "large bias only."
        )
    return [*lines, *wrapped_texts(caption, width, "dim italic")]


def _by_estimator(rows: Rows) -> dict[str, dict[str, Row]]:
    """Return {estimator: {place: row}} of those with a number at every place, the best first."""
    found: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row["reason"] is None:
            found.setdefault(row["estimator"], {})[row["at"]] = row
    whole = {name: at for name, at in found.items() if len(at) == len(SHORT)}

    def cost(name: str) -> tuple[bool, float]:
        rows = whole[name].values()
        return any(row["verdict"] == "loses" for row in rows), math.prod(
            row["work_ratio"] or 1.0 for row in rows
        )

    return {name: whole[name] for name in sorted(whole, key=cost)}


def _cells(places: dict[str, Row], wide: bool) -> tuple[str, ...]:
    row = places["near"]
    costs = (_cost(places[at], wide) for at in SHORT)
    return (
        *costs,
        "-" if row["evaluations"] is None else str(row["evaluations"]),
        time_text(row["seconds_per_estimate"]),
    )


def _cost(row: Row, wide: bool) -> str:
    if row["verdict"] == "best":
        return "best"
    if row["work_ratio"] is None:  # the best has no noise
        return "no noise" if row["verdict"] == "undecided" else "noisy"
    interval = f" {interval_text(row['work_ratio_low'], row['work_ratio_high'])}" if wide else ""
    return f"{number_text(row['work_ratio'])}{interval}{' ?' if row['verdict'] == 'undecided' else ''}"
