"""Exact bounds of several draws, against enumeration, the ELBO, log p and their own derivatives."""

import itertools

import numpy as np
import pytest
from cases import CASES, DISCRETE, ONE_LATENT, over
from checks import assert_close

from elbo_lab import exact
from elbo_lab.exact import coupled, enumeration
from elbo_lab.special import log_mean_exp

FEW = DISCRETE + ONE_LATENT


def eta_of(case):
    return case.free.eta(case.free_phi, case.x)


def bound(case, eta, n_draws, theta=None):
    theta = case.theta if theta is None else theta
    return exact.importance_weighted_bound(case.model, theta, case.x, eta, n_draws)


@over(DISCRETE)
@pytest.mark.parametrize("n_draws", [1, 2, 4])
def test_the_bound_of_a_discrete_z_is_the_sum_over_all_tuples_of_draws(case, n_draws):
    eta, family = eta_of(case), case.model.family
    z = enumeration.all_values(family, len(case.x))
    log_q = family.log_prob(eta, z)
    log_w = case.model.log_joint(case.theta, case.x, z) - log_q
    tuples = np.array(list(itertools.product(range(len(z)), repeat=n_draws))).T
    expected = (np.exp(log_q[tuples].sum(axis=0)) * log_mean_exp(log_w[tuples], axis=0)).sum(axis=0)
    assert_close(bound(case, eta, n_draws).value, expected, 1e-11)


@over(CASES)
def test_with_one_draw_the_bound_is_the_elbo(case):
    eta, family = eta_of(case), case.model.family
    found = bound(case, eta, 1)
    expected = exact.expectation(case.model, case.theta, case.x, eta)
    for name, entropy in (
        ("value", family.entropy(eta)),
        ("grad_theta", 0.0),
        ("grad_eta", family.entropy_grad(eta) / len(case.x)),
    ):
        # Rules of different fineness may have stood; both say by how much they last changed.
        error = getattr(found, f"{name}_error") + getattr(expected, f"{name}_error")
        gap = np.abs(getattr(found, name) - getattr(expected, name) - entropy)
        assert (gap <= error + 1e-10).all(), name


@over(FEW)
def test_more_draws_raise_the_bound_towards_log_p(case):
    values = np.array([bound(case, eta_of(case), n_draws).value for n_draws in (1, 2, 4, 16, 256)])
    assert (np.diff(values, axis=0) > 0.0).all()
    gaps = exact.evidence(case.model, case.theta, case.x).value - values
    assert (gaps > 0.0).all()


@over(FEW)
def test_with_many_draws_the_gap_is_half_the_variance_of_the_weights_over_their_number(case):
    # log p - bound = Var(w / p) / (2 K) + O(1 / K^2) (Nowozin 2018), where the weights have all moments:
    # q wider than the posterior.
    eta = eta_of(case).copy()
    if not case.model.family.discrete:
        eta[:, 1] = np.maximum(eta[:, 1], 0.0)
    evidence = exact.evidence(case.model, case.theta, case.x).value
    gaps = [evidence - bound(case, eta, n_draws).value for n_draws in (1000, 2000)]
    assert_close(gaps[0] / gaps[1], np.full(len(case.x), 2.0), 2e-2)


@over(FEW)
@pytest.mark.parametrize("n_draws", [2, 7])
def test_gradients_of_a_bound_are_its_derivatives(case, n_draws):
    eta, rng = eta_of(case), np.random.default_rng(0)
    found = bound(case, eta, n_draws)
    for _ in range(3):
        by_eta, by_theta = rng.standard_normal(eta.shape), rng.standard_normal(case.theta.shape)
        step = 1e-4
        up, down = (bound(case, eta + s * by_eta, n_draws).value.mean() for s in (step, -step))
        assert abs((found.grad_eta * by_eta).sum() - (up - down) / (2 * step)) < 1e-6
        up, down = (bound(case, eta, n_draws, case.theta + s * by_theta).value.mean() for s in (step, -step))
        assert abs(found.grad_theta @ by_theta - (up - down) / (2 * step)) < 1e-6


def test_the_shares_of_the_draws_have_mean_one():
    rng = np.random.default_rng(1)
    log_w, weights = 3.0 * rng.standard_normal(40), rng.random(40)
    weights /= weights.sum()
    for n_draws in (1, 3, 50):
        _, share, _ = coupled.bound_of_draws(log_w, weights, n_draws)
        assert abs(weights @ share - 1.0) < 1e-12


@pytest.mark.parametrize("shift", [-2000.0, 0.0, 2000.0])
def test_a_constant_in_the_log_weights_moves_the_bound_by_itself(shift):
    log_w, weights = np.array([0.0, -1.0, 2.0]), np.array([0.2, 0.5, 0.3])
    value, share, by_score = coupled.bound_of_draws(log_w, weights, 4)
    moved = coupled.bound_of_draws(log_w + shift, weights, 4)
    assert abs(moved[0] - value - shift) < 1e-9
    assert_close(moved[1], share, 1e-10)
    assert_close(moved[2], by_score, 1e-10)


def test_weights_over_a_thousand_nats_and_weights_of_zero():
    weights = np.array([0.5, 0.5])
    value, _, _ = coupled.bound_of_draws(np.array([0.0, -1000.0]), weights, 3)
    # One tuple in eight has only tiny weights; else k of three are one.
    expected = 0.125 * (-1000.0) + sum(c * np.log(k / 3.0) for c, k in ((0.375, 1), (0.375, 2)))
    assert abs(value - expected) < 1e-9
    assert coupled.bound_of_draws(np.array([0.0, -np.inf]), weights, 3)[0] == -np.inf


def test_a_long_run_agrees_within_its_own_error():
    case = ONE_LATENT[0]
    eta, family = eta_of(case), case.model.family
    rng = np.random.default_rng(2)
    found = coupled._sampled(case.model, case.theta, case.x, family, eta, 5, rng)
    expected = bound(case, eta, 5)
    for name in ("value", "grad_theta", "grad_eta"):
        error = getattr(found, f"{name}_error")
        # |t| of 40 batches beyond 6 in one of about 30 coordinates: 2e-5.
        assert (np.abs(getattr(found, name) - getattr(expected, name)) <= 6.0 * error + 1e-12).all()


@over(FEW)
def test_the_inclusive_gradient_is_the_derivative_of_the_cross_entropy(case):
    eta, family, rng = eta_of(case), case.model.family, np.random.default_rng(3)
    grad, error, rung = exact.inclusive_gradient(case.model, case.theta, case.x, family, eta)
    if family.discrete:
        z = enumeration.all_values(family, len(case.x))
        log_joint = case.model.log_joint(case.theta, case.x, z)
    else:
        nodes = np.linspace(-9.0, 9.0, 20001)
        z = np.broadcast_to(nodes[:, None, None], (len(nodes), len(case.x), 1))
        log_joint = case.model.log_joint(case.theta, case.x, z)
    posterior = np.exp(log_joint - log_joint.max(axis=0))
    posterior /= posterior.sum(axis=0)
    for _ in range(3):
        direction = rng.standard_normal(eta.shape)
        up, down = (
            (posterior * family.log_prob(eta + s * direction, z)).sum(axis=0).mean() for s in (1e-4, -1e-4)
        )
        assert abs((grad * direction).sum() - (up - down) / 2e-4) < 1e-6
    assert error.max() < 1e-6 and rung in ("closed-form", "enumeration", "quadrature")
