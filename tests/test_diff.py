"""What changed between two runs: chance is not called a change, a change is seen, bad files are one line."""

import copy
import json
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from elbo_lab import compare
from elbo_lab.cli.main import main
from elbo_lab.comparison.difference import FALSE_ALARM, compared, difference
from elbo_lab.estimators import Answer
from elbo_lab.report.difference import MOST_ROWS
from elbo_lab.study.moments import Moments
from elbo_lab.study.rows import BiasTest, measured_row, z_limit

NAMES = ["score-function", "reparameterization", "elbo-log-weight", "exact"]
SMALL = {"estimators": NAMES, "rows": 4, "threads": 2}


@pytest.fixture(scope="module")
def run():
    result = compare(["gaussian-mle", "gaussian-mixture:full"], repeats=100, **SMALL)
    return json.loads(result.to_json())


@pytest.fixture
def write(tmp_path):
    def one(name, content):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return path

    return one


def row_of(run, model="gaussian-mle", estimator="score-function"):
    return next(row for row in run["rows"] if (row["model"], row["estimator"]) == (model, estimator))


def changed(write, run, **numbers):
    """Return the difference of a run and itself with another score-function row."""
    other = copy.deepcopy(run)
    row_of(other).update(numbers)
    return difference(write("a.json", run), write("b.json", other))


# -- verdicts --------------------------------------------------------------------------------------


def test_a_run_does_not_differ_from_itself_nor_from_another_timing(write, run):
    other = copy.deepcopy(run)
    for row in other["rows"]:
        row["seconds_per_estimate"] = 1.0
    found = difference(write("a.json", run), write("b.json", other))
    assert not found.differs and {row["verdict"] for row in found.rows} == {"identical"}
    assert len(found.rows) == len(run["rows"]) and found.settings == {} and found.only == ([], [])


def test_rounding_is_identical(write, run):
    found = changed(write, run, variance=row_of(run)["variance"] * (1 + 1e-13))
    assert {row["verdict"] for row in found.rows} == {"identical"}


def test_more_repeats_are_the_same_within_their_error_bars(write, run):
    more = compare(["gaussian-mle", "gaussian-mixture:full"], repeats=200, **SMALL)
    found = difference(write("a.json", run), write("b.json", more.to_json()))
    assert not found.differs and found.settings == {"repeats": [100, 200]}
    assert "same" in {row["verdict"] for row in found.rows}


def test_a_ratio_of_variances_has_the_interval_of_both(write, run):
    row = row_of(run)
    twice = {key: 2 * row[key] for key in ("variance", "variance_low", "variance_high")}
    found = next(r for r in changed(write, run, **twice).rows if r["estimator"] == "score-function")
    assert found["variance_ratio"] == pytest.approx(2.0, rel=1e-12)
    up, down = row["variance_high"] / row["variance"], row["variance"] / row["variance_low"]
    both = np.exp(np.hypot(np.log(up), np.log(down)))
    assert found["variance_ratio_low"] == pytest.approx(2 / both, rel=1e-9)
    assert found["variance_ratio_high"] == pytest.approx(2 * both, rel=1e-9)


CHANGES = [
    ({"bias_norm": 100.0}, "bias .* -> 100"),
    ({"variance": 1e6, "variance_low": 9e5, "variance_high": 2e6}, "variance .* -> 1.00e6"),
    ({"variance": 0.0, "variance_low": 0.0, "variance_high": 0.0}, "variance .* -> 0"),
    ({"variance": None, "variance_low": None, "variance_high": None}, "variance .* -> -"),
    ({"reference_norm": 7.0}, "exact answer .* -> 7.00"),
    ({"reference": "long-run"}, "reference closed-form -> long-run"),
    ({"unbiased": False}, "unbiased True -> False"),
    ({"applicable": False, "bias_norm": None}, "applicable True -> False"),
]


@pytest.mark.parametrize(("numbers", "reason"), CHANGES)
def test_a_change_is_seen_and_named(write, run, numbers, reason):
    found = changed(write, run, **numbers)
    assert found.differs
    row = next(row for row in found.rows if row["verdict"] == "changed")
    assert re.search(reason, "; ".join(row["reasons"]))
    assert [r["verdict"] for r in found.rows].count("changed") == 1
    json.loads(found.to_json())


