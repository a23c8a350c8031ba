"""The main job from Python: a row for every pairing, rules of the schema, the same rows by any road."""

import csv
import functools
import io
import json
import math

import numpy as np
import pytest

from elbo_lab import Comparison, compare, load
from elbo_lab.datasets import DATASETS, MANIFOLDS
from elbo_lab.estimators import ESTIMATORS, TARGETS, Reparameterization
from elbo_lab.models import PPCA, GaussianMLE
from elbo_lab.registry import find_models
from elbo_lab.report import verdict
from elbo_lab.study.scene import PLACES, WHERE

KEYS = (
    "model variant data n_data latent_dim posterior target estimator draws repeats applicable reason "
    "unbiased reference_note evaluations reference reference_se reference_norm bias bias_norm bias_se "
    "bias_max_z bias_coordinates bias_z_limit bias_detectable bias_detectable_worst bias_detectable_block "
    "bias_detectable_reference bias_detectable_first bias_to_see bias_unit bias_verdict "
    "variance variance_low variance_high "
    "variance_exact variance_ratio variance_ratio_low variance_ratio_high variance_verdict "
    "mse mse_low mse_high snr snr_low snr_high "
    "snr_groups effective_sample_size pareto_k_weights pareto_k_weights_max pareto_k_gradient "
    "seconds_per_estimate efficiency"
).split()
NUMBERS = KEYS[KEYS.index("reference") :]
TIMED = ("seconds_per_estimate", "efficiency")
SMALL = {"rows": 4, "repeats": 60, "threads": 2}
CHEAP = ["gaussian-mle", "gaussian-mixture:full", "ppca"]
FREE_OF_Q = {(e.target, e.name) for e in ESTIMATORS if e.draws_from != "posterior"}
LINEAR = ["gaussian-mle", "ppca", "factor-analysis"]
CONTINUOUS = [*LINEAR, "deep-gaussian:fixed", "deep-gaussian:learned", "deep-bernoulli"]
BITS = (np.random.default_rng(0).random((30, 5)) < 0.4).astype(float)
TABLE = np.random.default_rng(1).standard_normal((30, 3)) @ np.array([[2.0, 1, 0], [0, 1, 1], [0, 0, 0.5]])


@pytest.fixture(scope="module")
def everything():
    return compare(**SMALL)


@functools.cache
def cheap(threads=2, seed=0):
    return compare(CHEAP, **SMALL | {"threads": threads, "seed": seed})


def label(row):
    return f"{row['model']}:{row['variant']}" if row["variant"] else row["model"]


def table_of(result):
    """Return {(label, target, estimator): row}."""
    return {(label(row), row["target"], row["estimator"]): row for row in result.rows}


def untimed(result):
    return [{key: value for key, value in row.items() if key not in TIMED} for row in result.rows]


# -- schema ----------------------------------------------------------------------------------------


def test_every_row_has_the_keys_of_the_schema_in_their_order(everything):
    assert all(list(row) == KEYS for row in everything.rows)


def test_there_is_one_row_for_every_pairing(everything):
    wanted = {
        (c.label, e.target_at(10), e.name)
        for c in find_models()
        if c.kind.compared
        for e in ESTIMATORS
        if e.compared
    }
    assert set(table_of(everything)) == wanted and len(everything.rows) == len(wanted)


def test_inapplicable_rows_have_a_reason_and_no_number_and_the_others_the_reverse(everything):
    inapplicable = [row for row in everything.rows if not row["applicable"]]
    scenes = {scene.model.label: scene for scene in everything.scenes}
    estimators = {(e.target_at(10), e.name): e for e in everything.estimators}
    assert len(inapplicable) > 50
    for row in everything.rows:
        assert (row["reason"] is None) == row["applicable"]
    for row in inapplicable:
        estimator = estimators[row["target"], row["estimator"]]
        assert row["reason"] == scenes[label(row)].refusal(estimator, 10)
        assert all(row[key] is None for key in NUMBERS)


def test_exact_rows_are_zero_and_have_no_z_snr_or_efficiency(everything):
    rows = [row for row in everything.rows if row["estimator"] == "exact" and row["applicable"]]
    assert len(rows) == len(everything.scenes) * len(TARGETS) - 3
    for row in rows:
        assert all(row[k] == 0 for k in ("bias_norm", "variance", "variance_low", "variance_high", "mse"))
        assert all(row[k] is None for k in ("bias_max_z", "snr", "efficiency"))
        assert row["seconds_per_estimate"] > 0 and row["unbiased"]


