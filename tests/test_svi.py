"""Stochastic variational inference of global latents: minibatches of rows, one eta for the table."""

import itertools

import numpy as np
import pytest
from checks import assert_close
from scipy.special import expit

from elbo_lab import exact
from elbo_lab.datasets import Dataset, load
from elbo_lab.distributions import DiagonalGaussian
from elbo_lab.errors import NotApplicable
from elbo_lab.estimators import ElboSampled, Problem, ReparameterizationAnalyticKL, ScoreFunctionLOO
from elbo_lab.exact.projected import row_probabilities
from elbo_lab.fitting import evaluate, fit, load_fitted
from elbo_lab.fitting.final import prediction_numbers
from elbo_lab.fitting.samples import write_samples
from elbo_lab.models import LogisticRegression
from elbo_lab.optimise import maximise_exact_elbo
from elbo_lab.posteriors import FreePosterior
from elbo_lab.training import GlobalElboObjective

THETA = np.zeros(0)
TABLE = np.column_stack([[0.3, -1.2, 0.8, 2.0], [0.0, 0.0, 1.0, 1.0]])
PHI = np.array([0.7, -0.2, -1.6, -1.9])
TUMOURS = load("breast-cancer")
# Three informative columns: a fit of seconds.
FEW = Dataset("few", TUMOURS.x[:, [1, 7, 20]], labels=TUMOURS.labels)
PATHWISE = ReparameterizationAnalyticKL()
QUICK = {"epochs": 3, "batch": 60}


class TotalInsteadOfShare(GlobalElboObjective):
    def gradients(self, params, block, names, memory):
        value, gradients, memory = super().gradients(params, block, names, memory)
        return value, {name: self.n_rows * gradient for name, gradient in gradients.items()}, memory


class BatchForTheTable(GlobalElboObjective):
    def draw(self, rows, rng):
        x, noise = super().draw(rows, rng)
        return np.tile(x, (1, 2))[:, : 2 * x.shape[1] - 2], noise  # a row is met twice


def minibatches_and_noise_average_to_the_elbo_per_row(kind, estimator=PATHWISE, draws=1):
    """Over all minibatches of two rows and all noise, value and gradient are those of the exact ELBO / M."""
    model = LogisticRegression.for_data(TABLE)
    posterior = FreePosterior(model.family, 1)
    objective = kind(model, posterior, TABLE, phi_estimator=estimator, draws=draws)
    assert objective.n_rows == 4 and objective.names == ("phi",) and not objective.whole
    params = {"theta": THETA, "phi": PHI}
    nodes, weights = np.polynomial.hermite_e.hermegauss(14 if draws == 1 else 5)
    weights = weights / weights.sum()
    value, gradient, rng = 0.0, np.zeros(4), np.random.default_rng(0)
    blocks = [objective.draw(np.array(pair), rng) for pair in itertools.combinations(range(4), 2)]
    for index in itertools.product(range(len(nodes)), repeat=2 * draws):
        share = weights[list(index)].prod() / len(blocks)
        eps = nodes[list(index)].reshape(draws, 1, 2)
        for x, noise in blocks:
            given = {spec: eps for spec in noise}
            one, by_name, _ = objective.gradients(params, (x, given), objective.names, {"phi": np.zeros(0)})
            value, gradient = value + share * one, gradient + share * by_name["phi"]
    x, eta = model.as_data(TABLE), posterior.eta(PHI, np.zeros((1, 0)))
    bound = exact.expectation(model, THETA, x, eta)
    expected = posterior.phi_from_eta(bound.grad_eta + model.family.entropy_grad(eta))
    tolerance = 1e-9 if draws == 1 else 1e-4
    assert abs(value - (bound.value + model.family.entropy(eta))[0] / 4) <= tolerance
    assert np.abs(gradient - expected / 4).max() <= tolerance


def test_minibatches_and_noise_average_to_the_elbo_per_row():
    minibatches_and_noise_average_to_the_elbo_per_row(GlobalElboObjective)


def test_another_estimator_drives_the_same_ascent():
    # Four dimensions of noise afford few nodes.
    minibatches_and_noise_average_to_the_elbo_per_row(GlobalElboObjective, ScoreFunctionLOO(), draws=2)


@pytest.mark.parametrize("kind", [TotalInsteadOfShare, BatchForTheTable])
def test_a_planted_fault_in_the_objective_is_caught(kind):
    with pytest.raises((AssertionError, ValueError)):
        minibatches_and_noise_average_to_the_elbo_per_row(kind)


def test_an_estimator_of_another_target_is_refused():
    model = LogisticRegression.for_data(TABLE)
    with pytest.raises(ValueError, match="expected an estimator of grad-phi-elbo"):
        GlobalElboObjective(model, FreePosterior(model.family, 1), TABLE, phi_estimator=ElboSampled())


# -- fits ------------------------------------------------------------------------------------------


FITS = [
    {"optimizer": "adam", "learning_rate": 0.03},
    {"optimizer": "sgd", "learning_rate": 0.3},
    {"phi_estimator": "score-function-loo", "draws": 10, "learning_rate": 0.02},
]


