"""Every objective of `fit`: the same bits when resumed, checkpoints that are judged and sampled, refusals."""

import numpy as np
import pytest

from elbo_lab import evaluate, fit
from elbo_lab.fitting.checkpoints import load_fitted
from elbo_lab.training import OBJECTIVES, find_objective

SMALL = {"rows": 40, "epochs": 3, "batch": 20, "hidden": (4,), "latent": 2, "method": "vae", "seed": 3}
CELLS = (
    ("deep-bernoulli", "elbo", {}),
    ("deep-bernoulli", "iwae", {}),
    ("deep-bernoulli", "iwae", {"phi_estimator": "dreg", "draws": 4}),
    ("deep-bernoulli", "iwae", {"phi_estimator": "vimco"}),
    ("sigmoid-belief", "iwae", {}),
    ("sigmoid-belief", "iwae", {"phi_estimator": "ovis-tilde-0", "theta_estimator": "piwae-2-theta"}),
    ("deep-bernoulli", "miwae(groups=5)", {}),
    ("sigmoid-belief", "miwae", {"draws": 4}),
    ("deep-bernoulli", "ciwae(beta=0.3)", {"phi_estimator": "ciwae-dreg"}),
    ("deep-bernoulli", "vr-iwae(alpha=0.2)", {"phi_estimator": "vr-iwae-dreg"}),
    ("sigmoid-belief", "renyi(alpha=-0.5)", {}),
    ("sigmoid-belief", "inclusive-kl", {}),
    ("deep-bernoulli", "rws", {}),
    ("sigmoid-belief", "wake-sleep", {}),
)


def asked(model, objective, **options):
    return fit(model, "digits:binary", objective=objective, **SMALL | options)


def test_every_objective_has_a_cell():
    assert {find_objective(name).name for _, name, _ in CELLS} >= set(OBJECTIVES) - {
        "rws-sleep",
        "rws-wake-sleep",
    }


@pytest.mark.parametrize(("model", "objective", "options"), CELLS)
def test_a_resumed_fit_ends_at_the_same_bits_and_its_checkpoint_is_judged_and_sampled(
    model, objective, options, tmp_path
):
    whole, kept = tmp_path / "whole.npz", tmp_path / "kept.npz"
    result = asked(model, objective, **options, checkpoint=whole)
    asked(model, objective, **options | {"epochs": 1}, checkpoint=kept)
    fit(resume=kept, epochs=SMALL["epochs"])
    with np.load(whole) as one, np.load(kept) as other:
        for name in one.files:
            if one[name].dtype.kind == "f":
                np.testing.assert_array_equal(one[name], other[name])
    kind = find_objective(result.settings["objective"])
    assert kind.value_key in result.history[-1]
    if kind.name != "elbo":
        assert result.history[-1]["monitored_elbo"] <= result.history[-1]["monitored_iwae"]
        assert ("bound_per_datum" in result.final) == kind.ascends
    judged = evaluate(kept, "digits:binary", rows=20, importance_samples=20).final
    assert judged["elbo_per_datum"] < 0.0
    drawn = load_fitted(kept).fitted.generate(2, np.random.default_rng(0))
    assert drawn.shape == (2, 64)


def test_early_stopping_watches_the_bound_that_is_maximised():
    result = asked("deep-bernoulli", "iwae", draws=4, patience=2, epochs=4)
    row = result.history[-1]
    assert row["iwae_validation"] > row["elbo_validation"]
    best = max(result.history[1:], key=lambda row: row["iwae_validation"])
    assert result.final["bound"] == "iwae of 4 draws" and best["epoch"] >= 1


MISTAKES = (
    ({"phi_estimator": "reparameterization"}, "^phi_estimator: expected an estimator of grad-phi-iwae.*dreg"),
    ({"beta": 2.0}, "^beta: expected 1 with objective iwae"),
    ({"phi_estimator": "vimco", "draws": 1}, "^draws: expected at least 2 for vimco"),
)


@pytest.mark.parametrize(("options", "line"), MISTAKES)
def test_what_does_not_fit_is_refused_in_one_line(options, line):
    with pytest.raises(ValueError, match=line):
        asked("deep-bernoulli", "iwae", **options)


OF_ARGUMENTS = (
    ("ciwae(beta=2)", {}, "^beta: expected"),
    ("vr-iwae(alpha=1.5)", {}, "^alpha: expected a number from 0 to below 1"),
    ("iwae(groups=2)", {}, "^objective: expected no arguments of 'iwae'"),
    ("ciwae(alpha=0.5)", {}, "argument of "),
    ("miwae(groups=3)", {"draws": 4}, "^draws: expected a multiple of 3"),
    (
        "miwae(groups=2)",
        {"phi_estimator": "dreg"},
        "^estimator: expected one of 2 groups, such as miwae",
    ),
    ("ciwae", {"phi_estimator": "dreg"}, "^phi_estimator: expected an estimator of grad-phi-ciwae"),
    ("ciwae(beta=0.3)", {"phi_estimator": "ciwae-dreg(beta=0.7)"}, "^phi_estimator: .*these are ciwae-"),
    ("renyi", {"beta": 2.0}, "^beta: expected 1 with objective renyi"),
)


@pytest.mark.parametrize(("objective", "options", "line"), OF_ARGUMENTS)
def test_an_impossible_argument_is_refused_in_one_line(objective, options, line):
    with pytest.raises(ValueError, match=line):
        asked("deep-bernoulli", objective, **options)


def test_alpha_zero_is_the_importance_weighted_objective():
    names = {"theta_estimator": "vr-iwae-theta", "phi_estimator": "vr-iwae-dreg"}
    one = asked("deep-bernoulli", "vr-iwae(alpha=0)", draws=4, **names)
    other = asked("deep-bernoulli", "iwae", draws=4, phi_estimator="dreg")
    np.testing.assert_allclose(one.theta, other.theta, rtol=1e-4, atol=1e-6)
