"""Chains of z: what holds without luck, then stationary moments with a stated false-alarm rate."""

from dataclasses import dataclass

import numpy as np
import pytest
from cases import CASES, over
from checks import assert_close

from elbo_lab.chains import (
    ChainDraws,
    HamiltonianMonteCarlo,
    JointPoint,
    MoveNoise,
    PosteriorTarget,
    RandomWalk,
    accept,
    draw_move_noise,
    hmc,
    leapfrog,
    posterior_draws,
    warm_up,
)
from elbo_lab.chains.posterior import jittered
from elbo_lab.distributions import draw_noise
from elbo_lab.errors import NotApplicable
from elbo_lab.evaluation.annealed.path import AnnealedPath, Tempered
from elbo_lab.models import PPCA

CONTINUOUS = [case for case in CASES if not case.model.family.discrete]
LINEAR = next(case for case in CASES if case.model.name == "ppca")
MOVES = (RandomWalk(0.8), HamiltonianMonteCarlo(0.45, 3))
# Means and variances of N K = 6 coordinates after moves of chains that began as exact draws: at |z| <= 5 a
# false alarm has probability 7e-6 for the twelve of a test in the normal limit, and all seeds are fixed.
Z_LIMIT = 5.0


def targets_of(case):
    """Return the targets of a case: its posterior, and a temperature between it and the prior."""
    path = AnnealedPath.from_q(case.model, case.theta, case.x)
    return PosteriorTarget(case.model, case.theta, case.x), Tempered(path, 0.7)


def start_of(target, n_chains, rng):
    return target.with_slope(rng.standard_normal((n_chains, 3, target_model(target).latent_dim)))


def target_model(target):
    return target.path.model if isinstance(target, Tempered) else target.model


# -- the leapfrog ----------------------------------------------------------------------------------


@over(CONTINUOUS)
def test_the_slope_of_a_target_is_its_derivative(case):
    rng = np.random.default_rng(0)
    z, direction = rng.standard_normal((2, 4, 3, case.model.latent_dim))
    for target in targets_of(case):
        up, down = (target.value(target.at(z + s * direction)) for s in (1e-5, -1e-5))
        slope = target.slope(target.with_slope(z))
        assert_close((up - down) / 2e-5, (slope * direction).sum(axis=-1), 1e-6)
        assert_close(target.slope_at(z), slope, 1e-12)
        assert_close(target.value(target.with_slope(z)), target.value(target.at(z)), 1e-12)


def returns(target, rng, h, n_leapfrog):
    """Return the largest error after the way there and, with the momentum turned round, back."""
    point, step = start_of(target, 5, rng), np.full(3, h)
    momentum = rng.standard_normal(point.z.shape)
    there, after = hmc.leapfrog(target, point, momentum, step, n_leapfrog)
    back, turned = hmc.leapfrog(target, there, -after, step, n_leapfrog)
    return max(np.abs(back.z - point.z).max(), np.abs(turned + momentum).max())


@over(CONTINUOUS)
def test_the_leapfrog_turned_round_comes_back(case):
    for target in targets_of(case):
        assert returns(target, np.random.default_rng(1), 0.05, 10) < 1e-12


@over(CONTINUOUS)
def test_the_energy_errs_like_the_square_of_the_step(case):
    for target in targets_of(case):
        rng, errors = np.random.default_rng(1), []
        point = start_of(target, 5, rng)
        momentum = rng.standard_normal(point.z.shape)
        for h, n_leapfrog in ((0.02, 10), (0.01, 20)):
            there, after = leapfrog(target, point, momentum, np.full(3, h), n_leapfrog)
            before = target.value(point) - 0.5 * (momentum**2).sum(axis=-1)
            errors.append(np.abs(target.value(there) - 0.5 * (after**2).sum(axis=-1) - before).max())
        assert 3.0 < errors[0] / errors[1] < 5.0


def determinant(target):
    """Return the Jacobian determinant (N,) of the leapfrog in z and momentum, by central differences."""
    K, step = target_model(target).latent_dim, np.array([0.3, 0.2, 0.1])
    start = np.random.default_rng(2).standard_normal((3, 2 * K))

    def end(vector):
        z, momentum = vector[None, :, :K], vector[None, :, K:]
        point, after = hmc.leapfrog(target, target.with_slope(z), momentum, step, 4)
        return np.concatenate([point.z[0], after[0]], axis=-1)

    columns = [(end(start + s) - end(start - s)) / 2e-5 for s in 1e-5 * np.eye(2 * K)]
    return np.linalg.det(np.stack(columns, axis=-1))


