"""Bounds of several draws: enumeration of all tuples of draws, identities, orderings, planted faults."""

import itertools

import numpy as np
import pytest
from cases import CASES, DISCRETE, over
from checks import assert_close
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from elbo_lab import compare, exact
from elbo_lab.bounds import (
    chi_square_estimate,
    combined_bound,
    exact_chi_square_bound,
    exact_renyi_bound,
    grouped_bound,
    jackknife,
    jackknife_evidence,
    renyi,
    renyi_bound,
)
from elbo_lab.errors import NotApplicable
from elbo_lab.estimators import CombinedBound, GroupedBound, Jackknife, RenyiBound
from elbo_lab.evaluation import measure_cubo, measure_renyi
from elbo_lab.exact import coupled, enumeration
from elbo_lab.special import log_mean_exp, log_sum_exp

# Log-weights of four values of z and their probabilities under q: nothing is drawn.
LOG_Q = np.log(np.array([0.4, 0.3, 0.2, 0.1]))
LOG_W = np.array([-2.0, -1.0, -0.5, 0.3])
LOG_P = log_sum_exp(LOG_W + LOG_Q, axis=0)
ELBO = np.exp(LOG_Q) @ LOG_W


def mean_over_tuples(bound, n_draws, log_w=LOG_W, log_q=LOG_Q):
    """Return the mean of a bound of S draws over all tuples of values."""
    tuples = np.array(list(itertools.product(range(len(log_w)), repeat=n_draws))).T
    return np.exp(log_q[tuples].sum(axis=0)) @ bound(log_w[tuples])


def iwae(n_draws):
    return coupled.bound_of_draws(LOG_W, np.exp(LOG_Q), n_draws)[0]


def log_weights(case):
    """Return log w and log q (G, N) of every value of a discrete z."""
    family, eta = case.model.family, case.free.eta(case.free_phi, case.x)
    z = enumeration.all_values(family, len(case.x))
    log_q = family.log_prob(eta, z)
    return case.model.log_joint(case.theta, case.x, z) - log_q, log_q


weights = arrays(float, (6, 3), elements=st.floats(-30.0, 30.0, width=32), fill=st.nothing())


# -- groups and mixtures with the ELBO -------------------------------------------------------------


@pytest.mark.parametrize(("n_groups", "size"), [(1, 4), (2, 2), (3, 2), (4, 1), (2, 3)])
def test_the_mean_of_grouped_bounds_is_the_bound_of_one_group(n_groups, size):
    found = mean_over_tuples(lambda log_w: grouped_bound(log_w, n_groups), n_groups * size)
    assert abs(found - iwae(size)) < 1e-11


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_the_mean_of_the_combined_bound_lies_between_elbo_and_importance_bound(beta):
    found = mean_over_tuples(lambda log_w: combined_bound(log_w, beta), 4)
    assert abs(found - beta * ELBO - (1.0 - beta) * iwae(4)) < 1e-11


@given(weights)
def test_one_group_all_groups_and_the_ends_of_the_mixture_are_old_friends(log_w):
    whole, mean = log_mean_exp(log_w, axis=0), log_w.mean(axis=0)
    for found, expected in (
        (grouped_bound(log_w, 1), whole),
        (grouped_bound(log_w, 6), mean),
        (combined_bound(log_w, 0.0), whole),
        (combined_bound(log_w, 1.0), mean),
        (grouped_bound(log_w[:1], 1), log_w[0]),
    ):
        assert_close(found, expected)


@given(weights)
def test_fewer_groups_are_tighter_on_the_same_draws(log_w):
    found = [grouped_bound(log_w, n_groups) for n_groups in (6, 3, 1)]
    assert np.all(np.diff(found, axis=0) >= -1e-12)


def test_a_share_of_zero_leaves_an_infinite_mean_out():
    log_w = np.array([[0.0], [-np.inf]])
    assert combined_bound(log_w, 0.0) == -np.log(2.0)
    assert combined_bound(log_w, 0.5) == -np.inf


# -- Renyi and chi-square --------------------------------------------------------------------------


@given(weights)
def test_the_renyi_bound_falls_as_alpha_rises(log_w):
    alphas = [-np.inf, -3.0, -1.0, -0.2, 0.0, 0.5, 0.99, 1.01, 2.0, 5.0, np.inf]
    values = [renyi_bound(log_w, alpha) for alpha in alphas]
    assert np.all(np.diff(values, axis=0) <= 1e-11 * (1.0 + np.abs(log_w).max()))


