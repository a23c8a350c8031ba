"""The stopping rule: its error over all looks, its bound, why it stops, and how a fault shows."""

import numpy as np
import pytest
from stopping_rates import rates, training_of

from elbo_lab import fit
from elbo_lab.training import StoppingRule
from elbo_lab.training.stopping import spent

ROWS = np.random.default_rng(0).normal(size=(20, 3)) * [2.0, 1.0, 0.5]
SMALL = {"latent": 1, "method": "vae", "hidden": (), "epochs": 100, "evaluate_every": 20, "draws": 4}
SMALL |= {"learning_rate": 0.05, "progress": False}


class TooSmall(StoppingRule):
    """The planted fault: delta on the wrong scale, as if it were for three columns."""

    def is_reached(self, row):
        return row.get("still_to_gain_limit", np.inf) / 3 <= self.delta


def test_the_shares_of_all_looks_add_up_to_the_error():
    assert sum(spent(0.05, look) for look in range(1, 200_000)) == pytest.approx(0.05, rel=1e-5)


def at_the_start(rule):
    """Return the row of a look before the first step, and the exact distance there."""
    training, left = training_of("linear-vae", 1.0, 0.05, 1, rule)
    training._record("start")
    return training.stopping.look(training.params, 1), left[-1]


def test_what_is_left_to_gain_is_bounded_by_the_exact_distance():
    """PPCA with a linear encoder: the estimate is the exact distance but for luck, the limit is above it."""
    row, exact = at_the_start(StoppingRule)
    assert exact < row["still_to_gain_limit"] < 1.3 * exact
    assert row["still_to_gain"] == pytest.approx(exact, rel=0.15)


def test_delta_on_a_wrong_scale_stops_too_early():
    row, exact = at_the_start(StoppingRule)
    objective = training_of("linear-vae", 1.0, 0.05, 1)[0].stopping.objective
    assert not StoppingRule(objective, exact / 2).is_reached(row)
    assert TooSmall(objective, exact / 2).is_reached(row)


def test_a_fit_says_why_it_stopped_and_resumes_bit_for_bit(tmp_path):
    whole = fit("ppca", ROWS, stop_within=0.5, checkpoint=tmp_path / "a.npz", **SMALL)
    assert whole.stopped == "at most 0.5 nats per datum are left to gain, with confidence 0.95"
    assert whole.history[-1]["still_to_gain_limit"] <= 0.5 and whole.history[-1]["epoch"] < 100
    ended = whole.history[-1]["epoch"]
    fit("ppca", ROWS, stop_within=0.5, checkpoint=tmp_path / "b.npz", **SMALL | {"epochs": ended - 20})
    parts = fit(data=ROWS, resume=tmp_path / "b.npz", epochs=100, progress=False)
    assert np.array_equal(whole.theta, parts.theta) and whole.history == parts.history
    again = fit(data=ROWS, resume=tmp_path / "a.npz", progress=False)
    assert np.array_equal(whole.theta, again.theta) and again.stopped == whole.stopped


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stop_within": 0.1, "patience": 3}, "patience: expected no value with stop_within, got 3"),
        ({"stop_within": 0.1, "objective": "iwae"}, "objective: expected elbo with stop_within"),
        ({"stop_within": 0.1, "beta": 2.0}, "beta: expected 1.0 with stop_within"),
        ({"stop_within": -1.0}, "stop_within: expected"),
        ({"stop_within": 0.1, "stop_confidence": 1.5}, "stop_confidence: expected a probability below 1"),
        ({"stop_confidence": 0.9}, "stop_confidence: expected no value without stop_within, got 0.9"),
        ({"stop_within": 0.1, "posterior": "laplace"}, "stop_within: expected no value with a laplace q"),
    ],
)
def test_what_has_no_such_rule_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        fit("ppca", ROWS, **SMALL | options)


@pytest.mark.slow
def test_delta_on_a_wrong_scale_raises_the_rate_of_false_stops():
    assert rates("linear-vae", range(20), rule=TooSmall).false >= 8


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ppca", "linear-vae"])
def test_the_rate_of_false_stops_is_below_its_limit(kind):
    """200 seeds: at a rate of 5 % more than 19 false stops have a probability of 0.2 %."""
    found = rates(kind, range(200))
    assert found.stopped >= 190 and found.false <= 19
