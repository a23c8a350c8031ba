"""Tables: every row is there, readable at every width, and tells what its numbers mean."""

import io
import re

import pytest
from rich.console import Console
from synthetic_rows import ESTIMATORS, SETTINGS, find_row, make_rows

from elbo_lab.comparison import compare
from elbo_lab.report import (
    dash_of,
    interval_text,
    number_text,
    order_targets,
    print_lines,
    time_text,
    value_text,
    verdict,
)
from elbo_lab.report.columns import check_columns
from elbo_lab.report.tables import comparison_lines, table_text


def one_line(text):
    """Undo line breaks, so that a sentence can be looked for at any width."""
    return re.sub(r"\s+", " ", text)


def row_of(text, estimator):
    """Return the first line that begins with an estimator."""
    return next(line for line in text.splitlines() if line.split()[:1] == [estimator])


NUMBERS = [
    (None, "-"),
    (0.0, "0"),
    (1.2, "1.20"),
    (-12.34, "-12.3"),
    (0.01234, "0.0123"),
    (0.00999999, "0.0100"),
    (0.001234, "1.23e-3"),
    (999.6, "1000"),
    (1234.0, "1230"),
    (12345.0, "1.23e4"),
    (1e-300, "1.00e-300"),
    (float("inf"), "inf"),
]


@pytest.mark.parametrize(("value", "text"), NUMBERS)
def test_numbers_have_three_significant_digits(value, text):
    assert number_text(value) == text


DURATIONS = [
    (None, "-"),
    (2.0, "2.00 s"),
    (0.0123, "12.3 ms"),
    (1.5e-6, "1.50 us"),
    (3e-8, "30.0 ns"),
    (0.9999999, "1000 ms"),
]


@pytest.mark.parametrize(("seconds", "text"), DURATIONS)
def test_durations_have_human_units(seconds, text):
    assert time_text(seconds) == text


def test_an_interval_without_an_end_is_a_dash():
    assert interval_text(1.0, None) == "-"
    assert interval_text(1.0, 2.0) == "[1.00, 2.00]"


VALUES = [
    ((-154.571858, 4e-3), "-154.572 +- 0.004"),
    ((-154.571858, 1.2e-2), "-154.572 +- 0.012"),
    ((-4.2416, 0.0213), "-4.24 +- 0.02"),
    ((-1540.3, 120.0), "-1540 +- 120"),
    ((12.3, 9.6e-4), "12.3000 +- 0.0010"),
    ((0.0003, 4e-3), "0.000 +- 0.004"),
    ((-0.0003, 4e-3), "0.000 +- 0.004"),
    ((2.34e-7, 1e-9), "2.340e-7 +- 1e-9"),
    # An error of rounding asks for no digits; what has to be seen does.
    ((-8.8912345, 3e-16, 0.0123), "-8.8912 +- 3e-16"),
    ((-8.8912345, 0.0, 0.0123), "-8.8912"),
    ((-154.571858, 4e-3, 1e-3), "-154.572 +- 0.004"),
    ((12.345, None), "12.3"),
    ((0.0, None), "0.00"),
    ((float("nan"), 1.0), "nan +- 1"),
]


@pytest.mark.parametrize(("numbers", "text"), VALUES)
def test_the_digits_of_a_value_end_where_its_error_begins(numbers, text):
    assert value_text(*numbers) == text


@pytest.mark.parametrize("width", [30, 60, 80, 100, 120, 200])
def test_no_line_is_wider_than_the_console(width):
    text = table_text(make_rows(), SETTINGS, width)
    assert max(map(len, text.splitlines())) <= width
    assert "\x1b" not in text


@pytest.mark.parametrize("width", [80, 100, 120])
def test_every_row_is_there_in_the_order_of_the_targets(width):
    rows = make_rows()
    lines = table_text(rows, SETTINGS, width).splitlines()
    names = [line.split()[0] for line in lines if line[:1].strip()]  # no continuations
    known = {row["estimator"] for row in rows}
    with_numbers = [row for row in rows if row["applicable"]]
    targets = order_targets(rows)
    expected = [r["estimator"] for target in targets for r in with_numbers if r["target"] == target]
    assert [name for name in names if name in known] == expected
    refused = [row["estimator"] for row in rows if not row["applicable"]]
    told = one_line("\n".join(lines)).split("n/a on ")[1:]
    assert sum(name in text for text in told for name in set(refused)) >= len(refused) > 0
    heads = [line.split()[0] for line in lines if " - " in line and line.split()[0] in ESTIMATORS]
    assert heads == targets and targets[0] == "grad-phi-elbo" and set(targets) == set(ESTIMATORS)


