"""What each score-function estimator claims of itself: known answers, identities, and who beats whom."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from cases import BINARY, CASES, DISCRETE, ONE_LATENT, Case, admits, make_case
from estimator_laws import BY_NAME, assert_same, exact_value, noise_for, with_theta
from noise_integrals import (
    NotIntegrated,
    affordable_draws,
    estimate,
    exact_variance,
    expected_estimate,
    holding,
    moments,
    product_rule,
)

from elbo_lab.bounds import log_weight
from elbo_lab.distributions import Categorical, draw_noise
from elbo_lab.errors import NotApplicable
from elbo_lab.estimators import (
    Estimator,
    ScoreFunctionDelta,
    ScoreFunctionLearnedBaseline,
    ScoreFunctionOracleBaseline,
    ScoreFunctionRunningMean,
    ScoreFunctionTopCategories,
    ScoreFunctionUnorderedSet,
)
from elbo_lab.estimators.base import NO_STATE, posterior_draws
from elbo_lab.estimators.score import baselines, control_variates, oracle, sets, values
from elbo_lab.estimators.score.control_variates import linear_part
from elbo_lab.estimators.score.oracle import optimal_baseline
from elbo_lab.estimators.score.sets import draw_set, first_draw, log_subset_probabilities
from elbo_lab.exact.enumeration import all_values
from elbo_lab.layout import Layout
from elbo_lab.models import PPCA, GaussianMixture
from elbo_lab.posteriors import FreePosterior
from elbo_lab.special import log_softmax, log_sum_exp, softmax

TWO = make_case(GaussianMixture(2, 2, "spherical"), n_data=2)
FIVE = make_case(GaussianMixture(2, 5, "spherical"))
LINE = make_case(PPCA(3, 1))
WITH_FIVE = [*DISCRETE, FIVE]
# What is gained by a linearisation depends on the tails of the model: an order seen on networks, not a law.
NETWORKS_OF_ONE_LATENT = [case for case in ONE_LATENT if case.model.name.startswith("deep-")]
STATEFUL = [ScoreFunctionRunningMean(), ScoreFunctionLearnedBaseline()]


def case_id(case):
    return f"{case.model.label}-{case.model.latent_dim}"


class Tabulated:
    """A stand-in for a model whose log w is a table, f(z), under q = softmax(logits)."""

    def __init__(self, f, q):
        self.f, self.log_q = np.asarray(f, dtype=float), np.log(q)
        self.family, self.layout = Categorical(len(q)), Layout(())

    def log_joint(self, theta, x, z):  # noqa: ARG002
        return (self.f + self.log_q)[z]

    def case(self):
        """Return one datum with the free posterior."""
        free = FreePosterior(self.family, 1)
        return Case(self, np.zeros(0), np.zeros((1, 1)), free, self.log_q.copy(), None, None)

    @property
    def exact(self):
        """d/d logits of E f."""
        q = np.exp(self.log_q)
        return q * (self.f - q @ self.f)


class Constant(Estimator):
    """Score function with a given constant baseline (N, E)."""

    name, target = "constant-baseline", "grad-phi-elbo"

    def __init__(self, baseline):
        self.baseline = baseline

    def estimate(self, problem, noise, state=NO_STATE):
        model, posterior, theta, phi, x = problem
        eta, z = posterior_draws(problem, noise)
        f = log_weight(model, theta, x, posterior.family, eta, z)[..., None]
        grad_eta = ((f - self.baseline) * posterior.family.score(eta, z)).mean(axis=-3) / len(x)
        return posterior.eta_vjp(phi, x, grad_eta), state


def settled(estimator, case, n_draws, calls=None, seed=0):
    """Return the state after its burn-in, or after so many calls."""
    state, rng = estimator.initial_state(case.problem()), np.random.default_rng(seed)
    spec = estimator.noise_spec(case.model.family, n_draws, len(case.x))
    for _ in range(estimator.burn_in if calls is None else calls):
        state = run(estimator, case, draw_noise(spec, rng), state)[1]
    return state


def run(estimator, case, noise, state):
    return estimator.estimate(case.problem(), noise, state)


def spread(case, factor=1.5):
    """Return the case at a theta where its data differ."""
    return with_theta(case, factor * case.theta)


# -- the most probable categories ------------------------------------------------------------------


@pytest.mark.parametrize("case", WITH_FIVE, ids=case_id)
def test_all_categories_but_one_or_none_left_are_the_exact_gradient(case):
    size = len(case.model.family.values())
    for k in (size - 1, size, size + 3):
        estimator = ScoreFunctionTopCategories(k)
        noise = noise_for(estimator, case, 2, lead=(20,))
        found = estimate(estimator, case, case.free, case.free_phi, noise)
        exact = exact_value(estimator, case, case.free, case.free_phi)
        assert_same(found, np.broadcast_to(exact, found.shape), 1e-12)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_top_categories_are_unbiased_for_every_k_and_never_noisier_than_all_by_draws(k):
    estimator, plain = ScoreFunctionTopCategories(k), BY_NAME["score-function"]
    where = FIVE, FIVE.free, FIVE.free_phi
    mean, variance = moments_of_top(estimator, *where, 3)
    assert_same(mean, exact_value(estimator, *where), 1e-10)
    assert variance < exact_variance(plain, *where, 3)


def moments_of_top(estimator, case, posterior, phi, n_draws):
    """Return mean and total variance; a name with its k is no key of the rules, so the class stands in."""

    class Named(ScoreFunctionTopCategories):
        name = "score-function-top-categories"

    mean, variance = moments(Named(estimator.k), case, posterior, phi, n_draws)
    return mean, variance.sum()


def test_k_is_part_of_the_name_and_of_the_object():
    assert ScoreFunctionTopCategories().name == "score-function-top-categories"
    assert ScoreFunctionTopCategories(3).name == "score-function-top-categories-3"
    assert ScoreFunctionTopCategories(3) == ScoreFunctionTopCategories(3) != ScoreFunctionTopCategories(2)
    with pytest.raises(ValueError, match=r"^k: expected a whole number of at least 1, got 0$"):
        ScoreFunctionTopCategories(0)


# -- sets without replacement ----------------------------------------------------------------------


def brute_force(log_q, subset, struck=()):
    """Return the probability that drawing without replacement, `struck` gone, gives this subset first."""
    total = 0.0
    for order in itertools.permutations(subset):
        left, probability = np.exp(log_q), 1.0
        left[list(struck)] = 0.0
        for value in order:
            probability *= left[value] / left.sum()
            left[value] = 0.0
        total += probability
    return total


def test_subset_probabilities_are_sums_over_all_orders():
    log_q = log_softmax(np.array([0.3, -1.0, 0.8, 0.1, -2.0, 0.5]), axis=-1)
    members = [0, 2, 3, 5]
    outside = log_sum_exp(log_q[[1, 4]], axis=0)
    log_w = log_subset_probabilities(log_q[members][:, None], np.array([outside]))[:, 0]
    for bits in range(16):
        subset = [value for place, value in enumerate(members) if bits >> place & 1]
        struck = [value for value in members if value not in subset]
        assert abs(np.exp(log_w[bits]) - brute_force(log_q, subset, struck)) < 1e-14
    first, after = first_draw(log_q[members][:, None], log_w[:, None])
    for i, s in enumerate(members):
        rest = [value for value in members if value != s]
        ratio = brute_force(log_q, rest, [s]) / brute_force(log_q, members)
        assert abs(first[i, 0] - np.exp(log_q[s]) * ratio) < 1e-14
        # q(s) itself and the weights of the others: the baseline is a weighted mean.
        assert abs(np.exp(log_q[s]) + after[i].sum() - 1.0) < 1e-14


@pytest.mark.parametrize("n_draws", [2, 3, 4])
def test_sets_are_unbiased_over_all_orders_of_draws(n_draws):
    estimator = BY_NAME["score-function-unordered-set"]
    for posterior, phi in FIVE.posteriors():
        found = expected_estimate(estimator, FIVE, posterior, phi, n_draws)
        assert_same(found, exact_value(estimator, FIVE, posterior, phi), 1e-10)


@pytest.mark.parametrize("case", WITH_FIVE, ids=case_id)
def test_a_set_of_all_values_is_the_exact_gradient(case):
    estimator, size = BY_NAME["score-function-unordered-set"], len(case.model.family.values())
    for n_draws in (size, size + 2):
        noise = noise_for(estimator, case, n_draws, lead=(20,))
        found = estimate(estimator, case, case.free, case.free_phi, noise)
        exact = exact_value(estimator, case, case.free, case.free_phi)
        assert_same(found, np.broadcast_to(exact, found.shape), 1e-12)


def test_at_two_draws_the_set_has_a_short_formula():
    short_formula_of_two()


def short_formula_of_two():
    estimator, family = BY_NAME["score-function-unordered-set"], FIVE.model.family
    noise = noise_for(estimator, FIVE, 2, lead=(30,))
    eta = FIVE.free.eta(FIVE.free_phi, FIVE.x)
    z, _ = draw_set(log_softmax(eta, axis=-1), noise)
    assert np.all(z[:, 0] != z[:, 1])
    f, score = log_weight(FIVE.model, FIVE.theta, FIVE.x, family, eta, z), family.score(eta, z)
    rest = 1.0 - np.exp(family.log_prob(eta, z))
    weight = rest[:, 0] * rest[:, 1] / (rest[:, 0] + rest[:, 1]) * (f[:, 0] - f[:, 1])
    by_eta = weight[..., None] * (score[:, 0] - score[:, 1]) / len(FIVE.x)
    expected_gradient = FIVE.free.eta_vjp(FIVE.free_phi, FIVE.x, by_eta)
    assert_same(estimate(estimator, FIVE, FIVE.free, FIVE.free_phi, noise), expected_gradient, 1e-12)


def test_a_set_beats_draws_with_replacement_and_the_more_the_fuller_it_is():
    sets, loo = BY_NAME["score-function-unordered-set"], BY_NAME["score-function-loo"]
    where = FIVE, FIVE.free, FIVE.free_phi
    variances_of_sets = [exact_variance(sets, *where, n_draws) for n_draws in (2, 3, 4, 5)]
    assert all(np.diff(variances_of_sets) < 0.0) and variances_of_sets[-1] < 1e-20
    for n_draws, variance in zip((2, 3, 4), variances_of_sets, strict=False):
        assert variance < exact_variance(loo, *where, n_draws)


def test_sets_keep_their_digits_where_probabilities_underflow():
    q = np.exp(log_softmax(np.array([0.0, -300.0, -500.0, -650.0, -700.0]), axis=-1))
    case = Tabulated([1.0, 2.0, -1.0, 0.5, 3.0], q).case()
    # The set of the three largest is drawn with certainty, and is all that counts: q_k (f_k - f_0).
    found = estimate(ScoreFunctionUnorderedSet(), case, case.free, case.free_phi, np.full((3, 1), 0.5))
    wanted = [-q[1] + 2.0 * q[2], q[1], -2.0 * q[2]]
    np.testing.assert_allclose(found[:3], wanted, rtol=1e-12, atol=0.0)


def test_a_set_too_large_for_its_table_is_refused():
    table = Tabulated(np.zeros(20), np.full(20, 0.05))
    case = table.case()
    with pytest.raises(
        ValueError, match=r"^draws: expected at most 16 for a set without replacement, got 17$"
    ):
        estimate(ScoreFunctionUnorderedSet(), case, case.free, case.free_phi, np.full((17, 1), 0.5))


# -- who refuses what ------------------------------------------------------------------------------


def test_refusals_say_why():
    gaussian, mixture = CASES[0], FIVE
    with pytest.raises(NotApplicable, match=r"unordered-set needs a discrete z, and z is diagonal-gaussian$"):
        ScoreFunctionUnorderedSet().check_pairing(gaussian.model, gaussian.free)
    with pytest.raises(NotApplicable, match=r"needs a q symmetric about its location, and z is categorical$"):
        ScoreFunctionDelta().check_pairing(mixture.model, mixture.free)
    wide = PPCA(5, 3)
    with pytest.raises(NotApplicable, match=r"integrates over z: at most 2 latents, not 3$"):
        ScoreFunctionOracleBaseline().check_pairing(wide, FreePosterior(wide.family, 2))
    many = GaussianMixture(2, 1025, "spherical")
    with pytest.raises(NotApplicable, match=r"^categorical z has 1025 values, more than the 1024 of score-"):
        ScoreFunctionUnorderedSet().check_pairing(many, FreePosterior(many.family, 2))


# -- fitted coefficients ---------------------------------------------------------------------------


def test_the_control_variate_is_the_covariance_of_the_other_draws():
    case, n_draws = CASES[6], 5
    estimator, family = BY_NAME["score-function-control-variate"], case.model.family
    noise = noise_for(estimator, case, n_draws)
    eta = case.free.eta(case.free_phi, case.x)
    z = family.sample(eta, noise)
    f, score = log_weight(case.model, case.theta, case.x, family, eta, z), family.score(eta, z)
    by_eta = np.zeros(eta.shape)
    for n, i in itertools.product(range(len(case.x)), range(n_draws)):
        others = [k for k in range(n_draws) if k != i]
        tables = [np.cov(f[others, n] * score[others, n, j], score[others, n, j]) for j in range(2)]
        multiple = sum(t[0, 1] for t in tables) / sum(t[1, 1] for t in tables)
        by_eta[n] += (f[i, n] - multiple) * score[i, n] / (n_draws * len(case.x))
    wanted = case.free.eta_vjp(case.free_phi, case.x, by_eta)
    assert_same(estimate(estimator, case, case.free, case.free_phi, noise), wanted, 1e-11)


def test_at_two_draws_the_delta_estimate_is_leave_one_out():
    leave_one_out_at_two()


def leave_one_out_at_two():
    for case in (case for case in CASES if not case.model.family.discrete):
        fitted, loo = BY_NAME["score-function-delta"], BY_NAME["score-function-loo"]
        noise = noise_for(loo, case, 2, lead=(10,))
        found, wanted = (estimate(e, case, case.free, case.free_phi, noise) for e in (fitted, loo))
        assert_same(found, wanted, 1e-9)


@pytest.mark.parametrize("case", [CASES[4], CASES[8]], ids=case_id)
def test_the_linear_part_has_the_moments_that_its_formulas_say(case):
    family, eta = case.model.family, case.free.eta(case.free_phi, case.x)
    eps, weights = product_rule("hermite", 8, family.size)
    z = family.sample(eta, eps[:, None])
    linear, variance, by_score = linear_part(case.problem(), eta, z)
    assert_same(weights @ linear, np.zeros(len(x := case.x)), 1e-12)
    assert_same(weights @ linear**2, variance, 1e-12)
    assert_same(np.tensordot(weights, linear[..., None] * family.score(eta, z), 1), by_score, 1e-12)
    # And it is the tangent of log w at the mean of q.
    mean, step = family.split(eta)[0][None], 1e-5
    direction = np.random.default_rng(0).standard_normal(mean.shape)
    up, down = (
        log_weight(case.model, case.theta, x, family, eta, mean + sign * step * direction) for sign in (1, -1)
    )
    tangent = linear_part(case.problem(), eta, mean + direction)[0]
    assert_same((up - down) / (2.0 * step), tangent, 1e-7)


def of_width(case, log_std):
    """Return the case with that width of every q."""
    phi = case.free_phi.copy()
    case.free.layout.views(phi)["log_std"][...] = log_std
    return replace(case, free_phi=phi)


def mean_baseline(case):
    """Return the baseline E f (N, 1), from the exact ELBO row by row (one latent or categories)."""
    family, eta = case.model.family, case.free.eta(case.free_phi, case.x)
    if family.discrete:
        z = all_values(family, len(case.x))
        weights = np.exp(family.log_prob(eta, z))
    else:
        eps, weights = product_rule("trapezoid", 16, family.size)
        z, weights = family.sample(eta, eps[:, None]), weights[:, None]
    f = log_weight(case.model, case.theta, case.x, family, eta, z)
    return Constant((weights * f).sum(axis=0)[:, None])


def variance_of(estimator, case, n_draws=1, tolerance=1e-6):
    return exact_variance(estimator, case, case.free, case.free_phi, n_draws, tolerance)


# -- who beats whom, by exact variance -------------------------------------------------------------


@pytest.mark.parametrize("case", NETWORKS_OF_ONE_LATENT, ids=case_id)
def test_a_linearisation_with_coefficient_one_helps_at_the_right_width_and_hurts_at_a_wrong_one(case):
    unit = BY_NAME["score-function-delta-unit"]
    helped, hurt = of_width(case, 0.0), of_width(case, 1.0)
    assert variance_of(unit, hurt) > variance_of(mean_baseline(hurt), hurt)
    if case.model.variant not in ("learned", "full"):  # where the noise depends on z, log w bends more
        assert variance_of(unit, helped) < 0.1 * variance_of(mean_baseline(helped), helped)


def sampled_variance(estimator, case, n_draws, repeats):
    """Return the variance of so many estimates: a thousand are about 10 per cent off, tails included."""
    noise = noise_for(estimator, case, n_draws, seed=2, lead=(repeats,))
    return estimate(estimator, case, case.free, case.free_phi, noise).var(axis=0).sum()


@pytest.mark.parametrize("case", NETWORKS_OF_ONE_LATENT, ids=case_id)
def test_estimated_coefficients_keep_much_of_the_gain_and_take_away_the_harm(case):
    # A hundred draws, by simulation.
    estimators = [BY_NAME[f"score-function-{name}"] for name in ("loo", "delta", "delta-unit")]
    for log_std in (0.0, 1.0):
        loo, delta, unit = (sampled_variance(e, of_width(case, log_std), 100, 600) for e in estimators)
        if unit < 0.5 * loo:
            assert delta < max(0.1 * loo, unit)  # the best coefficient gains at least what one does
        assert delta < 1.1 * loo
        assert log_std == 0.0 or (unit > 1.15 * loo and delta < unit)


ORACLE_CASES = [of_width(case, 0.0) for case in ONE_LATENT] + WITH_FIVE


@pytest.mark.parametrize("case", ORACLE_CASES, ids=case_id)
def test_no_other_constant_baseline_has_less_variance_in_any_coordinate(case):
    no_better_constant(case)


def no_better_constant(case):
    oracle = BY_NAME["score-function-oracle-baseline"]
    eta = case.free.eta(case.free_phi, case.x)
    best = optimal_baseline(case.model, case.theta, case.x, case.model.family, eta)
    least = moments(oracle, case, case.free, case.free_phi, 1, 1e-6)[1]
    for shift in (-0.1, 0.1):
        variance = moments(Constant(best + shift), case, case.free, case.free_phi, 1, 1e-6)[1]
        assert np.all(variance > least)


def test_the_optimal_baseline_stops_at_the_first_rule_that_stands(monkeypatch):
    # f of a linear Gaussian model is quadratic: eight nodes are exact, and sixteen say so.
    case, used = make_case(PPCA(4, 1)), []
    by_rule = oracle._by_rule
    monkeypatch.setattr(oracle, "_by_rule", lambda *where: used.append(len(where[-1][1])) or by_rule(*where))
    eta = case.free.eta(case.free_phi, case.x)
    found = optimal_baseline(case.model, case.theta, case.x, case.model.family, eta)
    # Where the baseline is larger than one nat the tolerance is relative to it.
    assert np.abs(found).max() > 1.0
    assert used == [8, 16]


@pytest.mark.parametrize("case", ORACLE_CASES, ids=case_id)
def test_the_oracle_is_below_the_mean_and_the_mean_below_leave_one_out(case):
    # Leave-one-out is the mean baseline plus the noise of estimating it, which is uncorrelated with it.
    names = ("score-function-oracle-baseline", "score-function-loo", "score-function")
    oracle, loo, none = (variance_of(BY_NAME[name], case, 2) for name in names)
    mean = variance_of(mean_baseline(case), case, 2)
    assert oracle <= mean * (1.0 + 1e-9) and mean < loo and oracle < none


def test_a_mean_baseline_can_hurt():
    # f = 1 with probability 0.9, else 0: the mean is 0.9, but the score is large where f is small, and the
    # optimal baseline is q_0 f_1 + q_1 f_0 = 0.1. No baseline at all is nearer to that than the mean.
    case = Tabulated([1.0, 0.0], np.array([0.9, 0.1])).case()
    oracle, none = (BY_NAME[f"score-function{name}"] for name in ("-oracle-baseline", ""))
    variances_ = [variance_of(estimator, case) for estimator in (oracle, none, mean_baseline(case))]
    # Two coordinates with the same variance: E[(f - b)^2 s^2] - E[f s]^2, s = 0.1 or -0.9.
    by_hand = [2.0 * (0.009 * (1.0 - b) ** 2 + 0.081 * b**2 - 0.09**2) for b in (0.1, 0.0, 0.9)]
    np.testing.assert_allclose(variances_, by_hand, rtol=1e-9, atol=1e-15)
    assert variances_[0] < 1e-15 < 50.0 * variances_[1] < variances_[2]


# -- estimators that remember ----------------------------------------------------------------------


def test_the_running_mean_is_the_weighted_mean_of_the_past():
    running_mean_of_the_past()


def running_mean_of_the_past():
    case, estimator = FIVE, ScoreFunctionRunningMean()
    family, eta = case.model.family, case.free.eta(case.free_phi, case.x)
    state, past = estimator.initial_state(case.problem()), []
    for seed in range(5):
        noise = noise_for(estimator, case, 2, seed)
        gradient, state = run(estimator, case, noise, state)
        f = log_weight(case.model, case.theta, case.x, family, eta, family.sample(eta, noise))
        weights = 0.95 ** np.arange(len(past))[::-1]
        baseline = weights @ past / weights.sum() if past else 0.0
        wanted = estimate(Constant(np.array([[baseline]])), case, case.free, case.free_phi, noise)
        assert_same(gradient, wanted, 1e-12)
        past.append(f.mean())


@pytest.mark.parametrize("estimator", STATEFUL, ids=lambda e: e.name)
def test_repeats_see_the_state_given_and_the_state_returned_has_learned_from_all(estimator):
    case = CASES[6]
    state, noise = settled(estimator, case, 3, calls=4), noise_for(estimator, case, 3, lead=(6,))
    together, after = run(estimator, case, noise, state)
    single = [run(estimator, case, one, state) for one in noise]
    assert_same(together, np.stack([gradient for gradient, _ in single]), 1e-12)
    # Six repeats of three draws teach what eighteen draws of one estimate teach.
    as_draws = noise.reshape(18, *noise.shape[2:])
    np.testing.assert_allclose(after, run(estimator, case, as_draws, state)[1], rtol=1e-9, atol=1e-12)
    assert all(np.abs(one - after).max() > 1e-6 for _, one in single)


@pytest.mark.parametrize("estimator", STATEFUL, ids=lambda e: e.name)
def test_a_settled_baseline_beats_none_even_with_one_draw(estimator):
    for case in (spread(FIVE), spread(CASES[6])):
        held = holding(estimator, settled(estimator, case, 1))
        assert variance_of(held, case, tolerance=1e-5) < 0.7 * variance_of(BY_NAME["score-function"], case)


def test_a_learned_baseline_tells_data_apart_where_one_number_cannot():
    one, learned = (variance_of(holding(e, settled(e, FIVE, 1)), FIVE) for e in STATEFUL)
    # The best that a baseline of the datum could do, if it knew the mean of each.
    limit = variance_of(mean_baseline(FIVE), FIVE)
    assert limit < learned and learned - limit < 0.5 * (one - limit)


def test_a_learned_baseline_follows_each_datum():
    case, estimator = spread(FIVE), ScoreFunctionLearnedBaseline()
    # What is subtracted, read off by the derivative of the estimate in a constant: g = (f - b) s.
    state = settled(estimator, case, 5)
    family, eta = case.model.family, case.free.eta(case.free_phi, case.x)
    noise = noise_for(estimator, case, 1)
    z = family.sample(eta, noise)
    f, score = log_weight(case.model, case.theta, case.x, family, eta, z), family.score(eta, z)
    gradient = case.free.eta(run(estimator, case, noise, state)[0], case.x) * len(case.x)
    baseline = f[0] - (gradient * score[0]).sum(axis=-1) / (score[0] ** 2).sum(axis=-1)
    means = mean_baseline(case).baseline[:, 0]
    assert np.abs(baseline - means).max() < 0.25 * np.ptp(means)


# -- planted faults --------------------------------------------------------------------------------


def unbiased_in(case):
    """Return the law that an estimator is unbiased on a case, to a thousandth.

    The faulty ratios of draws are no longer exact under coarse rules, as the right ones are.
    """

    def law(estimator):
        where = case, case.free, case.free_phi
        n_draws = affordable_draws(estimator, case)
        found = expected_estimate(estimator, *where, n_draws, tolerance=1e-3)
        assert_same(found, exact_value(estimator, *where), 1e-3)

    return law


def after_the_draws(right):
    """The state learns from the draws before it is used, in every repeat anew."""

    def estimate(self, problem, noise, state):
        learned = [right(self, problem, one, right(self, problem, one, state)[1])[0] for one in noise]
        return np.stack(learned), state

    return estimate


def of_all_draws(_):
    return lambda a: a.sum(axis=-2, keepdims=True) + 0.0 * a


def covariance_of_all_draws(_):
    def over_all(a, b):
        a, b = a - a.mean(axis=-3, keepdims=True), b - b.mean(axis=-3, keepdims=True)
        return (a * b).sum(axis=(-3, -1))[..., None, :] + 0.0 * a.sum(axis=-1)

    return over_all


def without_the_mean(right):
    def linear_part(*arguments):
        linear, variance, by_score = right(*arguments)
        return linear, variance, 0.0 * by_score

    return linear_part


def weights_by_share(right):
    """q(s) / q(S) for the probability that s came first."""

    def first_draw(log_q, log_w):
        return softmax(log_q, axis=0), right(log_q, log_w)[1]

    return first_draw


def second_weights_of_the_set(right):
    """The weights of the baseline as if s had been left in the set: they no longer sum to 1 - q(s)."""

    def first_draw(log_q, log_w):
        first, after = right(log_q, log_w)
        return first, np.where(after > 0.0, first, 0.0)

    return first_draw


def nothing_outside(_):
    return lambda a, axis: np.full(a.shape[:-1], -np.inf) if axis == -1 else log_sum_exp(a, axis)


def in_another_order(right):
    return lambda family, n_data: right(family, n_data)[::-1]


FAULTS = {
    "running mean sees the draw": ("running-mean", ScoreFunctionRunningMean, "estimate", after_the_draws),
    "network sees the draw": ("learned-baseline", ScoreFunctionLearnedBaseline, "estimate", after_the_draws),
    "multiple of all draws": ("control-variate", control_variates, "_over_others", covariance_of_all_draws),
    "mean not put back": ("delta", control_variates, "linear_part", without_the_mean),
    "mean not put back, unit": ("delta-unit", control_variates, "linear_part", without_the_mean),
    "rest not scaled": ("top-categories", sets, "log_sum_exp", lambda _: lambda a, axis: 0.0 * a.max(axis)),
    "rest drawn from all": ("top-categories", sets, "without", lambda _: lambda log_p, _: log_p),
    "numbers of another list": ("top-categories", values, "all_values", in_another_order),
    "numbers of another list, set": ("unordered-set", values, "all_values", in_another_order),
    "members by their share": ("unordered-set", sets, "first_draw", weights_by_share),
    "baseline with the wrong ratio": ("unordered-set", sets, "first_draw", second_weights_of_the_set),
    "values outside forgotten": ("unordered-set", sets, "log_sum_exp", nothing_outside),
}


@pytest.mark.parametrize("name, owner, attribute, wrong", FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_is_no_longer_unbiased(name, owner, attribute, wrong, monkeypatch):
    estimator = BY_NAME[f"score-function-{name}"]
    # What all data share couples their noise; the q of the graph is so even that the faults nearly vanish.
    uneven = [case for case in BINARY if case.model.name == "sigmoid-belief"]
    few = (TWO,) if estimator.burn_in else (FIVE, *uneven)
    admitted = [case for case in few if admits(case, estimator)] or [LINE]
    for law in [unbiased_in(case) for case in admitted]:
        law(estimator)
        with monkeypatch.context() as patch:
            patch.setattr(owner, attribute, wrong(getattr(owner, attribute)))
            with pytest.raises(AssertionError) as caught:
                law(estimator)
        assert not isinstance(caught.value, NotIntegrated)


def off_by_a_little(right):
    return lambda *arguments: right(*arguments) + 0.3


@pytest.mark.parametrize(
    "owner, attribute, wrong, law",
    [
        (oracle, "optimal_baseline", off_by_a_little, lambda: no_better_constant(FIVE)),
        (
            baselines,
            "decayed",
            lambda right: lambda *values: right(values[2], 1.0, values[2]),
            running_mean_of_the_past,
        ),
        (baselines, "decayed", lambda right: lambda m, _, v: right(m, 1.0, v), running_mean_of_the_past),
        (sets, "without", lambda _: lambda log_p, _: log_p, short_formula_of_two),
        (control_variates, "_sum_of_others", of_all_draws, leave_one_out_at_two),
    ],
    ids=[
        "not the optimum",
        "only the last call",
        "pulled towards zero",
        "values drawn twice",
        "slope of all draws",
    ],
)
def test_a_planted_fault_breaks_a_law_of_its_estimator(owner, attribute, wrong, law, monkeypatch):
    law()
    monkeypatch.setattr(owner, attribute, wrong(getattr(owner, attribute)))
    with pytest.raises(AssertionError):
        law()