@over(CONTINUOUS)
def test_the_leapfrog_keeps_volume(case):
    for target in targets_of(case):
        assert_close(determinant(target), np.ones(3), 1e-8)


def test_the_chains_of_a_datum_do_not_see_the_others():
    target = targets_of(LINEAR)[0]
    alone = PosteriorTarget(LINEAR.model, LINEAR.theta, LINEAR.x[1:2])
    rng, step = np.random.default_rng(0), np.array([0.1, 0.3, 0.6])
    z, momentum = rng.standard_normal((2, 4, 3, 2))
    there, after = leapfrog(target, target.with_slope(z), momentum, step, 3)
    one, one_after = leapfrog(alone, alone.with_slope(z[:2, 1:2]), momentum[:2, 1:2], step[1:2], 3)
    assert_close(one.z, there.z[:2, 1:2], 1e-13)
    assert_close(one_after, after[:2, 1:2], 1e-13)


# -- the decision ----------------------------------------------------------------------------------


def test_the_metropolis_rule_keeps_detailed_balance():
    # Two states of unequal density, and a proposal that always goes to the other one: the share of moves
    # out of each, over a grid of uniforms, is min(1, ratio), so that f a(up) = f' a(down).
    log_f = np.array([-1.0, 0.4])
    n = 100_000
    uniform = ((np.arange(n) + 0.5) / n)[:, None]
    shares = []
    for here, there in ((0, 1), (1, 0)):
        point, other = (
            JointPoint(np.full((n, 1, 1), float(i)), np.full((n, 1), log_f[i])) for i in (here, there)
        )
        after, moved = accept(point, other, other.log_joint - point.log_joint, uniform)
        assert np.array_equal(after.z[..., 0] == there, moved)
        assert np.array_equal(after.log_joint, log_f[np.where(moved, there, here)])
        shares.append(moved.mean())
    assert abs(np.exp(log_f[0]) * shares[0] - np.exp(log_f[1]) * shares[1]) < 2e-5


def gaussian_acceptance(std, h, n_leapfrog, n_angles=200_000):
    """Return the acceptance probability of a Hamiltonian move on N(m, std^2), by quadrature.

    The leapfrog is linear in ((z - m) / std, r), with matrix A: the energy rises by a quadratic form of that
    standard normal pair, rho^2 c(angle) with c = (|A u|^2 - 1) / 2 at the unit vector u. The radius
    integrates in closed form, E_rho min(1, exp(-rho^2 c)) = 1 / (1 + 2 max(c, 0)), and the angle by a fine
    midpoint rule.
    """
    half = np.array([[1.0, 0.0], [-0.5 * h / std, 1.0]])
    A = np.linalg.matrix_power(half @ np.array([[1.0, h / std], [0.0, 1.0]]) @ half, n_leapfrog)
    angle = 2.0 * np.pi * (np.arange(n_angles) + 0.5) / n_angles
    moved = A @ np.array([np.cos(angle), np.sin(angle)])
    rise = 0.5 * ((moved**2).sum(axis=0) - 1.0)
    return (1.0 / (1.0 + 2.0 * np.maximum(rise, 0.0))).mean()


def gaussian_target():
    """Return a target with one latent and a Gaussian posterior, and its mean and standard deviation (N,)."""
    model = PPCA(3, 1)
    rng = np.random.default_rng(4)
    theta = model.canonical(0.5 * rng.standard_normal(model.layout.size))
    x, _ = model.sample(theta, 3, rng)
    mean, std = model.posterior_mean_and_std(theta, x)
    return PosteriorTarget(model, theta, x), mean[:, 0], std[:, 0]


def acceptance_errors(n_chains=40_000):
    """Return the errors of accepted shares, by step and datum, in binomial standard errors."""
    target, mean, std = gaussian_target()
    rng, errors = np.random.default_rng(3), []
    for share_of_std, n_leapfrog in ((0.8, 1), (1.4, 2), (1.7, 5)):
        step = share_of_std * std
        z = mean[:, None] + std[:, None] * rng.standard_normal((n_chains, 3, 1))
        noise = draw_move_noise(z.shape, rng)
        moved = HamiltonianMonteCarlo(1.0, n_leapfrog).move(target, target.with_slope(z), step, noise)[1]
        exact = np.array([gaussian_acceptance(s, h, n_leapfrog) for s, h in zip(std, step, strict=True)])
        errors.append((moved.mean(axis=0) - exact) / np.sqrt(exact * (1.0 - exact) / n_chains))
    return np.array(errors)


