"""Wake-sleep and its reweighted forms: expected gradients without luck, identities, trainings by `fit`."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from checks import assert_close

from elbo_lab import Problem, fit
from elbo_lab.cli.main import main
from elbo_lab.datasets import load
from elbo_lab.distributions import Beta, draw_noise
from elbo_lab.estimators import (
    ElboAnalyticKL,
    ElboSampled,
    IwaeTheta,
    ReparameterizationAnalyticKL,
    WakePhi,
    WakePhiDreg,
)
from elbo_lab.exact import evidence
from elbo_lab.exact.inclusive import inclusive_gradient
from elbo_lab.models import PPCA, DeepBernoulli, GaussianMixture, SigmoidBelief
from elbo_lab.posteriors import AmortisedPosterior, FreePosterior
from elbo_lab.training import (
    OBJECTIVES,
    BothReweightedObjective,
    Plan,
    ReweightedWakeSleepObjective,
    SleepReweightedObjective,
    Training,
    WakeSleepObjective,
    wake_sleep,
)

BITS = load("digits:binary").rows(220, 0).x[:, 18:30]
DREAMING = (WakeSleepObjective, SleepReweightedObjective, BothReweightedObjective)
EVERY = tuple(kind for kind in OBJECTIVES.values() if not kind.ascends)
every = pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.name)


def place(model, x, seed=0):
    """Return a Problem away from every optimum, with an encoder."""
    rng = np.random.default_rng(seed)
    posterior = AmortisedPosterior.for_data(model.family, x, (3,))
    theta = 0.5 * rng.standard_normal(model.layout.size)
    return Problem(model, posterior, theta, 0.4 * rng.standard_normal(posterior.layout.size), x)


# -- the expected gradient of the sleep phase ------------------------------------------------------


def normal_nodes(count):
    """Return nodes and weights of a trapezoid rule for N(0, 1), cut off at 8.5 standard deviations."""
    nodes = np.linspace(-8.5, 8.5, count)
    weights = np.exp(-0.5 * nodes**2)
    return nodes, weights / weights.sum()


def all_bits():
    """Return the problem of a small belief network, and every (x, z) with log p(x, z)."""
    model = SigmoidBelief(3, 2)
    x = np.array(list(itertools.product([0.0, 1.0], repeat=3)))
    problem = place(model, x)
    z = np.repeat(model.family.values()[:, None], len(x), axis=1)
    log_joint = model.log_joint(problem.theta, x, z)
    rows = [(x[n], z[s, n], np.exp(log_joint[s, n])) for s in range(len(z)) for n in range(len(x))]
    return problem, *map(np.array, zip(*rows, strict=True))


def mixture_nodes():
    """The same for a mixture of two Gaussians in one column, x by quadrature in each component."""
    model = GaussianMixture(1, 2, "full")
    problem = place(model, np.random.default_rng(0).standard_normal((5, 1)))
    nodes, of_nodes = normal_nodes(400)
    described = model.described(problem.theta)
    sigma = np.sqrt(described["covariances"].reshape(2))
    x = np.concatenate([m + s * nodes for m, s in zip(described["means"][:, 0], sigma, strict=True)])
    weights = np.concatenate([w * of_nodes for w in described["weights"]])
    return problem, x[:, None], np.repeat([0, 1], len(nodes)), weights


def linear_nodes():
    """The same for a PPCA with one latent and two columns, z and the noise of x by quadrature."""
    model = PPCA(2, 1)
    problem = place(model, np.random.default_rng(0).standard_normal((5, 2)))
    t = model.layout.views(problem.theta)
    nodes, of_nodes = normal_nodes(50)
    grids = np.meshgrid(nodes, nodes, nodes, indexing="ij")
    z, *noise = (grid.reshape(-1) for grid in grids)
    weights = np.einsum("a,b,c->abc", of_nodes, of_nodes, of_nodes).reshape(-1)
    x = z[:, None] * t["W"][:, 0] + t["b"] + np.exp(t["log_sigma"]) * np.stack(noise, axis=-1)
    return problem, x, z[:, None], weights


def expected_sleep(problem, x, z, weights):
    """Return E_{p(x, z)} of the gradient of one dream, as the code computes it."""
    one = [
        wake_sleep.sleep_gradient(problem.posterior, problem.phi, x[m : m + 1], z[m : m + 1])
        for m in range(len(x))
    ]
    return weights @ np.array(one)


def inclusive(problem, x, weights):
    """Return d/d phi of -E_{p(x)} KL(p(z | x) || q(z | x)), from the exact gradient of each x."""
    model, posterior, theta, phi, _ = problem
    eta = posterior.eta(phi, x)
    grad_eta, _, rung = inclusive_gradient(model, theta, x, posterior.family, eta)
    assert "draws" not in rung
    return posterior.eta_vjp(phi, x, len(x) * weights[:, None] * grad_eta)


def test_the_expected_sleep_gradient_is_that_of_the_other_kl_over_all_bits():
    problem, x, z, weights = all_bits()
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)
    found = expected_sleep(problem, x, z, weights)
    # Summing p(x, z) over z leaves p(x), so that the weights of the pairs serve for x.
    assert_close(found, inclusive(problem, x, weights), 1e-12)

    def divergence(phi):
        eta = problem.posterior.eta(phi, problem.x)
        z_all = np.repeat(problem.model.family.values()[:, None], len(problem.x), axis=1)
        log_joint = problem.model.log_joint(problem.theta, problem.x, z_all)
        log_p = np.logaddexp.reduce(log_joint, axis=0)
        log_q = problem.posterior.family.log_prob(eta, z_all)
        return (np.exp(log_joint) * (log_joint - log_p - log_q)).sum()

    direction = np.random.default_rng(1).standard_normal(problem.phi.shape)
    slope = (divergence(problem.phi + 1e-5 * direction) - divergence(problem.phi - 1e-5 * direction)) / 2e-5
    assert -slope == pytest.approx(found @ direction, rel=1e-7)


@pytest.mark.parametrize("nodes", [mixture_nodes, linear_nodes])
def test_the_expected_sleep_gradient_is_that_of_the_other_kl_by_quadrature(nodes):
    problem, x, z, weights = nodes()
    if len(x) > 1000:  # one pass over all nodes, each with its weight
        eta, pullback = problem.posterior.eta_and_pullback(problem.phi, x)
        found = pullback(problem.posterior.family.log_prob_vjp(eta, z[None], weights[None]))
    else:
        found = expected_sleep(problem, x, z, weights)
    assert_close(found, inclusive(problem, x, weights), 1e-9)


# -- the sampled gradient of the sleep phase -------------------------------------------------------

# 400 batches of 200 dreams. A coordinate's mean stands off its expectation by more than five of its standard
# errors with probability 6e-7 in the normal limit, 1e-5 for the 19 of a test; all seeds are fixed. The errors
# are below 2 % of the largest coordinate, and a shift of a tenth of it is caught.
Z_LIMIT = 5.0


def sampled_error(kind=WakeSleepObjective):
    """Return the largest error of the mean sampled phi gradient, in its standard errors, and that error."""
    problem, x, _, weights = all_bits()
    objective = kind(problem.model, problem.posterior, problem.x, draws=25)
    params, rng, found = {"theta": problem.theta, "phi": problem.phi}, np.random.default_rng(5), []
    memory = objective.initial_memory(params, np.random.default_rng(0))
    for _ in range(400):
        block = objective.draw(np.arange(8), rng)
        found.append(objective.gradients(params, block, ("phi",), memory)[1]["phi"])
    error = np.std(found, axis=0, ddof=1) / np.sqrt(len(found))
    exact = inclusive(problem, x, weights)
    return np.abs((np.mean(found, axis=0) - exact) / error).max(), error.max() / np.abs(exact).max()


def test_dreams_have_the_expected_gradient():
    z, error = sampled_error()
    assert z <= Z_LIMIT and error < 0.02
    assert sampled_error(SleepReweightedObjective)[0] <= Z_LIMIT


FAULTS = {
    "z of another dream": lambda x, z: (x, np.roll(z, 1, axis=0)),
    "turned x": lambda x, z: (1.0 - x, z),
    "turned z": lambda x, z: (x, 1.0 - z),
}


@pytest.mark.parametrize("wrong", [*FAULTS, "theta of the start", "sign"])
def test_a_planted_fault_of_the_dreams_is_caught(wrong, monkeypatch):
    dream, sleep = wake_sleep.dream, wake_sleep.sleep_gradient
    if wrong == "sign":
        monkeypatch.setattr(wake_sleep, "sleep_gradient", lambda *args: -sleep(*args))
    elif wrong in FAULTS:
        monkeypatch.setattr(wake_sleep, "dream", lambda *args: FAULTS[wrong](*dream(*args)))
    else:
        monkeypatch.setattr(wake_sleep, "dream", lambda model, theta, *rest: dream(model, 0 * theta, *rest))
    assert sampled_error()[0] > 2.0 * Z_LIMIT


def test_a_dream_is_drawn_from_what_was_drawn_before():
    problem = all_bits()[0]
    objective = WakeSleepObjective(problem.model, problem.posterior, problem.x, draws=3)
    (_, noise), (_, again) = (objective.draw(np.arange(8), np.random.default_rng(2)) for _ in range(2))
    first, second = (wake_sleep.dream(problem.model, problem.theta, one) for one in (noise, again))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
    assert first[0].shape == (24, 3) and first[1].shape == (24, 2)


# -- wake-theta and wake-phi -----------------------------------------------------------------------


@pytest.mark.parametrize("draws", [1, 2])
def test_wake_theta_at_the_exact_posterior_is_the_gradient_of_log_p(draws):
    model = PPCA(3, 1)
    rng = np.random.default_rng(3)
    theta = model.canonical(0.6 * rng.standard_normal(model.layout.size))
    x, _ = model.sample(theta, 4, rng)
    posterior = FreePosterior(model.family, 4)
    phi = posterior.phi_from_eta(model.posterior_eta(theta, x))
    # The gradient of log p(x, z) is quadratic in z: three nodes for each draw are exact.
    nodes, weights = np.polynomial.hermite_e.hermegauss(3)
    grid = np.array(list(itertools.product(nodes, repeat=draws)))
    of_grid = np.prod(list(itertools.product(weights / weights.sum(), repeat=draws)), axis=1)
    noise = np.repeat(grid[:, :, None, None], 4, axis=2)
    objective = ReweightedWakeSleepObjective(model, posterior, x, draws=2)
    found = objective.theta_estimator.estimate(Problem(model, posterior, theta, phi, x), noise)[0]
    assert_close(of_grid @ found, evidence(model, theta, x).grad_theta, 1e-10)


def with_noise(kind, problem, draws, **options):
    """Return an objective, a block of all rows, and the gradients there."""
    objective = kind(problem.model, problem.posterior, problem.x, draws=draws, **options)
    params = {"theta": problem.theta, "phi": problem.phi}
    block = objective.draw(np.arange(len(problem.x)), np.random.default_rng(4))
    memory = objective.initial_memory(params, np.random.default_rng(0))
    return objective, block, objective.gradients(params, block, ("theta", "phi"), memory)


def test_one_weighted_draw_with_a_sleep_phase_is_wake_sleep():
    problem = all_bits()[0]
    found = with_noise(SleepReweightedObjective, problem, 1)[2]
    wanted = with_noise(WakeSleepObjective, problem, 1, theta_estimator=ElboSampled())[2]
    assert_close(found[1]["theta"], wanted[1]["theta"], 1e-12)
    np.testing.assert_array_equal(found[1]["phi"], wanted[1]["phi"])


def test_reweighted_gradients_are_those_of_the_estimators():
    problem = all_bits()[0]
    objective, block, (value, gradients, _) = with_noise(ReweightedWakeSleepObjective, problem, 5)
    (noise,) = block[1].values()
    assert_close(gradients["theta"], IwaeTheta().estimate(problem, noise)[0], 1e-13)
    assert_close(gradients["phi"], WakePhi().estimate(problem, noise)[0], 1e-13)
    assert value == pytest.approx(objective.bound.estimate(problem, noise)[0][0], rel=1e-13)


def test_phi_of_both_is_the_mean_of_wake_phi_and_sleep_phi():
    problem = all_bits()[0]
    _, block, (_, both, _) = with_noise(BothReweightedObjective, problem, 5)
    (noise,) = block[0][1].values()
    x, z = wake_sleep.dream(problem.model, problem.theta, block[1])
    asleep = wake_sleep.sleep_gradient(problem.posterior, problem.phi, x, z)
    assert_close(both["phi"], 0.5 * (WakePhi().estimate(problem, noise)[0] + asleep), 1e-13)
    assert_close(both["theta"], with_noise(SleepReweightedObjective, problem, 5)[2][1]["theta"], 1e-13)


def test_wake_phi_may_follow_paths():
    model = DeepBernoulli(12, 2, (4,))
    problem = place(model, BITS[:20])
    objective, block, (_, gradients, _) = with_noise(
        ReweightedWakeSleepObjective, problem, 3, phi_estimator=WakePhiDreg()
    )
    (noise,) = block[1].values()
    assert_close(gradients["phi"], WakePhiDreg().estimate(problem, noise)[0], 1e-13)
    assert objective.names == ("theta", "phi")


# -- trainings -------------------------------------------------------------------------------------

MODELS = {
    "bits": (SigmoidBelief(12, 3), BITS),
    "categories": (GaussianMixture(2, 2, "full"), load("faithful").x),
    "continuous": (DeepBernoulli(12, 2, (4,)), BITS),
}


@pytest.mark.parametrize("which", MODELS)
@every
def test_any_kind_of_z_is_trained_in_float32_with_the_same_bits_for_any_threads(kind, which):
    model, x = MODELS[which]
    posterior = AmortisedPosterior.for_data(model.family, x, (4,))
    ends = []
    for threads in (1, 2):
        objective = kind(model, posterior, x, draws=4, dtype=np.float32)
        plan = Plan(epochs=8, batch=110, rates={"theta": 0.02, "phi": 0.02})
        training = Training(objective, plan, seed=2, threads=threads)
        training.run()
        ends.append(training.params)
        assert training.history[-1][kind.value_key] > training.history[1][kind.value_key] + 0.1
    assert ends[0]["phi"].dtype == ends[0]["theta"].dtype == np.float32
    for name in ("theta", "phi"):
        np.testing.assert_array_equal(ends[0][name], ends[1][name])


def test_bits_drawn_anew_are_explained_awake():
    chances = np.full(BITS[:8].shape, 0.4)
    model = SigmoidBelief(12, 2)
    posterior = AmortisedPosterior.for_data(model.family, BITS[:8], (3,))
    objective = WakeSleepObjective(model, posterior, BITS[:8], chances, draws=2)
    (x, _), _ = objective.draw(np.arange(8), np.random.default_rng(0))
    assert set(np.unique(x)) == {0.0, 1.0} and not np.array_equal(x, BITS[:8])


@every
def test_fit_watches_what_it_does_not_ascend(kind, tmp_path, capsys):
    options = {"method": "vae", "objective": kind.name, "latent": 2, "hidden": (8,), "epochs": 2, "draws": 3}
    path = tmp_path / "c.npz"
    result = fit("sigmoid-belief", "digits:binary", seed=1, checkpoint=path, **options)
    for row in result.history:
        assert row["monitored_elbo"] <= row["monitored_iwae"] < row["monitored_log_p"] + 0.2
    assert result.history[-1][kind.value_key] > -60.0
    shown = " ".join(result.table().split())
    assert "No one function rises: the ELBO and log p(x) may fall" in shown
    told = f"objective {kind.name}, 3 draws of z; q amortised independent-bernoulli"
    for name in ("phi", "theta"):
        one = result.settings[f"{name}_estimator"]
        told += "" if one is None else f"; gradient in {name} by {one}"
    assert f"{told} " in f"{shown} "
    assert result.settings["objective"] == kind.name
    assert (result.settings["phi_estimator"] is None) == ("phi" not in kind.targets)
    assert main(["evaluate", str(path), "--data", "digits:binary", "--importance-samples", "20"]) == 0
    assert main(["sample", str(path), "--out", str(tmp_path / "out"), "--count", "3"]) == 0
    assert main(["fit", "--resume", str(path), "--epochs", "3"]) == 0
    whole = fit("sigmoid-belief", "digits:binary", seed=1, **options | {"epochs": 3})
    with np.load(path) as kept:
        np.testing.assert_array_equal(kept["job.params.phi"], whole.phi.astype(np.float32))
    assert "objective" in capsys.readouterr().out


def test_the_objectives_are_listed(capsys):
    assert main(["list", "objectives"]) == 0
    printed = capsys.readouterr().out
    for name, kind in OBJECTIVES.items():
        assert name == kind.name and name in printed and kind.summary


def test_the_words_for_an_objective_name_it():
    result = fit(
        "gaussian-mixture", "faithful", method="vae", objective="Reweighted Wake-Sleep", epochs=1, hidden=(3,)
    )
    assert result.settings["objective"] == "rws" and result.settings["draws"] == 10


# -- mistakes --------------------------------------------------------------------------------------


def asked(**options):
    data = load("digits:binary").rows(20, 0).x
    return fit("sigmoid-belief", data, latent=2, epochs=1, **{"method": "vae"} | options)


MISTAKES = [
    (
        {"objective": "wake-slep"},
        r"^objective: expected a known name.*'wake-slep'; did you mean 'wake-sleep'",
    ),
    (
        {"objective": "rws", "method": "gradient"},
        r"^objective: expected no value with method gradient .*; use method vae",
    ),
    (
        {"objective": "wake-sleep", "phi_estimator": "wake-phi"},
        r"^phi_estimator: expected no value with objective wake-sleep, which learns it from dreams",
    ),
    ({"objective": "rws", "phi_estimator": "arm"}, r"^phi_estimator: expected an estimator of grad-phi-incl"),
    (
        {"objective": "rws", "beta": 2.0},
        "^beta: expected 1 with objective rws, got 2.0; only the ELBO has a KL to weigh",
    ),
    (
        {"objective": "rws", "beta_schedule": "linear:5"},
        "^beta_schedule: expected constant with objective rws, got linear:5",
    ),
    ({"objective": "rws", "draws": 1}, r"^draws: expected at least 2 for rws \(of one draw the weight is 1"),
    ({"objective": "rws-wake-sleep", "draws": 1}, r"^draws: expected at least 2 for rws-wake-sleep"),
    (
        {"objective": "rws-sleep", "posterior": "free"},
        "^a free posterior has no sleep phase: it has",
    ),
]


@pytest.mark.parametrize(("options", "line"), MISTAKES)
def test_a_mistake_gets_one_clear_line(options, line):
    with pytest.raises(ValueError, match=line):
        asked(**options)


def test_estimators_of_another_target_are_refused():
    problem = all_bits()[0]
    with pytest.raises(ValueError, match="expected an estimator of grad-theta-elbo, got iwae-theta"):
        WakeSleepObjective(problem.model, problem.posterior, problem.x, theta_estimator=IwaeTheta())
    with pytest.raises(ValueError, match="expected an estimator of grad-phi-inclusive-kl, got reparam"):
        ReweightedWakeSleepObjective(
            *problem[:2], problem.x, phi_estimator=ReparameterizationAnalyticKL(), draws=3
        )


def test_a_q_that_dreams_may_leave_is_refused():
    model = DeepBernoulli(12, 1, (4,))
    within = replace(AmortisedPosterior.for_data(model.family, BITS, (4,)), family=Beta(1))
    with pytest.raises(ValueError, match="no sleep phase: a beta q does not reach all z of the prior"):
        WakeSleepObjective(model, within, BITS, theta_estimator=ElboSampled())


def test_an_objective_says_whether_it_ascends():
    assert {name for name, kind in OBJECTIVES.items() if kind.ascends} >= {"elbo", "iwae"}
    assert not any(kind.ascends for kind in (WakeSleepObjective, ReweightedWakeSleepObjective))
    assert ElboAnalyticKL().target == OBJECTIVES["wake-sleep"].targets["theta"]
    spec = SigmoidBelief(3, 2).family.noise_spec(1, 4)
    assert draw_noise(spec, np.random.default_rng(0)).shape == (1, 4, 2)
