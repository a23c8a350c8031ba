"""Advice: the least measured work wins, doubt is told, the place of q is told, mistakes are one line."""

import json

import numpy as np
import pytest

from elbo_lab import advise
from elbo_lab.cli.main import main
from elbo_lab.comparison import advice as room
from elbo_lab.comparison.advice import PLACES, TARGETS, TIMING, _choose
from elbo_lab.estimators import ESTIMATORS
from elbo_lab.models import PPCA

SMALL = {"rows": 4, "repeats": 200, "threads": 2}
BITS = (np.random.default_rng(0).random((30, 5)) < 0.4).astype(float)


FEW = (
    "score-function",
    "score-function-loo",
    "score-function-optimal-baseline",
    "reparameterization",
    "reparameterization-analytic-kl",
    "elbo-sampled",
    "elbo-analytic-kl",
)


@pytest.fixture
def few(monkeypatch):
    """Let there be these estimators only, whose order is known."""
    known = [estimator for estimator in ESTIMATORS if estimator.name in FEW]
    monkeypatch.setattr(room, "find_estimators", lambda _: known)


@pytest.fixture
def timed(monkeypatch):
    """Return a function that lets every estimator take the same time, but for those it names."""

    def fix(**others):
        def seconds(_, estimators, __):
            return {e: others.get(e.name.replace("-", "_"), 1e-3) for e in estimators}

        monkeypatch.setattr(room, "_seconds", seconds)

    fix()
    return fix


def choice_of(found, target):
    return next(choice for choice in found.choices if choice.target == target)


def rows_of(found, target, at):
    return [row for row in found.rows if (row["target"], row["at"]) == (target, at)]


def test_a_class_of_the_user_is_advised_on(few, timed):  # noqa: ARG001
    class Own(PPCA):
        name = "own-ppca-of-advice"

    found = advise(Own, data="faithful", rows=4, repeats=20, threads=1)
    assert found.settings["model"] == "own-ppca-of-advice"


# -- what wins -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("few", "timed")
def test_of_equally_fast_estimators_the_one_of_least_variance_is_advised():
    found = advise("gaussian-mle", **SMALL)
    choice = choice_of(found, "grad-phi-elbo")
    for at in PLACES:
        rows = rows_of(found, "grad-phi-elbo", at)
        assert rows[0]["verdict"] == "best" and rows[0]["estimator"] == "reparameterization-analytic-kl"
        assert rows[0]["variance"] == min(row["variance"] for row in rows)
        assert rows[-1]["estimator"] == "score-function" and rows[-1]["verdict"] == "loses"
    assert (choice.advice, choice.estimator) == ("use", "reparameterization-analytic-kl")
    assert "take reparameterization-analytic-kl" in choice.text and choice.text in " ".join(
        found.table().split()
    )


@pytest.mark.usefixtures("few")
def test_time_counts_as_much_as_variance(timed):
    timed(reparameterization_analytic_kl=1.0, reparameterization=1.0)
    found = advise("gaussian-mle", **SMALL)
    name = choice_of(found, "grad-phi-elbo").estimator
    assert name in ("score-function-loo", "score-function-optimal-baseline")


def test_the_ratio_of_work_is_that_of_variances_times_that_of_times(timed):
    timed(score_function=4e-3)
    rows = rows_of(advise("gaussian-mle", **SMALL), "grad-phi-elbo", "near")
    best, last = rows[0], next(row for row in rows if row["estimator"] == "score-function")
    ratio = last["variance"] / best["variance"] * 4
    assert last["work_ratio"] == pytest.approx(ratio, rel=1e-12)
    assert last["work_ratio_low"] < ratio < last["work_ratio_high"]
    assert last["work"] == pytest.approx(last["variance"] * 4e-3, rel=1e-12)


def test_equal_variances_are_undecided_until_the_times_differ_by_more_than_the_clock(timed):
    timed(elbo_sampled=1.2e-3)
    # On PPCA the two differ in nothing but what the prior adds, and the prior has no parameters.
    choice = choice_of(advise("ppca", **SMALL), "grad-theta-elbo")
    assert choice.advice == "undecided" and "too close to call" in choice.text
    timed(elbo_sampled=1e-3 * 1.1 * TIMING)
    choice = choice_of(advise("ppca", **SMALL), "grad-theta-elbo")
    assert (choice.advice, choice.estimator) == ("use", "elbo-analytic-kl")


def evidence(near, start):
    """Return rows {place: [(name, work ratio, verdict), ...]} as evidence."""
    rows = []
    for at, found in (("near", near), ("start", start)):
        for name, ratio, word in found:
            head = {"target": "grad-phi-elbo", "at": at, "estimator": name, "reason": None, "snr": 2.0}
            numbers = {"work_ratio": ratio, "work_ratio_low": 0.9 * ratio, "work_ratio_high": 1.1 * ratio}
            rows.append(head | numbers | {"verdict": word, "seconds_per_estimate": 1e-3})
    return rows


