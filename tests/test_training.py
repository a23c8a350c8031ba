"""Stochastic ascent climbs what it says, by any estimators, or says that it fails."""

import copy
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from cases import CASES, admits, make_case
from checks import assert_close, exact_draws

from elbo_lab import Problem
from elbo_lab.datasets import load
from elbo_lab.distributions import (
    FAMILIES,
    Beta,
    CouplingFlow,
    DiagonalGaussian,
    DiagonalGaussianMixture,
    FullGaussian,
    Gamma,
    GaussianChain,
    LowRankGaussian,
    PlanarFlow,
)
from elbo_lab.em import fit_closed_form, fit_em
from elbo_lab.errors import Diverged
from elbo_lab.estimators import (
    ESTIMATORS,
    ElboReconstructionKL,
    ElboSampled,
    Reparameterization,
    ReparameterizationAnalyticKL,
    ScoreFunction,
)
from elbo_lab.estimators.base import posterior_draws
from elbo_lab.evaluation.gap import measure_gap
from elbo_lab.exact import evidence, ladder
from elbo_lab.models import PPCA, DeepBernoulli, GaussianMixture, GaussianMLE
from elbo_lab.posteriors import AmortisedPosterior, FreePosterior
from elbo_lab.theory.by_family import MEMBERS
from elbo_lab.training import SGD, Adam, Cosine, ElboObjective, EvidenceObjective, Optimizer, Plan, Training
from elbo_lab.training import batch as batch_module

RATES = {"theta": 0.02, "phi": 0.02}
DIGITS = load("digits:binary").rows(120, 0).x[:, 18:30]
BERNOULLI = next(case for case in CASES if case.model.name == "deep-bernoulli")
MIXTURE = next(case for case in CASES if case.model.label == "gaussian-mixture:spherical")


def vae(x=DIGITS, latent=1, **options):
    model = DeepBernoulli(x.shape[1], latent, (6,))
    return ElboObjective(model, AmortisedPosterior.for_data(model.family, x, (6,)), x, **options)


def gap_of(objective):
    """A recorder of exact numbers, that knows nothing of the trainer's own."""
    where = objective.model, objective.posterior

    def record(params, phase):  # noqa: ARG001
        return measure_gap(Problem(*where, params["theta"], params["phi"], objective.x)).means()

    return record


def run(objective, plan, **options):
    training = Training(objective, plan, **options)
    training.run()
    return training


# -- climbing the bound --------------------------------------------------------------------------


def test_joint_training_raises_the_exact_bound_of_digits():
    objective = vae()
    training = run(objective, Plan(epochs=30, batch=40, rates=RATES, evaluate_every=15), seed=1)
    record = gap_of(objective)
    start = record(objective.initial(np.random.default_rng(np.random.SeedSequence(1).spawn(3)[0])), "start")
    end = record(training.params, "joint")
    assert end["elbo_exact"] > start["elbo_exact"] + 0.3 and end["kl"] > -1e-6
    # One draw per datum and step: the epoch's own mean is noisy, and lags behind.
    assert abs(training.history[-1]["elbo"] - end["elbo_exact"]) < 0.3
    rows = [(row["epoch"], row["step"], row["phase"]) for row in training.history]
    assert rows == [(0, 0, "start"), (15, 45, "joint"), (30, 90, "joint")]


def check_alternation(kind):
    objective = vae(DIGITS[:40], draws=4)
    schedule = Cosine(50)
    plan = Plan(epochs=2, batch=40, rates=RATES, phi_steps=20, schedule=schedule)
    training = kind(objective, plan, recorders=[gap_of(objective)])
    training.run()
    rows = training.history
    assert [row["phase"] for row in rows] == ["start", "phi", "theta", "phi", "theta"]
    assert [row["epoch"] for row in rows] == [0, 1, 1, 2, 2]
    assert [row["step"] for row in rows] == [0, 20, 21, 41, 42]
    assert training.counts == {"theta": 2, "phi": 40}
    assert rows[-1]["learning_rate"] == RATES["theta"] * schedule.factor(1)
    for before, after in ((rows[0], rows[1]), (rows[2], rows[3])):
        assert after["log_p"] == before["log_p"]  # theta stood still
        assert after["elbo_exact"] > before["elbo_exact"] and after["kl"] < before["kl"]
    assert rows[2]["log_p"] != rows[1]["log_p"]


