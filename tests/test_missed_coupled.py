"""Rare tuples of draws: no false alarm on sharp mixtures, and still an alarm for what is wrong."""

import numpy as np
import pytest
from estimator_laws import couples_draws

from elbo_lab import compare
from elbo_lab.estimators import ESTIMATORS, OvisTilde
from elbo_lab.registry import find_models
from elbo_lab.report import verdict
from elbo_lab.study.rare_events import missed_of_bound, rare_events
from elbo_lab.study.scene import build_scene

GRADIENTS = [e for e in ESTIMATORS if couples_draws(e) and e.target.startswith("grad") and not e.is_reference]
DISCRETE = [estimator for estimator in GRADIENTS if not estimator.needs_pathwise]


@pytest.mark.parametrize("n_draws", [1, 2, 10])
def test_the_largest_weight_and_its_number_exhaust_all_tuples(n_draws):
    log_w, q = np.array([0.3, -2.0, 5.0, 1.0]), np.array([0.1, 0.2, 0.3, 0.4])
    # Few bounds: every event may be missed, and those of the largest weight are a partition.
    once = n_draws * q * (1.0 - q) ** (n_draws - 1)
    assert abs((rare_events(log_w, q, n_draws, 1.0) - once).sum() - 1.0) < 1e-14
    assert rare_events(log_w, q, n_draws, 1e12).max() < 1e-15  # rounding


def test_an_event_counts_as_long_as_forty_are_not_expected():
    log_w, q = np.array([0.0, 1.0]), np.array([0.999, 0.001])
    # One of two draws is the rare one: 0.002; both: 1e-6.
    missed = rare_events(log_w, q, 2, 10_000)
    assert missed[1] == pytest.approx(2 * 0.001 * 0.999 * 2 + 1e-6)
    assert rare_events(log_w, q, 2, 100_000)[1] == pytest.approx(1e-6)


def test_continuous_latents_miss_nothing():
    scene = build_scene(find_models("gaussian-mle")[0], None, None, "free", "near", 3, 0)
    assert missed_of_bound(scene, 1000, 10) == {}


@pytest.mark.parametrize("at", ["near", "start"])
@pytest.mark.parametrize("seed", range(5))
def test_no_unbiased_row_of_a_mixture_fails(seed, at):
    result = compare("gaussian-mixture", estimators=DISCRETE, rows=4, repeats=200, seed=seed, at=at)
    verdicts = {(row["variant"], row["estimator"]): verdict(row) for row in result.rows}
    assert "ok" in verdicts.values()
    assert [key for key, word in verdicts.items() if word == "FAIL"] == []


class Boastful(OvisTilde):
    """A biased estimator that claims to be unbiased."""

    unbiased = True


def test_a_biased_estimator_that_claims_otherwise_fails():
    x = np.random.default_rng(0).standard_normal((60, 2))
    result = compare("gaussian-mixture:full", data=x, estimators=[Boastful(1)], rows=4, repeats=1000, draws=4)
    assert [verdict(row) for row in result.rows] == ["FAIL"]