def test_what_most_look_for_comes_first_and_other_targets_last_in_alphabetical_order():
    rows = [{"target": name} for name in ("zeta", "iwae-5", "log-evidence", "grad-phi-elbo", "alpha", "elbo")]
    assert order_targets(rows) == ["grad-phi-elbo", "elbo", "log-evidence", "iwae-5", "alpha", "zeta"]


@pytest.mark.parametrize("width", [50, 80, 100, 120])
def test_a_reason_is_told_in_full_at_any_width(width):
    rows = make_rows(["grad-phi-elbo"])
    long = "this reason is long enough to be broken into several lines at every width " * 3
    find_row(rows, "ppca", "reparameterization").update(
        dict.fromkeys(("bias_norm", "variance")), applicable=False, reason=long
    )
    text = one_line(table_text(rows, SETTINGS, width))
    reason = r"n/a on gaussian-mixture \w+: categorical z has no pathwise derivative: reparameterization, rep"
    assert len(re.findall(reason, text)) == 3
    assert one_line(long).strip() in text


def test_a_reason_that_begins_with_the_name_is_told_once_for_all():
    rows = make_rows(["grad-phi-elbo"])
    for name in ("score-function", "score-function-loo"):
        find_row(rows, "ppca", name).update(applicable=False, reason=f"{name} needs bits")
    assert "n/a on ppca: needs bits: score-function, score-function-loo." in table_text(rows, SETTINGS, 100)


def test_the_legend_stands_once_at_the_end_and_tells_both_units():
    text = table_text(make_rows(), SETTINGS, 100)
    assert text.count("In nats") == 1 and one_line(text[text.index("In nats") :]).endswith(
        "mse, snr, effic. (--columns chooses). "
    )
    assert "In nats, gradients in nats per unit of parameter" in one_line(text)


def test_columns_are_those_that_are_asked_for_in_their_order():
    lines = [str(line) for line in comparison_lines(make_rows(), SETTINGS, 100, columns=["snr", "interval"])]
    assert table_text(make_rows(), SETTINGS, 100, ["snr", "interval"]).splitlines() == lines
    assert "time is per estimate" in one_line(table_text(make_rows(), SETTINGS, 100))
    assert "time is per estimate" not in one_line("\n".join(lines))
    (header,) = {line for line in lines if line.startswith("estimator")}
    assert header.split() == ["estimator", "snr", "95", "%", "interval"]
    assert "Left out" not in "".join(lines)
    narrow = " ".join(map(str, comparison_lines(make_rows(), SETTINGS, 50, columns=["snr", "interval"])))
    assert "Left out for lack of width: 95 % interval (--columns chooses)." in narrow


@pytest.mark.parametrize(("column", "key", "sign"), [("variance", "variance", 1), ("snr", "snr", -1)])
def test_rows_are_sorted_within_their_model_the_best_first(column, key, sign):
    rows = make_rows(["grad-phi-elbo"])
    lines = [str(line) for line in comparison_lines(rows, SETTINGS, 120, sort=column)]
    assert [line.split()[0] for line in lines if "exact norm" in line] == [
        row["model"] for row in rows if row["estimator"] == "exact"
    ]
    own = [row for row in rows if row["model"] == "ppca" and row["applicable"]]
    start = next(i for i, line in enumerate(lines) if line.startswith("ppca") and "exact norm" in line)
    shown = [line.split()[0] for line in lines[start + 1 : start + 1 + len(own)]]
    numbers = [next(row[key] for row in own if row["estimator"] == name) for name in shown]
    known = [sign * number for number in numbers if number is not None]
    assert known == sorted(known) and len(known) >= 4 and None not in numbers[: len(known)]


