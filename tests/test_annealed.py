"""Annealed importance sampling: what holds without luck, then unbiasedness with a stated false-alarm rate."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from cases import CASES, over
from checks import assert_close

from elbo_lab import evaluation
from elbo_lab.bounds import log_weight
from elbo_lab.distributions import draw_noise
from elbo_lab.errors import NotApplicable
from elbo_lab.evaluation import (
    HamiltonianMonteCarlo,
    RandomWalk,
    annealed_weights,
    bidirectional,
    linear_schedule,
    pilot_steps,
    reverse_annealed_weights,
    sigmoidal_schedule,
)
from elbo_lab.evaluation.annealed.path import AnnealedPath, Tempered
from elbo_lab.plots import plot_sandwich
from elbo_lab.posteriors import AmortisedPosterior

CONTINUOUS = [case for case in CASES if not case.model.family.discrete]
PPCA = next(case for case in CASES if case.model.name == "ppca")
# A chain may step far at every temperature and be refused: that is what the weights must survive.
MOVES = (RandomWalk(0.8), HamiltonianMonteCarlo(0.45, 3))
# The mean of w / p(x) over 12 000 chains, in its own standard errors: |z| <= 5 is a false alarm of 6e-7 per
# test in the normal limit, and all seeds are fixed. The ratios spread by 0.4 to 0.7 forwards
# and 0.9 to 1.9 backwards: a bias of three and of nine per cent is caught.
Z_LIMIT = 5.0


def path_of(case, eta=None):
    eta = case.free.eta(case.free_phi, case.x) if eta is None else eta
    return AnnealedPath.from_q(case.model, case.theta, case.x, eta)


# -- without luck ----------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", [linear_schedule, sigmoidal_schedule])
def test_schedules_rise_from_zero_to_one(schedule):
    for n_steps in (1, 2, 7, 50):
        beta = schedule(n_steps)
        assert beta.shape == (n_steps + 1,) and beta[0] == 0.0 and beta[-1] == 1.0
        assert np.all(np.diff(beta) > 0.0)
        assert_close(beta + beta[::-1], np.ones(n_steps + 1))


def test_the_sigmoidal_schedule_is_dense_at_both_ends():
    rises = np.diff(sigmoidal_schedule(20))
    assert rises[0] < 0.5 / 20 < 1.5 / 20 < rises[10]
    assert_close(np.diff(sigmoidal_schedule(20, 1e-3)), np.full(20, 0.05), 1e-6)


@over(CONTINUOUS)
def test_one_step_forwards_is_importance_sampling(case):
    family, eta = case.model.family, case.free.eta(case.free_phi, case.x)
    run = annealed_weights(path_of(case), [0, 1], MOVES[0], np.random.default_rng(3), 5)
    z = family.sample(eta, draw_noise(family.noise_spec(5, len(case.x)), np.random.default_rng(3)))
    assert_close(run.log_w, log_weight(case.model, case.theta, case.x, family, eta, z))
    assert run.acceptance.shape == (0,)


@pytest.mark.parametrize("transition", MOVES)
def test_from_the_exact_posterior_every_weight_is_log_p_in_both_directions(transition):
    theta = PPCA.model.canonical(PPCA.theta)
    eta = PPCA.model.posterior_eta(theta, PPCA.x)
    z = PPCA.model.family.sample(eta, np.ones((1, 3, 2)))[0]
    path = AnnealedPath.from_q(PPCA.model, theta, PPCA.x, eta)
    rest = linear_schedule(6), transition, np.random.default_rng(0), 4
    forward, reverse = annealed_weights(path, *rest), reverse_annealed_weights(path, z, *rest)
    log_p = np.broadcast_to(PPCA.model.log_evidence(theta, PPCA.x), (4, 3))
    assert_close(forward.log_w, log_p, 1e-11)
    assert_close(reverse.log_w, log_p, 1e-11)


@over(CONTINUOUS)
def test_the_slope_of_the_path_is_its_derivative(case):
    path = path_of(case)
    z, direction = np.random.default_rng(0).standard_normal((2, 4, 3, case.model.latent_dim))
    for beta in (0.0, 0.3, 1.0):
        up, down = (path.with_slope(z + s * direction).value(beta) for s in (1e-5, -1e-5))
        slope = (path.with_slope(z).slope(beta) * direction).sum(axis=-1)
        assert_close((up - down) / 2e-5, slope, 1e-6)
        assert_close(path.at(z).value(beta), path.with_slope(z).value(beta))


def test_equal_generators_give_equal_chains_and_other_chains_do_not_matter():
    where = AnnealedPath.from_q(PPCA.model, PPCA.theta, PPCA.x), linear_schedule(4)
    first, again = (annealed_weights(*where, MOVES[1], np.random.default_rng(7), 3).log_w for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert np.ptp(first, axis=0).min() > 0.0


# -- unbiasedness, by many chains ------------------------------------------------------------------


def z_of(ratios):
    """Return how many standard errors the mean of ratios stands off one."""
    ratios = ratios.ravel()
    return (ratios.mean() - 1.0) / (ratios.std(ddof=1) / np.sqrt(len(ratios)))


def forward_z(transition, seed=0, n_chains=4000, schedule=None):
    theta, schedule = 0.6 * PPCA.theta, linear_schedule(5) if schedule is None else schedule
    rng = np.random.default_rng(seed)
    path = AnnealedPath.from_q(PPCA.model, theta, PPCA.x)
    run = annealed_weights(path, schedule, transition, rng, n_chains)
    return z_of(np.exp(run.log_w - PPCA.model.log_evidence(theta, PPCA.x)))


def reverse_z(transition, seed=0, n_data=12_000):
    theta, rng = 0.6 * PPCA.theta, np.random.default_rng(seed)
    x, z = PPCA.model.sample(theta, n_data, rng)
    path = AnnealedPath.from_q(PPCA.model, theta, x)
    run = reverse_annealed_weights(path, z, linear_schedule(5), transition, rng, 1)
    return z_of(np.exp(PPCA.model.log_evidence(theta, x) - run.log_w))


@pytest.mark.parametrize("transition", MOVES)
def test_forward_weights_are_unbiased_for_p(transition):
    assert abs(forward_z(transition)) <= Z_LIMIT


@pytest.mark.parametrize("transition", MOVES)
def test_reverse_weights_are_unbiased_for_one_over_p(transition):
    assert abs(reverse_z(transition)) <= Z_LIMIT


@dataclass(frozen=True)
class Fault:
    """A random walk with one mistake."""

    wrong: str
    step: float = 0.8
    acceptance_goal = 0.3
    start = staticmethod(RandomWalk.start)

    def move(self, target, point, step, noise):
        beta = {"beta of the end": 1.0, "beta of the start": 0.0}.get(self.wrong, target.beta)
        after, moved = RandomWalk(self.step).move(Tempered(target.path, beta), point, step, noise)
        if self.wrong == "always accepts":
            return target.at(point.z + step[:, None] * noise.normal), np.ones_like(moved)
        if self.wrong == "keeps the old density":
            return replace(after, log_joint=point.log_joint), moved
        return after, moved


@pytest.mark.parametrize(
    "wrong", ["always accepts", "beta of the end", "beta of the start", "keeps the old density"]
)
def test_a_planted_fault_of_the_moves_shows_as_bias(wrong):
    assert abs(forward_z(Fault(wrong))) > 2.0 * Z_LIMIT
    assert abs(forward_z(Fault("none"))) <= Z_LIMIT


def test_weights_taken_after_the_move_are_caught(monkeypatch):
    # The weight belongs to the temperature before the move: shifting the rises by one is a bias.
    sampling = evaluation.annealed.sampling
    monkeypatch.setattr(sampling, "np", ShiftedDifferences())
    assert abs(forward_z(MOVES[0], schedule=np.array([0.0, 0.02, 0.1, 0.3, 0.6, 1.0]))) > 2.0 * Z_LIMIT


class ShiftedDifferences:
    """NumPy with a `diff` whose entries have moved by one."""

    def __getattr__(self, name):
        return (lambda a: np.roll(np.diff(a), 1)) if name == "diff" else getattr(np, name)


# -- the sandwich ----------------------------------------------------------------------------------


def test_log_p_lies_between_the_two_bounds_and_more_steps_bring_them_together():
    gaps = []
    for n_steps in (1, 8, 32):
        found = bidirectional(
            PPCA.model,
            PPCA.theta,
            200,
            sigmoidal_schedule(n_steps),
            HamiltonianMonteCarlo(),
            np.random.default_rng(5),
            4,
        )
        log_p = PPCA.model.log_evidence(PPCA.theta, found.x)
        # Bounds in mean: per datum noise, over 200 data five standard errors of slack.
        for low, high in ((found.lower, log_p), (log_p, found.upper)):
            difference = high - low
            assert difference.mean() > -5.0 * difference.std() / np.sqrt(200)
        gaps.append((found.upper - found.lower).mean())
    assert gaps[0] > gaps[1] > gaps[2] > 0.0 and gaps[0] > 5.0 * gaps[2]


def test_the_data_of_a_sandwich_do_not_depend_on_its_schedule():
    found = [
        bidirectional(PPCA.model, PPCA.theta, 3, linear_schedule(n), MOVES[0], np.random.default_rng(1), 2)
        for n in (1, 5)
    ]
    np.testing.assert_array_equal(found[0].x, found[1].x)
    means = found[0].means()
    assert means["lower"] == found[0].lower.mean() and means["upper_se"] > 0.0
    from_log_p = found[0].means(np.ones(3))
    assert from_log_p["upper"] == (found[0].upper - 1.0).mean()


def test_an_encoder_may_be_where_chains_start():
    case = next(case for case in CONTINUOUS if case.model.name == "deep-bernoulli")
    encoder = AmortisedPosterior.for_data(case.model.family, case.x, hidden=())
    phi = encoder.initial(np.random.default_rng(0))
    found = bidirectional(
        case.model, case.theta, 40, linear_schedule(8), HamiltonianMonteCarlo(), np.random.default_rng(2), 4,
        encoder, phi,
    )  # fmt: skip
    assert found.lower.mean() < found.upper.mean() + 0.1


@pytest.mark.parametrize("transition", MOVES)
def test_a_pilot_brings_the_acceptance_to_its_goal(transition):
    schedule, rngs = linear_schedule(12), np.random.default_rng(4).spawn(2)
    where = AnnealedPath.from_q(PPCA.model, 1.5 * PPCA.theta, PPCA.x), schedule
    far = replace(transition, step=20.0)
    steps = pilot_steps(*where, far, rngs[0], 32)
    assert steps.shape == (11, 3)
    run = annealed_weights(*where, far, rngs[1], 200, steps=steps)
    assert abs(run.acceptance[4:].mean() - transition.acceptance_goal) < 0.15
    assert annealed_weights(*where, far, rngs[1], 50).acceptance.mean() < 0.05


def test_a_step_that_overflows_is_refused_without_a_warning():
    path, rng = AnnealedPath.from_q(PPCA.model, PPCA.theta, PPCA.x), np.random.default_rng(0)
    run = annealed_weights(path, linear_schedule(3), HamiltonianMonteCarlo(1e80, 5), rng, 2)
    assert np.isfinite(run.log_w).all() and not run.acceptance.any()


def test_the_figure_of_a_sandwich_shows_both_bounds_the_exact_line_and_what_the_band_is():
    records = [
        {"n_steps": n, "lower": -4.0 / n, "lower_se": 0.1, "upper": 3.0 / n, "upper_se": 0.2} for n in (1, 4)
    ]
    ax = plot_sandwich(records, exact=0.0, title="a title")
    lower, upper, exact_line = ax.get_lines()
    assert_close(lower.get_ydata(), [-4.0, -1.0])
    assert_close(upper.get_ydata(), [3.0, 0.75])
    assert exact_line.get_linestyle() == "--" and exact_line.get_color() == "black"
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert_close([band.min(), band.max()], [-4.196, -0.804], 1e-6)
    assert "band: 95 % interval of the mean" in [text.get_text() for text in ax.get_legend().get_texts()]
    with pytest.raises(ValueError, match=r"^records: expected at least one sandwich, got none$"):
        plot_sandwich([])


# -- mistakes --------------------------------------------------------------------------------------


def call(**changes):
    settings = {"schedule": linear_schedule(2), "transition": MOVES[0], "n_chains": 2, "steps": None}
    settings |= changes
    schedule, transition = settings.pop("schedule"), settings.pop("transition")
    rng = np.random.default_rng(0)
    path = AnnealedPath.from_q(PPCA.model, PPCA.theta, PPCA.x)
    return annealed_weights(path, schedule, transition, rng, **settings)


MISTAKES = [
    ({"schedule": [0.0, 0.5]}, r"^schedule: expected numbers that rise from 0 to 1, got \[0. +0.5\]$"),
    ({"schedule": [0.0, 0.6, 0.5, 1.0]}, "^schedule: expected numbers that rise"),
    ({"schedule": [0.0, np.nan, 1.0]}, "^schedule: expected numbers that rise"),
    ({"n_chains": 0}, "^n_chains: expected a whole number of at least 1, got 0$"),
    ({"steps": np.ones(3)}, r"^steps: expected shape \(1, 3\), got shape \(3,\)$"),
]


@pytest.mark.parametrize(("changes", "line"), MISTAKES)
def test_a_mistake_gets_one_clear_line(changes, line):
    with pytest.raises(ValueError, match=line):
        call(**changes)


@pytest.mark.parametrize(
    "make", [lambda: RandomWalk(0.0), lambda: HamiltonianMonteCarlo(0.1, 0), lambda: linear_schedule(0)]
)
def test_impossible_moves_are_refused(make):
    with pytest.raises(ValueError, match="expected"):
        make()


def test_categories_are_refused_with_the_reason():
    case = next(case for case in CASES if case.model.family.discrete)
    with pytest.raises(NotApplicable, match=r"^categorical z "):
        AnnealedPath.from_q(case.model, case.theta, case.x)