@pytest.mark.parametrize("options", FITS, ids=["adam", "sgd", "score function"])
def test_a_fit_ends_close_to_the_best_elbo(options):
    result = fit("logistic-regression", FEW, epochs=60, batch=60, evaluate_every=20, **options)
    x = result.model.as_data(result.train.x)
    best = maximise_exact_elbo(result.model, THETA, x)
    bound = exact.expectation(result.model, THETA, x, best).value + result.model.family.entropy(best)
    bound = bound[0] / len(TUMOURS.x)
    assert bound - 4e-3 < result.final["elbo_per_datum"] < bound + 1e-9
    history = [row["elbo_exact"] for row in result.history]
    assert history[0] < history[-1] == result.final["elbo_per_datum"]
    # The mean over the epochs so far stands close to the exact bound at its end.
    assert abs(result.history[-1]["elbo"] - history[-1]) < 0.03
    assert result.final["accuracy"] > 0.9 and result.settings["method"] == "svi"
    assert set(result.parameters) == {"coefficients", "standard_deviations"}
    assert np.allclose(result.parameters["coefficients"], result.phi[: len(result.phi) // 2])
    assert result.theta.shape == (0,)


def test_threads_change_nothing():
    one, three = (fit("logistic-regression", FEW, epochs=2, batch=300, threads=n) for n in (1, 3))
    assert np.array_equal(one.phi, three.phi) and one.history == three.history


def test_a_resumed_fit_is_the_fit_that_never_stopped(tmp_path):
    whole = fit("logistic-regression", FEW, epochs=4, batch=60, checkpoint=tmp_path / "whole.npz")
    fit("logistic-regression", FEW, epochs=2, batch=60, checkpoint=tmp_path / "parts.npz")
    parts = fit(data=FEW, resume=tmp_path / "parts.npz", epochs=4)
    assert np.array_equal(whole.phi, parts.phi) and whole.history == parts.history
    stored = load_fitted(tmp_path / "whole.npz")
    assert stored.model == whole.model and np.array_equal(stored.phi, whole.phi)


def test_held_out_rows_are_seen_with_the_eyes_of_the_training(tmp_path):
    kept = tmp_path / "few.npz"
    result = fit("logistic-regression", FEW, holdout=0.3, checkpoint=kept, **QUICK)
    train, held_out = FEW.split(0.3)
    assert_close(np.array(result.model.shift), train.x.mean(axis=0))
    assert_close(np.array(result.model.scale), train.x.std(axis=0))
    found = result.final["held_out"]
    assert found["rows"] == len(held_out.x) and set(found) == {"rows", "accuracy", "log_p_per_datum"}
    # The predictive probabilities again, by Gauss-Hermite over the linear form of each row.
    mean, log_std = np.split(result.phi, 2)
    standardised = (held_out.x - train.x.mean(axis=0)) / train.x.std(axis=0)
    design = np.column_stack([standardised, np.ones(len(standardised))])
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    a = (design @ mean)[:, None] + np.sqrt(design**2 @ np.exp(2 * log_std))[:, None] * nodes
    p = expit(a) @ weights / weights.sum()
    right = np.where(held_out.labels == 1, p, 1.0 - p)
    assert found["log_p_per_datum"] == pytest.approx(np.log(right).mean(), abs=1e-6)
    assert found["accuracy"] == np.mean((p > 0.5) == held_out.labels)
    judged = evaluate(kept, held_out).final
    assert judged["log_p_per_datum"] == pytest.approx(found["log_p_per_datum"], abs=1e-12)


def test_a_certain_q_predicts_with_its_mean():
    model = LogisticRegression.for_data(TABLE)
    eta = np.array([[1.5, 0.5, -20.0, -20.0]])
    p = row_probabilities(model, model.as_data(TABLE), DiagonalGaussian(2), eta)[0]
    design = np.column_stack([(TABLE[:, 0] - TABLE[:, 0].mean()) / TABLE[:, 0].std(), np.ones(4)])
    of_one = expit(design @ [1.5, 0.5])
    assert_close(p, np.where(TABLE[:, 1] == 1.0, of_one, 1.0 - of_one), 1e-8)
    numbers = prediction_numbers(Problem(model, FreePosterior(model.family, 1), np.zeros(0), eta[0], TABLE))
    assert numbers["accuracy"] == np.mean(p > 0.5) and numbers["rows"] == 4


# -- refusals --------------------------------------------------------------------------------------


SENSELESS = [
    ({"method": "vae"}, "method: expected one of svi for logistic-regression, got 'vae'"),
    ({"posterior": "amortised"}, "posterior: expected free, or a family, got 'amortised'"),
    ({"theta_estimator": "elbo-sampled"}, "theta_estimator: expected no value with method svi"),
    ({"latent": 2}, "latent: expected no value for logistic-regression, whose latents follow"),
    ({"phi_estimator": "elbo-sampled"}, "phi_estimator: expected an estimator of grad-phi-elbo"),
]


@pytest.mark.parametrize(("options", "message"), SENSELESS)
def test_what_makes_no_sense_for_one_eta_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        fit("logistic-regression", FEW, **options)


def test_a_stored_regression_refuses_other_columns_and_samples_of_tables(tmp_path):
    kept = tmp_path / "few.npz"
    fit("logistic-regression", FEW, checkpoint=kept, **QUICK)
    with pytest.raises(ValueError, match="expected 4 columns as in the checkpoint, got 31 columns"):
        evaluate(kept, "breast-cancer")
    with pytest.raises(NotApplicable, match="nothing to sample"):
        write_samples(load_fitted(kept), tmp_path / "samples", 3)


def test_the_figures_of_a_regression_are_its_curves(tmp_path):
    result = fit("logistic-regression", FEW, **QUICK)
    assert result.write_figures(tmp_path) == ["learning-curves"]
