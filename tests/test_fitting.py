"""Fitting from Python: every model by every method, the record, the split, the numbers, the figures."""

import json
import re
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from elbo_lab import fit
from elbo_lab.cli.main import main
from elbo_lab.datasets import Dataset, load
from elbo_lab.errors import Diverged, Stopped
from elbo_lab.evaluation import has_exact_evidence
from elbo_lab.fitting import evaluate, load_fitted
from elbo_lab.fitting.methods import methods_of
from elbo_lab.registry import find_models

# Old Faithful, two full components: the best maximum, as in mclust and scikit-learn.
BEST_OLD_FAITHFUL = -1130.264
STEPS = {"epochs": 3, "batch": 20}
OPTIONS = {
    "closed-form": {},
    "smoothing": {},
    "em": {"epochs": 20},
    "gradient": STEPS,
    "vae": STEPS | {"hidden": (5,)},
    "svi": STEPS,
    "gplvm-variational": {"epochs": 5, "n_inducing": 6},
    "gplvm-map": {"epochs": 5},
    "variational-bayes": {"epochs": 20},
    "monte-carlo-em": STEPS,
}


def table(n_rows=60, n_columns=3, binary=False):
    """Rows with two groups and some correlation."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(n_rows, n_columns)) @ np.triu(np.full((n_columns, n_columns), 0.7))
    x[::2] += 3.0
    return (x > 1.0).astype(float) if binary else x


def data_for(choice):
    views = choice.kind.natural_views
    x = table(binary=views == ("binary",))
    if views == ("unit",):
        return np.abs(x) / np.abs(x).max()
    if views == ("raw",):
        return np.round(np.abs(x))
    if choice.kind.labelled:
        return Dataset("labelled", x, labels=(np.arange(len(x)) % 3 > 0).astype(int))
    return x


def without_seconds(text):
    return re.sub(r'"seconds": [^\n]*', "", text)


PAIRS = [
    (choice, method)
    for choice in find_models()
    for method in methods_of(choice.kind.for_data(table(), variant=choice.variant, latent=None))
]


@pytest.mark.parametrize("seed", range(5))
def test_old_faithful_reaches_the_best_maximum_with_any_seed(seed):
    result = fit("gaussian-mixture", "faithful", latent=2, seed=seed)
    assert abs(result.final["log_likelihood"] - BEST_OLD_FAITHFUL) < 1e-3
    assert result.converged and result.warnings == ()


def test_one_component_is_the_closed_form():
    x = load("faithful").x
    result = fit("gaussian-mixture:full", "faithful", latent=1)
    mean, covariance = x.mean(axis=0), np.cov(x.T, bias=True)
    assert result.final["log_likelihood"] == pytest.approx(
        multivariate_normal(mean, covariance).logpdf(x).sum(), rel=1e-12
    )
    assert np.allclose(result.parameters["means"], [mean], rtol=1e-9)
    assert np.allclose(result.parameters["covariances"], [covariance], rtol=1e-9)


def test_the_list_of_pairs_misses_no_method():
    assert {method for _, method in PAIRS} == set(OPTIONS)


@pytest.mark.parametrize(("choice", "method"), PAIRS, ids=lambda item: getattr(item, "label", item))
def test_every_method_of_every_model_gives_finite_closing_numbers(choice, method):
    options = OPTIONS[method]
    if method == "monte-carlo-em" and choice.label.startswith("deep"):
        options = options | {"hidden": (5,)}
    result = fit(choice.label, data_for(choice), method=method, threads=1, **options)
    final, history = result.final, result.history
    exact = method in ("closed-form", "smoothing", "em", "gradient", "variational-bayes")
    keys = {"log_likelihood"} if exact else {"elbo_per_datum"}
    if method == "monte-carlo-em":
        keys = {"log_likelihood" if has_exact_evidence(result.model) else "annealed_per_datum"}
    keys = {"log_joint_per_datum"} if method == "gplvm-map" else keys
    assert keys | {"rows", "seconds", "stopped", "warnings", "converged"} <= set(final)
    numbers = {name: value for name, value in final.items() if isinstance(value, float)}
    if choice.label == "histogram:freedman-diaconis":  # a row alone in its cell
        assert numbers.pop("leave_one_out_per_datum") == -np.inf
    assert numbers and np.isfinite(list(numbers.values())).all()
    assert final["rows"] == 60 and "held_out" not in final
    assert set(result.to_dict()) == {"schema", "settings", "history", "parameters", "final"}
    if method in ("em", "variational-bayes"):
        name = "log_likelihood" if method == "em" else "evidence_bound"
        rises = np.diff([row[name] for row in history])
        assert len(rises) >= 1 and rises.min() > -1e-9
    elif method.startswith("gplvm"):
        assert [row["epoch"] for row in history] == [0, 5]
    elif method not in ("closed-form", "smoothing"):
        assert [row["epoch"] for row in history] == [0, 1, 2, 3]
        assert [row["step"] for row in history] == [0, 3, 6, 9]
    if "nll_per_datum" in final and "log_likelihood_per_datum" in final:
        # Importance samples bound log p(x) from below; how closely is a matter of q, hardly trained here.
        assert final["nll_per_datum"] > -final["log_likelihood_per_datum"] - 0.02
    assert result.to_dict()["settings"]["method"] == method


def test_importance_samples_from_a_trained_q_meet_the_formula():
    result = fit("gaussian-mle", table(), method="vae", hidden=(5,), epochs=300, batch=20, learning_rate=1e-2)
    exact = -result.final["log_likelihood_per_datum"]
    assert result.final["nll_per_datum"] == pytest.approx(exact, abs=2e-3)
    barely = fit("gaussian-mle", table(), method="vae", hidden=(5,), epochs=3, batch=20)
    assert barely.final["nll_per_datum"] > -barely.final["log_likelihood_per_datum"] + 0.1


def test_alternating_steps_are_recorded_before_and_after_each_phase():
    result = fit("deep-gaussian", table(), latent=1, phi_steps=2, hidden=(5,), gap_rows=10, **STEPS)
    phases = [row["phase"] for row in result.history]
    assert phases == ["start", *["before", "phi", "theta"] * 3]
    for before, row in pairwise(result.history):
        assert row["kl"] == pytest.approx(row["log_p"] - row["elbo_exact"], abs=1e-6)
        assert (row["log_p"] == before["log_p"]) == (row["phase"] == "phi")
    gap = result.final["gap"]
    assert gap["log_p"] - gap["elbo"] == pytest.approx(gap["approximation"] + gap["amortisation"], abs=1e-6)


def test_the_held_out_digits_are_the_same_for_every_seed():
    first, second = (fit("ppca", "digits", latent=2, holdout=0.2, seed=seed) for seed in (0, 7))
    assert (len(first.train.x), len(first.held_out.x)) == (1437, 360)
    assert np.array_equal(first.held_out.x, second.held_out.x)
    assert first.final["held_out"]["rows"] == 360


def test_python_and_the_command_line_give_the_same_record(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = ["--latent", "2", "--hidden", "6", "4", "--epochs", "2", "--seed", "3", "--json", "o.json"]
    assert main(["fit", "deep-bernoulli", "--data", "digits", *options]) == 0
    result = fit("deep-bernoulli", "digits", latent=2, hidden=(6, 4), epochs=2, seed=3)
    result.to_json("p.json")
    texts = [without_seconds((tmp_path / name).read_text("utf-8")) for name in ("o.json", "p.json")]
    assert texts[0] == texts[1]
    assert "ELBO per datum" in capsys.readouterr().out


def test_large_networks_are_written_as_arrays_beside_the_record(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = "fit deep-bernoulli --data digits --hidden 90 --epochs 1 --json o.json --checkpoint c.npz"
    assert main(arguments.split()) == 0
    assert "written: o.json, o.parameters.npz" in capsys.readouterr().out
    assert (tmp_path / "o.json").stat().st_size < 5000
    stored = load_fitted("c.npz")
    record = json.loads((tmp_path / "o.json").read_text("utf-8"))
    size = stored.theta.size + stored.phi.size
    assert record["parameters"] == {"numbers": size, "file": "o.parameters.npz"} and size > 10_000
    with np.load("o.parameters.npz") as archive:
        expected = stored.model.layout.views(stored.theta) | stored.posterior.layout.views(stored.phi)
        assert set(archive.files) == set(expected)
        assert all(np.array_equal(archive[name], array) for name, array in expected.items())


def test_small_networks_and_natural_units_stay_in_the_record():
    assert "numbers" not in fit("deep-bernoulli", "digits", hidden=(5,), epochs=1).to_dict()["parameters"]
    x = np.random.default_rng(0).standard_normal((150, 145))
    covariances = fit("gaussian-mixture:full", x, latent=1).to_dict()["parameters"]["covariances"]
    assert np.size(covariances) == 145**2 > 10_000


@pytest.mark.parametrize("method", ["vae", "gradient", "em"])
def test_the_record_depends_on_the_seed_and_not_on_the_threads(method, tmp_path):
    texts = []
    for seed, threads in ((1, 1), (1, 2), (2, 1)):
        steps = {"epochs": 3} if method == "em" else STEPS | {"batch": 120}
        result = fit("factor-analysis", table(240, 4), method=method, seed=seed, threads=threads, **steps)
        result.to_json(tmp_path / "o.json")
        texts.append(
            without_seconds((tmp_path / "o.json").read_text("utf-8").replace('"seed": 2', '"seed": 1'))
        )
    assert texts[0] == texts[1]
    # EM of factor analysis starts from the principal components, whatever the seed.
    assert (texts[0] == texts[2]) == (method == "em")


@pytest.mark.parametrize("rate", [1e3, 1e6])
@pytest.mark.parametrize("epochs", [1, 5])
def test_parameters_that_exploded_in_the_last_step_are_no_result(rate, epochs):
    """One minibatch per epoch: the trainer's own value is always that before the step."""
    with pytest.raises(Diverged):
        fit("deep-gaussian", table(), learning_rate=rate, optimizer="sgd", epochs=epochs, hidden=(5,))


