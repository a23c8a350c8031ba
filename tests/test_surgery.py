"""The ELBO taken apart: per datum, and over a data set; every term against its own definition."""

from dataclasses import replace

import numpy as np
import pytest
from cases import BINARY, CASES, DISCRETE, make_case, over
from checks import assert_close, exact_draws
from hypothesis import given
from hypothesis import strategies as st

from elbo_lab import exact
from elbo_lab.distributions import Categorical, DiagonalGaussian
from elbo_lab.errors import NotApplicable
from elbo_lab.evaluation import decompose, elbo_surgery, sampled_surgery, surgery
from elbo_lab.models import PPCA
from elbo_lab.special import log_sum_exp

CONTINUOUS = [case for case in CASES if not case.model.family.discrete]
LINEAR = [case for case in CONTINUOUS if hasattr(case.model, "log_evidence")]
ONE = make_case(PPCA(3, 1), n_data=6)


def eta_of(case):
    return case.free.eta(case.free_phi, case.x)


# -- per datum -------------------------------------------------------------------------------------


@over(CASES)
def test_three_pairs_of_terms_have_one_value(case):
    found = decompose(case.model, case.theta, case.x, eta_of(case))
    slack = 1e-9 + found.error.max()
    for pair in (
        found.log_p - found.kl_to_posterior,
        found.reconstruction - found.kl_to_prior,
        found.energy + found.entropy,
    ):
        assert_close(pair, found.elbo, slack)
    assert np.all(found.kl_to_posterior >= -slack) and np.all(found.kl_to_prior >= 0.0)
    assert found.means()["elbo"] == found.elbo.mean()
    assert set(found.means()) == {*vars(found), "elbo"} - {"error"}


@over(DISCRETE + LINEAR)
def test_every_term_is_what_its_name_says(case):
    model, theta, family, eta = case.model, case.theta, case.model.family, eta_of(case)
    found = decompose(model, theta, case.x, eta)
    z, q = exact_draws(family, eta)
    for name, values in (
        ("reconstruction", model.log_likelihood(theta, case.x, z)),
        ("kl_to_prior", family.log_prob(eta, z) - model.log_prior(theta, z)),
        ("energy", model.log_joint(theta, case.x, z)),
        ("entropy", -family.log_prob(eta, z)),
    ):
        assert_close(getattr(found, name), (q * values).sum(axis=0), 1e-10)
    assert_close(found.log_p, exact.evidence(model, theta, case.x).value, 1e-12)
    if family.discrete:
        log_posterior = model.log_joint(theta, case.x, z) - found.log_p
        assert_close(log_sum_exp(log_posterior, axis=0), np.zeros(len(case.x)), 1e-12)
        kl = (q * (family.log_prob(eta, z) - log_posterior)).sum(axis=0)
        assert_close(found.kl_to_posterior, kl, 1e-9)
    if case in BINARY or family.name == "categorical-vector":
        return  # their posterior couples the variables: no eta gives it
    theta = model.canonical(theta)
    kl = family.kl(eta, model.posterior_eta(theta, case.x))
    assert_close(decompose(model, theta, case.x, eta).kl_to_posterior, kl, 1e-9)


# -- over a data set -------------------------------------------------------------------------------


@over(CASES)
def test_surgery_keeps_the_elbo(case):
    found = elbo_surgery(case.model, case.theta, case.x, eta_of(case))
    parts = decompose(case.model, case.theta, case.x, eta_of(case))
    assert abs(found.elbo - parts.elbo.mean()) < 1e-9 + parts.error.max()
    assert abs(found.reconstruction - parts.reconstruction.mean()) < 1e-9 + parts.error.max()
    assert abs(found.information + found.aggregate_kl - parts.kl_to_prior.mean()) < 1e-12
    assert 0.0 <= found.information <= found.most_information == np.log(3.0)
    assert found.aggregate_kl > -found.information_error


def test_information_and_aggregate_by_hand_for_categories():
    case = DISCRETE[0]
    q = np.exp(case.model.family.log_prob(eta_of(case), np.arange(3)[:, None].repeat(3, axis=1)))
    mixture, prior = q.mean(axis=1), np.exp(case.model.log_prior(case.theta, np.arange(3)[:, None])[:, 0])
    found = elbo_surgery(case.model, case.theta, case.x, eta_of(case))
    joint = q / 3.0
    information = (joint * np.log(joint / np.outer(joint.sum(axis=1), joint.sum(axis=0)))).sum()
    assert abs(found.information - information) < 1e-12
    assert abs(found.aggregate_kl - (mixture * np.log(mixture / prior)).sum()) < 1e-12
    assert found.rung == "enumeration" and found.information_error == 0.0


def test_the_aggregate_of_ppca_is_an_integral_over_the_line():
    # KL of the mixture to the prior on a fine grid, which knows nothing of the rules under each q.
    eta = ONE.model.posterior_eta(ONE.theta, ONE.x)
    z = np.linspace(-12.0, 12.0, 24_001)
    mean, std = eta[:, 0], np.exp(eta[:, 1])
    density = np.exp(-0.5 * ((z[:, None] - mean) / std) ** 2) / (std * np.sqrt(2.0 * np.pi))
    mixture = density.mean(axis=1)
    log_ratio = np.log(mixture) + 0.5 * z**2 + 0.5 * np.log(2.0 * np.pi)
    expected = (mixture * log_ratio).sum() * (z[1] - z[0])
    found = elbo_surgery(ONE.model, ONE.theta, ONE.x, eta)
    assert abs(found.aggregate_kl - expected) < 1e-6 and found.information_error < 1e-7
    # At the exact posterior the ELBO is log p itself.
    assert abs(found.elbo - ONE.model.log_evidence(ONE.theta, ONE.x).mean()) < 1e-9