def test_references_stand_on_the_rung_of_their_model(everything):
    elbo = [row for row in everything.rows if row["target"] == "elbo"]
    rungs = {label(row): row["reference"] for row in elbo if row["estimator"] == "exact"}
    for name, rung in rungs.items():
        summed = "mixture" in name or name == "sigmoid-belief"
        assert rung == ("closed-form" if name in LINEAR else "enumeration" if summed else "quadrature")


def test_the_numbers_of_a_row_fit_together(everything):
    for row in everything.rows:
        if not row["applicable"] or row["estimator"] == "exact":
            continue
        assert isinstance(row["unbiased"], bool)
        assert row["mse"] == pytest.approx(row["bias_norm"] ** 2 + row["variance"])
        for key in ("variance", "mse"):
            assert row[f"{key}_low"] <= row[key] <= row[f"{key}_high"]
        if row["variance"]:
            assert row["snr_low"] <= row["snr"] <= row["snr_high"]
        if row["variance"]:
            assert row["efficiency"] == pytest.approx(1 / (row["mse"] * row["seconds_per_estimate"]))
        assert row["draws"] == 10 and row["repeats"] in (60, 600)
        # Four rows of a table with global latents are one datum.
        assert row["n_data"] == (1 if label(row) == "logistic-regression" else 4)


def test_json_has_schema_settings_rows_and_no_nan(everything, tmp_path):
    text = everything.to_json(tmp_path / "out.json")
    assert (tmp_path / "out.json").read_text(encoding="utf-8") == text

    def refuse(word):
        raise AssertionError(word)

    content = json.loads(text, parse_constant=refuse)
    assert list(content) == ["schema", "settings", "rows"] and content["schema"] == 2
    assert content["rows"] == everything.rows and content["settings"] == everything.settings
    for row in content["rows"]:
        assert all(math.isfinite(v) for v in row.values() if isinstance(v, float))