def test_theta_stands_still_while_phi_closes_the_gap():
    check_alternation(Training)


def test_an_alternation_that_moves_theta_along_is_caught():
    class Joint(Training):
        def _ascend(self, pool, rows, names):  # noqa: ARG002
            super()._ascend(pool, rows, ("theta", "phi"))

    with pytest.raises(AssertionError):
        check_alternation(Joint)


class Watching:
    """A recorder of the exact gap, that keeps the parameters of every row."""

    def __init__(self, objective):
        self.gap, self.seen = gap_of(objective), []

    def __call__(self, params, phase):
        self.seen.append({name: vector.copy() for name, vector in params.items()})
        return self.gap({name: vector.astype(np.float64) for name, vector in params.items()}, phase)


def free_table():
    model = DeepBernoulli(DIGITS.shape[1], 1, (6,))
    return ElboObjective(model, FreePosterior(model.family, 30), DIGITS[:30])


CYCLES = {
    "minibatches": (lambda: vae(DIGITS[:50]), {"batch": 20}),
    "minibatches in float32": (lambda: vae(DIGITS[:50], dtype=np.float32), {"batch": 20}),
    "every other epoch": (lambda: vae(DIGITS[:50]), {"batch": 20, "evaluate_every": 2}),
    "one minibatch is an epoch": (lambda: vae(DIGITS[:50]), {"batch": 50}),
    "one minibatch, every other epoch": (lambda: vae(DIGITS[:50]), {"batch": 50, "evaluate_every": 2}),
    "almost an E-step, for a free table": (free_table, {"batch": 30, "phi_steps": 40}),
}


def check_cycles(name, kind=Training):
    make, settings = CYCLES[name]
    plan = Plan(**{"epochs": 4, "rates": RATES, "phi_steps": 3} | settings)
    watch = Watching(make())
    training = kind(make(), plan, recorders=[watch])
    training.run()
    rows, seen = training.history, watch.seen
    follows = {"before": ("start", "theta"), "phi": ("start", "theta", "before"), "theta": ("phi",)}
    for (first, last), (start, end) in zip(pairwise(rows), pairwise(seen), strict=True):
        phase, steps = last["phase"], last["step"] - first["step"]
        moved = {key for key in start if not np.array_equal(start[key], end[key])}
        assert first["phase"] in follows[phase]
        assert moved == {"before": {"theta", "phi"}, "phi": {"phi"}, "theta": {"theta"}}[phase]
        assert phase == "before" or steps == {"phi": plan.phi_steps, "theta": 1}[phase]
        assert (last["log_p"] == first["log_p"]) == (phase == "phi")  # to the last bit
        assert last["kl"] != first["kl"]
    cycles = plan.epochs // plan.evaluate_every
    assert [row["phase"] for row in rows].count("theta") == cycles
    assert rows[-1]["step"] == training.step and all(np.isfinite(row["kl"]) for row in rows)


@pytest.mark.parametrize("name", CYCLES)
def test_between_two_rows_of_a_cycle_phi_alone_or_theta_alone_has_moved(name):
    check_cycles(name)


def test_a_cycle_that_is_measured_from_the_epoch_before_is_caught():
    class Late(Training):
        def _record(self, phase, epoch=None):
            if phase != "before":
                super()._record(phase, epoch)

    check_cycles("one minibatch is an epoch", Late)
    for name in ("minibatches", "one minibatch, every other epoch"):
        with pytest.raises(AssertionError):
            check_cycles(name, Late)


