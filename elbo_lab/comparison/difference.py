"""Two runs of `compare`, row by row: what has changed beyond its error bars?

For rows of the same model, data, posterior, target and estimator

    bias      |bias_B - bias_A| against sqrt(se_A^2 + se_B^2); norms differ by less than the vectors do
    variance  r = Var B / Var A; its interval from those of the two (square and add the distances from each
              value to its end, on the log scale: Zou and Donner 2008)
    exact     the exact answers, against their two errors
    time      the ratio, for information only: seconds depend on the machine

A row is `identical` if all agree to rounding, `changed` if one is beyond its error bar, else `same`. Error
bars are widened so that two runs that differ by chance alone are called changed in 1 % of the cases, over all
rows together (Bonferroni). The noise of two runs is taken as independent; with the same seed it is not, and
the test is then conservative.
"""

import math
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

from elbo_lab.comparison.stored_run import DECLARED, NUMBERS, identity, read_run
from elbo_lab.files import json_kind, write_json
from elbo_lab.kinds import checks_kinds
from elbo_lab.report import (
    difference_lines,
    difference_summary,
    number_text,
    text_of,
    width_or_terminal,
)
from elbo_lab.report.frame import frame_of
from elbo_lab.report.grouping import exact_key
from elbo_lab.study.rows import Row, z_limit
from elbo_lab.study.statistics import NORMAL_95

if TYPE_CHECKING:
    from rich.text import Text

SCHEMA = "elbo_lab/diff/1"
JSON = json_kind("diff", SCHEMA)
FALSE_ALARM = 0.01
ROUNDING = 1e-9
# Settings that do not define the comparison.
LEFT_OUT = ("exact_values", "exact_errors", "threads", "titles")


@dataclass(frozen=True, repr=False)
class Difference:
    """How run B differs from run A.

    Attributes
    ----------
    names : tuple of str
        The two files.
    settings : dict
        {name: [in A, in B]} of the settings that differ.
    rows : list of dict
        The rows of both: their identity, `bias_verdict_a`, `bias_verdict_b`, `bias_difference`, `bias_error`,
        `variance_ratio` (B / A) with `variance_ratio_low` and `variance_ratio_high`, `time_ratio` (B / A),
        `verdict`, `reasons`.
    only : tuple of list
        Identities of the rows of one run only: (in A, in B).
    """

    names: tuple[str, str]
    settings: dict[str, list[Any]]
    rows: list[Row]
    only: tuple[list[Row], list[Row]]

    @property
    def differs(self) -> bool:
        """Whether anything changed beyond its error bars, or is in one run only."""
        return any(self.only) or any(row["verdict"] == "changed" for row in self.rows)

    def to_json(self, path: str | PathLike[str] | None = None) -> str:
        """Return all as JSON text; write it to `path` as well if given."""
        content = {
            "schema": SCHEMA,
            "settings": {"a": self.names[0], "b": self.names[1], "differ": self.settings},
            "differs": self.differs,
            "rows": self.rows,
            "only_in_a": self.only[0],
            "only_in_b": self.only[1],
        }
        return write_json(path, content, JSON)

    def lines(self, width: int = 100, dash: str = "-", everything: bool = False) -> "list[Text | str]":
        """Return the lines to print: settings, the rows that changed (or all), and how many did not."""
        return difference_lines(self.settings, self.rows, self.only, width, dash, everything)

    def table(self, width: int | None = None, everything: bool = False) -> str:
        """Return the lines as text, as wide as the terminal if no width is given."""
        return text_of(self.lines(width_or_terminal(width), everything=everything))

    def _repr_html_(self) -> str:
        from elbo_lab.report.snippet import difference_snippet  # Jinja2 is heavy

        return difference_snippet(repr(self), self.settings, self.rows, self.only)

    def to_pandas(self) -> Any:
        """Return the rows of both as a pandas DataFrame; ImportError where pandas is not installed."""
        return frame_of(self.rows, "difference.rows")

    def __repr__(self) -> str:
        a, b = self.names
        found = difference_summary(self.rows, self.only)
        return f"Difference of A = {a} and B = {b}: {found} .table() has the rows"


@checks_kinds
def difference(a: str | PathLike[str], b: str | PathLike[str]) -> Difference:
    """Compare two runs that `compare(...).to_json` wrote.

    Parameters
    ----------
    a, b : str or path
        JSON files.

    Returns
    -------
    Difference

    Raises
    ------
    ValueError
        In one line, if a file does not exist or is no run of `compare`.
    """
    (settings_a, rows_a), (settings_b, rows_b) = read_run("a", a), read_run("b", b)
    both = [key for key in rows_a if key in rows_b]
    # Three numbers are tested in every row.
    limit = z_limit(3 * len(both), FALSE_ALARM)
    names = dict.fromkeys([*settings_a, *settings_b])
    differ = {
        name: [settings_a.get(name), settings_b.get(name)]
        for name in names
        if name not in LEFT_OUT and settings_a.get(name) != settings_b.get(name)
    }
    rows = [
        compared(_signed(rows_a[key], settings_a), _signed(rows_b[key], settings_b), limit) for key in both
    ]
    only_a = [identity(row) for key, row in rows_a.items() if key not in rows_b]
    only_b = [identity(row) for key, row in rows_b.items() if key not in rows_a]
    return Difference((str(a), str(b)), differ, rows, (only_a, only_b))


