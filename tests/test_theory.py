"""Variances that need no sampling, against integrals over all noise, against samples, and against theory."""

import itertools

import numpy as np
import pytest
from cases import CASES, make_case, over
from checks import assert_close
from estimator_laws import BY_NAME
from noise_integrals import moments
from scipy.stats import binom

from elbo_lab import theory
from elbo_lab.errors import NotApplicable
from elbo_lab.models import PPCA, DeepBernoulli, GaussianMixture
from elbo_lab.registry import find_models
from elbo_lab.study import Moments, build_scene, run_batch
from elbo_lab.theory import COSTS, Cost, cost_variances, crossover, gradient_variances, integrated, quadratic
from elbo_lab.theory import score as score_module

QUADRATIC = [case for case in CASES if hasattr(case.model, "log_evidence")]


def eta_of(case):
    return case.free.eta(case.free_phi, case.x)


def known(case, n_draws):
    return gradient_variances(case.model, case.theta, case.x, case.free.family, eta_of(case), n_draws)


def compared(case, n_draws):
    """Return [(theory (P,), integral over all noise (P,))] for the estimators that both know.

    In units of the plain score function's largest variance: some of the others are zero.
    """
    pairs, theory = [], known(case, n_draws)
    unit = theory["score-function"].max()
    for name, variance in theory.items():
        if name in BY_NAME and BY_NAME[name].noise_spec(case.model.family, n_draws, 1) == (
            case.model.family.noise_spec(n_draws, 1)
        ):
            exact = moments(BY_NAME[name], case, case.free, case.free_phi, n_draws, tolerance=1e-6)[1]
            pairs.append((case.free.phi_from_eta(variance) / unit, exact / unit))
    return pairs


# -- against the integral over all noise -----------------------------------------------------------


@over(CASES)
@pytest.mark.parametrize("n_draws", [1, 2, 3])
def test_theory_is_the_variance_over_all_noise(case, n_draws):
    family = case.model.family
    if not family.discrete and n_draws * family.size > 2:
        n_draws = 1  # the integral over the noise would have too many dimensions
    pairs = compared(case, n_draws)
    assert len(pairs) >= 1
    for found, expected in pairs:
        assert_close(found, expected, 1e-6)


def broken_pairs():
    wrong = 0
    for case, n_draws in ((CASES[0], 1), (CASES[2], 3), (CASES[4], 1), (CASES[6], 2)):
        for found, expected in compared(case, n_draws):
            wrong += np.abs(found - expected).max() > 1e-6
    return wrong


def test_a_planted_fault_in_a_formula_is_seen(monkeypatch):
    assert broken_pairs() == 0
    honest, path = score_module._with_baseline, quadratic._path_variance
    with monkeypatch.context() as patch:
        patch.setattr(score_module, "_with_baseline", lambda m, b: honest(m, b) + m.f_s**2)
        assert broken_pairs(), "the square of the mean is not subtracted"
    with monkeypatch.context() as patch:
        patch.setattr(quadratic, "_path_variance", lambda f, a, B, s: path(f, a, np.tril(B), s))
        assert broken_pairs(), "half of the Hessian is dropped"
    with monkeypatch.context() as patch:
        patch.setattr(quadratic, "NODES", 4)
        assert broken_pairs(), "a rule that is too coarse for degree 8"


# -- the rungs agree -------------------------------------------------------------------------------


@over(QUADRATIC)
def test_the_closed_form_is_what_quadrature_finds(case):
    arguments = case.model, case.theta, case.x, case.free.family, eta_of(case)
    for n_draws in (1, 2, 7):
        closed = quadratic.draw_moments(*arguments).variances(n_draws)
        numeric = integrated.draw_moments(*arguments).variances(n_draws)
        assert list(closed) == list(numeric)
        for name, variance in closed.items():
            assert_close(numeric[name] / variance.max(), variance / variance.max(), 1e-6)