def test_measuring_a_cycle_changes_nothing_in_the_training():
    plan = Plan(epochs=3, batch=20, rates=RATES, phi_steps=3)
    objective = vae(DIGITS[:50])
    watched, alone = run(objective, plan, recorders=[gap_of(objective)]), run(objective, plan)
    assert all(np.array_equal(watched.params[name], alone.params[name]) for name in ("theta", "phi"))
    for row, bare in zip(watched.history, alone.history, strict=True):
        assert bare == {key: row[key] for key in bare}


# -- families of q ---------------------------------------------------------------------------------

OTHER_Q = [(family, np.array(eta)) for family, eta in MEMBERS]
OTHER_Q += [(kind(1), np.array([0.3, np.log(0.6)])) for kind in (DiagonalGaussian, FullGaussian)]
OTHER_Q += [(DiagonalGaussianMixture(1, 2), np.array([0.4, -0.2, -0.5, 0.6, np.log(0.6), np.log(0.4)]))]
OTHER_Q += [(PlanarFlow(1, 1), np.array([0.3, np.log(0.6), 0.5, -0.2, 0.4]))]
every_q = pytest.mark.parametrize("family, eta", OTHER_Q, ids=lambda item: getattr(item, "name", ""))


# Quadrature over the noise refuses these: their quantiles have a kink.
KINKED = ("laplace",)


def objective_of(family, eta, kind=ElboObjective):
    """An objective of a deep model with this q for each of three rows, and its parameters."""
    model, x = DeepBernoulli(3, 1, (4,)), np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    posterior = FreePosterior(family, len(x))
    estimators = ElboSampled(), Reparameterization()
    objective = kind(model, posterior, x, None, *estimators, draws=500)
    phi = posterior.phi_from_eta(np.tile(eta, (len(x), 1)))
    theta = 0.7 * np.random.default_rng(0).standard_normal(model.layout.size)
    return objective, {"theta": theta, "phi": phi}


def check_reported_bound(family, eta, kind=ElboObjective):
    """The bound that a training reports is E_q[log p(x, z) - log q(z)], and lies below log p(x)."""
    objective, params = objective_of(family, eta, kind)
    model, x = objective.model, objective.x
    etas = objective.posterior.eta(params["phi"], x)
    z, weights = exact_draws(family, etas, n_nodes=40)
    log_w = model.log_joint(params["theta"], x, z) - family.log_prob(etas, z)
    elbo = (weights * log_w).sum(axis=0)
    spread = (weights * (log_w - elbo) ** 2).sum(axis=0)
    log_p = ladder.log_evidence(model, params["theta"], x)[0]
    assert (elbo < log_p).all()
    if family.name not in KINKED:
        assert_close(measure_gap(objective.problem(params, x)).elbo, elbo, 1e-8)
    training = Training(objective, Plan(epochs=1, batch=3, rates={"theta": 1e-9, "phi": 1e-9}))
    training.params = params
    training.run()
    reported, error = training.history[-1]["elbo"], np.sqrt(spread.sum() / objective.draws) / len(x)
    assert abs(reported - elbo.mean()) < 5 * error + 1e-6
    assert reported < log_p.mean() + 5 * error


@every_q
def test_a_training_reports_a_bound_with_any_continuous_q(family, eta):
    check_reported_bound(family, eta)


def test_every_continuous_family_is_tried_as_q():
    continuous = {kind for kind in FAMILIES if not kind.discrete}
    # What couples takes two latents.
    of_two = {CouplingFlow, GaussianChain, LowRankGaussian}
    assert {type(family) for family, _ in OTHER_Q} == continuous - of_two


def test_a_q_that_reaches_beyond_the_prior_is_refused_and_one_within_is_taken():
    within, beyond = Beta(1), DiagonalGaussian(1)
    assert within.lies_within(beyond) and not beyond.lies_within(within)
    assert within.lies_within(Gamma(1)) and not within.lies_within(Beta(2))
    assert not beyond.shares_support(within) and within.shares_support(Beta(1))


