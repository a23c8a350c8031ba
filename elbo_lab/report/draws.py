"""The draws that log p(x) needs, as text: what was found, and a table with one line for each K."""

import math
from typing import TYPE_CHECKING, Any

from elbo_lab.report.blocks import wrapped_texts
from elbo_lab.report.cells import Row, Rows, number_text
from elbo_lab.study.scene import WHERE

if TYPE_CHECKING:
    from rich.text import Text

NONE, UNKNOWN = "none", "?"
TITLES = ("median", "worst", "exp KL")
WIDTH = 11  # of a cell
PLACES = {"prior": "the prior", "q": "q"}


def count_text(log10: float) -> str:
    """Write a number of draws given by its logarithm: '37', '5,120', '3.2e27'."""
    if log10 < 5.0:
        return f"{10.0**log10:,.0f}"
    power = int(log10 // 1)
    mantissa = round(10.0 ** (log10 - power), 1)
    return f"{mantissa:.1f}e{power}" if mantissa < 10.0 else f"1.0e{power + 1}"


def _cells(row: Row) -> tuple[str, str, str]:
    """Return median, worst and exp KL."""
    if row["rung"] is None:
        return UNKNOWN, UNKNOWN, UNKNOWN
    missing = UNKNOWN if row["infinite"] is None else NONE
    draws = (row["log10_draws_median"], row["log10_draws_worst"])
    texts = [missing if value is None else count_text(value) for value in draws]
    return texts[0], texts[1], count_text(row["kl_median"] / math.log(10.0))


def _finding(rows: Rows, within: float) -> str:
    """Say what the rows of one proposal show: its growth with K, or its number of draws."""
    place = PLACES[rows[0]["proposal"]]
    known = [row for row in rows if row["log10_draws_median"] is not None]
    if any(row["infinite"] for row in rows) and not known:
        return f"No finite number of draws from {place} is enough: the variance of a weight is infinite."
    if not known:
        return f"For draws from {place} it is not known."
    first, last = known[0], known[-1]
    low, high = (count_text(row["log10_draws_median"]) for row in (first, last))
    if first is last:
        return f"{low} draws from {place} bring the error of log p(x) down to {within:g} nats."
    rate = (last["log10_draws_median"] - first["log10_draws_median"]) / (last["latent"] - first["latent"])
    return (
        f"From {place}: {low} at K = {first['latent']}, {high} at K = {last['latent']}: "
        f"{number_text(10.0**rate)} times as many for each step of K."
    )


def _notes(rows: Rows) -> list[str]:
    """Say what stands behind the words in place of numbers."""
    notes = []
    infinite = [row for row in rows if row["infinite"]]
    if infinite:
        places = " and ".join(dict.fromkeys(PLACES[row["proposal"]] for row in infinite))
        notes.append(
            f"{NONE}: no finite number is enough. The tails of {places} are so light that rare draws there "
            "have huge weights, whose variance is infinite; exp KL says what all but such rare runs need."
        )
    reasons: dict[str, list[str]] = {}
    for row in rows:
        if row["reason"] is not None:
            reasons.setdefault(row["reason"], []).append(str(row["latent"]))
    notes += [f"{UNKNOWN} K = {', '.join(dict.fromkeys(of))}: {reason}." for reason, of in reasons.items()]
    return notes


def draws_lines(settings: dict[str, Any], rows: Rows, width: int) -> "list[Text]":
    """Return the lines: what was found, the table, what its columns mean.

    Parameters
    ----------
    settings : dict
    rows : list of dict
        Those of `comparison.draws.DrawsNeeded`.
    width : int
    """
    by_proposal = {name: [row for row in rows if row["proposal"] == name] for name in PLACES}
    within = settings["within"]
    head = f"{settings['model']} on {settings['data']}, {settings['rows']} rows, q {WHERE[settings['at']]}"
    lines = wrapped_texts(f"Draws for log p(x) within {within:g} nats: {head}", width, "bold")
    for own in by_proposal.values():
        lines += wrapped_texts(_finding(own, within), width)
    over = "".join(f"draws from {place}".rjust(len(TITLES) * WIDTH) for place in PLACES.values())
    titles = "".join(title.rjust(WIDTH) for title in TITLES * len(PLACES))
    table = ["    " + over, "   K" + titles]
    for pair in zip(*by_proposal.values(), strict=True):
        cells = "".join(cell.rjust(WIDTH) for row in pair for cell in _cells(row))
        table.append(f"{pair[0]['latent']:4d}{cells}")
    from rich.text import Text

    lines += [Text(""), *(Text(line, "dim" if i < 2 else "") for i, line in enumerate(table)), Text("")]
    caption = (
        "median, worst: over the rows, V / within^2, V the relative variance of one weight. exp KL: of the "
        "posterior from the proposal; with fewer draws an estimate is too low (Chatterjee and Diaconis 2018)."
    )
    for text in (*_notes(rows), caption):
        lines += wrapped_texts(text, width, "dim italic")
    return lines
