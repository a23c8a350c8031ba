"""The text of one cell: numbers with three digits, times with units, intervals, verdicts."""

import math

from elbo_lab.study.rows import Row

Rows = list[Row]


def number_text(value: float | None) -> str:
    """Write a number with three significant digits: 0.0123, 1.23, 123, 1.23e-5; '-' for None."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    if not math.isfinite(value):
        return str(value)
    mantissa, power = f"{value:.2e}".split("e")
    exponent = int(power)
    if -2 <= exponent <= 3:
        # Rounded first, so that 999.6 becomes 1000 and not 999.60.
        return f"{float(f'{value:.2e}'):.{max(0, 2 - exponent)}f}"
    return f"{mantissa}e{exponent}"


def time_text(seconds: float | None) -> str:
    """Write a duration with three significant digits and its unit: '12.3 us'; '-' for None."""
    if seconds is None:
        return "-"
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{number_text(seconds / size)} {unit}"
    return f"{number_text(seconds / 1e-9)} ns"


def interval_text(low: float | None, high: float | None) -> str:
    """Write an interval as '[low, high]'; '-' if an end is missing."""
    if low is None or high is None:
        return "-"
    return f"[{number_text(low)}, {number_text(high)}]"


def relative_interval_text(row: Row) -> str:
    """Write the interval of the variance relative to the variance: '-12/+14%'."""
    variance, low, high = (row[name] for name in ("variance", "variance_low", "variance_high"))
    if variance is None or low is None or high is None:
        return "-"
    if variance == 0:
        return "0"
    ends = (100 * (end / variance - 1) for end in (low, high))
    # Two digits are enough for the error of an error.
    return "/".join(f"{end:+.0f}" if abs(end) < 1e4 else f"{end:+.1e}" for end in ends) + "%"


def verdict(row: Row) -> str:
    """Tell in one word what the bias of a row means.

    'FAIL': declared unbiased for this target, yet `bias_max_z` lies above `bias_z_limit`.
    'biased': its expectation is declared to be another. 'ok': unbiased within its limit. The exact
    answer and rows without numbers get no verdict.
    """
    if row["estimator"] == "exact" or row.get("bias_norm") is None:
        return "-"
    if not row["unbiased"]:
        return "biased"
    z, limit = row.get("bias_max_z"), row.get("bias_z_limit")
    if z is None or limit is None:
        return "-"
    return "FAIL" if z > limit else "ok"


def span_text(row: Row) -> str | None:
    """Return the words that replace the numbers of a row, or None where there are numbers."""
    reason = row.get("reason")
    if not row["applicable"]:
        return f"n/a: {reason or 'not applicable'}"
    if row.get("bias_norm") is None and row.get("variance") is None:
        return f"not finite: {reason}" if reason else "not finite"
    return None


def clean_text(text: object) -> str:
    """Return a name without control characters, which could otherwise steer the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text))
