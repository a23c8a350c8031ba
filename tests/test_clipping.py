"""Clipping bounds the norm of the gradient of a whole step, over theta and phi, and keeps its direction."""

import numpy as np
import pytest
from checks import assert_close

from elbo_lab.errors import UserMistake
from elbo_lab.fitting import fit
from elbo_lab.held import Held
from elbo_lab.layout import Layout
from elbo_lab.models import DeepBernoulli
from elbo_lab.posteriors import AmortisedPosterior
from elbo_lab.training import SGD, Clipping, ElboObjective, Plan, Training
from elbo_lab.training.clipping import norm_of

BITS = (np.random.default_rng(0).random((110, 4)) < 0.4).astype(np.float64)
MODEL = DeepBernoulli(4, 1, (3,))
OBJECTIVE = ElboObjective(MODEL, AmortisedPosterior.for_data(MODEL.family, BITS, (3,)), BITS)
RATES = {"theta": 0.1, "phi": 0.1}


def trained(clip, epochs=1, **options):
    plan = Plan(epochs=epochs, batch=110, optimizer=SGD(), rates=RATES, clip=clip)
    training = Training(OBJECTIVE, plan, seed=3, **options)
    start = {name: vector.copy() for name, vector in training.params.items()}
    training.run()
    return training, {name: vector - start[name] for name, vector in training.params.items()}


def check_one_step():
    """The step is that without clipping, scaled as a whole to the norm: of two blocks, on any threads."""
    free = trained(None)[1]
    length = np.sqrt(sum((step**2).sum() for step in free.values())) / 0.1
    for share in (0.1, 0.5, 2.0):
        training, steps = trained(share * length)
        for name in free:
            assert_close(steps[name], free[name] * min(1.0, share), 1e-12)
        assert training.history[-1]["clipped"] == (share < 1.0)


def test_a_step_is_scaled_as_a_whole_to_the_norm():
    check_one_step()


def clipped_apart(self, gradients):
    self.steps += 1
    return {
        name: gradient * min(1.0, self.norm / norm_of({name: gradient}))
        for name, gradient in gradients.items()
    }


def clipped_by_value(self, gradients):
    self.steps += 1
    return {name: np.clip(gradient, -self.norm, self.norm) for name, gradient in gradients.items()}


def clipped_by_square(self, gradients):
    length = norm_of(gradients) ** 2
    self.steps, self.clipped = self.steps + 1, self.clipped + (length > self.norm)
    return {name: gradient * min(1.0, self.norm / length) for name, gradient in gradients.items()}


@pytest.mark.parametrize("fault", [clipped_apart, clipped_by_value, clipped_by_square])
def test_a_planted_fault_is_caught(monkeypatch, fault):
    monkeypatch.setattr(Clipping, "apply", fault)
    with pytest.raises(AssertionError):
        check_one_step()


def test_a_norm_that_is_never_reached_changes_no_bit():
    (one, _), (other, _) = trained(None, 3), trained(1e6, 3)
    for name in one.params:
        # The compiled step agrees to rounding; the definition is what clips.
        assert_close(other.params[name], one.params[name], 1e-12)
    assert [row.get("clipped") for row in other.history] == [None, 0.0, 0.0, 0.0]


def test_threads_change_nothing():
    (one, _), (other, _) = trained(0.05, 2, threads=1), trained(0.05, 2, threads=2)
    for name in one.params:
        assert np.array_equal(one.params[name], other.params[name])
    assert other.history[-1]["clipped"] == 1.0


def test_the_norm_is_of_all_vectors_and_does_not_overflow():
    assert norm_of({"theta": np.array([3.0, 0.0]), "phi": np.array([0.0, 4.0])}) == 5.0
    large = np.full(4, 1e30, np.float32)
    assert norm_of({"theta": large}) == pytest.approx(2e30, rel=1e-6)
    assert norm_of({"theta": np.zeros(2), "phi": np.zeros(0)}) == 0.0
    assert norm_of({"theta": np.array([1.0, np.inf])}) == np.inf
    assert np.isnan(norm_of({"theta": np.ones(1), "phi": np.array([1.0, np.nan])}))
    found = Clipping(1.0).apply({"theta": large})["theta"]
    assert found.dtype == np.float32 and norm_of({"theta": found}) == pytest.approx(1.0, rel=1e-6)


def test_what_is_held_does_not_count():
    held = Held(Layout([("a", (2,))]), np.array([1]), np.array([0.0]))
    found = Clipping(1.0, held).apply({"theta": np.array([0.5, 100.0]), "phi": np.array([0.5])})
    assert found["theta"].tolist() == [0.5, 0.0] and found["phi"].tolist() == [0.5]


def test_a_norm_that_is_no_length_is_refused():
    for value in (0.0, -1.0, np.nan):
        with pytest.raises(UserMistake, match=f"clip: expected .*got {value}"):
            fit("deep-bernoulli", BITS, latent=1, clip=value)
    with pytest.raises(UserMistake, match="clip: expected no value with method em"):
        fit("ppca", BITS, latent=1, method="em", clip=1.0)


def test_a_fit_clips_and_goes_on_bit_for_bit(tmp_path):
    options = {"latent": 1, "hidden": (3,), "clip": 0.1, "optimizer": "adamw(decay=0.1)", "batch": 40}
    whole = fit("deep-bernoulli", BITS, epochs=4, threads=1, **options)
    assert 0.0 < whole.history[-1]["clipped"] <= 1.0
    path = tmp_path / "state.npz"
    fit("deep-bernoulli", BITS, epochs=2, threads=1, checkpoint=path, **options)
    resumed = fit(resume=path, data=BITS, epochs=4, threads=2)
    assert np.array_equal(whole.theta, resumed.theta) and np.array_equal(whole.phi, resumed.phi)
    assert whole.history == resumed.history
