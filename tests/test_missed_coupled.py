"""Rare tuples of draws: no false alarm on sharp mixtures, and still an alarm for what is wrong."""

from dataclasses import replace

import numpy as np
import pytest
from estimator_laws import couples_draws

from elbo_lab import compare
from elbo_lab.estimators import ESTIMATORS, CombinedBound, OvisTilde
from elbo_lab.models import GaussianMixture
from elbo_lab.posteriors import FreePosterior
from elbo_lab.registry import find_models
from elbo_lab.report import verdict
from elbo_lab.study.rare_events import missed_of_bound, rare_events
from elbo_lab.study.scene import Scene, build_scene

GRADIENTS = [e for e in ESTIMATORS if couples_draws(e) and e.target.startswith("grad") and not e.is_reference]
DISCRETE = [estimator for estimator in GRADIENTS if not estimator.needs_pathwise]


def test_the_share_of_each_datum_falls_as_the_square_of_their_number():
    scene = build_scene(find_models("gaussian-mixture:spherical")[0], None, None, "free", "near", 3, 0)
    x = np.repeat(scene.x, 2, axis=0)
    posterior = FreePosterior(scene.posterior.family, len(x))
    phi = posterior.phi_from_eta(np.repeat(scene.posterior.eta(scene.phi, scene.x), 2, axis=0))
    once, twice = (
        missed_of_bound(one, 40, 4) for one in (scene, replace(scene, x=x, posterior=posterior, phi=phi))
    )
    assert once.keys() == twice.keys() and all(missed.any() for missed in once.values())
    for target, missed in once.items():
        if target.startswith("grad-phi"):
            in_eta = scene.posterior.eta(missed, scene.x)
            np.testing.assert_allclose(posterior.eta(twice[target], x), np.repeat(in_eta, 2, axis=0) / 4.0)
        else:
            np.testing.assert_allclose(twice[target], missed / 2.0)


@pytest.mark.parametrize("n_draws", [1, 2, 10])
def test_the_largest_weight_and_its_number_exhaust_all_tuples(n_draws):
    log_w, q = np.array([0.3, -2.0, 5.0, 1.0]), np.array([0.1, 0.2, 0.3, 0.4])
    # Few bounds: every event may be missed, and those of the largest weight are a partition.
    once, *largest = rare_events(log_w, q, n_draws, 1.0)
    assert abs(np.sum(largest) - 1.0) < 1e-14
    np.testing.assert_allclose(once, n_draws * q * (1.0 - q) ** (n_draws - 1))
    assert rare_events(log_w, q, n_draws, 1e12).max() < 1e-15  # rounding


def test_an_event_counts_as_long_as_forty_are_not_expected():
    log_w, q = np.array([0.0, 1.0]), np.array([0.999, 0.001])
    # One of two draws is the rare one: 0.002; both: 1e-6.
    once, alone, both = rare_events(log_w, q, 2, 10_000)[:, 1]
    assert once == alone == pytest.approx(2 * 0.001 * 0.999) and both == pytest.approx(1e-6)
    for enough in (20_100, 100_000):  # more than forty are expected
        assert rare_events(log_w, q, 2, enough)[:, 1].sum() == pytest.approx(1e-6)


@pytest.mark.parametrize("ratio", [0.1, 0.5, 2.0, 10.0])
def test_what_is_added_to_a_value_covers_what_its_rare_pairs_hold(ratio):
    # One datum and two categories: the rare one, of probability 0.001, has `ratio` times the other's weight.
    model, x, q = GaussianMixture(1, 2, "spherical"), np.zeros((1, 1)), np.array([0.999, 0.001])
    away = np.sqrt(-2.0 * np.log(ratio * q[1] / q[0]))
    theta = model.layout.pack({"logits": [0.0, 0.0], "mean": [[0.0], [away]], "log_sigma": [0.0, 0.0]})
    posterior = FreePosterior(model.family, 1)
    phi = posterior.phi_from_eta(np.log(q)[None])
    scene = Scene(model, theta, posterior, phi, x, "one datum", np.log(q)[None])
    change = np.log([0.5 + 0.5 * ratio, ratio])  # of the bound, if one or both of two draws are rare
    held = np.array([2.0 * q[0] * q[1], q[1] ** 2]) @ change**2
    assert 0.0 < held <= missed_of_bound(scene, 40, 2)["iwae-2"][0] / 2  # of one estimate from two draws


def test_continuous_latents_miss_nothing():
    scene = build_scene(find_models("gaussian-mle")[0], None, None, "free", "near", 3, 0)
    assert missed_of_bound(scene, 1000, 10) == {}


@pytest.mark.parametrize("at", ["near", "start"])
@pytest.mark.parametrize("seed", range(5))
def test_no_unbiased_row_of_a_mixture_fails(seed, at):
    result = compare("gaussian-mixture", estimators=DISCRETE, rows=4, repeats=200, seed=seed, at=at)
    verdicts = {(row["variant"], row["estimator"]): verdict(row) for row in result.rows}
    assert {word.split()[0] for word in verdicts.values()} & {"ok", "blind"}
    assert [key for key, word in verdicts.items() if word == "FAIL"] == []


@pytest.mark.parametrize(("repeats", "at"), [(10, "near"), (20, "near"), (20, "start"), (40, "exact")])
@pytest.mark.parametrize("model", ["gaussian-mixture", "sigmoid-belief"])
def test_few_repeats_of_a_discrete_model_raise_no_false_alarm(model, repeats, at):
    result = compare(model, rows=4, repeats=repeats, draws=4, seed=repeats, at=at)
    rows = [row for row in result.rows if row["applicable"] and row["estimator"] != "exact"]
    assert len({row["target"] for row in rows}) >= 7
    assert [row["estimator"] for row in rows if verdict(row) == "FAIL"] == []
    # Of a biased estimator as well: a mean that looks certain is none that is known.
    assert [row["estimator"] for row in rows if not row["bias_max_z"] < 1e3] == []


class Boastful(OvisTilde):
    """A biased estimator that claims to be unbiased."""

    name = "boastful"
    unbiased = True


def test_a_biased_estimator_that_claims_otherwise_fails():
    x = np.random.default_rng(0).standard_normal((60, 2))
    result = compare("gaussian-mixture:full", data=x, estimators=[Boastful(1)], rows=4, repeats=1000, draws=4)
    assert [verdict(row) for row in result.rows] == ["FAIL"]


class BoastfulValue(CombinedBound):
    """Half an ELBO that claims to be the importance-weighted bound."""

    name = "boastful-value"
    unbiased = True


@pytest.mark.parametrize("model", ["gaussian-mixture:full", "sigmoid-belief"])
def test_a_biased_value_that_claims_otherwise_fails(model):
    result = compare(model, estimators=[BoastfulValue()], rows=4, repeats=200, draws=4, at="start")
    assert [verdict(row) for row in result.rows] == ["FAIL"]
