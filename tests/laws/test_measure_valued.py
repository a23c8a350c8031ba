"""Measure-valued gradients: the moves have the right laws, the coupling is a coupling, and what it gives."""

import numpy as np
import pytest
from cases import CASES, Case, model_id
from checks import peak_memory
from estimator_laws import BY_NAME, assert_same, noise_for
from noise_integrals import estimate, moments
from scipy.special import gamma

from elbo_lab import Problem
from elbo_lab.checking.measure_rules import circle_rule, radial_rule, sphere_rule
from elbo_lab.distributions import DiagonalGaussian
from elbo_lab.estimators import measure_valued
from elbo_lab.estimators.measure_valued import moved_draws
from elbo_lab.models import PPCA
from elbo_lab.posteriors import FreePosterior

PLAIN, COUPLED = BY_NAME["measure-valued"], BY_NAME["measure-valued-coupled"]
CONTINUOUS = [case for case in CASES if not case.model.family.discrete]


def on_a_line(mean, width):
    """Return (case, q, phi): PPCA with W = 0, so that log p(x, z) is log N(z; 0, 1) and a constant."""
    model = PPCA(2, 1)
    q = FreePosterior(DiagonalGaussian(1), 1)
    case = Case(model, np.zeros(model.layout.size), np.zeros((1, 2)), q, None, None, None)
    return case, q, q.phi_from_eta(np.array([[mean, np.log(width)]]))


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("n", [4, 16, 24])
def test_the_radial_rules_know_the_moments_of_weibull_and_maxwell(power, n):
    nodes, weights = radial_rule(power, n)
    for degree in range(8):
        expected = 2.0 ** (degree / 2) * gamma((power + degree + 1) / 2) / gamma((power + 1) / 2)
        assert weights @ nodes**degree == pytest.approx(expected, rel=1e-12)


def test_the_rules_of_three_normals_know_their_moments():
    nodes, weights = sphere_rule(4, 12)
    # The first column is the length of two normals, and the second is left empty.
    assert weights @ nodes == pytest.approx([np.sqrt(0.5 * np.pi), 0.0, 0.0], abs=1e-12)
    assert weights @ nodes**2 == pytest.approx([2.0, 0.0, 1.0], rel=1e-12)
    assert weights @ nodes[:, 2] ** 4 == pytest.approx(3.0, rel=1e-12)
    nodes, weights = circle_rule(4, 0)
    assert weights @ (nodes**2).sum(axis=1) == pytest.approx(2.0, rel=1e-12)


def test_every_move_changes_one_coordinate_of_one_draw():
    rng = np.random.default_rng(0)
    u, *moves = rng.standard_normal((4, 2, 5, 3, 2))  # two repeats, S = 5, N = 3, K = 2
    stacked = moved_draws(u, moves).reshape(2, 5, 7, 3, 2)
    assert np.array_equal(stacked[:, :, 0], u)
    for i, move in enumerate(moves):
        for k in range(2):
            expected = u.copy()
            expected[..., k] = move[..., k]
            assert np.array_equal(stacked[:, :, 1 + 2 * i + k], expected)


def test_moves_of_single_precision_stay_single():
    u = np.zeros((2, 3, 2), dtype=np.float32)
    assert moved_draws(u, (u, u, u)).dtype == np.float32


def test_the_coupled_normal_is_a_uniform_share_of_the_maxwell_draw():
    # The empirical distribution function of |a| / |(a, b, c)| is further than 3 / sqrt(n) from that of the
    # uniform for one seed in 3e7 (Kolmogorov).
    noise = np.random.default_rng(1).standard_normal((100_000, 3))
    share = np.sort(np.abs(noise[:, 0]) / np.sqrt((noise**2).sum(axis=1)))
    assert np.abs(share - (np.arange(100_000) + 0.5) / 100_000).max() < 3.0 / np.sqrt(100_000)