def test_where_the_winner_depends_on_the_place_of_q_both_are_named():
    near = [("a", 1.0, "best"), ("b", 5.0, "loses")]
    start = [("b", 1.0, "best"), ("a", 5.0, "loses")]
    choice = _choose("grad-phi-elbo", evidence(near, start), None)
    assert (choice.advice, choice.estimator) == ("depends", None)
    assert "a near the best fit, and b at the start (the prior)" in choice.text


def test_who_loses_nowhere_is_advised_even_if_another_did_better_somewhere():
    near = [("a", 1.0, "best"), ("b", 1.1, "undecided")]
    start = [("b", 1.0, "best"), ("a", 5.0, "loses")]
    choice = _choose("grad-phi-elbo", evidence(near, start), None)
    assert (choice.advice, choice.estimator) == ("use", "b")
    assert (
        "b takes 1.10 [0.990, 1.21] times as long as a for the same precision, which may be chance"
        in choice.text
    )


def test_doubt_that_is_only_that_of_the_clock_is_called_so():
    def text(ratio):
        near = [("a", 1.0, "best"), ("b", ratio, "undecided")]
        start = [("b", 1.0, "best"), ("a", 5.0, "loses")]
        return _choose("grad-phi-elbo", evidence(near, start), None).text

    assert "within the factor 1.5 by which measured times may err" in text(1.3)
    assert "the factor" not in text(1.05)


def test_a_tie_is_called_undecided_and_names_all():
    both = [("a", 1.0, "best"), ("b", 1.1, "undecided"), ("c", 9.0, "loses")]
    choice = _choose("grad-phi-elbo", evidence(both, both), 0.01)
    assert choice.advice == "undecided" and "take a; too close to call, b will do as well" in choice.text
    assert "Near the best fit c takes 9.00 [8.10, 9.90] times as long for the same precision" in choice.text
    # 10 ms buy ten estimates with a signal-to-noise ratio of 2: 1 / (2 sqrt(10)).
    assert "10.0 ms buy 10 estimates, a relative error of 15.8 %" in choice.text


# -- candidates ------------------------------------------------------------------------------------


def test_only_unbiased_estimators_of_the_two_gradients_are_candidates(timed):  # noqa: ARG001
    found = advise("ppca", **SMALL)
    names = {(row["target"], row["estimator"]) for row in found.rows}
    wanted = {
        (e.target, e.name) for e in ESTIMATORS if e.target in TARGETS and e.unbiased and e.minimum_draws <= 10
    }
    references = ("exact", "score-function-oracle-baseline")
    assert names == {(target, name) for target, name in wanted if name not in references}


@pytest.mark.parametrize("model", ["gaussian-mle", "deep-bernoulli", "gaussian-mixture:full"])
def test_of_all_estimators_the_best_has_the_least_work_and_the_advice_loses_nowhere(timed, model):  # noqa: ARG001
    found = advise(model, **SMALL)
    for choice in found.choices:
        for at in PLACES:
            rows = [row for row in rows_of(found, choice.target, at) if row["reason"] is None]
            works = [row["work"] for row in rows]
            assert works == sorted(works) and rows[0]["verdict"] == "best"
            standing = [row["estimator"] for row in rows if row["verdict"] != "loses"]
            assert choice.unbeaten[at] == standing
            assert choice.estimator is None or choice.estimator in standing
        assert (choice.advice == "depends") == (choice.estimator is None)


def test_of_several_without_noise_the_fastest_is_advised(timed):
    timed(enumeration=3e-3, score_function_top_categories=2e-3, score_function_unordered_set=1e-3)
    choice = choice_of(advise("gaussian-mixture:full", **SMALL), "grad-phi-elbo")
    assert choice.estimator == "score-function-unordered-set"
    assert choice.unbeaten["near"][2] == "enumeration"
    assert "no noise either, but slower: score-function-top-categories and enumeration" in choice.text


def test_what_makes_no_sense_is_a_row_with_a_reason(timed):  # noqa: ARG001
    found = advise("gaussian-mixture:full", **SMALL)
    row = next(row for row in found.rows if row["estimator"] == "reparameterization")
    assert row["verdict"] is None and "no pathwise derivative" in row["reason"]
    json.loads(found.to_json())


