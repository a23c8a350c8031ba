"""The text of one cell: numbers with three digits, times with units, intervals, verdicts."""

import math

from elbo_lab.study.rows import Row, bias_verdict

Rows = list[Row]

SMALL_ERROR = 1e-6
"""Errors below this share of what matters are rounding: the digits of a value do not go down to them."""


def number_text(value: float | None) -> str:
    """Write a number with three significant digits: 0.0123, 1.23, 123, 1.23e-5; '-' for None."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    if not math.isfinite(value):
        return str(value)
    exponent = int(f"{value:.2e}".split("e")[1])
    if -2 <= exponent <= 3:
        # Rounded first, so that 999.6 becomes 1000 and not 999.60.
        return f"{float(f'{value:.2e}'):.{max(0, 2 - exponent)}f}"
    return _scientific(value, 2)


def _power(value: float) -> int:
    """Return the power of ten of the first digit of a number other than zero."""
    return math.floor(math.log10(abs(value)))


def _scientific(value: float, digits: int) -> str:
    """Write a number as 1.23e-5, its power without leading zeros."""
    mantissa, power = f"{value:.{max(digits, 0)}e}".split("e")
    return f"{mantissa}e{int(power)}"


def value_text(value: float, error: float | None = None, apart: float | None = None) -> str:
    """Write a value with its error, both down to the first digit of the error: '-154.572 +- 0.004'.

    An error that begins with 1 has two digits. One below a millionth of what matters is shown by its size
    alone, beside a value with the digits that show what matters: '-18.24 +- 3e-13'.

    Parameters
    ----------
    value : float
    error : float, optional
        Standard error, or bound of the error; zero is not shown.
    apart : float, optional
        A difference that has to be seen, with three digits; that of the value from zero if not given.
    """
    if not math.isfinite(value) or (error is not None and not math.isfinite(error)):
        return f"{value:.3g}" + (f" +- {error:.1g}" if error else "")
    matters = apart or value or 1.0
    last = _power(matters) - 2  # the place of the last digit, as a power of ten
    seen = error is not None and error > SMALL_ERROR * abs(matters)
    if error and seen:
        first, power = f"{error:.0e}".split("e")
        last = int(power) - (first == "1")
    fixed = value == 0 or -4 <= _power(value) <= 5
    decimals = max(0, -last)
    # Adding zero takes the sign from what is rounded to zero.
    shown = f"{round(value, -last) + 0.0:.{decimals}f}" if fixed else _scientific(value, _power(value) - last)
    if not error:
        return shown
    return f"{shown} +- " + (
        f"{error:.{decimals}f}" if seen and fixed and decimals <= 4 else _scientific(error, 0)
    )


def digits_text(value: float, half: float | None = None) -> str:
    """Write a number down to the first digit of its error, at most three digits: '61,900', '2.9', '0.33'.

    Two digits without an error; before the point all are written, the unknown ones as zeros.
    """
    if not value:
        return "0"
    place = _power(value) - 1
    if half:
        first, power = f"{half:.0e}".split("e")
        place = min(max(int(power) - (first == "1"), _power(value) - 2), _power(value))
    return f"{round(value, -place):,.{max(0, -place)}f}"


def percent_text(value: float, low: float, high: float) -> str:
    """Write a positive number with its interval as a share: '61,900 ±0.2%', the wider side of the two."""
    half = max(value - low, high - value)
    share = float(f"{100 * half / value:.1g}")
    return f"{digits_text(value, half)} ±{share:g}%" if half else digits_text(value)


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


def bound_text(bias: float, unit: str) -> str:
    """Write a bias that a test can see, rounded up: '3 %', '340 %', '0.02 nats'.

    Two digits, but one below a tenth and for the largest. '% rms': of the root mean square of one estimate.
    """
    value, name = (bias, "nats") if unit == "nats" else (100.0 * bias, "% rms" if unit == "rms" else "%")
    two_digits = bias >= 0.1 and value < 1e4
    step = 10.0 ** (math.floor(math.log10(value)) - two_digits)
    rounded_up = math.ceil(value / step * (1.0 - 1e-9)) * step
    if 1e-4 <= rounded_up < 1e4:
        return f"{rounded_up:.6g} {name}"
    return f"{_scientific(rounded_up, 0)} {name}"


def verdict(row: Row) -> str:
    """Tell what the bias test of a row says, and what it could have seen: 'ok < 3 %', 'blind < 340 %'.

    The words are those of `study.rows.bias_verdict`; the bound is `bias_detectable`, rounded up. The exact
    answer and rows without numbers get no verdict.
    """
    return verdict_text(bias_verdict(row), row.get("bias_detectable"), row.get("bias_unit"))


def verdict_text(word: str | None, seen: float | None, unit: str | None) -> str:
    """Return the word of a verdict, with the bias that would have been seen."""
    if word not in ("ok", "blind") or not seen or unit is None:
        return word or "-"
    return f"{word} < {bound_text(seen, unit)}"


def first_verdict(row: Row) -> str:
    """Return the verdict on a blind row before it was repeated."""
    return verdict(row | {"bias_detectable": row["bias_detectable_first"], "bias_max_z": 0.0})


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
