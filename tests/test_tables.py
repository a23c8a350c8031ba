"""Tables: every row is there, readable at every width, and tells what its numbers mean."""

import io
import re

import pytest
from rich.console import Console
from synthetic_rows import ESTIMATORS, SETTINGS, find_row, make_rows

from elbo_lab.report import interval_text, number_text, order_targets, time_text, value_text, verdict
from elbo_lab.report.tables import print_tables, table_text


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
    expected = [r["estimator"] for target in ESTIMATORS for r in with_numbers if r["target"] == target]
    assert [name for name in names if name in known] == expected
    refused = [row["estimator"] for row in rows if not row["applicable"]]
    told = one_line("\n".join(lines)).split("n/a: ")[1:]
    assert sum(name in text for text in told for name in set(refused)) >= len(refused) > 0
    heads = [line.split()[0] for line in lines if " - " in line and line.split()[0] in ESTIMATORS]
    assert heads == list(ESTIMATORS)


def test_targets_that_are_not_of_the_house_come_last_in_alphabetical_order():
    rows = [{"target": name} for name in ("zeta", "grad-phi-elbo", "alpha", "elbo")]
    assert order_targets(rows) == ["elbo", "grad-phi-elbo", "alpha", "zeta"]


@pytest.mark.parametrize("width", [50, 80, 100, 120])
def test_a_reason_is_told_in_full_at_any_width(width):
    rows = make_rows(["grad-phi-elbo"])
    long = "this reason is long enough to be broken into several lines at every width " * 3
    find_row(rows, "ppca", "reparameterization").update(
        dict.fromkeys(("bias_norm", "variance")), applicable=False, reason=long
    )
    text = one_line(table_text(rows, SETTINGS, width))
    assert text.count("n/a: categorical z has no pathwise derivative: reparameterization, rep") == 3
    assert one_line(long).strip() in text


def test_all_columns_stand_at_120_and_what_is_missing_below_is_named():
    rows = make_rows()
    wide = table_text(rows, SETTINGS, 120)
    header = wide.splitlines()[1]
    for title in ("bias", "verdict", "max|z|", "variance", "95 % interval", "mse", "snr", "time"):
        assert title in header
    assert "effic." in header and "Left out" not in wide
    assert "Left out for lack of width: mse, snr, effic." in one_line(table_text(rows, SETTINGS, 100))
    narrow = table_text(rows, SETTINGS, 80)
    assert all(word in narrow.splitlines()[1] for word in ("bias", "verdict", "variance", "95 %"))
    assert "Left out for lack of width: max|z|, mse, snr, time, effic." in one_line(narrow)


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
    assert (
        "gaussian-mle faithful, 32 rows, K = 2, posterior free, exact, absolute, 12.3 (closed-form)" in text
    )
    assert "deep-gaussian learned digits-dequantised, 32 rows" in text
    assert "exact norm 12.3 +- 3e-10 (quadrature)" in text
    # With its sign where the settings know it: an ELBO above log p must not be read into absolute values.
    values = {
        f"{name} K={row['latent_dim']}": {"elbo": value}
        for row in rows
        for name, value in (("gaussian-mle", -12.345), ("deep-gaussian:learned", -1.5))
    }
    signed = one_line(table_text(rows, SETTINGS | {"exact_values": values}, 120))
    assert "posterior free, exact -12.35 (closed-form)" in signed
    assert "exact -1.50 +- 3e-10 (quadrature)" in signed


def test_a_block_tells_log_p_elbo_and_gap_in_one_line():
    rows = make_rows(["elbo", "grad-phi-elbo"])
    label = f"gaussian-mle K={rows[0]['latent_dim']}"
    settings = SETTINGS | {
        "exact_values": {label: {"log-evidence": -154.571858, "elbo": -154.583}},
        "exact_errors": {label: {"log-evidence": 4e-3, "elbo": 3e-13}},
    }
    line = "  log p -154.572 +- 0.004, ELBO -154.5830, gap 0.011 +- 0.004 nats per datum"
    assert table_text(rows, settings, 80).splitlines().count(line) == 2
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
    print_tables(rows, SETTINGS, terminal)
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
        print_tables(make_rows(["elbo"]), SETTINGS, Console(file=sheet, width=100))
        sheet.flush()
        assert b"----" in raw.getvalue()