@pytest.mark.parametrize("fault", ["KL of the wrong pair", "noise of the prior"])
def test_a_false_bound_is_caught(fault):
    class FalseBound(ElboReconstructionKL):
        def estimate(self, problem, noise, state=None):
            model, posterior, theta, _, x = problem
            eta, z = posterior_draws(problem, noise)
            kl = posterior.family.kl(eta, model.prior_eta(theta))
            return (model.log_likelihood(theta, x, z) - kl).mean(axis=(-2, -1), keepdims=True)[0], state

    class Faulty(ElboObjective):
        if fault == "KL of the wrong pair":
            bound = FalseBound()
        else:

            def _noise_spec(self, estimator, n_data):
                return estimator.noise_spec(self.model.family, self.draws, n_data)

    family, eta = next((family, eta) for family, eta in OTHER_Q if family.name == "beta")
    with pytest.raises(AssertionError):
        check_reported_bound(family, eta, Faulty)


@every_q
def test_the_estimator_of_the_monitored_bound_has_a_closed_kl_where_the_pair_has_one(family, eta):
    bound = objective_of(family, eta)[0].bound
    assert bound.name == ("elbo-reconstruction-kl" if family.gaussian else "elbo-log-weight")


# -- estimators ------------------------------------------------------------------------------------

PHI = [e for e in ESTIMATORS if e.target == "grad-phi-elbo"]
THETA = [e for e in ESTIMATORS if e.target == "grad-theta-elbo"]
PAIRINGS = [(BERNOULLI, "amortised", phi, THETA[0]) for phi in PHI if admits(BERNOULLI, phi)]
PAIRINGS += [(BERNOULLI, "free", ReparameterizationAnalyticKL(), theta) for theta in THETA]
PAIRINGS += [
    (MIXTURE, m, phi, THETA[1]) for m in ("free", "amortised") for phi in PHI if admits(MIXTURE, phi)
]


@pytest.mark.parametrize("case, which, phi, theta", PAIRINGS, ids=lambda v: getattr(v, "name", None))
def test_any_pairing_of_estimators_drives_the_bound_up(case, which, phi, theta):
    posterior = getattr(case, which)
    objective = ElboObjective(case.model, posterior, case.x, None, theta, phi, draws=30)
    record = gap_of(objective)
    training = Training(objective, Plan(epochs=15, batch=3, rates={"theta": 0.03, "phi": 0.03}))
    before = record(training.params, "start")["elbo_exact"]
    block = objective.draw(np.arange(3), np.random.default_rng(0))
    problem = Problem(case.model, posterior, *training.params.values(), block[0])
    _, gradients, _ = objective.gradients(training.params, block, ("theta", "phi"), training.memory)
    for name, estimator in (("theta", theta), ("phi", phi)):
        noise = block[1][estimator.noise_spec(case.model.family, 30, 3)]
        wanted = estimator.estimate(problem, noise, training.memory[name])[0]
        assert_close(gradients[name], wanted, 1e-12)
    training.run()
    assert record(training.params, "joint")["elbo_exact"] > before + 0.05


def test_a_free_table_is_refused_in_minibatches_and_taken_whole():
    case = make_case(BERNOULLI.model)
    objective = ElboObjective(case.model, case.free, case.x)
    with pytest.raises(ValueError, match=r"batch: expected all rows at once.*2 of 3; use 3, or an encoder"):
        Training(objective, Plan(batch=2))
    assert np.array_equal(Training(objective, Plan(batch=3)).minibatches.next(), [0, 1, 2])


def test_estimators_of_another_target_and_phi_steps_without_phi_are_refused():
    with pytest.raises(ValueError, match="expected an estimator of grad-phi-elbo, got elbo-sampled"):
        vae(phi_estimator=ElboSampled())
    with pytest.raises(ValueError, match="phi_steps: expected none"):
        Training(EvidenceObjective(GaussianMLE(12), DIGITS), Plan(phi_steps=2))


