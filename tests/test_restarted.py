"""Several whole trainings of a VAE: the best is kept, and it is the fit with its seed alone."""

import numpy as np
import pytest

from elbo_lab import fit
from elbo_lab.cli.main import main
from elbo_lab.errors import Diverged
from elbo_lab.fitting import restarted

X = np.random.default_rng(0).normal(size=(30, 3)) @ np.array([[1.0, 0.4, 0.0], [0.0, 1.0, -0.6], [0, 0, 1.0]])
OPTIONS = {"data": X, "method": "vae", "latent": 1, "hidden": (4,), "epochs": 2, "batch": 10, "threads": 1}


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ({}, "elbo_per_datum"),
        ({"objective": "iwae", "draws": 3}, "bound_per_datum"),
        ({"beta": 2.0}, "beta_objective_per_datum"),
    ],
    ids=["elbo", "iwae", "beta"],
)
def test_the_kept_training_is_the_best_and_that_of_its_seed_alone(more, key):
    found = fit("deep-gaussian:fixed", **OPTIONS, **more, seed=4, restarts=3)
    alone = [fit("deep-gaussian:fixed", **OPTIONS, **more, seed=seed) for seed in (4, 5, 6)]
    values = [one.final[key] for one in alone]
    assert found.final["starts"] == 3 and found.final["start_values"] == values
    best = values.index(max(values))
    assert found.final["best_seed"] == 4 + best and len(set(values)) == 3
    np.testing.assert_array_equal(found.theta, alone[best].theta)
    np.testing.assert_array_equal(found.phi, alone[best].phi)
    assert found.history == alone[best].history


def test_keeping_the_worst_is_caught(monkeypatch):
    right = restarted.maximised
    monkeypatch.setattr(restarted, "maximised", lambda final: -right(final))
    with pytest.raises(AssertionError):
        test_the_kept_training_is_the_best_and_that_of_its_seed_alone({}, "elbo_per_datum")


def test_with_a_prior_over_theta_its_density_counts():
    found = fit("deep-bernoulli", **OPTIONS | {"data": (X > 0).astype(float)}, prior="default", restarts=2)
    final, rows = found.final, found.final["rows"]
    whole = final["log_posterior_bound"] / rows
    assert max(final["start_values"]) == pytest.approx(whole, rel=1e-9)
    assert abs(whole - final["elbo_per_datum"]) > 1e-3


def test_a_training_that_diverges_is_lost_alone():
    kept = fit("deep-gaussian:fixed", **OPTIONS, seed=1)

    def run(seed, lost, restarts):
        assert restarts == 1
        if seed in lost:
            raise Diverged("the bound became nan")
        return kept

    settings = {"seed": 0, "restarts": 2}
    found = restarted.best_of_restarts(run, {"lost": (0,)}, settings)
    assert found.final["best_seed"] == 1 and found.final["start_values"][0] is None
    with pytest.raises(Diverged):
        restarted.best_of_restarts(run, {"lost": (0, 1)}, settings)


def test_one_restart_changes_nothing():
    one, usual = (fit("deep-gaussian:fixed", **OPTIONS, **more) for more in ({"restarts": 1}, {}))
    np.testing.assert_array_equal(one.theta, usual.theta)
    assert "starts" not in one.final


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--restarts 0", "restarts: expected"),
        ("--restarts 2 --checkpoint c.npz", "checkpoint: expected no value with 2 restarts"),
        ("--restarts 2 --keep d --keep-every 1", "keep: expected no value with 2 restarts"),
    ],
)
def test_a_mistake_gets_one_line_and_writes_nothing(words, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savetxt("t.csv", X, delimiter=",")
    before = sorted(tmp_path.iterdir())
    assert main(f"fit deep-gaussian:fixed --data t.csv --epochs 1 --hidden 4 {words}".split()) == 2
    line = capsys.readouterr().err
    assert told in line and line.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before