def test_a_change_of_an_exact_value_is_told_with_its_sign(write, run):
    other = copy.deepcopy(run)
    label = next(name for name in run["settings"]["exact_values"] if name.startswith("gaussian-mixture"))
    value = run["settings"]["exact_values"][label]["elbo"]
    assert value < 0 and label.startswith("gaussian-mixture:full K=")
    other["settings"]["exact_values"][label]["elbo"] = value - 6.0
    row_of(other, "gaussian-mixture", "elbo-log-weight")["reference_norm"] = abs(value - 6.0)
    (row,) = (r for r in difference(write("a.json", run), write("b.json", other)).rows if r["reasons"])
    assert re.search(r"exact answer -\S+ -> -\S+", row["reasons"][0])
    # The same number with the other sign is another number.
    other["settings"]["exact_values"][label]["elbo"] = -value
    row_of(other, "gaussian-mixture", "elbo-log-weight")["reference_norm"] = abs(value)
    assert difference(write("a.json", run), write("b.json", other)).differs


@pytest.mark.parametrize("values", [None, [], {"gaussian-mle K=2": 3}, {"gaussian-mle K=2": {"elbo": "x"}}])
def test_exact_values_that_are_damaged_or_not_there_are_passed_over(write, run, values):
    other = copy.deepcopy(run)
    other["settings"]["exact_values"] = values
    assert not difference(write("a.json", other), write("b.json", other)).differs


def test_rows_of_one_run_only_are_a_difference(write, run):
    other = copy.deepcopy(run)
    other["rows"] = [row for row in other["rows"] if row["model"] == "gaussian-mle"]
    found = difference(write("a.json", run), write("b.json", other))
    assert found.differs and {row["model"] for row in found.only[0]} == {"gaussian-mixture"}
    assert (
        found.only[1] == []
        and f"only in A: {len(found.only[0])} rows of gaussian-mixture full (score" in found.table()
    )


def test_runs_without_a_common_row_take_a_few_lines(write, run):
    one, two = copy.deepcopy(run), copy.deepcopy(run)
    one["rows"] = [row for row in run["rows"] if row["estimator"] != "score-function"]
    two["rows"] = [row for row in run["rows"] if row["estimator"] == "score-function"]
    found = difference(write("a.json", one), write("b.json", two))
    text = found.table(80)
    assert text.startswith("Nothing to compare: no row is in both runs.") and len(text.splitlines()) <= 6
    assert f"only in B: {len(two['rows'])} rows" in text and "score-function" in text
    assert len(found.table(80, everything=True)) > len(text)


def test_of_many_changed_rows_some_are_shown_and_the_rest_counted(write, run):
    other = copy.deepcopy(run)
    rows = [{**row, "target": f"{row['target']}-{i}"} for row in run["rows"] for i in range(9)]
    other["rows"] = [{**row, "reference": "another"} for row in rows]
    found = difference(write("a.json", run | {"rows": rows}), write("b.json", other))
    text = found.table(80)
    assert text.startswith(f"{len(rows)} of {len(rows)} rows in both runs changed beyond error bars: ")
    assert f"and {len(rows) - MOST_ROWS} more rows that changed" in " ".join(text.split())
    assert "more rows" not in found.table(80, everything=True)


def test_what_changed_alike_for_several_estimators_of_a_target_is_said_once(write, run):
    other = copy.deepcopy(run)
    for row in other["rows"]:
        row["reference"] = "another"
    text = " ".join(difference(write("a.json", run), write("b.json", other)).table(200).split())
    names = "gaussian-mle grad-phi-elbo score-function, reparameterization, exact (faithful, free): "
    assert (
        text.count("gaussian-mle grad-phi-elbo") == 2 and f"{names}reference closed-form -> another" in text
    )


# -- chance ----------------------------------------------------------------------------------------