def test_a_network_is_not_taken_for_a_quadratic():
    case = make_case(DeepBernoulli(4, 2, (3,)))
    assert quadratic.draw_moments(case.model, case.theta, case.x, case.free.family, eta_of(case)) is None


def test_three_latents_under_a_network_are_refused_with_the_reason():
    case = make_case(DeepBernoulli(4, 3, (3,)))
    with pytest.raises(NotApplicable, match="no exact value for deep-bernoulli: it takes quadratic"):
        known(case, 1)


def test_many_latents_of_a_linear_model_take_no_time_and_agree_with_samples():
    case = make_case(PPCA(20, 12), n_data=2)
    found = known(case, 4)
    noise = np.random.default_rng(0).standard_normal((40_000, 4, 2, 12))
    for name in ("score-function", "score-function-loo", "reparameterization"):
        estimates = BY_NAME[name].estimate(case.problem(), noise)[0]
        squares = ((estimates - estimates.mean(axis=0)) ** 2).sum(axis=1)
        error = squares.std() / np.sqrt(len(squares))
        # |z| beyond 5.5 of a mean of 40 000: 4e-8 for each of three.
        assert abs(squares.mean() - found[name].sum()) <= 5.5 * error, name


# -- what theory says about orders -----------------------------------------------------------------


@over(CASES)
def test_the_oracle_baseline_is_never_worse_than_the_mean_or_none(case):
    found = known(case, 1)
    least = found["score-function-oracle-baseline"]
    for name in ("score-function", "score-function-mean-baseline"):
        assert (least <= found[name] * (1 + 1e-12) + 1e-18).all()


@over(CASES)
def test_leave_one_out_tends_to_the_mean_baseline(case):
    few, many = known(case, 10), known(case, 100_000)
    excess = few["score-function-loo"] - few["score-function-mean-baseline"]
    assert (excess >= -1e-15).all(), "estimating the mean costs something"
    ratio = many["score-function-loo"].sum() / many["score-function-mean-baseline"].sum()
    assert 1.0 <= ratio < 1.001


def test_a_mean_baseline_can_hurt():
    case = make_case(GaussianMixture(2, 2, "diagonal"))
    one = known(case, 2)
    assert one["score-function-loo"].sum() > one["score-function"].sum()
    wave = cost_variances(COSTS["wave"](1.0), 1.0, 1.0)
    assert wave["score-function-mean-baseline", "mu"][1] > 1.3 * wave["score-function", "mu"][1]


def at_posterior(case, move=0.0):
    theta = case.model.canonical(case.theta)
    eta = case.model.posterior_eta(theta, case.x)
    return gradient_variances(case.model, theta, case.x, case.free.family, eta + move)


@over(QUADRATIC)
def test_at_the_exact_posterior_three_variances_are_zero_and_one_is_not(case):
    found = at_posterior(case)
    for name in ("score-function-mean-baseline", "score-function-oracle-baseline", "sticking-the-landing"):
        assert found[name].max() < 1e-18 * (1.0 + found["score-function"].max()), name
    assert found["reparameterization"].max() > 1e-3


@over(QUADRATIC)
def test_where_q_is_far_too_narrow_sticking_the_landing_is_the_noisier_one(case):
    narrow = np.array([0.0, 0.0, -1.5, -1.5])
    near, far = (at_posterior(case, move) for move in (0.05, narrow))
    assert near["sticking-the-landing"].sum() < near["reparameterization"].sum()
    assert far["sticking-the-landing"].sum() > 2.0 * far["reparameterization"].sum()


# -- costs -----------------------------------------------------------------------------------------


