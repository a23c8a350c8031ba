"""Scores of single rows, classes, and the data that a checkpoint remembers."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from elbo_lab import evaluate, fit, load
from elbo_lab.cli.main import main
from elbo_lab.errors import BadValue, NotApplicable
from elbo_lab.fitting import load_fitted


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).normal(size=(60, 3)) + 4.0 * np.random.default_rng(1).integers(0, 2, (60, 1))
    np.savetxt("mine.csv", x, delimiter=",", header="a,b,c", comments="")


def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_scores_of_a_mixture_are_exact_and_predict_its_components():
    result = fit("gaussian-mixture", "mine.csv", latent=2, holdout=0.2)
    x = result.train.x
    assert result.score_samples(x).sum() == pytest.approx(result.final["log_likelihood"], rel=1e-12)
    assert result.score(x) == pytest.approx(result.final["log_likelihood_per_datum"], rel=1e-12)
    shares = result.predict_proba(x)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    np.testing.assert_array_equal(result.predict(x), shares.argmax(axis=1))
    result.write_scores("s.csv")
    rows, whole = read("s.csv"), load("mine.csv").x
    assert sorted(int(row["row"]) for row in rows) == list(range(60))
    assert [row["set"] for row in rows] == ["training"] * 48 + ["held out"] * 12
    for row in rows:
        (value,) = result.score_samples(whole[int(row["row"])][None])
        assert float(row["log_p"]) == pytest.approx(value)
        assert int(row["component"]) == result.predict(whole[int(row["row"])][None])[0]


def test_scores_of_a_vae_have_the_elbo_below_the_sampled_log_p():
    small = {"hidden": (8,), "epochs": 3, "batch": 20, "latent": 1, "checkpoint": "v.npz"}
    result = fit("deep-gaussian:learned", "mine.csv", **small)
    scores = result.scores()["training"]
    assert np.all(scores["elbo"] <= scores["log_p"] + 1e-12) and np.all(scores["log_p_error"] >= 0.0)
    # The same samples, through networks in float64 and float32.
    assert scores["log_p"].mean() == pytest.approx(-result.final["nll_per_datum"], abs=1e-5)
    assert abs(scores["elbo"].mean() - result.final["elbo_per_datum"]) < 0.1
    with pytest.raises(NotApplicable, match="no classes"):
        result.predict(result.train.x)
    assert main("evaluate v.npz --importance-samples 100 --scores e.csv".split()) == 0
    found = evaluate("v.npz", importance_samples=100)
    np.testing.assert_allclose([float(row["log_p"]) for row in read("e.csv")], found.scores["log_p"])
    assert -found.final["nll_per_datum"] == pytest.approx(found.scores["log_p"].mean())


def test_a_regression_predicts_the_labels_it_is_judged_by():
    result = fit("logistic-regression", "breast-cancer", epochs=2, holdout=0.2)
    table = result.held_out.x
    p = result.predict_proba(table[:, :-1])
    assert p.shape == (len(table), 2)
    right = (result.predict(table[:, :-1]) == table[:, -1]).mean()
    assert right == pytest.approx(result.final["held_out"]["accuracy"])
    of_labels = p[np.arange(len(table)), table[:, -1].astype(int)]
    np.testing.assert_allclose(np.log(of_labels), result.score_samples(table), rtol=1e-9)


def test_a_checkpoint_remembers_its_data_and_what_was_held_out(capsys):
    result = fit("gaussian-mixture", "mine.csv", latent=2, holdout=0.25, checkpoint="m.npz")
    found = evaluate("m.npz")
    assert found.settings["part"] == "held out" and found.final["rows"] == 15
    assert found.final["log_likelihood"] == pytest.approx(result.final["held_out"]["log_likelihood"])
    np.testing.assert_array_equal(load("mine.csv").x[found.rows], result.held_out.x)
    some = evaluate("m.npz", rows=4, seed=3)
    np.testing.assert_allclose(
        some.scores["log_p"], load_fitted("m.npz").score_samples(load("mine.csv").x[some.rows])
    )
    assert evaluate("m.npz", "mine.csv").settings["part"] == "given"
    lines = Path("mine.csv").read_text().splitlines()
    Path("mine.csv").write_text("\n".join([*lines[:5], *lines[6:]]) + "\n")
    with pytest.raises(BadValue, match=r"has changed since; .*--data"):
        evaluate("m.npz")
    assert main(["evaluate", "m.npz"]) == 2 and "has changed since" in capsys.readouterr().err
    assert main(["evaluate", "m.npz", "--data", "mine.csv"]) == 0
    os.remove("mine.csv")
    with pytest.raises(BadValue, match="no file is"):
        evaluate("m.npz")


def test_samples_and_scores_replace_only_their_own_kind(capsys):
    fit("gaussian-mixture", "mine.csv", latent=2, checkpoint="m.npz")
    for _ in range(2):
        assert main("sample m.npz --count 5".split()) == 0
    assert "samples.npz" in os.listdir("elbo-lab-samples")
    Path("elbo-lab-samples/samples.npz").write_text("a user's own")
    assert main("sample m.npz --count 5".split()) == 2
    assert Path("elbo-lab-samples/samples.npz").read_text() == "a user's own"
    for _ in range(2):
        assert main("evaluate m.npz --scores s.csv".split()) == 0
    before = Path("mine.csv").read_bytes()
    capsys.readouterr()
    assert main("evaluate m.npz --scores mine.csv".split()) == 2
    assert main("evaluate m.npz --data faithful --scores mine.csv".split()) == 2
    assert Path("mine.csv").read_bytes() == before


def test_heavy_weights_are_told():
    pytest.importorskip("arviz_stats")
    fit("deep-bernoulli", load("digits:binary").rows(80, 0), epochs=1, hidden=(8,), checkpoint="d.npz")
    final = evaluate("d.npz", load("digits:binary").rows(20, 1), importance_samples=300).final
    assert (
        final["pareto_k"] <= final["pareto_k_max"] and 0 <= final["pareto_k_above"] <= final["pareto_k_rows"]
    )
    assert final["effective_sample_size"] <= 300