@given(st.floats(0.0, 3.0), st.integers(2, 5))
def test_equal_codes_inform_of_nothing_and_distant_codes_of_everything(log_std, n_data):
    case = make_case(PPCA(3, 1), n_data=n_data)
    same = np.tile([[0.3, -log_std]], (n_data, 1))
    found = elbo_surgery(case.model, case.theta, case.x, same)
    assert abs(found.information) < 1e-12
    kl = case.model.family.kl(same, case.model.prior_eta(case.theta)).mean()
    assert abs(found.aggregate_kl - kl) < 1e-11
    apart = same + np.outer(100.0 * np.arange(n_data), [1.0, 0.0])
    assert abs(elbo_surgery(case.model, case.theta, case.x, apart).information - np.log(n_data)) < 1e-12


def test_categories_that_never_come_do_not_count():
    family = Categorical(3)
    eta = np.array([[0.0, -np.inf, -np.inf], [-np.inf, 0.0, -np.inf]])
    value, _ = surgery._enumerated(family, eta)
    assert_close(value, np.full(2, np.log(2.0)))


def test_the_error_of_the_exact_surgery_is_that_of_the_mean_over_the_data(monkeypatch):
    case = make_case(PPCA(3, 1))
    answer = surgery.expected_log_joint(case.model, case.theta, case.x, eta_of(case))
    errors = np.arange(1.0, 1.0 + len(case.x))
    monkeypatch.setattr(surgery, "expected_log_joint", lambda *_: (answer[0], errors, answer[2]))
    found = elbo_surgery(case.model, case.theta, case.x, eta_of(case))
    assert found.reconstruction_error == errors.mean()


@over(CONTINUOUS)
def test_draws_agree_with_the_exact_surgery_within_their_errors(case):
    # Two numbers of seven models within five standard errors: a false alarm of 8e-6 in the normal limit.
    eta, rng = eta_of(case), np.random.default_rng(0)
    found = sampled_surgery(case.model, case.theta, case.x, eta, rng, 4000)
    expected = elbo_surgery(case.model, case.theta, case.x, eta)
    for name in ("reconstruction", "information"):
        error = getattr(found, f"{name}_error")
        assert abs(getattr(found, name) - getattr(expected, name)) <= 5.0 * error, name
        assert 0.0 < error < 0.2
    assert abs(found.elbo - expected.elbo) <= 5.0 * (found.reconstruction_error + 1e-9)
    assert found.rung == "draws" and found.most_information == expected.most_information


def test_the_standard_error_of_draws_is_the_scatter_of_repeats():
    # 400 repeats: the ratio of scatter to error varies by about 4 %, and 25 % is six times that.
    rng, eta = np.random.default_rng(1), eta_of(ONE)
    runs = [sampled_surgery(ONE.model, ONE.theta, ONE.x, eta, rng, 20) for _ in range(400)]
    for name in ("reconstruction", "information"):
        scatter = np.std([getattr(run, name) for run in runs])
        error = np.sqrt(np.mean([getattr(run, f"{name}_error") ** 2 for run in runs]))
        assert abs(scatter / error - 1.0) < 0.25, name


def test_tables_in_passes_are_the_table_in_one(monkeypatch):
    whole = elbo_surgery(ONE.model, ONE.theta, ONE.x, eta_of(ONE))
    monkeypatch.setattr(surgery, "PAIRS_PER_PASS", 20)
    assert elbo_surgery(ONE.model, ONE.theta, ONE.x, eta_of(ONE)) == replace(whole)


# -- planted faults and mistakes -------------------------------------------------------------------

FAULTS = {
    "sum for the mean over the mixture": lambda a, axis: np.log(np.exp(a).sum(axis=axis)),
    "mixture of draws, not of data": lambda a, axis: np.log(np.exp(a).mean()) + 0.0 * a.sum(axis=axis),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_mixture_is_seen(fault, monkeypatch):
    monkeypatch.setattr(surgery, "log_mean_exp", FAULTS[fault])
    with pytest.raises((AssertionError, NotApplicable)):
        test_the_aggregate_of_ppca_is_an_integral_over_the_line()


def test_a_swapped_kl_is_seen(monkeypatch):
    right = DiagonalGaussian.kl
    monkeypatch.setattr(
        DiagonalGaussian, "kl", lambda self, a, b: right(self, b, a) + 0.0 * right(self, a, b)
    )
    with pytest.raises(AssertionError):
        test_every_term_is_what_its_name_says(LINEAR[0])


def test_three_latents_are_refused_with_what_is_left():
    case = make_case(PPCA(4, 3))
    with pytest.raises(NotApplicable, match=r"there are 3; use sampled_surgery$"):
        elbo_surgery(case.model, case.theta, case.x, eta_of(case))
    rng = np.random.default_rng(0)
    assert sampled_surgery(case.model, case.theta, case.x, eta_of(case), rng, 5).information_error > 0.0


def test_draws_of_categories_are_refused():
    case = DISCRETE[0]
    with pytest.raises(NotApplicable, match=r"^categorical z needs no draws: elbo_surgery sums"):
        sampled_surgery(case.model, case.theta, case.x, eta_of(case), np.random.default_rng(0))


def test_a_mixture_too_sharp_for_any_rule_is_refused_with_what_is_left(monkeypatch):
    monkeypatch.setattr(surgery, "TOLERANCE", -1.0)
    with pytest.raises(NotApplicable, match="too sharp for quadrature; use sampled_surgery"):
        elbo_surgery(ONE.model, ONE.theta, ONE.x, eta_of(ONE))