def test_csv_has_a_header_and_one_line_per_row(everything, tmp_path):
    text = everything.to_csv(tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text(encoding="utf-8") == text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert list(rows[0]) == [key for key in KEYS if key != "snr_groups"] and len(rows) == len(everything.rows)
    assert [row["variance"] for row in rows] == [
        "" if row["variance"] is None else str(row["variance"]) for row in everything.rows
    ]


def test_the_table_names_every_estimator(everything):
    text = everything.table()
    assert isinstance(everything, Comparison)
    assert all(estimator.name in text for estimator in ESTIMATORS if estimator.compared)
    assert not any(row["bias_verdict"] == "FAIL" for row in everything.rows)


# -- claims ----------------------------------------------------------------------------------------


def test_unbiased_rows_stay_below_the_limit(everything):
    rows = [r for r in everything.rows if r["applicable"] and r["unbiased"] and r["estimator"] != "exact"]
    assert len(rows) > 60
    assert all(row["bias_max_z"] <= row["bias_z_limit"] for row in rows)
    assert sum(row["bias_coordinates"] for row in rows) > 1000


def test_known_biases_are_seen(everything):
    row = table_of(everything)["ppca", "log-evidence", "prior-monte-carlo"]
    assert not row["unbiased"] and row["bias_max_z"] > row["bias_z_limit"] and verdict(row) == "biased"


@pytest.mark.parametrize("model", CONTINUOUS)
def test_near_the_best_fit_reparameterization_has_less_variance_than_the_score_function(everything, model):
    rows = table_of(everything)
    pathwise, score = (
        rows[model, "grad-phi-elbo", name] for name in ("reparameterization", "score-function")
    )
    assert pathwise["variance_high"] < score["variance_low"]


def test_at_the_exact_posterior_leave_one_out_has_no_variance_and_beats_reparameterization():
    names = ["score-function-loo", "reparameterization"]
    models = [*LINEAR, "gaussian-mixture"]
    rows = table_of(compare(models, estimators=names, at="exact", **SMALL))
    for (model, _, name), row in rows.items():
        if name == "score-function-loo":
            assert row["variance"] < 1e-20, model
        elif row["applicable"]:
            assert row["variance"] > 0.01, model


# -- the same rows by any road ---------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 3])
def test_the_number_of_threads_changes_nothing_but_the_time(threads):
    assert untimed(cheap(threads)) == untimed(cheap(2))


def test_a_deep_model_gives_the_same_rows_with_one_thread_and_two():
    one, two = (compare("deep-bernoulli", data=BITS, **SMALL | {"threads": t}) for t in (1, 2))
    assert untimed(one) == untimed(two)


def test_a_repeated_call_gives_the_same_rows():
    again = compare(CHEAP, **SMALL)
    assert untimed(again) == untimed(cheap())


def test_a_row_does_not_depend_on_its_company(everything):
    alone = compare("ppca", estimators="reparameterization", **SMALL).rows[0]
    among = table_of(everything)["ppca", "grad-phi-elbo", "reparameterization"]
    for key in KEYS:
        if key not in TIMED and not key.startswith(("bias_z_limit", "bias_detectable")):
            assert alone[key] == among[key], key


def test_another_seed_gives_other_rows():
    one, two = table_of(cheap()), table_of(cheap(seed=1))
    key = "ppca", "grad-phi-elbo", "reparameterization"
    assert one[key]["variance"] != two[key]["variance"]
    assert one[key]["reference_norm"] != two[key]["reference_norm"]


# -- posteriors ------------------------------------------------------------------------------------


def test_an_amortised_posterior_gives_rows_within_their_limit():
    result = compare(["gaussian-mle", "ppca"], posterior="amortised", **SMALL)
    for row in result.rows:
        assert row["posterior"] == "amortised"
        # What some estimators refuse is the family of q, and not where it comes from.
        assert row["applicable"] or "posterior" not in row["reason"]
        if row["applicable"] and row["unbiased"] and row["estimator"] != "exact":
            assert row["bias_max_z"] <= row["bias_z_limit"]


def test_the_exact_posterior_has_no_gradient_in_phi_and_an_elbo_without_variance():
    result = compare(["ppca", "deep-bernoulli"], posterior="exact", data=BITS, latent=2, **SMALL)
    rows = table_of(result)
    for (model, target, name), row in rows.items():
        if model == "deep-bernoulli" and (target, name) not in FREE_OF_Q:
            assert "no closed form" in row["reason"]
        elif target.startswith("grad-phi"):
            assert row["reason"] == "the exact posterior has no parameters phi"
        else:
            assert row["applicable"]
    assert rows["ppca", "elbo", "elbo-log-weight"]["variance"] < 1e-20
    assert rows["ppca", "elbo", "elbo-joint-entropy"]["variance"] > 1e-3
    assert result.settings["at"] == "exact"


@pytest.mark.parametrize("posterior", ["amortised", "exact"])
def test_sharp_mixtures_are_not_called_biased(posterior):
    result = compare("gaussian-mixture:spherical", posterior=posterior, **SMALL)
    assert not [row["estimator"] for row in result.rows if verdict(row) == "FAIL"]


# -- what a researcher brings ----------------------------------------------------------------------


class Own(Reparameterization):
    name = "own"


class Stretched(Reparameterization):
    name = "stretched"

    def estimate(self, problem, noise, state=None):
        value, state = super().estimate(problem, noise, state)
        return 1.5 * value, state


class OwnModel(GaussianMLE):
    """A model class of one's own."""

    name = "own-model"


def test_own_estimators_models_and_arrays_are_accepted():
    result = compare([OwnModel, PPCA(3, 1)], estimators=[Own(), "reparameterization"], data=TABLE, **SMALL)
    rows = table_of(result)
    assert {model for model, _, _ in rows} == {"own-model", "ppca"}
    for model in ("own-model", "ppca"):
        own, twin = (rows[model, "grad-phi-elbo", name] for name in ("own", "reparameterization"))
        assert own["variance"] == pytest.approx(twin["variance"], rel=1e-9)
        assert own["data"] == "array"
    assert result.settings["data"] == "array"


def test_a_biased_estimator_that_calls_itself_unbiased_fails_after_ten_times_the_repeats():
    result = compare("ppca", estimators=[Stretched(), "reparameterization"], data=TABLE, latent=2, **SMALL)
    wrong, right = result.rows
    assert wrong["repeats"] == 600 and wrong["bias_max_z"] > wrong["bias_z_limit"]
    assert verdict(wrong) == "FAIL" and " FAIL " in result.table()
    assert right["repeats"] == 60 and right["bias_verdict"] == "blind"


def test_own_data_for_all_models_keeps_those_that_it_suits():
    result = compare(data=TABLE, estimators=["exact", "elbo-sampled"], **SMALL)
    refused = {label(row) for row in result.rows if not row["applicable"]}
    labelled = {choice.label for choice in find_models("conditional-vae")} | {"logistic-regression"}
    assert refused == {"deep-bernoulli", "sigmoid-belief"} | labelled
    reasons = sorted({row["reason"] for row in result.rows if not row["applicable"]})
    named = ("labels 0 and 1 for logistic-regression", "conditional-vae", "zeros and ones for deep-bernoulli")
    assert len(reasons) == 4 and all(any(words in reason for reason in reasons) for words in named)
    suits = {label(row) for row in result.rows} - refused
    assert len(result.scenes) == len(result.answers) == len(suits) >= 8


def test_three_latents_stand_on_a_long_run():
    result = compare(
        "deep-bernoulli", estimators=["exact", "score-function"], data=BITS, latent=3, rows=2, repeats=20
    )
    for row in result.rows:
        assert row["reference"] == "long-run" and row["reference_se"] > 0 and row["latent_dim"] == 3
    for target, answer in result.answers[0].items():
        if target.startswith("grad-") and target != "grad-phi-inclusive-kl":
            # The error along the answer, from the batches, is no larger than any dependence could make it.
            direction = answer.value / np.linalg.norm(answer.value)
            assert 0.0 < answer.error_along(direction) <= np.abs(direction) @ answer.error


def test_progress_is_told_from_start_to_end():
    told = []
    compare("gaussian-mle", progress=lambda *a: told.append(a), **SMALL)
    steps = {what: [done for done, _, w in told if w == what] for _, _, what in told}
    assert set(steps) == {"fits and exact answers", "repeats"}
    assert all(done == list(range(done[0], done[-1] + 1)) for done in steps.values())
    assert {step: done[0] for step, done in steps.items()} == {"fits and exact answers": 0, "repeats": 1}
    assert all(what != "repeats" or total == 10 for _, total, what in told)


def test_one_repeat_has_no_variance_and_is_refused():
    with pytest.raises(ValueError, match=r"^repeats: expected a whole number of at least 2, got 1$"):
        compare("gaussian-mle", estimators="reparameterization", rows=4, repeats=1)


def test_estimators_of_which_none_makes_sense_are_refused_and_not_an_empty_table():
    with pytest.raises(
        ValueError, match=r"^estimators: expected at least one .*, got enumeration .*elbo-lab list"
    ):
        compare("ppca", estimators="enumeration", **SMALL)


def test_the_head_of_a_block_says_where_q_stands_and_which_noise_it_saw():
    for at in PLACES:
        words = WHERE[at]
        assert at in words
        found = compare("gaussian-mle", estimators="elbo-log-weight", at=at, noise="antithetic", **SMALL)
        assert f"posterior free, q {words}, antithetic noise" in " ".join(found.table(width=200).split())


class Remembers(Reparameterization):
    name = "remembers"

    def __init__(self, first, then):
        self.first, self.then = first, then

    def initial_state(self, problem):  # noqa: ARG002
        return self.first

    def estimate(self, problem, noise, state):
        return super().estimate(problem, noise, state)[0], self.then

    burn_in = 1


@pytest.mark.parametrize("states", [(0.0, np.zeros(1)), (np.zeros(1), 0.0), (np.zeros(1), np.float64(0.0))])
def test_a_state_that_is_no_array_is_named_with_the_remedy(states):
    line = r"state of estimator 'remembers': expected an array of numbers, got (numpy\.)?float.*; np.array"
    with pytest.raises(TypeError, match=line):
        compare("gaussian-mle", estimators=Remembers(*states), **SMALL)
    compare("gaussian-mle", estimators=Remembers(np.zeros(1), np.zeros(1)), **SMALL)


BAD_ATTRIBUTES = [
    ({"minimum_draws": "two"}, "minimum_draws of mine: expected a whole number of at least 1, got 'two'"),
    ({"unbiased": "elbo"}, "unbiased of mine: expected True or False: whether .* the target, got 'elbo'"),
    ({"burn_in": -1}, "burn_in of mine: expected a whole number of at least 0, got -1"),
    ({"name": ""}, "estimators: expected an estimator with a name, got Mine without one"),
]


@pytest.mark.parametrize(("attributes", "line"), BAD_ATTRIBUTES)
def test_an_own_estimator_with_an_impossible_attribute_is_refused(attributes, line):
    kind = type("Mine", (Reparameterization,), {"name": "mine"} | attributes)
    with pytest.raises((ValueError, TypeError), match=line):
        compare("gaussian-mle", estimators=kind(), **SMALL)


# -- bad input -------------------------------------------------------------------------------------

HOLED = TABLE.copy()
HOLED[3, 1] = np.nan
BAD = [
    ({"data": HOLED}, ValueError, "data: expected finite numbers, got nan at row 3, column 1"),
    ({"data": "nosuch"}, ValueError, "data: expected .*'nosuch'"),
    ({"data": "faithfull"}, ValueError, "did you mean 'faithful'"),
    (
        {"models": "gaussian-mixture", "latent": 300},
        ValueError,
        "latent: expected at most .* 272 data, got 300",
    ),
    ({"models": "ppca", "latent": 65}, ValueError, "latent: expected at most the 64 columns.*got 65"),
    ({"models": PPCA(3, 2), "data": TABLE, "latent": 1}, ValueError, "latent: expected no value, got 1"),
    ({"models": PPCA(4, 2), "data": TABLE}, ValueError, "data: expected 4 columns, got 3"),
    ({"models": "deep-bernoulli", "data": TABLE}, ValueError, "zeros and ones for deep-bernoulli, got"),
    ({"latent": 0}, ValueError, "latent: .*at least 1, got 0"),
    ({"draws": 0}, ValueError, "draws: .*at least 1, got 0"),
    ({"draws": 1}, ValueError, "draws: expected at least 2 for miwae-2, got 1"),
    ({"repeats": 0}, ValueError, "repeats: .*got 0"),
    ({"rows": 0}, ValueError, "rows: .*got 0"),
    ({"models": "gaussian-mle", "rows": 1000}, ValueError, "rows: expected at most the 272 rows.*got 1000"),
    ({"threads": 0}, ValueError, "threads: .*got 0"),
    ({"seed": -1}, ValueError, "seed: .*at least 0, got -1"),
    ({"models": "ppcaa"}, ValueError, "models: .*got 'ppcaa'; did you mean 'ppca'"),
    ({"models": 7}, TypeError, "models: expected.*got 7"),
    ({"estimators": "score-fonction"}, ValueError, "got 'score-fonction'; did you mean 'score-function'"),
    ({"estimators": 7}, TypeError, "estimators: expected"),
    ({"posterior": "fre"}, ValueError, "posterior: .*got 'fre'; did you mean 'free'"),
    ({"at": "neer"}, ValueError, "at: .*got 'neer'; did you mean 'near'"),
    ({"at": "near", "posterior": "exact"}, ValueError, "at: expected 'exact' with the exact posterior"),
]


@pytest.mark.parametrize(("arguments", "kind", "message"), BAD, ids=lambda v: v if isinstance(v, str) else "")
def test_a_mistake_is_one_clear_line(arguments, kind, message):
    with pytest.raises(kind, match=message) as caught:
        compare(**{"models": "gaussian-mle", **SMALL, **arguments})
    assert "\n" not in str(caught.value)


class NoDraws(Reparameterization):
    name, target = "aims-elsewhere", "grad-psi"


def test_an_unknown_target_is_refused():
    with pytest.raises(ValueError, match=r"target of aims-elsewhere.*got 'grad-psi'"):
        compare("gaussian-mle", estimators=NoDraws())


@pytest.mark.parametrize("write", ["to_json", "to_csv", "write_figures"])
def test_results_are_not_written_where_it_is_impossible(write, tmp_path):
    (tmp_path / "file").write_text("kept", encoding="utf-8")
    with pytest.raises(ValueError, match=r"expected .*got"):
        getattr(cheap(), write)(tmp_path / "file" / "inside")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_data_sets_of_the_package_are_the_defaults():
    # Those made by a formula are there for one question each.
    names = {entry.name for entry in DATASETS if entry.shipped} - {*MANIFOLDS, "shapes"}
    assert {choice.kind.default_data.split(":")[0] for choice in find_models()} == names
    assert load("faithful").x.shape == (272, 2)


def test_draws_beyond_memory_are_refused_before_anything_is_drawn():
    with pytest.raises(ValueError, match=r"draws: expected at most the .* of memory .* draws 1000000000000;"):
        compare("ppca", estimators="iwae", draws=10**12, repeats=2, rows=1)
