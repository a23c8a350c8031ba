"""Signal-to-noise against draws: exact signals and known rates."""

import numpy as np
import pytest

from elbo_lab.estimators import Exact
from elbo_lab.processes import Workers
from elbo_lab.registry import find_estimators
from elbo_lab.study.experiments import linear_gaussian_scene, log_slope, signal_to_noise

NAMES = ["iwae-reparameterization", "dreg", "piwae-2-phi", "vimco", "ovis-tilde-0", "iwae-score-function"]


@pytest.fixture(scope="module")
def records():
    scene = linear_gaussian_scene(0)
    return signal_to_noise(scene, find_estimators(NAMES), 0, Workers(1), 100, draws=(1, 8, 32))


def test_draws_that_an_estimator_cannot_do_with_are_left_out(records):
    assert records["dreg"]["draws"] == [1, 8, 32]
    assert records["vimco"]["draws"] == records["piwae-2-phi"]["draws"] == [8, 32]


def test_the_ratio_is_the_exact_norm_over_the_measured_deviation(records):
    scene = linear_gaussian_scene(0)
    # At one draw dreg is linear in the noise of a linear-Gaussian model: d log w / dz has the slope
    # 1/s^2 - 1/v and the value (mean - q's mean) / v at eps = 0, with v the posterior's variance.
    signal = np.linalg.norm(Exact("grad-phi-elbo").answer(scene.problem).value)
    mean, log_std = scene.model.family.split(scene.posterior.eta(scene.phi, scene.x))
    best, best_log = scene.model.family.split(scene.best_eta)
    s, v = np.exp(log_std), np.exp(2.0 * best_log)
    a, b = (best - mean) / v, (1.0 / s**2 - 1.0 / v) * s
    # g = (a + b eps, s eps (a + b eps)): variances b^2 and s^2 (a^2 + 2 b^2).
    variance = (b**2 + s**2 * (a**2 + 2.0 * b**2)).sum() / len(scene.x) ** 2
    record, expected = records["dreg"], signal / np.sqrt(variance)
    assert record["low"][0] < expected < record["high"][0]


def test_the_plain_gradient_falls_and_the_doubly_reparameterised_one_grows(records):
    assert log_slope(records["iwae-reparameterization"]) < -0.3
    assert log_slope(records["iwae-score-function"], first=8) < -1.2
    assert log_slope(records["dreg"]) > 0.3


def test_the_posterior_has_no_signal_to_be_measured():
    scene = linear_gaussian_scene(0, shift=0.0, width=1.0)
    plain = find_estimators(["iwae-reparameterization"])
    found = signal_to_noise(scene, plain, 0, Workers(1), 20, draws=(4,))
    assert found["iwae-reparameterization"]["snr"][0] < 1e-8