def test_a_stopped_training_says_so():
    with pytest.raises(Stopped, match="without --checkpoint nothing is kept"):
        fit("deep-gaussian", table(), hidden=(5,), progress=lambda done, *_: done > 1, **STEPS)


def test_a_free_table_of_many_rows_is_judged_on_all_of_them():
    x = np.random.default_rng(0).standard_normal((1100, 2))
    result = fit("ppca", x, latent=1, method="vae", posterior="free", batch=1100, epochs=2, holdout=0.05)
    assert result.final["nll_rows"] == result.final["rows"] == 1045
    assert "elbo_per_datum" not in result.final["held_out"]


def test_both_lines_of_the_gap_are_of_the_same_rows():
    final = fit("deep-bernoulli", "digits", epochs=2, hidden=(5,)).final
    assert final["nll_rows"] == 500 < final["rows"]
    assert final["elbo_on_nll_rows"] < -final["nll_per_datum"]


def test_held_out_rows_need_no_spread_of_their_own():
    x = np.random.default_rng(0).standard_normal((40, 3))
    x[:, 2] = 0.0
    x[np.flatnonzero(np.isin(np.arange(40), [0, 1, 2, 3])), 2] = 1.0
    for holdout in (0.1, 0.25):
        train, held_out = load(x).split(holdout)
        if np.ptp(train.x[:, 2]) > 0 and np.ptp(held_out.x[:, 2]) == 0:
            assert fit("factor-analysis", x, latent=1, holdout=holdout).final["held_out"]["rows"]
            return
    raise AssertionError("no split leaves the held-out rows without spread")


