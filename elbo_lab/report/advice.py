"""The advice in words: what to use, how far the next one is behind, what a budget buys."""

from elbo_lab.report.cells import Row, Rows, interval_text, number_text, time_text
from elbo_lab.study.scene import WHERE

TIMING = 1.5
"""By what factor measured times may err on a busy machine."""


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
    if len(names) == 1:
        text = f"{target}: use {names[0]}."
    else:
        listed = f"{', '.join(names[:-1])} and {names[-1]}"
        text = f"{target}: undecided between {listed}; any of them will do."
    for at, rows in places.items():
        text += " " + _runner_up(rows, names[0], at)
    return text + (_bought(places, names[0], budget) if budget is not None else "")


def _runner_up(rows: Rows, name: str, at: str) -> str:
    """Say how far the next one is behind, or that another one did better, though not beyond doubt."""
    where = WHERE[at].capitalize()
    if len(rows) == 1:
        return f"{where} it is the only candidate."
    best, other = rows[0], row_of(rows, name) if rows[0]["estimator"] != name else rows[1]
    if other["work_ratio"] is None:
        return f"{where} {best['estimator']} has no noise."
    times = f"{number_text(other['work_ratio'])} times the work of {best['estimator']}"
    interval = interval_text(other["work_ratio_low"], other["work_ratio_high"])
    doubt = "" if other["verdict"] == "loses" else ", not beyond doubt"
    if doubt and other["work_ratio_low"] > 1.0:
        doubt += f": within the factor {TIMING} by which times may err"
    return f"{where} {other['estimator']} needs {times}, {interval}{doubt}."


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
    return f"{target}: it depends on the position of q. Use {words}, where training begins."


def no_candidate(target: str, rows: Rows) -> str:
    """Return the advice where no candidate is left: the reasons."""
    reasons = dict.fromkeys(f"{row['estimator']} ({row['reason']})" for row in rows if row["reason"])
    remedy = " Fewer draws or a larger budget may help." if any("budget" in r for r in reasons) else ""
    why = ", ".join(reasons) or "no unbiased estimator can do with so few draws"
    return f"{target}: no candidate: {why}.{remedy}"