def test_costs_have_the_variances_that_a_hand_finds():
    # f = z^2 at mu = sigma = 1, by moments of the normal distribution.
    rows = cost_variances(COSTS["quadratic"](0.0), 1.0, 1.0)
    expected = {
        ("score-function", "mu"): 30.0,
        ("score-function", "log_sigma"): 136.0,
        ("reparameterization", "mu"): 4.0,
        ("reparameterization", "log_sigma"): 12.0,
        ("measure-valued-coupled", "mu"): 16.0 * 2.0 / (2.0 * np.pi) - 4.0,
    }
    for key, variance in expected.items():
        assert abs(rows[key][1] - variance) < 1e-10 * variance, key


@pytest.mark.parametrize(("name", "k"), [("quadratic", 3.0), ("bell", 2.0), ("wave", 5.0)])
def test_all_estimators_of_a_cost_have_the_gradient_as_their_mean(name, k):
    mu, sigma, cost = 0.7, 1.3, COSTS[name](k)
    rows = cost_variances(cost, mu, sigma, n_draws=3)
    e = np.linspace(-12.0, 12.0, 40_001)
    w = np.exp(-0.5 * e * e)
    w /= w.sum()

    def expected(m, log_s):
        return w @ cost.value(m + np.exp(log_s) * e)

    h, log_sigma = 1e-4, np.log(sigma)
    slopes = {
        "mu": (expected(mu + h, log_sigma) - expected(mu - h, log_sigma)) / (2 * h),
        "log_sigma": (expected(mu, log_sigma + h) - expected(mu, log_sigma - h)) / (2 * h),
    }
    assert len({estimator for estimator, _ in rows}) == 7
    for (estimator, parameter), (mean, variance) in rows.items():
        assert abs(mean - slopes[parameter]) < 1e-6, (estimator, parameter)
        assert variance > 0.0


def measure_valued_sample(cost, mu, sigma, coupled, rng, size):
    """Return sampled measure-valued gradients in mu and log sigma, drawn by their definition."""
    up = np.sqrt(2.0 * rng.exponential(size=size))
    down = up if coupled else np.sqrt(2.0 * rng.exponential(size=size))
    by_mu = (cost.value(mu + sigma * up) - cost.value(mu - sigma * down)) / (sigma * np.sqrt(2 * np.pi))
    maxwell = np.linalg.norm(rng.standard_normal((3, size)), axis=0) * rng.choice([-1.0, 1.0], size)
    e = maxwell * rng.random(size) if coupled else rng.standard_normal(size)
    return by_mu, cost.value(mu + sigma * maxwell) - cost.value(mu + sigma * e)


@pytest.mark.parametrize("coupled", [False, True])
def test_measure_valued_variances_are_those_of_samples(coupled):
    cost, rng = COSTS["wave"](1.0), np.random.default_rng(0)
    rows = cost_variances(cost, 1.0, 1.0)
    name = "measure-valued-coupled" if coupled else "measure-valued"
    samples = measure_valued_sample(cost, 1.0, 1.0, coupled, rng, 200_000)
    for parameter, g in zip(("mu", "log_sigma"), samples, strict=True):
        mean, variance = rows[name, parameter]
        squares = (g - mean) ** 2
        # Two |z| beyond 5 each for four pairs: 5e-6.
        assert abs(g.mean() - mean) <= 5.0 * np.sqrt(variance / g.size)
        assert abs(squares.mean() - variance) <= 5.0 * squares.std() / np.sqrt(g.size)


def test_a_wiggly_cost_turns_the_order_around():
    slow, fast = (cost_variances(COSTS["wave"](k), 1.0, 1.0) for k in (0.5, 10.0))
    for parameter in ("mu", "log_sigma"):
        assert slow["reparameterization", parameter][1] < slow["score-function", parameter][1]
        assert fast["reparameterization", parameter][1] > 20.0 * fast["score-function", parameter][1]