def test_what_takes_longer_than_the_budget_is_left_out(timed):
    timed(reparameterization_analytic_kl=1.0)
    found = advise("gaussian-mle", budget=0.5, **SMALL)
    row = next(row for row in found.rows if row["estimator"] == "reparameterization-analytic-kl")
    assert "1.00 s, longer than the budget" in row["reason"]
    assert choice_of(found, "grad-phi-elbo").estimator != "reparameterization-analytic-kl"
    nothing = advise("gaussian-mle", budget=1e-9, **SMALL)
    assert {choice.advice for choice in nothing.choices} == {"none"}
    assert "no candidate" in nothing.table() and "larger budget may help" in nothing.table()


def test_an_encoder_and_own_data_are_accepted(timed):  # noqa: ARG001
    found = advise("deep-bernoulli", data=BITS, posterior="amortised", **SMALL)
    assert found.settings["posterior"] == "amortised" and found.settings["rows"] == 4
    assert all(choice.advice != "none" for choice in found.choices)


def test_a_full_covariance_is_accepted(timed):  # noqa: ARG001
    found = advise("ppca", latent=2, posterior="full", **SMALL)
    assert found.settings["posterior"] == "full-gaussian"
    assert all(choice.advice != "none" for choice in found.choices)


def test_measured_seconds_are_positive_and_the_same_at_both_places():
    found = advise("gaussian-mle", **SMALL)
    for row in rows_of(found, "grad-phi-elbo", "near"):
        other = rows_of(found, "grad-phi-elbo", "start")
        twin = next(r for r in other if r["estimator"] == row["estimator"])
        assert row["seconds_per_estimate"] == twin["seconds_per_estimate"]
        assert row["reason"] is not None or row["seconds_per_estimate"] > 0


def test_everything_but_the_seconds_is_reproduced(timed):  # noqa: ARG001
    one, two = (advise("ppca", **SMALL | {"threads": threads}) for threads in (1, 2))
    assert one.rows == two.rows and one.choices == two.choices


# -- on the screen and by mistake ------------------------------------------------------------------


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_no_line_is_wider_than_asked_and_no_name_is_lost(timed, width):  # noqa: ARG001
    found = advise("gaussian-mle", budget=0.1, **SMALL)
    text = found.table(width)
    assert max(map(len, text.splitlines())) <= width
    assert all(row["estimator"] in text for row in found.rows if row["reason"] is None)
    # One table: a line for each estimator, also where it is measured at two places.
    assert [line.split()[:1] for line in text.splitlines()].count(["score-function-loo"]) == 1


MISTAKES = [
    (["gaussian-mixture"], "model: expected one model, got 3 of them; choose one of gaussian-mixture:"),
    (["ppcaa"], "error: model: expected a known name, got 'ppcaa'; did you mean 'ppca'?"),
    (["ppca", "--budget", "0"], "--budget: expected a positive finite number, got 0.0"),
    (["ppca", "--budget", "nan"], "--budget: expected a positive finite number, got nan"),
    (["ppca", "--posterior", "exact"], "--posterior: expected 'free', 'amortised' or a family"),
    (["ppca", "--repeats", "5"], "--repeats: expected a whole number of at least 20, got 5"),
    (["ppca", "--draws", "0"], "--draws: expected a whole number of at least 1, got 0"),
    (["ppca", "--latent", "65"], "latent: expected at most the 64 columns"),
    (["ppca", "--data", "nosuch.csv"], "nosuch.csv"),
    (["ppca", "--json", "/no/such/folder/o.json"], "--json: expected a place in an existing folder"),
]


@pytest.mark.parametrize(("words", "message"), MISTAKES)
def test_a_mistake_is_one_clear_line(words, message, capsys):
    assert main(["advise", *words]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.count("\n") == 1 and message in told.err


@pytest.mark.usefixtures("few", "timed")
def test_the_command_prints_the_advice_and_writes_the_evidence(tmp_path, capsys):
    path = tmp_path / "advice.json"
    words = ["advise", "gaussian-mle", "--rows", "4", "--repeats", "50", "--json", str(path)]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert told.startswith("Gradient of the ELBO in phi: take ") and "ELBO in theta" in told
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["schema"] == "elbo_lab/advice/1" and len(content["choices"]) == 2


def test_only_named_estimators_are_advised_on(timed):  # noqa: ARG001
    asked = ["rebar", "rebar(temperature=0.1)", "concrete"]  # the last is biased, and no candidate
    advice = advise("sigmoid-belief", estimators=asked, rows=4, repeats=20)
    assert {row["estimator"] for row in advice.rows} == {"rebar-0.5", "rebar-0.1"}


def test_without_a_candidate_there_is_no_advice():
    with pytest.raises(ValueError, match=r"^estimators: expected an unbiased estimator of grad-phi-elbo or"):
        advise("sigmoid-belief", estimators="concrete")