@pytest.mark.parametrize("name", ["phi_steps", "theta_steps"])
def test_more_steps_on_a_minibatch_than_any_run_would_finish_are_refused(name):
    with pytest.raises(ValueError, match=f"{name}: expected a whole number of at most 1000, got 1000000000"):
        Plan(**{name: 10**9})


class Counting(ScoreFunction):
    def initial_state(self, problem):  # noqa: ARG002
        return np.zeros(1)

    def estimate(self, problem, noise, state):
        return super().estimate(problem, noise)[0], state + 1.0


@pytest.mark.parametrize("phi_steps, calls", [(None, 6), (3, 18)])
def test_an_estimator_carries_its_memory_from_step_to_step(phi_steps, calls):
    objective = vae(phi_estimator=Counting())
    assert len(objective.blocks(np.arange(120))) == 1  # and not two blocks
    training = run(objective, Plan(epochs=3, batch=110, rates=RATES, phi_steps=phi_steps))
    assert training.memory["phi"] == [calls]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_number_of_threads_changes_no_bit(dtype, monkeypatch):
    monkeypatch.setattr(batch_module, "SLICE", 17)
    x = DIGITS[:100]
    objective = vae(x, 2, dtype=dtype)
    assert len(objective.blocks(np.arange(100))) == 2
    plan, ends = Plan(epochs=8, batch=100, rates=RATES), []
    for threads, seed in ((1, 0), (2, 0), (3, 0), (1, 1)):
        training = run(objective, plan, seed=seed, threads=threads)
        vectors = [*training.params.values(), *training.slots.values()]
        assert {vector.dtype for vector in vectors} == {np.dtype(dtype)}
        ends.append((b"".join(v.tobytes() for v in vectors), training.history))
    assert ends[0] == ends[1] == ends[2] != ends[3]


class Drawing(ElboObjective):
    """Keeps what is drawn."""

    def draw(self, rows, rng):
        drawn = super().draw(rows, rng)
        self.drawn.append((rows, *drawn))
        return drawn


def check_blocks_draw_for_themselves(kind):
    """Every block of every step has bits and noise of its own, and the seed decides them."""
    x, runs = np.zeros((100, 12)), []
    model = DeepBernoulli(12, 2, (3,))
    posterior = AmortisedPosterior.for_data(model.family, DIGITS[:100], (3,))
    for seed in (0, 0, 1):
        objective = Drawing(model, posterior, x, np.full(x.shape, 0.5))
        object.__setattr__(objective, "drawn", [])
        kind(objective, Plan(epochs=2, batch=100, rates=RATES), seed).run()
        runs.append({(rows.tobytes()): (bits, *noise.values()) for rows, bits, noise in objective.drawn})
    assert [len(run) for run in runs] == [4, 4, 4] and runs[0].keys() == runs[1].keys() != runs[2].keys()
    for block, arrays in runs[0].items():
        assert all(np.array_equal(a, b) for a, b in zip(arrays, runs[1][block], strict=True))
    for number in (0, 1):
        arrays = [drawn[number] for run in (runs[0], runs[2]) for drawn in run.values()]
        assert len({array.tobytes() for array in arrays}) == 8


def test_blocks_draw_for_themselves():
    check_blocks_draw_for_themselves(Training)


def test_blocks_that_share_a_key_are_caught(monkeypatch):
    right = batch_module.generators

    def of_one_key(rng, count):
        first = right(rng, count)[0]
        return [copy.deepcopy(first) for _ in range(count)]

    monkeypatch.setattr(batch_module, "generators", of_one_key)
    with pytest.raises(AssertionError):
        check_blocks_draw_for_themselves(Training)


# -- the evidence, and classes -------------------------------------------------------------------


MAXIMA = [
    (GaussianMLE(2), load("faithful").x, fit_closed_form, 1e-5),
    (GaussianMixture(2, 2, "full"), load("faithful").x, fit_em, 1e-5),
    (PPCA(6, 2), load("digits:dequantised").rows(200, 0).x[:, 18:24], fit_closed_form, 1e-6),
]