@pytest.mark.parametrize("asked", [(["varianc"], None), (None, "varianc")])
def test_a_column_that_is_not_there_is_refused_with_the_nearest(asked):
    with pytest.raises(ValueError, match=r"(columns|sort): expected .* 'varianc'; did you mean 'variance'\?"):
        check_columns(*asked)


def test_all_columns_stand_at_120_and_what_is_missing_below_is_named():
    rows = make_rows()
    wide = table_text(rows, SETTINGS, 120)
    header = row_of(wide, "estimator")
    for title in ("bias", "verdict", "max|z|", "variance", "95 % interval", "mse", "snr", "time"):
        assert title in header
    assert "effic." in header and "Left out" not in wide
    assert "Left out for lack of width: mse, snr, effic. (--columns chooses)." in one_line(
        table_text(rows, SETTINGS, 100)
    )
    narrow = table_text(rows, SETTINGS, 80)
    assert all(word in row_of(narrow, "estimator") for word in ("bias", "verdict", "variance", "95 %"))
    assert "Left out for lack of width: max|z|, mse, snr, time, effic. (--columns chooses)." in one_line(
        narrow
    )


def test_a_row_tells_its_numbers():
    rows = make_rows(["grad-phi-elbo"])
    find_row(rows, "gaussian-mle", "score-function").update(
        bias_norm=0.0123,
        bias_max_z=1.5,
        variance=4.0,
        variance_low=3.0,
        variance_high=5.0,
        mse=4.01,
        snr=2.5,
        seconds_per_estimate=2.5e-4,
        efficiency=1000.0,
    )
    line = row_of(table_text(rows, SETTINGS, 120), "score-function")
    assert one_line(line) == ("score-function 0.0123 ok < 3 % 1.50 4.00 [3.00, 5.00] 4.01 2.50 250 us 1000")
    line = row_of(table_text(rows, SETTINGS, 80), "score-function")
    assert one_line(line) == "score-function 0.0123 ok < 3 % 4.00 -25/+25% 250 us"


def test_a_block_tells_data_posterior_and_exact_answer_with_its_rung():
    rows = make_rows(["elbo", "grad-phi-elbo"])
    for row in rows:
        row["reference_norm"] = 12.345
    text = one_line(table_text(rows, SETTINGS, 120))
    assert text.count("gaussian-mle faithful, 32 rows, K = 2, posterior free") == 1
    assert "gaussian-mle exact, absolute, 12.3 (closed-form)" in text
    assert "deep-gaussian learned digits-dequantised, 32 rows" in text
    assert "exact norm 12.3 +- 3e-10 (quadrature)" in text
    # With its sign where the settings know it: an ELBO above log p must not be read into absolute values.
    values = {
        f"{name} K={row['latent_dim']}": {"elbo": value}
        for row in rows
        for name, value in (("gaussian-mle", -12.345), ("deep-gaussian:learned", -1.5))
    }
    signed = one_line(table_text(rows, SETTINGS | {"exact_values": values}, 120))
    assert "gaussian-mle exact -12.35 (closed-form)" in signed
    assert "exact -1.50 +- 3e-10 (quadrature)" in signed


def test_a_block_tells_log_p_elbo_and_gap_in_one_line():
    rows = make_rows(["elbo", "grad-phi-elbo"])
    label = f"gaussian-mle K={rows[0]['latent_dim']}"
    settings = SETTINGS | {
        "exact_values": {label: {"log-evidence": -154.571858, "elbo": -154.583}},
        "exact_errors": {label: {"log-evidence": 4e-3, "elbo": 3e-13}},
    }
    line = "  log p -154.572 +- 0.004, ELBO -154.5830, gap 0.011 +- 0.004 nats per datum"
    assert table_text(rows, settings, 80).splitlines().count(line) == 1
    settings["exact_values"][label]["elbo"] = -154.571858 + 1e-14
    assert "ELBO -154.57, gap 0 nats per datum" in table_text(rows, settings, 80)
    del settings["exact_values"][label]["log-evidence"]
    assert "nats per datum" not in table_text(rows, settings, 80)


def test_a_model_that_refused_the_data_has_no_rows_and_no_size():
    rows = make_rows(["elbo"])[:4]
    for row in rows:
        row.update(n_data=None, latent_dim=None, data=None, applicable=False, reason="expected bits")
    assert "None" not in table_text(rows, SETTINGS, 80)