def test_theta_and_phi_follow_one_clock_of_the_schedule():
    options = {"phi_steps": 4, "schedule": "cosine:10", "epochs": 4, "batch": 50}
    history = fit("ppca", table(), latent=1, method="vae", hidden=(3,), **options).history
    assert [row["phase"] for row in history[-2:]] == ["phi", "theta"]
    assert 0 < history[-1]["learning_rate"] < history[1]["learning_rate"]


def test_early_stopping_keeps_the_best_and_stops_before_the_end():
    result = fit(
        "deep-gaussian", table(), hidden=(5,), learning_rate=0.1, epochs=300, batch=20, patience=3, latent=1
    )
    values = [row["elbo_validation"] for row in result.history[1:]]
    assert len(values) < 300 and "validation" in result.stopped
    assert len(values) - 1 - int(np.argmax(values)) == 3


# -- evaluate ------------------------------------------------------------------------------------


def test_evaluation_of_a_tractable_model_is_exact(tmp_path):
    path = tmp_path / "m.npz"
    result = fit("gaussian-mixture", "faithful", latent=2, checkpoint=path)
    judged = evaluate(path, "faithful").final
    assert judged["log_likelihood"] == pytest.approx(result.final["log_likelihood"], rel=1e-12)
    assert "elbo_per_datum" not in judged
    assert np.array_equal(load_fitted(path).theta, result.theta)