@pytest.mark.parametrize("estimator", [PLAIN, COUPLED], ids=lambda e: e.name)
@pytest.mark.parametrize("case", CONTINUOUS, ids=model_id)
def test_one_pair_of_evaluations_at_a_time_gives_the_same(case, estimator):
    # The definition, coordinate by coordinate, without any array of moves.
    noise, family = noise_for(estimator, case, 1)[0], case.model.family
    eta = case.free.eta(case.free_phi, case.x)
    mean, log_std = family.split(eta)
    std, n_data = np.exp(log_std), len(case.x)

    def f(u):
        z = (mean + std * u)[None]
        return (case.model.log_joint(case.theta, case.x, z) - family.log_prob(eta, z))[0]

    def moved(u, k, value):
        changed = u.copy()
        changed[:, k] = value
        return f(changed)

    expected = np.zeros(eta.shape)
    for k in range(family.size):
        own, u = noise[:, k], noise[..., 0]
        length = np.sqrt(own[:, 1] ** 2 + own[:, 2] ** 2)
        other = length if estimator is COUPLED else np.sqrt(own[:, 4] ** 2 + own[:, 5] ** 2)
        third = own[:, 0] if estimator is COUPLED else own[:, 3]
        maxwell = np.sign(third) * np.sqrt(length**2 + third**2)
        by_mean = (moved(u, k, length) - moved(u, k, -other)) / (std[:, k] * np.sqrt(2.0 * np.pi))
        expected[:, k] = by_mean / n_data
        expected[:, family.size + k] = (moved(u, k, maxwell) - f(u)) / n_data
    found = estimate(estimator, case, case.free, case.free_phi, noise[None])
    assert_same(found, case.free.phi_from_eta(expected), 1e-12)


def test_coupling_is_silent_where_f_is_even_and_costs_where_f_is_a_slope():
    # q = N(m, 1) against N(0, 1): f = -m (z - m) + constant, a slope. Per coordinate, from
    # Var W = 2 - pi / 2, E M^2 = 3, E (M - M U)^2 = 1.
    case, q, phi = on_a_line(3.0, 1.0)
    variance = {e: moments(e, case, q, phi, 1, tolerance=1e-9)[1] for e in (PLAIN, COUPLED)}
    by_mean = 9.0 * (2.0 - 0.5 * np.pi) / (2.0 * np.pi)
    np.testing.assert_allclose(variance[PLAIN], [2.0 * by_mean, 9.0 * (3.0 + 1.0)], rtol=1e-8)
    np.testing.assert_allclose(variance[COUPLED], [4.0 * by_mean, 9.0 * 1.0], rtol=1e-8)
    # q = N(0, s^2): f is even, and its two values under +-W are the same.
    case, q, phi = on_a_line(0.0, 0.5)
    variance = {e: moments(e, case, q, phi, 1, tolerance=1e-9)[1] for e in (PLAIN, COUPLED)}
    assert variance[COUPLED][0] < 1e-12 < 0.1 < variance[PLAIN][0]
    assert variance[COUPLED][1] < variance[PLAIN][1]


def test_at_the_exact_posterior_both_have_no_noise():
    case, q, phi = on_a_line(0.0, 1.0)
    for estimator in (PLAIN, COUPLED):
        noise = noise_for(estimator, case, 2, lead=(50,))
        assert np.abs(estimate(estimator, case, q, phi, noise)).max() < 1e-12


@pytest.mark.parametrize("estimator", [PLAIN, COUPLED], ids=lambda one: one.name)
@pytest.mark.parametrize("case", CONTINUOUS, ids=model_id)
def test_evaluations_a_few_at_a_time_give_the_same_estimate(case, estimator, monkeypatch):
    spec = estimator.noise_spec(case.model.family, 5, len(case.x))
    noise = np.random.default_rng(0).standard_normal((4, *spec.shape))
    at_once = estimator.estimate(case.problem(), noise)[0]
    monkeypatch.setattr(measure_valued, "ROWS_PER_PASS", 1)
    np.testing.assert_allclose(estimator.estimate(case.problem(), noise)[0], at_once, rtol=1e-12, atol=1e-12)


def test_the_moves_of_many_repeats_take_little_memory():
    # 20 repeats of 10 draws, each with 31 evaluations of 64 columns: 100 MB at once.
    model, rng = PPCA(64, 10), np.random.default_rng(0)
    q = FreePosterior(model.family, 32)
    theta, phi = 0.1 * rng.standard_normal(model.layout.size), np.zeros(q.layout.size)
    problem = Problem(model, q, theta, phi, rng.standard_normal((32, 64)))
    noise = rng.standard_normal((20, *PLAIN.noise_spec(model.family, 10, 32).shape))
    assert peak_memory(lambda: PLAIN.estimate(problem, noise)) < 4 * noise.nbytes
