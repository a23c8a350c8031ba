"""The importance-weighted bound as an objective: its one pass is the estimators', and training climbs it."""

from dataclasses import replace

import numpy as np
import pytest
from checks import assert_close

from elbo_lab import Problem
from elbo_lab.datasets import load
from elbo_lab.distributions import draw_noise
from elbo_lab.estimators import (
    Dreg,
    ElboAnalyticKL,
    ElboLogWeight,
    Exact,
    ImportanceWeightedBound,
    IwaeReparameterization,
    IwaeTheta,
    StlIwae,
)
from elbo_lab.estimators import passes as module
from elbo_lab.estimators.passes import coupled_pass, doubly_coupled_pass
from elbo_lab.exact.ladder import log_evidence
from elbo_lab.models import PPCA, DeepBernoulli, DeepGaussianFixed
from elbo_lab.posteriors import AmortisedPosterior
from elbo_lab.training import Adam, ImportanceWeightedObjective, Plan, Training

DIGITS = load("digits:binary").rows(40, 0).x[:, 18:30]
GREY = load("digits:dequantised").rows(40, 0).x[:, 18:30]
MODELS = ((DeepBernoulli(12, 2, (6,)), DIGITS), (DeepGaussianFixed(12, 1, (6,)), GREY), (PPCA(12, 3), GREY))
over_models = pytest.mark.parametrize("model, x", MODELS, ids=lambda v: getattr(v, "label", ""))
over_draws = pytest.mark.parametrize("draws", [1, 5])


def place(model, x, seed=0):
    """Return a Problem away from every optimum."""
    rng = np.random.default_rng(seed)
    posterior = AmortisedPosterior.for_data(model.family, x, (5,))
    phi = posterior.initial(rng)
    phi = phi + 0.2 * rng.standard_normal(phi.shape)
    return Problem(model, posterior, model.random_theta(x, rng), phi, x)


def check_pass(model, x, draws, one_pass=coupled_pass, in_phi=IwaeReparameterization()):  # noqa: B008
    problem = place(model, x)
    noise = draw_noise(model.family.noise_spec(draws, len(x)), np.random.default_rng(1))
    found = one_pass(problem, noise)
    definitions = (ImportanceWeightedBound(), IwaeTheta(), in_phi)
    for value, estimator in zip(found, definitions, strict=True):
        assert_close(np.atleast_1d(value), estimator.estimate(problem, noise)[0], 1e-12)
    if draws == 1:
        assert_close(np.atleast_1d(found[0]), ElboLogWeight().estimate(problem, noise)[0], 1e-12)


@over_draws
@over_models
def test_the_one_pass_is_the_two_estimators_and_the_bound(model, x, draws):
    check_pass(model, x, draws)


@over_draws
@over_models
def test_the_doubly_reparameterised_pass_is_the_two_estimators_and_the_bound(model, x, draws):
    check_pass(model, x, draws, doubly_coupled_pass, Dreg())


@pytest.mark.parametrize("fault", ["by_eta", "weights"])
def test_a_doubly_reparameterised_pass_with_a_fault_is_caught(monkeypatch, fault):
    right = module._weighted_slopes

    def wrong(problem, noise):
        found = right(problem, noise)
        if fault == "weights":  # one factor v_k instead of two: stl-iwae
            return found._replace(weights=np.ones_like(found.weights))
        # The score term is kept, as in iwae-reparameterization.
        return found._replace(pull_eta=lambda by_eta: found.pull_eta(by_eta - found.by_eta))

    monkeypatch.setattr(module, "_weighted_slopes", wrong)
    with pytest.raises(AssertionError):
        check_pass(*MODELS[0], 5, doubly_coupled_pass, Dreg())


def test_a_pass_whose_shares_do_not_sum_to_one_is_caught(monkeypatch):
    wrong = lambda log_w, axis: np.full(log_w.shape, 1.0 / (log_w.shape[axis] - 1))  # noqa: E731
    monkeypatch.setattr(module, "softmax", wrong)
    with pytest.raises(AssertionError):
        check_pass(*MODELS[0], 5)


@over_models
def test_float32_stays_float32_and_near(model, x):
    problem = place(model, x)
    noise = draw_noise(model.family.noise_spec(5, len(x)), np.random.default_rng(1))
    exact = coupled_pass(problem, noise)
    theta, phi, data, short_noise = (part.astype(np.float32) for part in (*problem[2:], noise))
    found = coupled_pass(Problem(model, problem.posterior, theta, phi, data), short_noise)
    for one, other in zip(found, exact, strict=True):
        assert np.linalg.norm(one - other) <= 1e-4 * max(1.0, np.linalg.norm(other))
    assert found[2].dtype == np.float32
    if not isinstance(model, PPCA):  # where float64 is the rule
        assert found[1].dtype == np.float32


def climbed(phi_estimator):
    """Return the exact bound of five draws before and after a training, and log p(x) after it."""
    model, posterior, _, _, x = place(DeepBernoulli(12, 1, (6,)), DIGITS)
    objective = ImportanceWeightedObjective(model, posterior, x, phi_estimator=phi_estimator, draws=5)
    plan = Plan(epochs=30, batch=20, optimizer=Adam(), rates={"theta": 0.02, "phi": 0.02})
    training = Training(objective, plan, seed=1)
    exact = Exact("iwae")

    def bound():
        return exact.answer(Problem(model, posterior, *training.params.values(), x), 5).value[0]

    before = bound()
    training.run()
    assert training.history[-1]["iwae"] == pytest.approx(bound(), abs=0.3)
    return before, bound(), log_evidence(model, training.params["theta"], x)[0].mean()


@pytest.mark.parametrize("phi_estimator", [IwaeReparameterization(), Dreg()], ids=lambda e: e.name)
def test_training_raises_the_exact_bound_of_five_draws(phi_estimator):
    before, after, log_p = climbed(phi_estimator)
    assert before + 0.3 < after <= log_p


def test_other_estimators_give_the_gradients_that_they_are():
    problem = place(*MODELS[0])
    model, posterior, *_ = problem
    objective = ImportanceWeightedObjective(model, posterior, DIGITS, phi_estimator=Dreg(), draws=5)
    block = objective.draw(np.arange(40), np.random.default_rng(0))
    params = {"theta": problem.theta, "phi": problem.phi}
    memory = objective.initial_memory(params, np.random.default_rng(0))
    value, gradients, _ = objective.gradients(params, block, ("theta", "phi"), memory)
    (noise,) = block[1].values()
    assert_close(gradients["phi"], Dreg().estimate(problem, noise)[0], 1e-12)
    assert_close(gradients["theta"], IwaeTheta().estimate(problem, noise)[0], 1e-12)
    assert value == pytest.approx(coupled_pass(problem, noise)[0], rel=1e-12)
    assert objective.one_pass and replace(objective, phi_estimator=IwaeReparameterization()).one_pass
    assert not replace(objective, phi_estimator=StlIwae()).one_pass


def test_estimators_of_the_elbo_are_refused():
    model, posterior, *_ = place(*MODELS[0])
    with pytest.raises(ValueError, match=r"estimator: expected an estimator of grad-theta-iwae, got elbo"):
        ImportanceWeightedObjective(model, posterior, DIGITS, theta_estimator=ElboAnalyticKL())
