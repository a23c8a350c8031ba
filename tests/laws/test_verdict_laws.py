"""In `compare` an estimator that is wrong by 10 % is FAIL or blind on every model, a right one never FAIL."""

from collections import Counter

import numpy as np
import pytest

from elbo_lab import compare
from elbo_lab.estimators import ESTIMATORS
from elbo_lab.registry import find_models

# One variant of each kind.
COMPARED = [choice for choice in find_models(None) if choice.kind.compared]
MODELS = list({choice.kind.name: choice.label for choice in COMPARED}.values())
BASES = [
    next(type(e) for e in ESTIMATORS if (e.target, e.name) == key)
    for key in (
        ("elbo", "elbo-log-weight"),
        ("grad-theta-elbo", "elbo-sampled"),
        ("grad-phi-elbo", "sticking-the-landing"),
        ("grad-phi-elbo", "enumeration"),
    )
]


def in_block(which, factor):
    """Return factors(layout) (P,) that change one block of parameters."""

    def factors(layout):
        found = np.ones(layout.size)
        found[layout.blocks[which]] = factor
        return found

    return factors


FAULTS = {
    "right": None,
    "too small": lambda _: 0.9,
    "too large": lambda _: 1.1,
    "other sign": lambda _: -1.0,
    "first block too small": in_block(0, 0.9),
    "last block too large": in_block(-1, 1.1),
    "other sign of the last block": in_block(-1, -1.0),
}


def planted(base, fault):
    """Return an estimator of the class `base` with a fault, which still claims to be unbiased."""
    is_value = not base.target.startswith("grad")

    class Planted(base):
        name = f"{base.name}, {fault}"
        unbiased = True

        def estimate(self, problem, noise, state):
            value, state = super().estimate(problem, noise, state)
            if FAULTS[fault] is None:
                return value, state
            of_phi = base.target.startswith("grad-phi")
            layout = None if is_value else (problem.posterior if of_phi else problem.model).layout
            return value * FAULTS[fault](layout), state

    return None if is_value and "block" in fault else Planted()


@pytest.fixture(scope="module")
def rows():
    chosen = [planted(base, fault) for base in BASES for fault in FAULTS]
    chosen = [estimator for estimator in chosen if estimator is not None]
    result = compare(MODELS, estimators=chosen, rows=2, repeats=200, threads=2)
    return [row for row in result.rows if row["applicable"]]


def test_a_wrong_estimator_is_never_ok_on_any_model(rows):
    passed = [
        row
        for row in rows
        if not row["estimator"].endswith("right") and row["bias_verdict"] in ("ok", "exact")
    ]
    told = [(row["model"], row["variant"], row["target"], row["estimator"]) for row in passed]
    assert told == []
    assert len({row["model"] for row in rows}) == len(MODELS)


def test_a_right_estimator_never_fails_and_the_test_is_not_blind_everywhere(rows):
    words = Counter((row["estimator"].endswith("right"), row["bias_verdict"]) for row in rows)
    assert words[True, "FAIL"] == 0
    assert words[True, "ok"] + words[True, "exact"] >= 6
    assert words[False, "FAIL"] > 40