@given(weights)
def test_renyi_has_importance_sampling_at_zero_and_the_elbo_at_one(log_w):
    assert_close(renyi_bound(log_w, 0.0), log_mean_exp(log_w, axis=0))
    # d L / d alpha = -Var(log w) / 2 at alpha = 1, and the variance is at most 30^2.
    for alpha in (1.0 - 1e-7, 1.0 + 1e-7):
        assert np.abs(renyi_bound(log_w, alpha) - log_w.mean(axis=0)).max() < 1e-4
    assert np.array_equal(renyi_bound(log_w, -np.inf), log_w.max(axis=0))
    assert np.array_equal(renyi_bound(log_w, np.inf), log_w.min(axis=0))


@given(arrays(float, (5, 2), elements=st.floats(-20, 20, width=32), fill=st.nothing()), st.integers(0, 99))
def test_elbo_importance_bounds_log_p_and_cubo_stand_in_this_order(log_w, seed):
    q = np.random.default_rng(seed).dirichlet(np.ones(5), size=2).T
    log_q = np.log(q)
    rising = [(q * log_w).sum(axis=0), exact_renyi_bound(log_w, log_q, 0.5)]
    log_p = log_sum_exp(log_w + log_q, axis=0)
    for order in (1.5, 2, 4):
        rising.append(exact_chi_square_bound(log_w, log_q, order))
    rising.insert(2, log_p)
    assert np.all(np.diff(rising, axis=0) >= -1e-10)
    per_datum = zip(log_w.T, q.T, strict=True)
    bounds = [[coupled.bound_of_draws(w, p, k)[0] for k in (1, 2, 3, 20)] for w, p in per_datum]
    bounds = np.concatenate([rising[:1], np.transpose(bounds), log_p[None]])
    assert np.all(np.diff(bounds, axis=0) >= -1e-9)


@pytest.mark.parametrize("n_draws", [1, 2, 4])
def test_a_sampled_cubo_is_too_low_and_a_sampled_renyi_bound_errs_as_it_says(n_draws):
    low, cubo = mean_over_tuples(chi_square_estimate, n_draws), exact_chi_square_bound(LOG_W, LOG_Q)
    assert LOG_P < cubo and low < cubo - 0.01
    for alpha, sign in ((-1.0, -1.0), (0.5, -1.0), (2.0, 1.0)):
        found = mean_over_tuples(lambda log_w, a=alpha: renyi_bound(log_w, a), n_draws)
        assert sign * (found - exact_renyi_bound(LOG_W, LOG_Q, alpha)) > 1e-3


def test_the_mean_of_a_sampled_cubo_may_lie_below_log_p():
    assert mean_over_tuples(chi_square_estimate, 2) < LOG_P


def test_the_bias_of_a_sampled_renyi_bound_falls_with_the_draws():
    exact_value = exact_renyi_bound(LOG_W, LOG_Q, 0.5)
    found = [mean_over_tuples(lambda log_w: renyi_bound(log_w, 0.5), s) for s in (1, 2, 4, 6)]
    assert np.all(np.diff(found) > 0.0) and found[-1] < exact_value < LOG_P


def test_values_that_q_cannot_draw_do_not_count():
    log_w, log_q = np.array([[-1.0], [np.inf], [0.5]]), np.log(np.array([[0.5], [1e-320], [0.5]]))
    log_q[1] = -np.inf
    with np.errstate(all="raise"):
        for alpha in (-np.inf, -1.0, 0.5, 2.0, np.inf):
            expected = exact_renyi_bound(log_w[[0, 2]], log_q[[0, 2]], alpha)
            assert_close(exact_renyi_bound(log_w, log_q, alpha), expected)


@over(DISCRETE)
def test_exact_renyi_bounds_of_a_mixture_bracket_log_p(case):
    eta, log_p = case.free.eta(case.free_phi, case.x), exact.evidence(case.model, case.theta, case.x).value
    log_w, log_q = log_weights(case)
    value, error = measure_renyi(case.model, case.theta, case.x, eta, 0.5)
    assert_close(value, 2.0 * np.log((np.exp(log_q) * np.exp(0.5 * log_w)).sum(axis=0)), 1e-11)
    cubo, _ = measure_cubo(case.model, case.theta, case.x, eta)
    assert np.all(value < log_p) and np.all(log_p < cubo) and not error.any()


def test_the_exact_cubo_of_a_gaussian_is_its_closed_form():
    # Posterior N(m, s^2), q = N(m + d, t^2): log E w^2 = 2 log p + log of an integral of Gaussians.
    case = next(case for case in CASES if case.model.name == "ppca")
    theta = case.model.canonical(case.theta)
    posterior = case.model.posterior_eta(theta, case.x)
    mean, log_std = case.model.family.split(posterior)
    d, ratio = 0.3 * np.exp(log_std), 1.2
    eta = case.model.family.join(mean + d, log_std + np.log(ratio))
    variance, wide = np.exp(2.0 * log_std), ratio**2 * np.exp(2.0 * log_std)
    # int N(z; m, s2)^2 / N(z; m + d, t2) dz = t2 / (s sqrt(2 t2 - s2)) exp(d^2 / (2 t2 - s2)).
    apart = 2.0 * wide - variance
    terms = np.log(wide) - 0.5 * np.log(variance) - 0.5 * np.log(apart) + d**2 / apart
    expected = case.model.log_evidence(theta, case.x) + 0.5 * terms.sum(axis=1)
    value, error = measure_cubo(case.model, theta, case.x, eta)
    assert_close(value, expected, 1e-9)
    assert error.max() < 1e-8


