"""The draws that log p(x) needs, as text: what was found, and a table with one line for each K."""

import math
from typing import TYPE_CHECKING, Any

from elbo_lab.report.blocks import wrapped_texts
from elbo_lab.report.cells import Row, Rows, number_text
from elbo_lab.study.scene import OFF, WHERE

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
    if first is last or {count_text(row["log10_draws_median"]) for row in known} == {"1"}:
        bring = f"{low} draw from {place} brings" if low == "1" else f"{low} draws from {place} bring"
        everywhere = "" if first is last else " at every K"
        return f"{bring} the error of log p(x) down to {within:g} nats{everywhere}."
    steps = last["latent"] - first["latent"]
    rate = (last["log10_draws_median"] - first["log10_draws_median"]) / steps
    few, many = (_cells(row)[2] for row in (first, last))
    of_kl = math.exp((last["kl_median"] - first["kl_median"]) / steps)
    return (
        f"From {place}: {low} at K = {first['latent']}, {high} at K = {last['latent']}: "
        f"{number_text(10.0**rate)} times as many for each step of K (exp KL: {few} and {many}, "
        f"{number_text(of_kl)} times)."
    )


def _prior_ahead(rows: Rows) -> str:
    """Say where the prior needs fewer draws than q; nothing where it does not."""
    needed: dict[str, dict[int, float]] = {name: {} for name in PLACES}
    for row in rows:
        draws = math.inf if row["infinite"] else row["log10_draws_median"]
        if draws is not None:
            needed[row["proposal"]][row["latent"]] = draws
    both = needed["prior"].keys() & needed["q"].keys()
    ahead = [str(k) for k in sorted(both) if needed["prior"][k] < needed["q"][k]]
    return f"At K = {', '.join(ahead)} the prior needs fewer than q." if ahead else ""


def _off_on_purpose(settings: dict[str, Any], rows: Rows) -> list[str]:
    """Say how q differs from the best fit, and whether rare draws make its variance."""
    if settings["at"] != "near" or settings["posterior"] == "exact":
        return []
    text = f"q is off on purpose, as during training: {OFF[settings['discrete']]}."
    # V above ten times exp KL: the bulk of the weights does not explain it.
    heavy = [row for row in rows if row["proposal"] == "q" and _rare_draws_matter(row, settings["within"])]
    if heavy and not settings["discrete"]:
        text += " It is too narrow: rare draws far out have huge weights."
    return [f"{text} With --at exact q stands at its best, where 1 draw is enough if q is the posterior."]


def _rare_draws_matter(row: Row, within: float) -> bool:
    if row["log10_draws_median"] is None:
        return bool(row["infinite"])
    log10_variance = row["log10_draws_median"] + 2.0 * math.log10(within)
    return bool(log10_variance > row["kl_median"] / math.log(10.0) + 1.0)


def _known(rows: Rows) -> Rows:
    """Return the rows of the sizes of which anything is known; all if that is none."""
    return [row for row in rows if row["rung"] is not None] or rows


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
    shown = {str(row["latent"]) for row in _known(rows)}
    for reason, of in reasons.items():
        head = UNKNOWN if shown & set(of) else "Left out,"
        notes.append(f"{head} K = {', '.join(dict.fromkeys(of))}: {reason}.")
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
    by_proposal = {name: [row for row in _known(rows) if row["proposal"] == name] for name in PLACES}
    within = settings["within"]
    where = "exact" if settings["posterior"] == "exact" else settings["at"]
    head = f"{settings['model']} on {settings['data']}, {settings['rows']} rows, q {WHERE[where]}"
    lines = wrapped_texts(f"Draws for log p(x) within {within:g} nats: {head}", width, "bold")
    for own in by_proposal.values():
        lines += wrapped_texts(_finding(own, within), width)
    lines += wrapped_texts(_prior_ahead(rows), width) if _prior_ahead(rows) else []
    over = "".join(f"draws from {place}".rjust(len(TITLES) * WIDTH) for place in PLACES.values())
    titles = "".join(title.rjust(WIDTH) for title in TITLES * len(PLACES))
    table = ["    " + over, "   K" + titles]
    for pair in zip(*by_proposal.values(), strict=True):
        cells = "".join(cell.rjust(WIDTH) for row in pair for cell in _cells(row))
        table.append(f"{pair[0]['latent']:4d}{cells}")
    from rich.text import Text

    lines += [Text(""), *(Text(line, "dim" if i < 2 else "") for i, line in enumerate(table)), Text("")]
    captions = (
        f"median, worst: over the rows, draws for a standard error of {within:g} nats: V / {within:g}^2, V "
        "the relative variance of one weight. Trust it for the error over all runs, the rare bad ones too.",
        "exp KL: about how many draws an estimate needs before it stops being far too low, with KL(posterior "
        "|| proposal) in nats, median over the rows (Chatterjee and Diaconis 2018). Trust it for whether a "
        f"usual run is of any use, not for {within:g} nats; where it is far below the median, a few rare "
        "runs make most of the error.",
    )
    for text in (*_off_on_purpose(settings, rows), *_notes(rows), *captions):
        lines += wrapped_texts(text, width, "dim italic")
    return lines
