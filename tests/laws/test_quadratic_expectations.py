"""E_q log p(x, z) of a quadratic log-joint by mean and covariance of q, in every family that has them."""

import numpy as np
import pytest

from elbo_lab import compare, draws_needed
from elbo_lab.distributions import FAMILIES, Laplace, Logistic, StudentT, draw_noise
from elbo_lab.errors import BadValue
from elbo_lab.exact import cubature, inclusive, ladder, long_run, quadrature
from elbo_lab.models import PPCA, FactorAnalysis

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 4))


def families(size):
    """Return every family with a covariance that has a member of this size without arguments."""
    found = []
    for kind in FAMILIES:
        try:
            family = kind.of_size(size)
        except BadValue:
            continue
        if family.has_covariance:
            found.append(family)
    return found


def theta_of(model):
    return model.random_theta(X, RNG) + 0.2 * RNG.normal(size=model.layout.size)


def eta_of(family):
    return family.start + 0.2 * RNG.normal(size=(len(X), family.eta_size))


@pytest.mark.parametrize("family", families(1), ids=lambda family: family.name)
def test_one_latent_agrees_with_quadrature(family):
    model = PPCA(4, 1)
    theta, eta = theta_of(model), eta_of(family)
    try:
        expected = quadrature.expectation(model, theta, X, family, eta)
    except quadrature.ToleranceMissed:  # tails too heavy for its nodes
        expected = long_run.expectation(model, theta, X, family, eta, np.random.default_rng(1))
    found = ladder.expectation(model, theta, X, eta, family)
    assert found.rung == "closed-form" and not found.value_error.any()
    for name in ("value", "grad_theta", "grad_eta"):
        error = getattr(expected, f"{name}_error")
        # A long run within 6 of its own standard errors: 1e-8 false alarms for the few numbers here.
        assert np.all(np.abs(getattr(found, name) - getattr(expected, name)) <= 6.0 * error + 1e-7)


@pytest.mark.parametrize("family", families(3), ids=lambda family: family.name)
def test_moments_are_those_of_draws_and_the_gradient_is_that_of_the_value(family):
    model = FactorAnalysis(4, 3)
    theta, eta = theta_of(model), eta_of(family)
    mean, root, _ = family.mean_and_root(eta)
    z = family.sample(eta, draw_noise(family.noise_spec(4000, len(X)), np.random.default_rng(2)))
    std = np.sqrt((root**2).sum(axis=-1))
    # 6 standard errors; a shift of a fifth of the standard deviation would be seen.
    assert np.all(np.abs(z.mean(axis=0) - mean) < 6.0 * std / np.sqrt(len(z)))
    assert np.allclose(family.moments(eta), (mean, std))
    weights, step = np.full(len(X), 1.0 / len(X)), 1e-5
    found = cubature.expectation(model, theta, X, family, eta)
    moved = step * RNG.normal(size=eta.shape)
    up, down = (cubature.expected_log_joint(model, theta, X, family, eta + s * moved)[0] for s in (1, -1))
    assert np.isclose(weights @ (up - down) / 2.0, (found.grad_eta * moved).sum(), rtol=1e-6)


def test_the_rung_of_a_student_t_without_a_variance_has_no_answer():
    family = StudentT(1)
    eta = np.array([[0.0, 0.0, np.log(1.9)]])
    with pytest.raises(quadrature.ToleranceMissed):
        cubature.expected_log_joint(PPCA(4, 1), theta_of(PPCA(4, 1)), X, family, eta)


def test_a_standard_deviation_in_place_of_the_variance_is_found(monkeypatch):
    family, model = Logistic(1), PPCA(4, 1)
    theta, eta = theta_of(model), eta_of(family)
    expected = quadrature.expectation(model, theta, X, family, eta).value
    monkeypatch.setattr(Logistic, "standard_deviation", lambda _: (2.0, ()))
    assert np.abs(cubature.expected_log_joint(model, theta, X, family, eta)[0] - expected).min() > 1e-3


def test_the_inclusive_gradient_of_another_family_is_not_taken_from_these_points():
    model, family = PPCA(4, 1), Laplace(1)
    theta = model.canonical(theta_of(model))
    found = inclusive.inclusive_gradient(model, theta, X, family, eta_of(family))
    assert found[2] != cubature.RUNG


def test_a_q_on_half_of_the_prior_has_a_bound_and_no_estimate_of_log_p():
    options = {"latent": 1, "rows": 2, "posterior": "gamma"}
    chosen = ["reparameterization", "elbo-log-weight", "importance-sampling", "prior-monte-carlo", "wake-phi"]
    found = compare("ppca", estimators=chosen, repeats=30, threads=1, progress=False, **options)
    reasons = {row["estimator"]: row["reason"] for row in found.rows}
    for name in ("importance-sampling", "wake-phi"):
        assert "importance weights miss the part" in reasons.pop(name)
    assert set(reasons.values()) == {None}
    assert all(row["reference"] == "closed-form" for row in found.rows if row["reason"] is None)
    with pytest.raises(ValueError, match="importance weights miss the part"):
        draws_needed("ppca", progress=False, **options)
