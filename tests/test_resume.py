"""A training that is saved and resumed is the training that never stopped, bit for bit."""

from dataclasses import replace

import numpy as np
import pytest

from elbo_lab.errors import BadValue
from elbo_lab.estimators import (
    ElboSampled,
    ScoreFunction,
    ScoreFunctionLearnedBaseline,
    ScoreFunctionRunningMean,
)
from elbo_lab.models import DeepBernoulli, GaussianMLE, SigmoidBelief
from elbo_lab.posteriors import AmortisedPosterior
from elbo_lab.training import (
    SGD,
    Adagrad,
    AdamW,
    BothReweightedObjective,
    ColdMonteCarloEMObjective,
    Cosine,
    ElboObjective,
    EvidenceObjective,
    MonteCarloEMObjective,
    Plan,
    RMSprop,
    Training,
    WakeSleepObjective,
    load_checkpoint,
    save_checkpoint,
)

BITS = (np.random.default_rng(0).random((11, 4)) < 0.4).astype(np.float64)


class Remembering(ScoreFunction):
    """A score function that subtracts the running mean of what it has seen of phi's gradient."""

    def initial_state(self, problem):  # noqa: ARG002
        return np.zeros(1)

    def estimate(self, problem, noise, state):
        gradient, _ = super().estimate(problem, noise)
        return gradient - 1e-2 * state, state + 1.0 + gradient[:1]


def bernoulli(**options):
    model = DeepBernoulli(4, 1, (3,))
    return ElboObjective(model, AmortisedPosterior.for_data(model.family, BITS, (3,)), BITS, **options)


def dreaming(kind, **options):
    model = SigmoidBelief(4, 2)
    return kind(model, AmortisedPosterior.for_data(model.family, BITS, (3,)), BITS, **options)


def two_blocks():
    """A hundred rows, which two threads draw for; a batch of all of them, see `PLANS`."""
    chances = np.random.default_rng(2).random((110, 3))
    x = (chances < 0.5).astype(np.float64)
    model = DeepBernoulli(3, 1, (2,))
    posterior = AmortisedPosterior.for_data(model.family, x, (2,))
    return ElboObjective(model, posterior, x, chances, dtype=np.float32)


OBJECTIVES = {
    "elbo": bernoulli,
    "elbo in float32": lambda: bernoulli(dtype=np.float32),
    "fresh bits": lambda: bernoulli(probabilities=np.full(BITS.shape, 0.4)),
    "an estimator that remembers": lambda: bernoulli(
        theta_estimator=ElboSampled(), phi_estimator=Remembering(), draws=2
    ),
    "a running mean": lambda: bernoulli(phi_estimator=ScoreFunctionRunningMean(), draws=2),
    "a learned baseline in float32": lambda: bernoulli(
        phi_estimator=ScoreFunctionLearnedBaseline(), dtype=np.float32
    ),
    "evidence": lambda: EvidenceObjective(GaussianMLE(4), BITS),
    "wake-sleep": lambda: dreaming(WakeSleepObjective, draws=2),
    "reweighted wake-sleep in float32": lambda: dreaming(
        BothReweightedObjective, draws=3, dtype=np.float32, probabilities=np.full(BITS.shape, 0.4)
    ),
    "chains": lambda: MonteCarloEMObjective(DeepBernoulli(4, 1, (3,)), BITS, draws=2, dtype=np.float32),
    "cold chains": lambda: ColdMonteCarloEMObjective(DeepBernoulli(4, 1, (3,)), BITS, moves=2),
    "two blocks": two_blocks,
}
PLAN = Plan(epochs=4, batch=4, rates={"theta": 0.02, "phi": 0.05}, schedule=Cosine(15))
# Three minibatches per epoch (two where they are large); the horizon of the schedule falls into the run.
PLANS = {
    "joint": PLAN,
    "alternating": replace(PLAN, phi_steps=2),
    "patience": replace(PLAN, patience=2, evaluate_every=1),
    "every other epoch": replace(PLAN, evaluate_every=2, phi_steps=1),
    "sgd": replace(PLAN, optimizer=SGD()),
    "momentum": replace(PLAN, optimizer=SGD(momentum=0.9)),
    "adagrad": replace(PLAN, optimizer=Adagrad()),
    "rmsprop": replace(PLAN, optimizer=RMSprop()),
    "adamw": replace(PLAN, optimizer=AdamW(decay=0.1)),
    "clipping": replace(PLAN, clip=0.7),
    "large batches": replace(PLAN, batch=100, phi_steps=2),
}
PAIRS = [("elbo", plan) for plan in PLANS if plan != "large batches"]
PAIRS += [(name, "joint") for name in OBJECTIVES if name not in ("elbo", "two blocks")]
PAIRS += [("two blocks", "large batches")]
PAIRS += [(name, "alternating") for name in ("an estimator that remembers", "a running mean")]
PAIRS += [("elbo in float32", "momentum")]