def wave_variances(k):
    """Return the variances of path and score in the mean for cos(k z), z ~ N(1, 1), from moments of e."""
    # E cos(c e) = exp(-c^2 / 2) =: g, E e sin(c e) = c g, E e^2 cos(c e) = (1 - c^2) g, at c = k and 2 k.
    one, two = np.exp(-0.5 * k**2), np.exp(-2.0 * k**2)
    gradient = -k * np.sin(k) * one
    path = k**2 * (1.0 - np.cos(2.0 * k) * two) / 2.0 - gradient**2
    score = (1.0 + (1.0 - 4.0 * k**2) * np.cos(2.0 * k) * two) / 2.0 - gradient**2
    return path, score


def test_the_order_for_a_wave_changes_where_the_formulas_of_both_variances_meet():
    rows = cost_variances(COSTS["wave"](1.3), 1.0, 1.0)
    quadrature = [rows[name, "mu"][1] for name in ("reparameterization", "score-function")]
    assert np.allclose(quadrature, wave_variances(1.3), rtol=1e-12)
    k = crossover(COSTS["wave"], 0.5, 2.0)
    path, score = wave_variances(k)
    assert abs(path / score - 1.0) < 1e-9
    assert abs(k - 1.06378) < 5e-6  # said in the docs and the demos
    with pytest.raises(ValueError, match="ends between which the order changes, got 2, 5"):
        crossover(COSTS["wave"], 2.0, 5.0)


def test_leave_one_out_of_a_cost_follows_from_all_pairs_of_a_coarse_noise():
    # The formula of the sample covariance, on a distribution of four equally likely values.
    rng = np.random.default_rng(3)
    f, s = rng.standard_normal(4), rng.standard_normal(4)
    s -= s.mean()
    estimates = []
    for draws in itertools.product(range(4), repeat=3):
        picked = list(draws)
        estimates.append(((f[picked] - f[picked].mean()) * s[picked]).sum() / 2.0)
    d = (f - f.mean())[:, None, None]
    t = s[:, None, None]
    parts = (d, d**2, d * t, d * t**2, d**2 * t**2, t**2)
    found = score_module.ScoreMoments.from_shifted(f.mean(), *(part.mean(axis=0) for part in parts))
    expected = score_module.score_variances(found, 3)["score-function-loo"]
    assert abs(np.var(estimates) - expected[0, 0]) < 1e-14


ENDLESS_COSTS = [
    ((COSTS["wave"](1.0), 0.0, -1.0), "sigma"),
    ((COSTS["wave"](1.0), 0.0, 1.0, 0), "n_draws"),
    ((Cost("log z", np.log, np.reciprocal), 0.0, 1.0), "finite value within 11 sigma of mu, got log z"),
]


@pytest.mark.parametrize(("arguments", "message"), ENDLESS_COSTS)
@pytest.mark.filterwarnings("ignore:invalid value encountered in log")
def test_a_cost_without_a_variance_is_refused_in_one_line(arguments, message):
    with pytest.raises(ValueError, match=message):
        cost_variances(*arguments)


# -- theory over measured points -------------------------------------------------------------------


def test_measured_intervals_hold_the_exact_variance_as_often_as_they_say():
    # 95 % intervals of independent runs, as `compare` prints them: another seed and hence other noise for
    # every model and estimator. The number outside is binomial; a false alarm has a chance below 1e-3.
    outside = total = 0
    for number, choice in enumerate(find_models(["gaussian-mle", "gaussian-mixture:full", "ppca"])):
        scene = build_scene(choice, None, 2, "free", "near", 32, 0)
        for index, (estimator, variance) in enumerate(theory.known_variances(scene, 4).items()):
            for seed in range(6):
                low, high = measured(scene, estimator, 100 * number + 10 * index + seed).interval()
                outside += not low <= variance <= high
                total += 1
    assert total >= 60
    assert outside <= binom.ppf(1.0 - 1e-3, total, 0.05), (outside, total)


def measured(scene, estimator, seed):
    total = Moments()
    for batch in range(40):
        total.merge(run_batch(scene, [estimator], 4, seed, "coverage", batch, 10)[0])
    return total