def test_the_acceptance_on_a_gaussian_is_that_of_quadrature():
    # Nine shares, one binomial standard error of 0.25 % at most: a miss of 1.3 points is caught.
    assert np.abs(acceptance_errors()).max() <= Z_LIMIT


# -- stationary moments ----------------------------------------------------------------------------


def exact_chains(n_chains, seed=0):
    """Return the target of LINEAR, exact draws (S, N, K) of its posterior, their mean and std."""
    theta = LINEAR.model.canonical(LINEAR.theta)
    eta = LINEAR.model.posterior_eta(theta, LINEAR.x)
    family = LINEAR.model.family
    z = family.sample(eta, draw_noise(family.noise_spec(n_chains, 3), np.random.default_rng(seed)))
    return PosteriorTarget(LINEAR.model, theta, LINEAR.x), z, *family.moments(eta)


def moment_errors(transition, n_moves=6, n_chains=20_000):
    """Return the errors of means and variances after moves from exact draws, in standard errors."""
    target, z, mean, std = exact_chains(n_chains)
    rng, step = np.random.default_rng(1), transition.step * std.mean(axis=-1)
    point = transition.start(target, z)
    for _ in range(n_moves):
        point, _ = transition.move(target, point, step, draw_move_noise(z.shape, rng))
    standard = (point.z - mean) / std
    of_mean = standard.mean(axis=0) * np.sqrt(n_chains)
    of_variance = ((standard**2).mean(axis=0) - 1.0) * np.sqrt(n_chains / 2.0)
    return np.array([of_mean, of_variance])


@pytest.mark.parametrize("transition", [RandomWalk(2.0), HamiltonianMonteCarlo(1.2, 3)])
def test_exact_draws_stay_exact(transition):
    # A shift of the mean by 0.04 posterior standard deviations is caught, and a variance off by 5 %.
    assert np.abs(moment_errors(transition)).max() <= Z_LIMIT


def test_chains_from_the_prior_find_the_exact_posterior():
    theta = LINEAR.model.canonical(LINEAR.theta)
    mean, std = LINEAR.model.posterior_mean_and_std(theta, LINEAR.x)
    found = posterior_draws(LINEAR.model, theta, LINEAR.x, np.random.default_rng(0), 64, 100, 200)
    assert found.z.shape == (200, 64, 3, 2)
    # From 64 independent chains: |t| <= 6 has a false alarm of 6e-7 for six means.
    assert np.abs((found.mean_and_std()[0] - mean) / found.standard_error()).max() < 6.0
    assert found.standard_error().max() < 0.03 * std.max()
    assert_close(found.mean_and_std()[1], std, 0.03)
    assert np.all(np.abs(found.acceptance - 0.8) < 0.15)
    assert found.r_hat().max() < 1.05


@dataclass(frozen=True)
class Fault:
    """A Hamiltonian move with one mistake."""

    wrong: str
    step: float = 1.2
    acceptance_goal = 0.65
    start = staticmethod(HamiltonianMonteCarlo.start)

    def move(self, target, point, step, noise):
        normal, uniform = noise
        if self.wrong == "momentum of half the variance":
            noise = MoveNoise(np.sqrt(0.5) * normal, uniform)
        if self.wrong == "always accepts":
            noise = MoveNoise(normal, np.full_like(uniform, 1.0 - 1e-16))
        return HamiltonianMonteCarlo(1.0, 3).move(target, point, step, noise)


@pytest.mark.parametrize("wrong", ["momentum of half the variance", "always accepts"])
def test_a_planted_fault_of_the_move_shows_in_the_moments(wrong):
    assert np.abs(moment_errors(Fault(wrong))).max() > 2.0 * Z_LIMIT
    assert np.abs(moment_errors(Fault("none"))).max() <= Z_LIMIT


def without_the_last_half(target, point, momentum, step, n_leapfrog):
    z, momentum = point.z, momentum + 0.5 * step[:, None] * target.slope(point)
    for _ in range(n_leapfrog):
        z = z + step[:, None] * momentum
        momentum = momentum + step[:, None] * target.slope_at(z)
    return target.with_slope(z), momentum


def with_friction(target, point, momentum, step, n_leapfrog):
    end, after = leapfrog(target, point, momentum, step, n_leapfrog)
    return end, 0.99 * after