def validation(params, phase):  # noqa: ARG001
    """A number that rises and falls with theta, for patience."""
    return {"elbo_validation": float(np.sin(40.0 * params["theta"].sum()))}


def training_of(objective, plan, epochs=None, seed=3):
    plan = PLANS[plan] if epochs is None else replace(PLANS[plan], epochs=epochs)
    return Training(OBJECTIVES[objective](), plan, seed, [validation])


def saved(training, path):
    """Return the bytes of the training's checkpoint: params, slots, history, generators, everything."""
    save_checkpoint(path, *training.state())
    return path.read_bytes()


def straight(pair, folder):
    training = training_of(*pair)
    training.run()
    return saved(training, folder / "straight.npz")


# -- going on ------------------------------------------------------------------------------------


@pytest.mark.parametrize("pair", PAIRS, ids=" | ".join)
def test_twice_n_epochs_are_n_epochs_and_a_resume_bit_for_bit(pair, tmp_path):
    half = training_of(*pair, epochs=2, seed=3)
    half.run()
    saved(half, tmp_path / "half.npz")
    rest = training_of(*pair, seed=99)  # everything random comes from the file
    rest.restore(*load_checkpoint(tmp_path / "half.npz"))
    rest.run()
    assert saved(rest, tmp_path / "rest.npz") == straight(pair, tmp_path)
    assert rest.step > half.step


def in_pieces(pair, folder, forget=None):
    """Stop after every minibatch, in the middle of epochs too, and go on in a new training each time."""
    training, path = training_of(*pair), folder / "stop.npz"
    while not training.finished:
        training.run(after_minibatch=lambda _: True)
        saved(training, path)
        training, header_arrays = training_of(*pair, seed=99), load_checkpoint(path)
        if forget is not None:
            forget(training, *header_arrays)
        training.restore(*header_arrays)
    return saved(training, path)


@pytest.mark.parametrize("pair", PAIRS, ids=" | ".join)
def test_a_stop_after_every_minibatch_changes_nothing(pair, tmp_path):
    assert in_pieces(pair, tmp_path) == straight(pair, tmp_path)


def forget_one(what, fresh, header, arrays):
    """Replace one part of a state by that of a new training, as if it had not been saved."""
    new_header, new_arrays = fresh.state()
    if what in header:
        header[what] = new_header[what]
    for name in [name for name in arrays if name.partition(".")[0] == what]:
        if name in new_arrays:
            arrays[name] = new_arrays[name]
        else:
            del arrays[name]


REMEMBERING, WATCHED = ("an estimator that remembers", "alternating"), ("elbo", "patience")
PARTS = {
    **dict.fromkeys(("step", "value_sum", "rows_seen", "first_value", "counts", "position"), REMEMBERING),
    **dict.fromkeys(("history", "order_rng", "noise_rng", "order", "params", "slots", "memory"), REMEMBERING),
    **dict.fromkeys(("best", "waited"), WATCHED),
    "clipping": ("elbo", "clipping"),
}


def test_a_resume_that_forgets_a_running_mean_is_caught(tmp_path):
    pair = ("a running mean", "alternating")
    assert in_pieces(pair, tmp_path, lambda *state: forget_one("memory", *state)) != straight(pair, tmp_path)


@pytest.mark.parametrize("part", PARTS)
def test_a_resume_that_forgets_one_part_of_the_state_is_caught(part, tmp_path):
    assert in_pieces(PARTS[part], tmp_path) == straight(PARTS[part], tmp_path)
    budget = iter(range(40))  # a training that forgets where it stands may never end

    class Endless(Exception):
        pass

    def forget(*state):
        if next(budget, None) is None:
            raise Endless
        forget_one(part, *state)

    try:
        assert in_pieces(PARTS[part], tmp_path, forget) != straight(PARTS[part], tmp_path)
    except (Endless, BadValue):  # it is caught too by a state that contradicts itself
        pass
