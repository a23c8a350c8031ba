"""Monte Carlo EM: Fisher's identity without luck, chains that are stationary, biased ones, and `fit`."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
from checks import assert_close

from elbo_lab import evaluate, fit
from elbo_lab.chains import HamiltonianMonteCarlo
from elbo_lab.cli.main import main
from elbo_lab.datasets import load
from elbo_lab.distributions import draw_noise
from elbo_lab.errors import NotApplicable
from elbo_lab.exact import evidence, ladder
from elbo_lab.fitting import final
from elbo_lab.fitting.final import annealed_numbers
from elbo_lab.models import PPCA, DeepBernoulli, GaussianMixture
from elbo_lab.priors import NetworkPrior
from elbo_lab.training import (
    CHAINS,
    SGD,
    ColdMonteCarloEMObjective,
    EvidenceObjective,
    MonteCarloEMObjective,
    Plan,
    PosteriorObjective,
    Training,
    monte_carlo_em,
)
from elbo_lab.training.batch import generators

BITS = load("digits:binary").rows(220, 0).x[:, 18:30]
every = pytest.mark.parametrize("kind", CHAINS.values(), ids=list(CHAINS))


def linear(latent=1):
    """Return a PPCA, its theta and four rows."""
    model = PPCA(3, latent)
    rng = np.random.default_rng(3)
    theta = model.canonical(0.6 * rng.standard_normal(model.layout.size))
    return model, theta, model.sample(theta, 4, rng)[0]


# -- Fisher's identity -----------------------------------------------------------------------------


def test_the_m_gradient_at_exact_draws_is_the_gradient_of_log_p():
    # d log p(x, z)/d theta is quadratic in z: mean and variance of the posterior suffice, as two draws one
    # standard deviation to each side have them.
    model, theta, x = linear()
    mean, std = model.posterior_mean_and_std(theta, x)
    objective = MonteCarloEMObjective(model, x)
    exact = evidence(model, theta, x).grad_theta
    found = objective.m_gradient(theta, x, np.array([mean - std, mean + std]))
    assert_close(found, exact, 1e-11)
    # Draws with another spread are not enough, and caught.
    wrong = objective.m_gradient(theta, x, np.array([mean - 0.9 * std, mean + 0.9 * std]))
    assert np.abs(wrong - exact).max() > 1e-2


def test_the_identity_holds_for_a_deep_model_over_a_fine_grid():
    model = DeepBernoulli(4, 1, (3,))
    rng = np.random.default_rng(0)
    theta = rng.standard_normal(model.layout.size)
    x, _ = model.sample(theta, 3, rng)
    z = np.linspace(-9.0, 9.0, 2000)[:, None, None] * np.ones((1, 3, 1))
    log_joint = model.log_joint(theta, x, z)
    weights = np.exp(log_joint - log_joint.max(axis=0))
    found = model.log_joint_vjp(theta, x, z, weights / weights.sum(axis=0) / 3)[0]
    direction = rng.standard_normal(theta.shape)
    up, down = (ladder.log_evidence(model, theta + s * direction, x)[0].mean() for s in (1e-4, -1e-4))
    assert found @ direction == pytest.approx((up - down) / 2e-4, rel=1e-5)


# -- chains ----------------------------------------------------------------------------------------

# 60 E-steps of 200 chains for each of four rows. The mean gradient stands off the exact one by more than five
# of its standard errors in one of nine coordinates with probability 5e-6 in the normal limit; all seeds are
# fixed. The errors are below 1 % of the largest coordinate.
Z_LIMIT = 5.0


def gradient_errors(kind, moves=1, exact_start=True, transition=None, repeats=60, draws=200):
    """Return the errors of the mean M-gradient (P,), in its standard errors and in units of the exact one."""
    model, theta, x = linear(2)
    objective = kind(model, x, draws=draws, moves=moves, transition=transition or HamiltonianMonteCarlo(0.4))
    rng, params, found = np.random.default_rng(0), {"theta": theta}, []
    memory = objective.initial_memory(params, rng)
    eta = model.posterior_eta(theta, x)
    for _ in range(repeats):
        if objective.persistent and exact_start:
            noise = draw_noise(model.family.noise_spec(draws, len(x)), rng)
            memory["z"] = np.swapaxes(model.family.sample(eta, noise), 0, 1)
        block = objective.draw(np.arange(len(x)), rng)
        _, gradients, part = objective.gradients(params, block, ("theta",), memory)
        found.append(gradients["theta"])
        if not exact_start:
            memory = objective.joined(memory, [np.arange(len(x))], [part])
    exact = evidence(model, theta, x).grad_theta
    error = np.std(found, axis=0, ddof=1) / np.sqrt(repeats)
    shift = np.mean(found, axis=0) - exact
    return np.abs(shift / error).max(), np.abs(shift).max() / np.abs(exact).max(), error.max()


def test_chains_that_begin_as_exact_draws_give_an_unbiased_step():
    z, _, error = gradient_errors(MonteCarloEMObjective, moves=2)
    assert z <= Z_LIMIT and error < 0.02


def test_cold_chains_are_biased_and_more_moves_bring_them_near():
    short = HamiltonianMonteCarlo(0.15, 3)
    found = [gradient_errors(ColdMonteCarloEMObjective, moves, transition=short)[:2] for moves in (1, 8, 60)]
    (z, shift), (further_z, further), (_, last) = found
    assert min(z, further_z) > 2.0 * Z_LIMIT
    assert shift > 2.0 * further > 4.0 * last


def test_persistent_chains_arrive_where_cold_ones_of_as_many_moves_do_not():
    cold = gradient_errors(ColdMonteCarloEMObjective, 1)[1]
    # Sixty visits of one move each, from the prior: the first are as biased as cold ones.
    persistent = gradient_errors(MonteCarloEMObjective, 1, exact_start=False)[1]
    assert persistent < 0.2 * cold


def test_a_chain_that_always_moves_is_caught(monkeypatch):
    class Always(HamiltonianMonteCarlo):
        def move(self, target, point, step, noise):
            return super().move(
                target, point, step, noise._replace(uniform=np.full_like(noise.uniform, 1 - 1e-16))
            )

    coarse = {"moves": 4, "transition": HamiltonianMonteCarlo(1.0, 3)}
    assert gradient_errors(MonteCarloEMObjective, **coarse)[0] <= Z_LIMIT
    coarse["transition"] = Always(1.0, 3)
    assert gradient_errors(MonteCarloEMObjective, **coarse)[0] > 2.0 * Z_LIMIT
    monkeypatch.setattr(monte_carlo_em, "jittered", lambda step, uniform: step * (1.0 + uniform))
    assert gradient_errors(MonteCarloEMObjective, moves=2)[0] <= Z_LIMIT  # the jitter does not matter


def test_only_the_chains_of_the_batch_move_and_their_steps_follow_the_acceptance():
    model, theta, x = linear()
    objective = MonteCarloEMObjective(model, x, draws=3, transition=HamiltonianMonteCarlo(50.0))
    params = {"theta": theta}
    memory = objective.initial_memory(params, np.random.default_rng(0))
    before = {name: array.copy() for name, array in memory.items()}
    blocks = [np.array([2]), np.array([0])]
    parts = [
        objective.gradients(params, objective.draw(rows, np.random.default_rng(1)), ("theta",), memory)[2]
        for rows in blocks
    ]
    for name in memory:
        np.testing.assert_array_equal(memory[name], before[name])  # gradients change nothing
    after = objective.joined(memory, blocks, parts)
    np.testing.assert_array_equal(after["z"][[1, 3]], before["z"][[1, 3]])
    assert np.all(after["log_step"][[0, 2]] < before["log_step"][[0, 2]])  # nothing was accepted
    np.testing.assert_array_equal(after["log_step"][[1, 3]], before["log_step"][[1, 3]])


# -- trainings -------------------------------------------------------------------------------------


@every
def test_a_training_in_float32_has_the_same_bits_for_any_threads(kind):
    model, ends = DeepBernoulli(12, 2, (4,)), []
    for threads in (1, 2):
        objective = kind(model, BITS, draws=2, moves=2, dtype=np.float32)
        training = Training(objective, Plan(epochs=5, batch=110, rates={"theta": 0.05}), 2, threads=threads)
        training.run()
        ends.append((training.params["theta"], training.memory))
        assert training.history[-1]["log_joint"] > training.history[1]["log_joint"]
        assert 0.5 < training.history[-1]["acceptance"] <= 1.0
    assert ends[0][0].dtype == np.float32
    np.testing.assert_array_equal(ends[0][0], ends[1][0])
    for name, array in ends[0][1].items():
        np.testing.assert_array_equal(array, ends[1][1][name])


def test_it_climbs_to_the_maximum_of_log_p():
    model, _, _ = linear()
    x = model.sample(np.array([1.0, -0.7, 0.5, 0.3, 0.1, -0.2, -0.7]), 300, np.random.default_rng(0))[0]
    plan = {"epochs": 80, "batch": 100, "learning_rate": 0.03, "schedule": "cosine:240", "draws": 4}
    found = fit("ppca", x, latent=1, method="monte-carlo-em", **plan)
    best = fit("ppca", x, latent=1)
    short = best.final["log_likelihood_per_datum"] - found.final["log_likelihood_per_datum"]
    assert 0.0 <= short < 5e-3
    rises = [row["monitored_log_p"] for row in found.history]
    assert rises[-1] > rises[0]


def test_annealed_numbers_meet_the_exact_log_p(monkeypatch):
    monkeypatch.setattr(final, "TEMPERATURES", 100)
    monkeypatch.setattr(final, "ANNEALED_CHAINS", 16)
    model = DeepBernoulli(12, 1, (4,))
    theta = np.random.default_rng(0).standard_normal(model.layout.size)
    x = BITS[:50]
    found = annealed_numbers(model, theta, x, 0)
    exact = ladder.log_evidence(model, theta, x)[0].mean()
    assert found["annealed_rows"] == 50
    # A lower bound on average: six standard errors of slack above, half of one per cent of a nat of bias.
    assert -0.02 < found["annealed_per_datum"] - exact < 6.0 * found["annealed_standard_error"]
    assert 0.0 < found["annealed_standard_error"] < 0.02


@every
def test_fit_keeps_evaluates_samples_and_goes_on(kind, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(final, "TEMPERATURES", 4)  # that they suffice is tested above
    options = {"method": "mcem", "chains": kind.name, "latent": 2, "hidden": (6,), "moves": 2, "epochs": 2}
    path, data = tmp_path / "c.npz", "digits:binary"
    result = fit("deep-bernoulli", data, gap_rows=5, holdout=0.2, checkpoint=path, **options)
    assert result.settings["method"] == "monte-carlo-em" and result.posterior is None
    assert all(np.isfinite(row["monitored_log_p"]) for row in result.history)
    assert {"annealed_per_datum", "claim"} < set(result.final) and "annealed" in result.table()
    assert result.final["held_out"]["annealed_rows"] == 50
    assert f"{kind.name} chains of 2 moves" in result.final["claim"]
    judged = evaluate(path, data, rows=20)
    assert judged.final["annealed_rows"] == 20 and judged.final["annealed_per_datum"] < 0.0
    assert main(["sample", str(path), "--out", str(tmp_path / "out"), "--count", "3"]) == 0
    assert main(["fit", "--resume", str(path), "--epochs", "3"]) == 0
    whole = fit("deep-bernoulli", data, gap_rows=5, holdout=0.2, **options | {"epochs": 3})
    with np.load(path) as kept:
        np.testing.assert_array_equal(kept["job.params.theta"], whole.theta.astype(np.float32))
    assert "monte-carlo-em" in capsys.readouterr().out


def test_bits_are_drawn_anew_for_every_visit():
    objective = MonteCarloEMObjective(DeepBernoulli(12, 1, (3,)), BITS[:8], np.full((8, 12), 0.4))
    first, second = (objective.draw(np.arange(8), np.random.default_rng(seed))[0] for seed in (0, 1))
    assert set(np.unique(first)) == {0.0, 1.0} and not np.array_equal(first, second)


# -- mistakes --------------------------------------------------------------------------------------

MISTAKES = [
    ({"chains": "colds"}, r"^chains: expected one of persistent, cold, got 'colds'; did you mean 'cold'"),
    ({"moves": 0}, "^moves: expected a whole number of at least 1, got 0$"),
    ({"theta_steps": 0}, "^theta_steps: expected a whole number of at least 1, got 0$"),
    ({"leapfrog": 0}, "^leapfrog: expected a whole number of at least 1, got 0$"),
    ({"leapfrog": 10**9}, "^leapfrog: expected a whole number of at most 1000, got 1000000000$"),
    ({"moves": 10**9}, "^moves: expected a whole number of at most 1000, got 1000000000$"),
    ({"draws": 0}, "^draws: expected a whole number of at least 1, got 0$"),
    ({"latent": 3, "gap_rows": 5}, "^gap_rows: log p of deep-bernoulli is exact for at most two latents"),
    ({"gap_rows": 500}, "^gap_rows: expected at most the 220 rows that the training sees, got 500"),
    ({"posterior": "free"}, "^posterior: expected no value with method monte-carlo-em"),
]


@pytest.mark.parametrize(("options", "line"), MISTAKES)
def test_a_mistake_gets_one_clear_line(options, line):
    with pytest.raises(ValueError, match=line):
        fit("deep-bernoulli", BITS, **{"latent": 1, "method": "mcem", "epochs": 1} | options)


def test_categories_are_refused_with_the_reason():
    with pytest.raises(NotApplicable, match="its posterior is a plain sum"):
        MonteCarloEMObjective(GaussianMixture(2, 2, "full"), load("faithful").x)
    with pytest.raises(ValueError, match=r"method: expected one of .* for gaussian-mixture:full"):
        fit("gaussian-mixture", "faithful", method="mcem")


def test_a_transition_of_another_length_changes_the_draws():
    model, theta, x = linear()
    ends = []
    for n_leapfrog in (2, 5):
        objective = MonteCarloEMObjective(model, x, transition=HamiltonianMonteCarlo(0.1, n_leapfrog))
        objective = replace(objective, moves=3)
        memory = objective.initial_memory({"theta": theta}, np.random.default_rng(0))
        block = objective.draw(np.arange(4), np.random.default_rng(1))
        ends.append(objective.gradients({"theta": theta}, block, (), memory)[2]["z"])
    assert not np.allclose(*ends)


# -- several steps of theta after an E-step --------------------------------------------------------


@every
@pytest.mark.parametrize("probabilities", [None, np.full(BITS.shape, 0.4)], ids=["fixed rows", "bits anew"])
def test_further_steps_are_those_of_the_same_rows_and_draws(kind, probabilities):
    model, rate, rows = DeepBernoulli(12, 2, (4,)), 0.05, np.arange(220)
    objective = kind(model, BITS, probabilities, draws=2)
    plan = Plan(epochs=1, batch=220, optimizer=SGD(), rates={"theta": rate}, theta_steps=3)
    training = Training(objective, plan, 7)
    rng, theta = deepcopy(training.noise_rng), training.params["theta"].copy()
    # By hand: the blocks of the one minibatch, with one key each, and the draws that the first step leaves.
    order = training.minibatches.order
    blocks = objective.blocks(order)
    drawn = [
        objective.draw(block, own) for block, own in zip(blocks, generators(rng, len(blocks)), strict=True)
    ]
    training.run()
    z = training.memory["z"]
    for _ in range(3):
        parts = [
            objective.m_gradient(theta, x, np.swapaxes(z[block], 0, 1)) * len(block) / len(rows)
            for block, (x, _, _) in zip(blocks, drawn, strict=True)
        ]
        theta = theta + rate * sum(parts)
    assert_close(training.params["theta"], theta, 1e-12)
    assert training.counts == {"theta": 3} and training.step == 3


def test_the_noise_of_later_steps_does_not_depend_on_theta_steps():
    streams = []
    for theta_steps in (1, 4):
        plan = Plan(epochs=2, batch=110, rates={"theta": 0.05}, theta_steps=theta_steps)
        training = Training(MonteCarloEMObjective(DeepBernoulli(12, 2, (4,)), BITS), plan)
        training.run()
        streams.append(training.noise_rng.random())
    assert streams[0] == streams[1]


def test_parameters_that_are_held_stay_in_further_steps():
    fitted = fit(
        "ppca", "faithful", hold={"log_sigma": 0.25}, method="mcem", latent=1, epochs=2, theta_steps=3
    )
    assert fitted.model.layout.view(fitted.theta, "log_sigma") == 0.25


def test_a_prior_is_in_the_further_steps_too():
    model = DeepBernoulli(12, 2, (4,))
    inner, prior = MonteCarloEMObjective(model, BITS), NetworkPrior(0.05)
    further = PosteriorObjective(inner, model, prior).further()
    params = inner.initial(np.random.default_rng(0))
    memory = inner.initial_memory(params, np.random.default_rng(0))
    block = further.draw(np.arange(50), np.random.default_rng(0))
    found, plain = (of.gradients(params, block, ("theta",), memory)[1] for of in (further, inner.further()))
    assert_close(found["theta"] - plain["theta"], -params["theta"] / (0.05**2 * len(BITS)), 1e-12)


def test_several_steps_of_theta_are_refused_where_no_draws_are_kept():
    with pytest.raises(
        ValueError, match=r"^theta_steps: expected 1 for an objective that keeps no draws, got 2"
    ):
        Training(EvidenceObjective(PPCA(12, 2), BITS), Plan(theta_steps=2))