def test_an_infinite_cubo_is_refused():
    case = next(case for case in CASES if case.model.name == "ppca")
    theta = case.model.canonical(case.theta)
    eta = case.model.posterior_eta(theta, case.x) + np.array([0.0, 0.0, -1.0, -1.0])
    with pytest.raises(NotApplicable, match="too narrow for a finite bound"):
        measure_cubo(case.model, theta, case.x, eta)


# -- jackknife -------------------------------------------------------------------------------------


def by_subsets(log_w, order):
    """Return the correction by its definition: every subset, one by one."""
    n_draws = len(log_w)
    parts = []
    for j, c in enumerate(jackknife.coefficients(n_draws, order)):
        subsets = list(itertools.combinations(range(n_draws), n_draws - j))
        parts.append(c * np.mean([log_mean_exp(log_w[list(kept)], axis=0) for kept in subsets], axis=0))
    return sum(parts)


@given(weights, st.sampled_from([1, 2]))
def test_the_jackknife_is_the_sum_over_all_subsets(log_w, order):
    assert_close(jackknife_evidence(log_w, order), by_subsets(log_w, order), 1e-11)


def test_the_first_order_is_the_textbook_jackknife():
    log_w = LOG_W[:, None]
    without = [log_mean_exp(np.delete(log_w, s, axis=0), axis=0) for s in range(4)]
    expected = 4.0 * log_mean_exp(log_w, axis=0) - 3.0 * np.mean(without, axis=0)
    assert_close(jackknife_evidence(log_w, 1), expected)


@pytest.mark.parametrize("order", [1, 2])
def test_the_weights_of_a_correction_cancel_the_powers_that_it_promises(order):
    c = np.array(jackknife.coefficients(9, order))
    sizes = 9.0 - np.arange(order + 1)
    powers = [c @ sizes**-p for p in range(order + 1)]
    assert_close(powers, [1.0] + [0.0] * order, 1e-12)
    assert abs(c @ sizes ** -(order + 1.0)) > 1e-4


@pytest.mark.parametrize("order", [0, 1, 2])
def test_the_bias_falls_by_the_order_that_is_promised(order):
    # Means of L_S are exact for any S, and the correction is linear in them. The next power of 1/S remains.
    def bias(n_draws):
        c = jackknife.coefficients(n_draws, order)
        return sum(share * iwae(n_draws - j) for j, share in enumerate(c)) - LOG_P

    rate = np.log2(bias(80) / bias(160))
    assert abs(rate - (order + 1)) < 0.15, rate


def test_the_mean_over_all_tuples_is_the_combination_of_exact_bounds():
    for order in (1, 2):
        found = mean_over_tuples(lambda log_w, m=order: jackknife_evidence(log_w, m), 5)
        c = jackknife.coefficients(5, order)
        assert abs(found - sum(share * iwae(5 - j) for j, share in enumerate(c))) < 1e-10


def test_one_weight_that_carries_nearly_all_loses_no_digits():
    log_w = np.array([[800.0], [0.0], [-1.0], [-2.0]])
    found = jackknife.leave_one_out(log_w)[0]
    assert_close(found, log_sum_exp(log_w[1:], axis=0), 1e-14)


# -- mistakes --------------------------------------------------------------------------------------


MISTAKES = [
    (lambda w: renyi_bound(w, 1), r"^alpha: expected a number other than 1, got 1; the limit at 1 is the"),
    (lambda w: renyi_bound(w, np.nan), r"^alpha: expected a number other than 1, got nan"),
    (lambda w: renyi_bound(w, "0"), r"^alpha: expected a number other than 1, got '0'$"),
    (lambda w: chi_square_estimate(w, 1), r"^order: expected a finite number above 1, got 1"),
    (lambda w: grouped_bound(w, 3), r"^draws: expected a multiple of the 3 groups, got 4$"),
    (lambda w: grouped_bound(w, 0), r"^groups: expected a whole number of at least 1, got 0$"),
    (lambda w: combined_bound(w, 1.5), r"^beta: expected a number from 0 to 1, got 1.5$"),
    (lambda w: jackknife_evidence(w, 3), r"^order: expected 1 or 2, got 3"),
    (lambda w: jackknife_evidence(w[:2], 2), r"^draws: expected at least 3 for a correction of order 2"),
    (
        lambda w: jackknife_evidence(np.where(np.arange(4)[:, None] > 0, -np.inf, w)),
        r"^log-weights: expected at least 2 above -inf for every datum, got 1; take more draws",
    ),
    (lambda _: GroupedBound(2).check_draws(5), r"^draws: expected a multiple of 2 for miwae-2, got 5$"),
    (lambda _: RenyiBound(1.0), r"^alpha: expected a number other than 1"),
    (lambda _: CombinedBound(-0.1), r"^beta: expected"),
    (lambda _: Jackknife(0), r"^order: expected"),
]