def _signed(row: Row, settings: dict[str, Any]) -> Row:
    """Return the row with the sign of its exact answer, if the settings give it as one number."""
    all_values = settings.get("exact_values")
    values = all_values.get(exact_key(row)) if isinstance(all_values, dict) else None
    value = values.get(row["target"]) if isinstance(values, dict) else None
    if row["reference_norm"] is None or not isinstance(value, (int, float)):
        return row
    return row | {"reference_norm": math.copysign(row["reference_norm"], value)}


# -- one row ---------------------------------------------------------------------------------------


def compared(a: Row, b: Row, limit: float) -> Row:
    """Return the row of the difference of two rows.

    Parameters
    ----------
    a, b : dict
    limit : float
        Standard errors that chance may explain.
    """
    reasons = [f"{name} {a[name]} -> {b[name]}" for name in DECLARED if a[name] != b[name]]
    bias = _difference(a["bias_norm"], b["bias_norm"], _bias_error(a), _bias_error(b))
    exact = _difference(a["reference_norm"], b["reference_norm"], a["reference_se"], b["reference_se"])
    for quantity, name, (gap, error) in (
        ("bias", "bias_norm", bias),
        ("exact answer", "reference_norm", exact),
    ):
        scale = ROUNDING * max(1.0, abs(a[name] or 0.0))
        one_is_missing = (a[name] is None) != (b[name] is None)
        differs = gap is not None and error is not None and abs(gap) > limit * error + scale
        if one_is_missing or differs:
            reasons.append(f"{quantity} {number_text(a[name])} -> {number_text(b[name])}")
    ratio, low, high = _variance_ratio(a, b)
    if _variance_changed(a, b, limit):
        reasons.append(f"variance {number_text(a['variance'])} -> {number_text(b['variance'])}")
    words = [row.get("bias_verdict") for row in (a, b)]
    if None not in words and words[0] != words[1] and "FAIL" in words:
        reasons.append(f"verdict {words[0]} -> {words[1]}")
    times = a["seconds_per_estimate"], b["seconds_per_estimate"]
    identical = not reasons and all(_close(a[name], b[name]) for name in NUMBERS[:-1])
    return identity(a) | {
        "bias_a": a["bias_norm"],
        "bias_b": b["bias_norm"],
        "bias_verdict_a": words[0],
        "bias_verdict_b": words[1],
        "bias_difference": bias[0],
        "bias_error": bias[1],
        "variance_ratio": ratio,
        "variance_ratio_low": low,
        "variance_ratio_high": high,
        "time_ratio": times[1] / times[0] if all(times) else None,
        "verdict": "changed" if reasons else "identical" if identical else "same",
        "reasons": reasons,
    }


def _close(a: float | None, b: float | None) -> bool:
    if a is None or b is None:
        return a is b
    return math.isclose(a, b, rel_tol=ROUNDING)


def _bias_error(row: Row) -> float | None:
    """Return the norm of the standard errors of the bias, from the variance."""
    if row["variance"] is None:
        return None
    return math.hypot(math.sqrt(row["variance"] / row["repeats"]), row["reference_se"] or 0.0)


def _difference(
    a: float | None, b: float | None, error_a: float | None, error_b: float | None
) -> tuple[float, float] | tuple[None, None]:
    """Return (b - a, its standard error); without an error bar the error is 0."""
    if a is None or b is None:
        return None, None
    return b - a, math.hypot(error_a or 0.0, error_b or 0.0)


def _distances(a: Row, b: Row) -> tuple[float, float] | None:
    """Return the distances of log(variance_b / variance_a) to its two 95 % ends, or None."""
    if not all(row[name] for row in (a, b) for name in ("variance", "variance_low", "variance_high")):
        return None
    down, up = (
        math.hypot(math.log(top[0] / top[1]), math.log(bottom[0] / bottom[1]))
        for top, bottom in (
            ((b["variance"], b["variance_low"]), (a["variance_high"], a["variance"])),
            ((b["variance_high"], b["variance"]), (a["variance"], a["variance_low"])),
        )
    )
    return down, up


def _variance_ratio(a: Row, b: Row) -> tuple[float | None, float | None, float | None]:
    if not a["variance"] or b["variance"] is None:
        return None, None, None
    ratio, distances = b["variance"] / a["variance"], _distances(a, b)
    if distances is None:
        return ratio, None, None
    return ratio, ratio * math.exp(-distances[0]), ratio * math.exp(distances[1])


def _variance_changed(a: Row, b: Row, limit: float) -> bool:
    """Tell whether 1 lies outside the interval of the ratio, widened from 95 % to the limit."""
    if _close(a["variance"], b["variance"]):
        return False
    distances = _distances(a, b)
    if distances is None:
        return True  # zero or missing in one run, or without an error bar
    gap = math.log(b["variance"] / a["variance"])
    wider = limit / NORMAL_95
    return not -wider * distances[1] <= gap <= wider * distances[0]