def study(rng, spread, repeats=400):
    """Return the row of an unbiased estimator with Gaussian noise in two coordinates."""
    total = Moments()
    for _ in range(40):
        batch = Moments()
        batch.add(spread * rng.standard_normal((repeats // 40, 2)))
        batch.close_batch()
        total.merge(batch)
    answer = Answer(np.zeros(2), np.zeros(2), "closed-form")
    names = "model variant data latent_dim posterior target estimator applicable unbiased"
    return measured_row(dict.fromkeys(names.split()), total, BiasTest(1.0, 2), answer, 1e-3)


def test_chance_alone_is_called_a_change_as_rarely_as_stated_and_a_change_is_found():
    rng, limit, studies = np.random.default_rng(3), z_limit(3, FALSE_ALARM), 300
    alarms = misses = 0
    for _ in range(studies):
        a, b, more = study(rng, 1.0), study(rng, 1.0), study(rng, 1.4)
        alarms += compared(a, b, limit)["verdict"] == "changed"
        misses += compared(a, more, limit)["verdict"] != "changed"
    # More than 12 of 300 at a rate of 1 % have a probability below 1e-4.
    assert binom.sf(12, studies, FALSE_ALARM) < 1e-4 and alarms <= 12
    # Twice the variance lies nine standard errors off; only batches skewed by chance can hide it.
    assert misses <= 3


# -- files and the command -------------------------------------------------------------------------


NO_RUNS = [
    ("no json", "which is no JSON"),
    ("[" * 100_000, "which is no JSON"),
    ('{"schema": 1, "rows": NaN}', "which is no JSON"),
    ("[1, 2]", "with schema None"),
    ({"schema": "elbo_lab/fit/1", "settings": {}}, "with schema 'elbo_lab/fit/1'"),
    ({"schema": 3}, "with schema 3"),
    ({"schema": True}, "with schema True"),
    ({"schema": 1, "settings": {}}, "settings or rows are damaged"),
    ({"schema": 1, "settings": {}, "rows": [{"model": "ppca"}]}, "settings or rows are damaged"),
]


@pytest.mark.parametrize(("content", "message"), NO_RUNS)
def test_a_file_that_is_no_run_is_one_clear_line(write, run, content, message, capsys):
    good, bad = write("good.json", run), write("bad.json", content)
    assert main(["diff", str(good), str(bad)]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.count("\n") == 1
    assert message in told.err and "elbo-lab: error: B.json: expected a JSON file" in told.err


def test_a_run_of_schema_1_is_read_and_todays_numbers_are_those_of_it(write):
    old = Path(__file__).with_name("run_of_schema_1.json")
    asked = json.loads(old.read_text(encoding="utf-8"))["settings"]
    same = {name: asked[name] for name in ("estimators", "at", "draws", "repeats", "rows", "seed")}
    found = difference(old, write("new.json", compare("ppca", **same, threads=1).to_json()))
    assert len(found.rows) == 7 and not any(row["verdict"] == "changed" for row in found.rows)
    assert found.only[0] == [] and set(found.settings) <= {"version", "pareto_k"}


def test_a_damaged_number_and_a_row_that_stands_twice_are_refused(write, run):
    other = copy.deepcopy(run)
    row_of(other)["variance"] = "much"
    with pytest.raises(ValueError, match="damaged"):
        difference(write("a.json", run), write("b.json", other))
    other = copy.deepcopy(run)
    other["rows"].append(other["rows"][0])
    with pytest.raises(ValueError, match="one of them twice"):
        difference(write("a.json", run), write("b.json", other))


def test_a_file_that_is_not_there_and_a_folder_are_refused(write, run, tmp_path):
    good = write("good.json", run)
    for path in (tmp_path / "missing.json", tmp_path):
        with pytest.raises(ValueError, match=r"a: expected a JSON file .*got"):
            difference(path, good)


def test_the_exit_code_is_that_of_diff(write, run, tmp_path, capsys):
    other = copy.deepcopy(run)
    row_of(other)["bias_norm"] = 100.0
    a, b, out = str(write("a.json", run)), str(write("b.json", other)), tmp_path / "out.json"
    assert main(["diff", a, a]) == 0
    assert "identical but for rounding" in " ".join(capsys.readouterr().out.split())
    assert main(["diff", a, b, "--json", str(out)]) == 1
    told = capsys.readouterr().out
    assert (
        told.startswith("1 of 24 rows in both runs changed")
        and "score-function" in told
        and "reparameterization" not in told
    )
    content = json.loads(out.read_text(encoding="utf-8"))
    assert content["differs"] and content["schema"] == "elbo_lab/diff/1"
    assert main(["diff", a, b, "--json", str(tmp_path / "no" / "out.json")]) == 2
    assert "--json: expected" in capsys.readouterr().err
    assert main(["diff", a, b, "--all"]) == 1
    assert "reparameterization" in capsys.readouterr().out


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_no_line_is_wider_than_asked(write, run, width):
    found = changed(write, run, bias_norm=100.0)
    assert max(map(len, found.table(width, everything=True).splitlines())) <= width