@pytest.mark.parametrize(("call", "line"), MISTAKES)
def test_a_mistake_gets_one_clear_line(call, line):
    with pytest.raises((ValueError, TypeError), match=line):
        call(np.zeros((4, 2)))


def test_weights_that_are_all_zero_give_minus_infinity_without_a_warning():
    log_w = np.full((4, 2), -np.inf)
    for found in (
        grouped_bound(log_w, 2),
        combined_bound(log_w, 0.5),
        renyi_bound(log_w, 0.5),
        renyi_bound(log_w, 2.0),
        chi_square_estimate(log_w),
    ):
        assert np.all(found == -np.inf)


# -- in a comparison -------------------------------------------------------------------------------


def test_a_comparison_holds_groups_against_the_bound_of_their_own_size():
    names = ["iwae", "miwae-2", "ciwae-0.5", "exact"]
    rows = compare("gaussian-mixture:full", estimators=names, rows=3, repeats=200, draws=4).rows
    targets = {row["estimator"]: row["target"] for row in rows if row["estimator"] != "exact"}
    assert targets == {"iwae": "iwae-4", "miwae-2": "iwae-2", "ciwae-0.5": "iwae-4"}


def test_groups_that_do_not_come_out_even_cost_a_row_or_are_refused_by_name():
    row = next(
        r for r in compare("gaussian-mle", rows=2, repeats=2, draws=3).rows if r["estimator"] == "miwae-2"
    )
    line = "draws: expected a multiple of 2 for miwae-2, got 3"
    assert (row["applicable"], row["reason"]) == (False, line)
    with pytest.raises(ValueError, match=line):
        compare("gaussian-mle", estimators="miwae-2", rows=2, repeats=2, draws=3)


def test_parameters_are_part_of_the_name():
    made = GroupedBound(5), CombinedBound(0.1), RenyiBound(-2.0), Jackknife(2)
    assert [one.name for one in made] == ["miwae-5", "ciwae-0.1", "renyi--2", "jackknife-2"]
    assert GroupedBound(5).group_size(10) == 2
    assert CombinedBound(0).unbiased and not CombinedBound(0.5).unbiased and not CombinedBound(1).unbiased


# -- planted faults --------------------------------------------------------------------------------

FAULTS = {
    "groups summed, not averaged": (
        "grouped",
        lambda log_w, m: grouped_bound(log_w, m) * m,
        lambda f: mean_over_tuples(lambda w: f(w, 2), 4) - iwae(2),
    ),
    "group size S, not K": (
        "grouped",
        lambda log_w, m: grouped_bound(log_w, m) - np.log(m),
        lambda f: mean_over_tuples(lambda w: f(w, 2), 4) - iwae(2),
    ),
    "beta on the wrong side": (
        "combined",
        lambda log_w, b: combined_bound(log_w, 1.0 - b),
        lambda f: mean_over_tuples(lambda w: f(w, 0.3), 4) - 0.3 * ELBO - 0.7 * iwae(4),
    ),
    "Renyi without its factor": (
        "renyi",
        lambda log_w, a: (1.0 - a) * renyi_bound(log_w, a),
        lambda f: (f(LOG_W[:, None], 1.0 - 1e-7) - LOG_W.mean())[0],
    ),
    "jackknife with S instead of S - 1": (
        "jackknife",
        lambda log_w, _: 4 * log_mean_exp(log_w, axis=0) - 3 * jackknife.mean_without(log_w, 1) + 1e-3,
        lambda f: (f(LOG_W[:, None], 1) - by_subsets(LOG_W[:, None], 1))[0],
    ),
}
RIGHT = {
    "grouped": grouped_bound,
    "combined": combined_bound,
    "renyi": renyi_bound,
    "jackknife": jackknife_evidence,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_seen(fault):
    kind, wrong, error = FAULTS[fault]
    assert abs(error(RIGHT[kind])) < 1e-6
    assert abs(error(wrong)) > 1e-4


def test_a_wrong_power_of_the_chi_square_bound_is_seen(monkeypatch):
    # E w^(1/2) where E w^2 is meant.
    monkeypatch.setattr(renyi, "check_order", lambda order: 1.0 / order)
    assert exact_chi_square_bound(LOG_W, LOG_Q) < LOG_P