@pytest.mark.parametrize("model, x, best, tolerance", MAXIMA, ids=["gaussian-mle", "mixture", "ppca"])
def test_ascent_of_the_evidence_comes_to_the_known_maximum(model, x, best, tolerance):
    """Within `tolerance` nats per datum, and never above."""
    plan = Plan(epochs=300, batch=len(x), rates={"theta": 0.2}, schedule=Cosine(300), evaluate_every=300)
    theta = run(EvidenceObjective(model, x), plan).params["theta"]
    short = best(model, x).log_likelihood / len(x) - evidence(model, theta, x).value.mean()
    assert -1e-9 < short < tolerance


# -- when to stop --------------------------------------------------------------------------------


@pytest.mark.parametrize("patience, epochs, kept", [(2, 4, 2), (3, 5, 2), (4, 9, 6), (None, 9, 9)])
def test_early_stopping_keeps_the_best(patience, epochs, kept):
    scripted, seen = iter([-9.0, -3.0, -1.0, -2.0, -1.5, -1.2, -0.5, -4.0, -0.5, -0.6]), []

    def validation(params, phase):  # noqa: ARG001
        seen.append(params["theta"].copy())
        return {"elbo_validation": next(scripted)}

    plan = Plan(epochs=9, batch=60, rates=RATES, patience=patience)
    training = run(vae(), plan, recorders=[validation])
    assert training.epoch == epochs and training.finished
    assert training.out_of_patience == (epochs < 9)
    assert np.array_equal(training.result["theta"], seen[kept])
    assert not np.array_equal(seen[kept], seen[kept - 1])


class LastStep(Optimizer):
    """Leaves the finite numbers in the last step of an epoch, where no value follows."""

    def _move(self, params, gradient, state, count, rate):  # noqa: ARG002
        if count == 4:
            params[-1] = np.inf


HUGE = {
    "a parameter": (LastStep(), 1.0, r"(theta|phi) left the finite numbers in epoch 1"),
    "the value": (SGD(), 1e5, r"the bound became (nan|-inf) in step \d+ \(epoch \d+\)"),
    "a value of adam": (Adam(), 1e5, r"the bound became (nan|-inf) in step \d+ \(epoch \d+\)"),
    "a fall": (Adam(), 1.0, r"the bound fell from -?\d.* to -\d.* nats per datum in epoch \d+"),
}


@pytest.mark.parametrize("optimizer, rate, message", HUGE.values(), ids=HUGE)
def test_a_training_that_diverges_says_so_in_one_line(optimizer, rate, message):
    plan = Plan(epochs=20, batch=30, optimizer=optimizer, rates={"theta": rate, "phi": rate})
    with pytest.raises(Diverged, match=f"^{message}$"):
        run(vae(latent=2), plan)


def test_a_recorded_number_that_is_not_finite_is_a_divergence():
    epochs = iter(range(2))

    def record(*_):
        return {"elbo_validation": np.nan if next(epochs) else 0.0}

    with pytest.raises(Diverged, match=r"^elbo_validation became nan in epoch 1$"):
        run(vae(), Plan(epochs=1), recorders=[record])


def test_a_number_that_is_not_finite_before_the_first_step_is_a_mistake_in_the_data():
    expected = r"^data: expected rows with a finite elbo_validation at the start, got nan; start from other"
    with pytest.raises(ValueError, match=expected):
        run(vae(), Plan(epochs=1), recorders=[lambda *_: {"elbo_validation": np.nan}])


def test_check_passes_a_good_state_and_refuses_a_bad_one():
    training = run(vae(), replace(Plan(), epochs=1, batch=60))
    training.check()
    training.params["phi"][3] = np.inf
    with pytest.raises(Diverged, match=r"^phi left the finite numbers in epoch 2$"):
        training.check()
