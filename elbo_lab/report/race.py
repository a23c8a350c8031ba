"""A race of estimators as text: the answer in words, then distance and cost, at both rates."""

from typing import TYPE_CHECKING, Any

from elbo_lab.report.blocks import block_lines, styled, wrapped, wrapped_texts
from elbo_lab.report.cells import Row, Rows, interval_text, number_text, time_text

if TYPE_CHECKING:
    from rich.text import Text

TITLES = ("rate", "variance", "nats left, 95 %", "steps", "evaluations", "time")


def race_answer(settings: dict[str, Any], rows: Rows) -> str:
    """Return the answer to 'Does less variance train faster?' in one sentence or two."""
    pairs = [pair for pair in settings["pairs"] if pair["agrees"] is not None]
    agree = sum(pair["agrees"] for pair in pairs)
    if not pairs:
        return "cannot tell: no two estimators are further apart at the end than chance allows"
    names = dict.fromkeys(row["estimator"] for row in rows)
    told = f"of {settings['n_pairs']} pairs of {len(names)} estimators the intervals tell {len(pairs)} apart"
    if agree == len(pairs):
        return f"yes, here: {told}, and in each of them the one of less variance came nearer"
    if agree == 0:
        return f"no, not here: {told}, and in none of them the one of less variance came nearer"
    word = "mostly, here" if 2 * agree > len(pairs) else "not in general"
    return f"{word}: {told}; in {agree} of them the one of less variance came nearer"


def race_lines(
    settings: dict[str, Any], rows: Rows, tuning: Rows, width: int = 100, dash: str = "-"
) -> "list[Text | str]":
    """Return the lines to print.

    Parameters
    ----------
    settings, rows, tuning
        As in `comparison.race.RaceResult`.
    width : int
    dash : str
    """
    s = settings
    lines: list[Text | str] = [
        *wrapped_texts(
            f"Does less variance train faster? {race_answer(s, rows).capitalize()}.", width, "bold"
        ),
        *wrapped_texts(
            f"{s['model']} on {s['data']}, {s['rows']} rows, K = {s['latent']}, {s['objective']}, S = "
            f"{s['draws']}, q {s['posterior']}, {s['optimizer']}, {s['steps']} steps, {s['repeats']} seeds. "
            f"At the start {number_text(s['start_distance'])} nats per datum below the maximum of log p(x).",
            width,
        ),
    ]
    best = min((row["variance"] for row in rows if row["variance"]), default=None)
    heads = {"own best rate": "each at its own best rate", "common rate": "all at one rate"}
    blocks = [
        (head, [(row["estimator"], _cells(row, best, s["repeats"])) for row in rows if row["at"] == at])
        for at, head in heads.items()
    ]
    lines += block_lines(blocks, TITLES, width, dash)
    for text in _notes(settings, rows, tuning):
        lines += styled(wrapped(text, width, hang=2))
    return lines


def _cells(row: Row, best: float | None, repeats: int) -> tuple[str, ...]:
    mark = "*" if row["edge"] and row["at"] == "own best rate" else ""
    variance = "-" if row["variance"] is None or best is None else f"{number_text(row['variance'] / best)} x"
    if row["diverged"]:
        left = f"{row['diverged']} of {repeats} diverged"
    else:
        interval = interval_text(row["distance_low"], row["distance_high"])
        left = f"{number_text(row['distance'])} {interval}"
    rate = f"{row['rate']:g}{mark}"
    if row["steps_to_target"] is None:
        return rate, variance, left, "not reached", "-", "-"
    steps, evaluations = row["steps_to_target"], row["evaluations_to_target"]
    return rate, variance, left, f"{steps:.0f}", f"{evaluations:.0f}", time_text(row["seconds_to_target"])


def _notes(s: dict[str, Any], rows: Rows, tuning: Rows) -> list[str]:
    notes = [
        "nats left: exact log p(x) at the optimum minus log p(x) now, per datum, after all steps; mean "
        "over seeds and its t interval. steps, evaluations of log p(x, z) for a datum, time: medians until "
        f"at most {number_text(s['target_distance'])} nats are left ({100 * s['target']:g} % of the start); "
        "the exact log p(x) is not counted. variance: of the gradient in phi near the optimum, in times the "
        "least.",
        f"The best of {len(s['rates'])} rates was chosen on {s['tuning_seeds']} seeds that are not among the "
        f"{s['repeats']} shown, so its luck is not in the table; the common rate {s['common_rate']:g} "
        "is that at which the worst estimator ends nearest.",
    ]
    if s["local"]:
        notes.append(
            f"Optimum: {s['optimum']}, from the same start: a local one, and a training may end above it."
        )
    else:
        notes.append(f"Optimum: {s['optimum']}.")
    if any(row["edge"] and row["at"] == "own best rate" for row in rows):
        notes.append("* best rate at the edge of the grid: a rate beyond it may be better (--rates).")
    lost = [row for row in tuning if row["diverged"]]
    if lost:
        names = ", ".join(f"{row['estimator']} at {row['rate']:g}" for row in lost)
        notes.append(f"Diverged in the tuning: {names}.")
    behind: dict[str, list[str]] = {}
    for pair in s["pairs"]:
        behind.setdefault(pair["far"], []).append(pair["near"])
    supported = "; ".join(f"{far} is behind {', '.join(near)}" for far, near in behind.items()) or "none"
    notes.append(f"What the paired intervals support at own best rates (95 % for all pairs): {supported}.")
    return notes
