"""The evidence lower bound: an inequality, an equality, and three forms of one number.

Random models, parameters, data and q from Hypothesis; expectations are closed forms, sums over all
categories or Gauss-Hermite sums, so nothing here is a draw of luck.
"""

import numpy as np
import pytest
from cases import CASES, MODELS, model_id
from checks import assert_close, exact_draws
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from elbo_lab import exact
from elbo_lab.bounds import importance_evidence, joint_entropy, log_weight, prior_evidence, reconstruction_kl
from elbo_lab.distributions import draw_noise
from elbo_lab.exact import closed_form, enumeration, quadrature

# The exact posterior is a member of the family.
KNOWN = tuple(
    model
    for model in MODELS
    if model.family.name not in ("independent-bernoulli", "categorical-vector")
    and (enumeration.applies(model) or closed_form.applies(model))
)
INTEGRATED = tuple(m for m in MODELS if not (enumeration.applies(m) or closed_form.applies(m)))
DISCRETE = tuple(model for model in MODELS if model.family.discrete)
N_DATA, N_DRAWS = 2, 5
FORMS = (reconstruction_kl, joint_entropy, log_weight)

every_case = pytest.mark.parametrize("case", CASES, ids=model_id)


def vectors(shape, size):
    # Without a fill value every entry is drawn on its own.
    return arrays(float, shape, elements=st.floats(-size, size, width=32), fill=st.nothing())


@st.composite
def settings_of(draw, models, size=2.0):
    """Return (model, canonical theta, x, eta): anything within `size` of zero."""
    model = draw(st.sampled_from(models))
    theta = model.canonical(draw(vectors(model.layout.size, size)))
    x = draw(vectors((N_DATA, model.n_columns), 2.0 * size))
    x = (x > 0.0).astype(float) if model.name in ("deep-bernoulli", "sigmoid-belief") else x
    if model.name == "bayes-net":
        x = np.where([model.net.variables[name.split("[")[0]].discrete for name in model.columns], x > 0.0, x)
    if model.name == "logistic-regression":
        model.rows(x)[..., -1] = model.rows(x)[..., -1] > 0.0
    return model, theta, x, draw(vectors((N_DATA, model.family.eta_size), size))


def elbo_and_evidence(model, theta, x, eta):
    """Return the exact ELBO, log p(x), and the numerical error of both, each (N,)."""
    expectation, evidence = exact.expectation(model, theta, x, eta), exact.evidence(model, theta, x)
    elbo = expectation.value + model.family.entropy(eta)
    rounding = 1e-12 * (1.0 + np.abs(elbo) + np.abs(evidence.value))
    return elbo, evidence.value, rounding + expectation.value_error + evidence.value_error


def random_draws(model, eta, seed=0):
    noise = draw_noise(model.family.noise_spec(N_DRAWS, len(eta)), np.random.default_rng(seed))
    return model.family.sample(eta, noise)


# -- the inequality ------------------------------------------------------------------------------


@given(settings_of(KNOWN))
def test_the_elbo_is_at_most_log_p_and_the_gap_is_kl_to_the_posterior(setting):
    model, theta, x, eta = setting
    elbo, evidence, error = elbo_and_evidence(model, theta, x, eta)
    kl = model.family.kl(eta, model.posterior_eta(theta, x))
    assert np.all(kl >= -error)
    assert np.all(elbo <= evidence + error)
    assert np.all(np.abs(evidence - elbo - kl) <= 10.0 * error + 1e-9 * (1.0 + kl))


@given(settings_of(INTEGRATED, size=1.0))
def test_the_elbo_of_an_integrated_model_is_below_log_p_too(setting):
    model, theta, x, eta = setting
    # Rungs without luck only; a reference by draws would blur the inequality.
    try:
        expectation = quadrature.expectation(model, theta, x, model.family, eta)
        evidence = quadrature.evidence(model, theta, x)
    except quadrature.ToleranceMissed:
        assume(False)
    elbo = expectation.value + model.family.entropy(eta)
    assert np.all(elbo <= evidence.value + expectation.value_error + evidence.value_error + 1e-9)


@given(settings_of(KNOWN))
def test_at_the_exact_posterior_the_elbo_equals_log_p(setting):
    model, theta, x, _ = setting
    elbo, evidence, error = elbo_and_evidence(model, theta, x, model.posterior_eta(theta, x))
    assert np.all(np.abs(elbo - evidence) <= 10.0 * error)


@given(settings_of(KNOWN), st.integers(0, 99))
def test_at_the_exact_posterior_every_single_log_weight_equals_log_p(setting, seed):
    model, theta, x, _ = setting
    eta = model.posterior_eta(theta, x)
    log_w = log_weight(model, theta, x, model.family, eta, random_draws(model, eta, seed))
    evidence = exact.evidence(model, theta, x).value
    assert_close(log_w, np.broadcast_to(evidence, log_w.shape), 1e-9)


@given(settings_of(KNOWN), st.floats(0.01, 1.0))
def test_leaving_the_exact_posterior_in_any_direction_lowers_the_elbo(setting, size):
    model, theta, x, direction = setting
    assume(np.linalg.norm(direction, axis=1).min() > 0.1)
    eta = model.posterior_eta(theta, x) + size * direction
    elbo, evidence, error = elbo_and_evidence(model, theta, x, eta)
    if model.family.discrete:
        # A direction along (1, ..., 1) changes no probability.
        assert np.all(elbo <= evidence + error)
    else:
        assert np.all(elbo < evidence)