def test_planted_faults_of_the_leapfrog_are_caught(monkeypatch):
    target = targets_of(LINEAR)[0]
    monkeypatch.setattr(hmc, "leapfrog", without_the_last_half)
    assert returns(target, np.random.default_rng(1), 0.05, 10) > 1e-3
    assert np.abs(acceptance_errors()).max() > 2.0 * Z_LIMIT
    monkeypatch.setattr(hmc, "leapfrog", with_friction)
    assert np.abs(determinant(target) - 1.0).min() > 1e-3


# -- the warm-up and what chains say of themselves -------------------------------------------------


def acceptance_after_warm_up(transition):
    target, z, *_ = exact_chains(64)
    point, step = warm_up(target, transition.start(target, z), transition, 300, np.random.default_rng(0))
    rng, shares = np.random.default_rng(1), []
    for _ in range(100):
        noise = draw_move_noise(z.shape, rng)
        point, moved = transition.move(target, point, jittered(step, rng.random(3)), noise)
        shares.append(moved.mean(axis=0))
    return np.mean(shares, axis=0)


@pytest.mark.parametrize("step", [1e-2, 20.0])
def test_the_warm_up_brings_the_acceptance_of_a_random_walk_to_its_goal(step):
    assert np.abs(acceptance_after_warm_up(RandomWalk(step)) - 0.3).max() < 0.08


@pytest.mark.parametrize("step", [1e-3, 9.0])
def test_the_warm_up_brings_hamiltonian_moves_to_their_goal_or_somewhat_above(step):
    # The leapfrog is unstable from h = 2 std on, where nothing is accepted: the mean of log h keeps away from
    # that cliff.
    above = acceptance_after_warm_up(HamiltonianMonteCarlo(step)) - 0.65
    assert above.min() > -0.05 and above.max() < 0.2


def test_no_warm_up_keeps_the_step_and_equal_generators_give_equal_chains():
    settings = {"n_chains": 3, "n_warm_up": 0, "n_draws": 4, "transition": MOVES[1]}
    first, again = (
        posterior_draws(LINEAR.model, LINEAR.theta, LINEAR.x, np.random.default_rng(7), **settings)
        for _ in range(2)
    )
    np.testing.assert_array_equal(first.z, again.z)
    assert_close(first.step, np.full(3, 0.45))


def test_r_hat_tells_chains_that_disagree():
    rng = np.random.default_rng(0)
    agree = ChainDraws(rng.standard_normal((400, 4, 2, 1)), np.ones(2), np.ones(2))
    assert np.all(np.abs(agree.r_hat() - 1.0) < 0.02)
    apart = ChainDraws(agree.z + np.array([0.0, 0.0, 0.0, 3.0])[:, None, None], np.ones(2), np.ones(2))
    assert apart.r_hat().min() > 1.3
    drifting = ChainDraws(agree.z + np.linspace(0.0, 3.0, 400)[:, None, None, None], np.ones(2), np.ones(2))
    assert drifting.r_hat().min() > 1.1
    stuck = ChainDraws(np.zeros((8, 2, 1, 1)), np.ones(1), np.ones(1))
    assert stuck.r_hat() == np.inf


def test_a_step_that_overflows_is_refused_without_a_warning():
    target = targets_of(LINEAR)[0]
    point = start_of(target, 4, np.random.default_rng(0))
    after, moved = MOVES[1].move(
        target, point, np.full(3, 1e200), draw_move_noise(point.z.shape, np.random.default_rng(1))
    )
    assert not moved.any() and np.array_equal(after.z, point.z)


# -- mistakes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda: RandomWalk(0.0), lambda: HamiltonianMonteCarlo(0.1, 0)])
def test_impossible_moves_are_refused(make):
    with pytest.raises(ValueError, match="expected"):
        make()


@pytest.mark.parametrize("argument", ["n_chains", "n_draws"])
def test_no_chain_and_no_draw_are_refused(argument):
    with pytest.raises(ValueError, match=f"^{argument}: expected a whole number of at least 1, got 0$"):
        posterior_draws(LINEAR.model, LINEAR.theta, LINEAR.x, np.random.default_rng(0), **{argument: 0})


@pytest.mark.parametrize("name", ["gaussian-mixture", "sigmoid-belief"])
def test_z_without_a_slope_is_refused_with_the_reason(name):
    case = next(case for case in CASES if case.model.name == name)
    with pytest.raises(NotApplicable, match="does not move along a slope: its posterior is a plain sum"):
        posterior_draws(case.model, case.theta, case.x, np.random.default_rng(0))