def test_bias_is_told_by_a_word_and_by_a_colour():
    rows = make_rows(["grad-phi-elbo"])
    first = find_row(rows, "gaussian-mle", "score-function")
    first.update(bias_max_z=9.0)
    find_row(rows, "gaussian-mle", "reparameterization").update(unbiased=False, bias_max_z=9.0)
    find_row(rows, "ppca", "reparameterization").update(bias_max_z=None)
    find_row(rows, "ppca", "score-function").update(bias_detectable=3.367)
    text = table_text(rows, SETTINGS, 120)
    assert row_of(text, "score-function").split()[2] == "FAIL"
    assert row_of(text, "score-function-loo").split()[2] == "ok"
    assert row_of(text, "reparameterization").split()[2] == "biased"
    # Nothing was tested: no verdict.
    assert verdict(find_row(rows, "ppca", "reparameterization")) == "-"
    assert row_of(text, "exact").split()[1:4] == ["0", "-", "-"]
    sheet = io.StringIO()
    terminal = Console(file=sheet, width=120, force_terminal=True, color_system="standard")
    print_lines(comparison_lines(rows, SETTINGS, 120), terminal)
    assert re.search(r"\x1b\[1;31m\s*FAIL", sheet.getvalue())
    assert re.search(r"\x1b\[32m\s*ok < 3 %", sheet.getvalue())
    assert re.search(r"\x1b\[35m\s*blind < 340 %", sheet.getvalue())


def test_an_estimate_that_is_not_finite_says_so():
    rows = make_rows(["grad-phi-elbo"])
    row = find_row(rows, "ppca", "score-function")
    row.update(dict.fromkeys(("bias_norm", "variance")))
    assert "not finite" in table_text(rows, SETTINGS, 80)


def test_the_caption_tells_units_draws_and_repeats():
    text = one_line(table_text(make_rows(["elbo"]), SETTINGS, 80))
    assert "In nats (variance" in text and "S = 10 draws" in text and "R = 1000 repeats" in text
    text = one_line(table_text(make_rows(["grad-theta-elbo"]), SETTINGS, 80))
    assert "In nats per unit of parameter" in text
    rows = make_rows(["elbo"])
    rows[0]["draws"] = 2
    assert "from S draws" in one_line(table_text(rows, {}, 80))


def test_names_are_neither_markup_nor_terminal_commands():
    rows = make_rows(["elbo"])[:4]
    rows[0]["estimator"] = "[bold]mine[/bold]"
    rows[1]["estimator"] = "red\x1b[31m\nline"
    rows[2]["estimator"] = "x" * 200
    for row in rows:
        row["variant"] = "[/oops]"
    text = table_text(rows, SETTINGS, 100)
    assert "[bold]mine[/bold]" in text and "[/oops]" in text
    assert "\x1b" not in text and "red?[31m?line" in text
    assert max(map(len, text.splitlines())) <= 100


def test_no_rows_make_no_tables():
    assert table_text([], {}, 80).strip() == ""


def test_a_console_that_knows_only_ascii_gets_ascii():
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="ascii") as sheet:
        console = Console(file=sheet, width=100)
        print_lines(comparison_lines(make_rows(["elbo"]), SETTINGS, 100, dash_of(console)), console)
        sheet.flush()
        assert b"----" in raw.getvalue()


def test_a_table_is_as_wide_as_the_terminal(monkeypatch):
    result = compare("gaussian-mle", rows=2, repeats=4, estimators=["score-function", "reparameterization"])
    for width in (70, 110):
        monkeypatch.setenv("COLUMNS", str(width))
        assert result.table() == result.table(width=width)


def test_the_bias_of_a_value_has_its_sign():
    few = {"rows": 2, "repeats": 20, "latent": 2}
    result = compare("ppca", estimators=["prior-monte-carlo", "reparameterization"], **few)
    value, gradient = result.rows
    assert value["bias"] < 0.0 and gradient["bias"] is None
    (line,) = (line for line in result.table(100).splitlines() if line.startswith("prior-monte-carlo "))
    assert line.split()[1].startswith("-")
    (line,) = (line for line in result.table(100).splitlines() if line.startswith("reparameterization "))
    assert float(line.split()[1]) > 0.0
