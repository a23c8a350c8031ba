"""Optimal sigma: the noise of a decoder moves to the mean squared error, in closed form."""

import numpy as np
import pytest

from elbo_lab import compare, exact, fit
from elbo_lab.models import DeepGaussianFixed, DeepGaussianOptimal
from elbo_lab.training import Adam
from elbo_lab.training.batch import Move
from elbo_lab.training.noise_scale import LEAST_FACTOR, SHARE, NoiseScaleMove

RNG = np.random.default_rng(0)
ROWS = np.linspace(-1, 1, 40)[:, None] * np.array([2.0, -1.0, 1.0]) + 0.05 * RNG.standard_normal((40, 3))
OPTIONS = {"latent": 1, "hidden": (4,), "batch": 40, "learning_rate": 1e-3, "draws": 8, "progress": False}
OPTIONS |= {"dtype": "float64"}


def slope(model, result):
    """Return the exact d ELBO / d log sigma per datum of a fit."""
    eta = result.posterior.eta(result.phi, ROWS)
    family = result.posterior.family
    return exact.expectation(model, result.theta, ROWS, eta, family).grad_theta[-1]


def test_a_step_is_the_running_mean_of_the_squared_error():
    """At any sigma; the planted faults are sigma in place of its square, and a forgotten D."""
    model, rng = DeepGaussianFixed(3, 1, (4,)), np.random.default_rng(1)
    theta = 0.5 * rng.standard_normal(model.layout.size)
    z = rng.standard_normal((5, 40, 1))
    gradient = model.log_joint_vjp(theta, ROWS, z, np.full((5, 40), 1 / 200))[0]
    error = np.mean((ROWS - model.expected_x(theta, z)) ** 2)
    variance = np.exp(2 * theta[-1])
    optimizer, rate = Adam(), 1e-3
    moved, plain = theta.copy(), theta.copy()
    slots = [optimizer.initial_state(theta.size, np.float64) for _ in range(2)]
    NoiseScaleMove(moved, optimizer, slots[0], 1, rate, 3).take(slice(0, theta.size), gradient)
    Move(plain, optimizer, slots[1], 1, rate).take(slice(0, theta.size), gradient)
    np.testing.assert_allclose(np.exp(2 * moved[-1]), (1 - SHARE) * variance + SHARE * error, rtol=1e-12)
    np.testing.assert_array_equal(moved[:-1], plain[:-1])
    assert abs(np.exp(moved[-1]) - ((1 - SHARE) * np.exp(theta[-1]) + SHARE * np.sqrt(error))) > 1e-3
    # A gradient that no mean of squares gives leaves a finite sigma.
    before = moved[-1]
    NoiseScaleMove(moved, optimizer, slots[0], 2, rate, 3).take(
        slice(0, theta.size), -1e9 * np.ones(theta.size)
    )
    np.testing.assert_allclose(moved[-1] - before, 0.5 * np.log(LEAST_FACTOR))


def test_sigma_is_at_its_optimum_long_before_the_gradient_brings_it_there():
    """From sigma e^2 times too large, with draws that stay: the error left falls by 0.9 a step."""
    model, rng = DeepGaussianFixed(3, 1, (4,)), np.random.default_rng(1)
    start = model.random_theta(ROWS, rng)
    z = rng.standard_normal((5, 40, 1))
    ends = {}
    for kind, further in ((NoiseScaleMove, (3,)), (Move, ())):
        theta, optimizer = start.copy(), Adam()
        theta[-1] += 2.0
        slots = optimizer.initial_state(theta.size, np.float64)
        for step in range(1, 101):
            gradient = model.log_joint_vjp(theta, ROWS, z, np.full((5, 40), 1 / 200))[0]
            kind(theta, optimizer, slots, step, 1e-3, *further).take(slice(0, theta.size), gradient)
        ends[kind] = model.log_joint_vjp(theta, ROWS, z, np.full((5, 40), 1 / 200))[0][-1]
    # Of D = 3: what is left is the lag behind an error that itself falls by some 1e-3 a step.
    assert abs(ends[NoiseScaleMove]) < 0.03 * 3 < 0.9 * 3 < abs(ends[Move])


def test_a_fit_ends_where_the_slope_of_the_elbo_in_log_sigma_is_zero():
    found = fit("deep-gaussian:optimal", ROWS, epochs=300, **OPTIONS | {"learning_rate": 1e-2})
    assert isinstance(found.model, DeepGaussianOptimal) and found.final["decoder_noise"]["sigma"] < 0.8
    assert abs(slope(found.model, found)) < 0.1 * 3


def test_it_goes_on_bit_for_bit_and_may_be_held(tmp_path):
    path = tmp_path / "optimal.npz"
    options = OPTIONS | {"batch": 20, "prior": None}
    whole = fit("deep-gaussian:optimal", ROWS, epochs=6, **options)
    fit("deep-gaussian:optimal", ROWS, epochs=3, checkpoint=path, **options)
    resumed = fit(resume=path, data=ROWS, epochs=6, progress=False)
    np.testing.assert_array_equal(whole.theta, resumed.theta)
    held = fit("deep-gaussian:optimal", ROWS, epochs=2, hold={"log_sigma": -1.0}, **options)
    assert held.theta[-1] == -1.0


@pytest.mark.parametrize(
    "asked",
    [
        {"objective": "iwae", "draws": 3, "phi_estimator": "dreg"},
        {"phi_estimator": "score-function-loo", "draws": 4},
        {"phi_steps": 2},
        {"clip": 1.0},
        {"posterior": "free"},
    ],
)
def test_every_way_to_train_moves_it(asked):
    found, plain = (
        fit(f"deep-gaussian:{kind}", ROWS, epochs=3, **OPTIONS | {"learning_rate": 0.1} | asked)
        for kind in ("optimal", "fixed")
    )
    assert np.isfinite(found.theta).all() and abs(found.theta[-1] - plain.theta[-1]) > 0.01


def test_its_density_is_that_of_a_fixed_scale():
    first, second = (kind(3, 1, (4,)) for kind in (DeepGaussianFixed, DeepGaussianOptimal))
    theta = first.random_theta(ROWS, np.random.default_rng(2))
    z = np.random.default_rng(3).standard_normal((2, 40, 1))
    np.testing.assert_array_equal(first.log_joint(theta, ROWS, z), second.log_joint(theta, ROWS, z))
    table = compare(
        "deep-gaussian:optimal", targets="elbo", data=ROWS, rows=4, repeats=10, latent=1, threads=1
    )
    assert table.rows