def test_evaluation_of_a_vae_has_a_bound_below_its_estimate(tmp_path):
    path, data = tmp_path / "v.npz", load("digits:binary").rows(100, 0)
    fit("deep-bernoulli", data, latent=2, hidden=(10,), epochs=10, checkpoint=path)
    judged = evaluate(path, data, importance_samples=300)
    judged.to_json(tmp_path / "e.json")
    record = json.loads((tmp_path / "e.json").read_text("utf-8"))
    assert set(record) == {"schema", "settings", "final"}
    final = record["final"]
    assert final["elbo_per_datum"] < -final["nll_per_datum"] < 0
    assert 0 < final["nll_standard_error"] < 1 <= final["effective_sample_size"] <= 300
    assert final["latent_units"] == 2 >= final["active_units"]


# -- figures -------------------------------------------------------------------------------------


def digits_rows():
    return load("digits:binary").rows(60, 0)


IMAGES = ["learning-curves", "samples", "reconstructions", "traversals", "interpolation"]
FIGURES = {
    "pictures, one latent": ("deep-bernoulli", digits_rows, {"latent": 1} | OPTIONS["vae"], IMAGES),
    "pictures, three latents": (
        "deep-bernoulli",
        digits_rows,
        {"latent": 3} | OPTIONS["vae"],
        [*IMAGES, "latent-plane"],
    ),
    "mixture of three columns": (
        "gaussian-mixture",
        table,
        {"latent": 2},
        ["staircase", "mixture", "samples"],
    ),
    "mixture of one column": (
        "gaussian-mixture",
        lambda: table(60, 1),
        {"latent": 2, "epochs": 5},
        ["staircase", "samples"],
    ),
    "pictures, as many factors as pixels": (
        "factor-analysis",
        lambda: Dataset("two pixels", table(60, 2), image_shape=(1, 2)),
        {"latent": 2, "epochs": 3, "method": "em"},
        ["staircase", "samples", "latent-grid", *IMAGES[2:], "latent-plane"],
    ),
    "one column, one latent": ("factor-analysis", lambda: table(60, 1), {"method": "gradient"} | STEPS, None),
    "columns with the gap": (
        "deep-gaussian",
        table,
        {"latent": 2, "gap_rows": 5} | OPTIONS["vae"],
        ["learning-curves", "bound-and-gap", "samples", "latent-plane"],
    ),
}


@pytest.mark.parametrize("case", FIGURES)
def test_figures_suit_the_fit(case, tmp_path):
    model, data, options, expected = FIGURES[case]
    names = fit(model, data(), **options).write_figures(tmp_path)
    assert names == (["learning-curves", "samples"] if expected is None else expected)
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == sorted(f"{name}.{kind}" for name in names for kind in ("png", "svg"))
    assert all(path.stat().st_size > 2000 for path in tmp_path.iterdir())