# -- the three forms -----------------------------------------------------------------------------


def mean_over_all_noise(form, model, theta, x, eta, n_nodes=120):
    z, weights = exact_draws(model.family, eta, n_nodes)
    return (weights * form(model, theta, x, model.family, eta, z)).sum(axis=0)


@every_case
def test_the_three_forms_have_one_mean(case):
    for posterior, phi in case.posteriors():
        eta = posterior.eta(phi, case.x)
        forms = [mean_over_all_noise(form, case.model, case.theta, case.x, eta) for form in FORMS]
        expected = elbo_and_evidence(case.model, case.theta, case.x, eta)[0]
        for mean in forms:
            assert_close(mean, forms[0], 1e-9)
            assert_close(mean, expected, 1e-9)


@given(settings_of(KNOWN))
def test_the_three_forms_have_one_mean_at_random_parameters(setting):
    model, theta, x, eta = setting
    # The log-joints here are quadratic in z: a few nodes are exact.
    forms = [mean_over_all_noise(form, model, theta, x, eta, n_nodes=4) for form in FORMS]
    assert_close(forms[1], forms[0], 1e-9)
    assert_close(forms[2], forms[0], 1e-9)


@every_case
def test_the_three_forms_differ_draw_by_draw(case):
    eta = case.free.eta(case.free_phi, case.x)
    z = random_draws(case.model, eta)
    values = [form(case.model, case.theta, case.x, case.model.family, eta, z) for form in FORMS]
    assert all(value.shape == (N_DRAWS, 3) for value in values)
    # Where all categories are equally likely before, log p(z) has no noise and the first two are one.
    uniform = case.model.fixed_prior and case.model.family.discrete
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert (np.abs(values[i] - values[j]).max() > 1e-3) == (not uniform or (i, j) != (0, 1))


@every_case
@pytest.mark.parametrize("form", FORMS)
def test_leading_axes_order_of_draws_and_data(case, form):
    model, eta = case.model, case.free.eta(case.free_phi, case.x)
    noise = draw_noise(model.family.noise_spec(N_DRAWS, 3), np.random.default_rng(0), lead=(2,))
    z = model.family.sample(eta, noise)
    together = form(model, case.theta, case.x, model.family, eta, z)
    for r in range(2):
        assert_close(together[r], form(model, case.theta, case.x, model.family, eta, z[r]))
    draws, data = [3, 1, 4, 0, 2], [2, 0, 1]
    moved = form(model, case.theta, case.x[data], model.family, eta[data], z[0][draws][:, data])
    assert_close(moved, together[0][draws][:, data])


# -- estimates of the evidence -------------------------------------------------------------------


@every_case
def test_the_importance_estimate_averages_the_weights(case):
    eta = case.free.eta(case.free_phi, case.x)
    z = random_draws(case.model, eta)
    log_w = log_weight(case.model, case.theta, case.x, case.model.family, eta, z)
    found = importance_evidence(case.model, case.theta, case.x, case.model.family, eta, z)
    assert_close(found, np.log(np.exp(log_w).mean(axis=0)))


@every_case
def test_the_prior_estimate_averages_the_likelihood(case):
    model, eta = case.model, np.repeat(case.model.prior_eta(case.theta), 3, axis=0)
    z = random_draws(model, eta)
    found = prior_evidence(model, case.theta, case.x, z)
    likelihood = np.exp(model.log_likelihood(case.theta, case.x, z))
    assert_close(found, np.log(likelihood.mean(axis=0)))
    # Sampling from the prior is importance sampling with the prior as proposal.
    assert_close(found, importance_evidence(model, case.theta, case.x, model.family, eta, z), 1e-11)


@every_case
def test_one_draw_of_the_importance_estimate_is_its_log_weight(case):
    eta = case.free.eta(case.free_phi, case.x)
    z = random_draws(case.model, eta)[:1]
    found = importance_evidence(case.model, case.theta, case.x, case.model.family, eta, z)
    assert_close(found, log_weight(case.model, case.theta, case.x, case.model.family, eta, z)[0])


@given(settings_of(MODELS), st.integers(0, 99))
def test_the_importance_estimate_is_at_least_the_mean_log_weight(setting, seed):
    model, theta, x, eta = setting
    z = random_draws(model, eta, seed)
    log_w = log_weight(model, theta, x, model.family, eta, z)
    estimate = importance_evidence(model, theta, x, model.family, eta, z)
    slack = 1e-12 * (1.0 + np.abs(log_w).max())
    assert np.all(estimate >= log_w.mean(axis=0) - slack)
    assert np.all(estimate <= log_w.max(axis=0) + slack)


@given(settings_of(DISCRETE))
def test_the_mean_weight_is_the_evidence_itself(setting):
    model, theta, x, eta = setting
    z, q = exact_draws(model.family, eta)
    log_w = log_weight(model, theta, x, model.family, eta, z)
    found = np.log((q * np.exp(log_w - log_w.max(axis=0))).sum(axis=0)) + log_w.max(axis=0)
    assert_close(found, exact.evidence(model, theta, x).value, 1e-10)


def test_the_references_of_this_file_stand_on_rungs_without_luck():
    assert KNOWN and all(quadrature.applies(model) for model in INTEGRATED)
