"""Relaxations that are cooled during a training."""

import numpy as np
import pytest

from elbo_lab import fit
from elbo_lab.registry import find_estimators
from elbo_lab.training import TemperatureSchedule

BITS = (np.random.default_rng(0).random((24, 5)) < 0.4).astype(float)
OPTIONS = {"latent": 2, "hidden": (4,), "batch": 12, "draws": 2, "method": "vae", "progress": False}
COOLED = OPTIONS | {"phi_estimator": "concrete", "temperature_schedule": "exponential:1:0.25:4"}


def test_the_two_schedules_are_those_of_their_formulas():
    exponential = TemperatureSchedule.parse("exponential:1:0.25:4")
    assert [exponential.at(step) for step in (0, 2, 4, 99)] == pytest.approx(
        [1.0, 0.5, 0.25, 0.25], rel=1e-15
    )
    linear = TemperatureSchedule.parse("linear:2:1:10")
    assert [linear.at(step) for step in (0, 5, 10, 11)] == [2.0, 1.5, 1.0, 1.0]


@pytest.mark.parametrize("model", ["sigmoid-belief", "categorical-vae"])
def test_a_training_shows_its_temperature_and_goes_on_bit_for_bit(model, tmp_path):
    path = tmp_path / "cooled.npz"
    whole = fit(model, BITS, epochs=3, **COOLED)
    # Two minibatches an epoch: the last of each epoch has seen 1, 3 and 5 before it.
    shown = [row["temperature"] for row in whole.history[1:]]
    assert shown == pytest.approx([0.25**0.25, 0.25**0.75, 0.25], rel=1e-14)
    fit(model, BITS, epochs=1, checkpoint=path, **COOLED)
    resumed = fit(resume=path, data=BITS, epochs=3, progress=False)
    assert resumed.history == whole.history
    np.testing.assert_array_equal(resumed.phi, whole.phi)


def test_a_constant_schedule_is_the_estimator_of_that_temperature():
    """The planted fault: a schedule that is shown and not used."""
    asked = {name: value for name, value in COOLED.items() if name != "temperature_schedule"}
    still = fit("sigmoid-belief", BITS, epochs=2, **COOLED | {"temperature_schedule": "linear:0.3:0.3:1"})
    named = fit("sigmoid-belief", BITS, epochs=2, **asked | {"phi_estimator": "concrete(temperature=0.3)"})
    usual = fit("sigmoid-belief", BITS, epochs=2, **asked)
    np.testing.assert_array_equal(still.phi, named.phi)
    assert np.abs(still.phi - usual.phi).max() > 1e-4


@pytest.mark.parametrize("name", ["concrete", "straight-through-gumbel", "rebar", "relax"])
def test_every_estimator_with_a_temperature_takes_a_schedule(name):
    (estimator,) = find_estimators(name)
    cooled = TemperatureSchedule.parse("linear:0.9:0.1:2").cooled(estimator, 1)
    assert cooled.temperature == 0.5 and type(cooled) is type(estimator)
    short = COOLED | {"phi_estimator": name, "temperature_schedule": "linear:0.9:0.1:2"}
    assert fit("sigmoid-belief", BITS, epochs=1, **short).history[-1]["temperature"] == 0.5


def test_a_warm_up_of_the_kl_may_go_beside_it():
    found = fit("sigmoid-belief", BITS, epochs=2, beta=2.0, beta_schedule="linear:4", **COOLED)
    last = found.history[-1]
    assert last["beta"] == 1.5 and last["temperature"] == pytest.approx(0.25**0.75)


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"phi_estimator": "score-function-loo"}, "score-function-loo has no temperature; take concrete"),
        ({"phi_estimator": "rebar-learned"}, "rebar-learned-0.5 learns its temperature"),
        ({"temperature_schedule": "exponential:1:0.1"}, "expected 'linear:FROM:TO:STEPS' or 'exp.*1:0.1'"),
        ({"temperature_schedule": "linear:1:0:5"}, "all numbers are positive"),
        ({"temperature_schedule": "linear:1:nan:5"}, "all numbers are positive"),
        ({"temperature_schedule": "cosine:1:0.1:5"}, "temperature_schedule: .*'cosine'"),
        ({"objective": "iwae", "phi_estimator": "vimco"}, "expected no value with objective iwae"),
    ],
)
def test_what_cannot_be_cooled_is_refused(changed, line):
    with pytest.raises(ValueError, match=line):
        fit("sigmoid-belief", BITS, epochs=1, **COOLED | changed)
