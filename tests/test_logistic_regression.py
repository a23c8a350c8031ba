"""Bayesian logistic regression: one z for the whole table, exact under any Gaussian q."""

import itertools
from functools import partial

import numpy as np
import pytest
from checks import assert_close, check_vjp, exact_draws
from scipy.integrate import quad
from scipy.special import log_expit, logsumexp
from scipy.stats import multivariate_t, norm

from elbo_lab import exact
from elbo_lab.datasets import Dataset, load
from elbo_lab.distributions import Categorical, FullGaussian
from elbo_lab.errors import NotApplicable
from elbo_lab.exact import laplace, long_run, projected, quadrature
from elbo_lab.models import PPCA, LinearPredictor, LogisticRegression
from elbo_lab.registry import ModelChoice
from elbo_lab.study import build_scene

THETA = np.zeros(0)
TUMOURS = load("breast-cancer")


def table_of(n_rows=6, n_features=3, seed=0):
    """Return a table (M, D + 1) of features in odd units and labels."""
    rng = np.random.default_rng(seed)
    features = [5.0, -2.0, 100.0][:n_features] + rng.standard_normal((n_rows, n_features))
    return np.column_stack([features, np.arange(n_rows) % 2])


def built(table, kind=LogisticRegression):
    model = kind.for_data(table)
    return model, model.check_data(model.as_data(table))


def scene(rows=None, posterior="free", at="near", data="breast-cancer", model=None, seed=0):
    return build_scene(ModelChoice(LogisticRegression, None, model), data, None, posterior, at, rows, seed)


@pytest.fixture(scope="module")
def tumours():
    """The whole table at the best q."""
    return scene(at="exact")


# -- the formula -----------------------------------------------------------------------------------


def is_the_loop_over_rows(kind):
    """log p(y | F, z) is the sum over rows of log sigmoid, written out."""
    table = table_of()
    model, x = built(table, kind)
    z = np.random.default_rng(1).standard_normal((4, 1, 4))
    features, expected = table[:, :-1], np.zeros((4, 1))
    for s, (f, y) in itertools.product(range(4), zip(features, table[:, -1], strict=True)):
        standard = (f - features.mean(axis=0)) / features.std(axis=0)
        a = z[s, 0, :3] @ standard + z[s, 0, 3]
        expected[s, 0] += log_expit(a) if y == 1.0 else log_expit(-a)
    assert_close(model.log_likelihood(THETA, x, z), expected)
    prior = norm.logpdf(z).sum(axis=-1)
    assert_close(model.log_joint(THETA, x, z), expected + prior)


def minibatches_are_unbiased(kind):
    """Over all minibatches of two rows the scaled log-likelihood and its gradient are those of the table."""
    table = table_of()
    model, x = built(table, kind)
    z = np.random.default_rng(1).standard_normal((4, 1, 4))
    whole, pullback = model.likelihood(THETA, x, z)
    values, slopes = [], []
    for pair in itertools.combinations(range(6), 2):
        value, pull = model.likelihood(THETA, model.check_support(model.as_data(table[list(pair)])), z)
        values.append(value)
        slopes.append(pull(np.ones((4, 1)))[1])
    assert_close(np.mean(values, axis=0), whole)
    assert_close(np.mean(slopes, axis=0), pullback(np.ones((4, 1)))[1])


LAWS = (is_the_loop_over_rows, minibatches_are_unbiased)


@pytest.mark.parametrize("law", LAWS)
def test_the_formula_obeys_its_law(law):
    law(LogisticRegression)


class FactorDropped(LogisticRegression):
    def predictors(self, x):
        return super().predictors(x)[0], 1.0


class FactorUpsideDown(LogisticRegression):
    def predictors(self, x):
        directions, factor = super().predictors(x)
        return directions, 1.0 / factor


class SignFlipped(LogisticRegression):
    def predictors(self, x):
        directions, factor = super().predictors(x)
        return -directions, factor


class ConstantDropped(LogisticRegression):
    def design(self, features):
        return super().design(features) * np.array([1.0] * self.n_features + [0.0])


class NotStandardised(LogisticRegression):
    def design(self, features):
        return super().design(features * self.scale + self.shift)


@pytest.mark.parametrize(
    "kind", [FactorDropped, FactorUpsideDown, SignFlipped, ConstantDropped, NotStandardised]
)
def test_a_planted_fault_in_the_formula_is_caught(kind):
    caught = 0
    for law in LAWS:
        try:
            law(kind)
        except AssertionError:
            caught += 1
    assert caught


def test_the_pullback_with_all_weights_of_the_tumours_is_the_derivative(tumours):
    model, x = tumours.model, tumours.x
    z = 0.3 * np.random.default_rng(0).standard_normal((2, 1, 31))
    value, vjp, rng = model.log_joint, model.log_joint_vjp, np.random.default_rng(1)
    check_vjp(lambda z: value(THETA, x, z), lambda z, c: vjp(THETA, x, z, c)[1], z, rng)


def test_extreme_weights_give_finite_answers():
    model, x = built(table_of())
    z = np.array([1e3, -1e3, 1e3, -1e3])[None, None]
    value, pullback = model.likelihood(THETA, x, z)
    assert np.isfinite(value).all() and np.isfinite(pullback(np.ones((1, 1)))[1]).all()


def test_both_views_of_the_tumours_are_one_model_for_the_labels():
    z = np.random.default_rng(0).standard_normal((3, 1, 31))
    values = []
    for view in ("raw", "standardised"):
        model, x = built(LogisticRegression.table_of(load("breast-cancer", view=view)))
        values.append(model.log_joint(THETA, x, z))
    assert_close(values[0], values[1], 1e-10)


class GivenUniforms:
    def __init__(self, features, uniforms):
        self.features, self.uniforms = features, uniforms

    def standard_normal(self, shape):
        return self.features.reshape(shape)

    def random(self, shape):
        return self.uniforms.reshape(shape)


def test_a_sampled_label_is_one_on_as_much_noise_as_its_probability():
    n = 2000
    model = LogisticRegression(n, (3.0,), (2.0,))
    noise = GivenUniforms(np.full(n, 0.7), (np.arange(n) + 0.5) / n)
    rows = model.rows(model.sample_x(THETA, np.array([[1.2, -0.4]]), noise))[0]
    assert_close(rows[:, 0], np.full(n, 3.0 + 2.0 * 0.7))
    expected = np.exp(log_expit(1.2 * 0.7 - 0.4))
    assert abs(rows[:, 1].mean() - expected) <= 1.01 / n


# -- expectations under q --------------------------------------------------------------------------


def brute_force(model, x, eta):
    """Return E_q log p(x, z) by a product rule over both weights."""
    z, weights = exact_draws(model.family, eta, 120)
    return (weights * model.log_joint(THETA, x, z)).sum(axis=0)


def one_feature():
    model, x = built(table_of(5, 1))
    return model, x, np.array([[0.6, -0.3, -0.9, -0.4]])


def expectation_is_the_integral_in_the_plane():
    model, x, eta = one_feature()
    found = projected.expectation(model, THETA, x, model.family, eta)
    assert_close(found.value, brute_force(model, x, eta), 1e-10)
    for j, unit in enumerate(np.eye(4)):
        near, far = (
            brute_force(model, x, eta + h * unit) - brute_force(model, x, eta - h * unit)
            for h in (1e-3, 2e-3)
        )
        assert abs(found.grad_eta[0, j] - (8.0 * near[0] - far[0]) / 12e-3) <= 1e-9


def test_gradients_and_their_errors_are_of_the_mean_over_the_data(monkeypatch):
    monkeypatch.setattr(projected, "FIRST_STEP", 2.0)  # a rule so coarse that its error shows
    monkeypatch.setattr(projected, "TOLERANCE", 0.1)
    model, x, eta = one_feature()
    one = projected.expectation(model, THETA, x, model.family, eta)
    two = projected.expectation(
        model, THETA, np.repeat(x, 2, axis=0), model.family, np.repeat(eta, 2, axis=0)
    )
    assert_close(two.value, np.repeat(one.value, 2))
    assert_close(two.grad_eta, 0.5 * np.repeat(one.grad_eta, 2, axis=0))
    assert (one.grad_eta_error > 1e-9).all()
    np.testing.assert_allclose(two.grad_eta_error, 0.5 * np.repeat(one.grad_eta_error, 2, axis=0), rtol=1e-6)


def test_the_expectation_is_the_integral_in_the_plane_of_two_weights():
    expectation_is_the_integral_in_the_plane()
    model, x, eta = one_feature()
    found = exact.expectation(model, THETA, x, eta)
    assert found.rung == "quadrature" and found.value_error.max() <= 1e-7
    assert found.grad_theta.shape == (0,)
    both = quadrature.expectation(model, THETA, x, model.family, eta)
    assert_close(found.value, both.value, 1e-8)
    assert_close(found.grad_eta, both.grad_eta, 1e-7)


def _slope_without_noise(model, a, eps):
    value, slope, _ = projected_with_slopes(model, a, eps)
    return np.stack([value, slope, slope])


def _no_prior(_family, eta):
    return np.zeros(len(eta)), np.zeros(eta.shape)


projected_with_slopes = projected._with_slopes


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("_with_slopes", _slope_without_noise),
        ("_under_prior", _no_prior),
        ("HALF_WIDTH", 3.0),
        # Every rule stands at once.
        ("TOLERANCE", 1.0),
    ],
)
def test_a_planted_fault_in_the_quadrature_is_caught(monkeypatch, name, fault):
    monkeypatch.setattr(projected, name, fault)
    if name == "TOLERANCE":
        monkeypatch.setattr(projected, "FIRST_STEP", 3.0)
    # A rule that is cut off converges too slowly to stand.
    with pytest.raises((AssertionError, quadrature.ToleranceMissed)):
        expectation_is_the_integral_in_the_plane()


def test_a_scaled_minibatch_scales_its_expectation():
    model, _, eta = one_feature()
    table = table_of(5, 1)
    x = model.as_data(table[:2])
    assert_close(exact.expectation(model, THETA, x, eta).value, brute_force(model, x, eta), 1e-10)


@pytest.mark.parametrize("wide", [False, True], ids=["at the best fit", "at the prior"])
def test_with_all_weights_of_the_tumours_a_row_is_an_adaptive_integral(tumours, wide):
    model, eta = tumours.model, np.zeros((1, 62)) if wide else tumours.best_eta
    x = model.as_data(model.rows(tumours.x)[0, ::25])
    value, _, rung = exact.expected_log_joint(model, THETA, x, eta)
    directions, factor = model.predictors(x)
    mean, std = directions[0] @ eta[0, :31], np.sqrt(directions[0] ** 2 @ np.exp(2.0 * eta[0, 31:]))
    expected = -0.5 * (eta[0, :31] ** 2 + np.exp(2.0 * eta[0, 31:]) + np.log(2.0 * np.pi)).sum()
    for m, s in zip(mean, std, strict=True):
        # In the unit of a, split where log sigmoid bends.
        bends = [point for point in (-8.0, 0.0, 8.0) if m - 10.0 * s < point < m + 10.0 * s]
        integral = quad(
            lambda a, m=m, s=s: log_expit(a) * norm.pdf(a, m, s),
            m - 10.0 * s,
            m + 10.0 * s,
            points=bends or None,
            epsabs=1e-11,
            limit=200,
        )
        expected += factor * integral[0]
    assert rung == "quadrature"
    assert abs(value[0] - expected) <= 1e-7


def test_a_q_too_wide_for_every_rule_falls_to_the_long_run(monkeypatch):
    monkeypatch.setattr(long_run, "DRAWS_PER_BATCH", 50)
    monkeypatch.setattr(projected, "MAX_HALVINGS", 1)
    model, x, eta = one_feature()
    eta = eta + np.array([0.0, 0.0, 5.0, 5.0])
    with pytest.raises(quadrature.ToleranceMissed):
        projected.expectation(model, THETA, x, model.family, eta)
    monkeypatch.setattr(quadrature, "TOLERANCE", -1.0)
    assert exact.expectation(model, THETA, x, eta).rung == "long-run"


def test_only_gaussian_q_over_linear_forms_are_projected():
    model, _, _ = one_feature()
    assert isinstance(model, LinearPredictor) and projected.applies(model, model.family)
    assert not projected.applies(model) and not projected.applies(model, Categorical(2))
    assert not projected.applies(PPCA(3, 1), PPCA(3, 1).family)
    with pytest.raises(NotApplicable, match="linear forms of categorical z are not normal"):
        Categorical(2).projected(np.zeros((1, 2)), np.ones((1, 1, 2)))


# -- the evidence ----------------------------------------------------------------------------------


def brute_evidence(model, x):
    axis = np.arange(-9.0, 9.0, 0.03)
    z = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 1, 2)
    return logsumexp(model.log_joint(THETA, x, z), axis=0) + 2.0 * np.log(0.03)


def test_the_evidence_of_two_weights_is_a_brute_force_grid():
    model, x, _ = one_feature()
    found = exact.evidence(model, THETA, x)
    assert found.rung == "quadrature"
    assert np.abs(found.value - brute_evidence(model, x)).max() <= 1e-8


def test_the_long_run_from_the_mode_has_an_honest_error():
    # Batch means of 40: |z| <= 6 is a false alarm of 5e-7 (t with 39 degrees).
    model, x, _ = one_feature()
    found = laplace.evidence(model, THETA, x, np.random.default_rng(0))
    assert 0.0 < found.value_error[0] < 2e-3
    assert abs(found.value - brute_evidence(model, x))[0] <= 6.0 * found.value_error[0]


def test_the_mode_is_where_the_gradient_vanishes(tumours):
    mode, precision = laplace.mode_and_precision(tumours.model, tumours.x)
    gradient = tumours.model.log_joint_vjp(THETA, tumours.x, mode[None], np.ones((1, 1)))[1]
    assert np.abs(gradient).max() <= 1e-7
    step = 1e-5 * np.eye(31)[3]
    up, down = (
        tumours.model.log_joint_vjp(THETA, tumours.x, (mode + s * step)[None], np.ones((1, 1)))[1][0, 0]
        for s in (1.0, -1.0)
    )
    assert_close(precision[0, 3], -(up - down) / 2e-5, 1e-6)


def test_the_mode_of_a_minibatch_weighs_its_rows_by_the_factor():
    model, x = built(table_of(6, 2))
    part = model.rows(x)[:, [0, 3]].reshape(1, -1)
    mode, _ = laplace.mode_and_precision(model, part)
    gradient = model.log_joint_vjp(THETA, part, mode[None], np.ones((1, 1)))[1]
    assert model.predictors(part)[1] == 3.0 and np.abs(gradient).max() <= 1e-7


def test_the_draws_of_the_proposal_come_with_their_density():
    model, x, _ = one_feature()
    proposal = laplace.Proposal(model, x)
    z, log_q = proposal.draw(20_000, np.random.default_rng(0))
    mode, precision = laplace.mode_and_precision(model, x)
    shape = np.linalg.inv(precision[0])
    expected = multivariate_t(mode[0], shape, df=laplace.DEGREES).logpdf(z[:, 0])
    assert_close(log_q[:, 0], expected, 1e-10)
    # A t of eight degrees has covariance 8/6 of its shape; 20 000 draws: six standard errors are below 8 %.
    assert_close(np.cov(z[:, 0].T), shape * 8.0 / 6.0, 0.08)


def test_the_evidence_of_the_tumours_needs_the_correlations(tumours):
    where = tumours.model, THETA, tumours.x
    found = exact.evidence(*where, proposal=tumours.best_eta)
    assert found.rung == "long-run" and found.value_error[0] < 0.05
    bound = exact.expectation(*where, tumours.best_eta).value
    bound = bound + tumours.model.family.entropy(tumours.best_eta)
    assert bound < found.value
    # From the best diagonal q the long run is nats too low and does not know it.
    diagonal = long_run.evidence(*where, tumours.model.family, tumours.best_eta, np.random.default_rng(0))
    assert diagonal.value + 5.0 * diagonal.value_error < found.value


def test_the_covering_gradient_is_the_same_from_the_mode_and_on_the_grid(monkeypatch):
    model, x, eta = one_feature()
    where = model, THETA, x, model.family, eta
    grid, error, rung = exact.inclusive_gradient(*where)
    assert rung == "quadrature" and error.max() < 1e-6
    monkeypatch.setattr(quadrature, "applies", lambda *_: False)
    sampled, error, rung = exact.inclusive_gradient(*where)
    # Four coordinates, 40 batches: |z| <= 6 is a false alarm of 2e-6.
    assert rung == "long-run" and (np.abs(sampled - grid) <= 6.0 * error).all()


# -- scenes ----------------------------------------------------------------------------------------


def test_the_best_q_is_stationary_and_no_direction_is_better(tumours):
    def elbo(eta):
        bound = exact.expectation(tumours.model, THETA, tumours.x, eta)
        gradient = bound.grad_eta + tumours.model.family.entropy_grad(eta)
        return bound.value + tumours.model.family.entropy(eta), gradient

    best, gradient = elbo(tumours.best_eta)
    assert np.abs(gradient).max() <= 1e-4
    rng = np.random.default_rng(0)
    for size, direction in itertools.product((0.01, 0.1, 1.0), rng.standard_normal((5, 1, 62))):
        assert elbo(tumours.best_eta + size * direction)[0] < best


def test_a_scene_holds_one_datum_made_of_the_rows_that_were_asked():
    whole, part = scene(), scene(rows=40, seed=3)
    assert whole.x.shape == (1, 569 * 31) and whole.model.n_total == 569
    assert part.x.shape == (1, 40 * 31) and part.model.n_total == 40
    rows = TUMOURS.rows(40, 3)
    assert_close(part.model.rows(part.x)[0], np.column_stack([rows.x, rows.labels]))
    near, best = part.posterior.eta(part.phi, part.x), part.best_eta
    assert_close(near, part.model.family.near(best))


def test_who_tells_the_model_its_total_has_the_rows_stand_for_it():
    told = LogisticRegression.for_data(LogisticRegression.table_of(TUMOURS))
    part = scene(rows=40, model=told)
    assert part.model.n_total == 569 and part.x.shape == (1, 40 * 31)
    assert part.model.predictors(part.x)[1] == 569 / 40


@pytest.mark.parametrize(
    ("posterior", "at", "reason"),
    [
        ("amortised", "near", "an encoder learns from many data, and logistic-regression has one"),
        ("exact", "exact", "the exact posterior of logistic-regression has no closed form"),
    ],
)
def test_posteriors_that_make_no_sense_say_why(posterior, at, reason):
    found = scene(rows=40, posterior=posterior, at=at)
    assert found.posterior is None and reason in found.no_posterior


# -- refusals --------------------------------------------------------------------------------------


def labelled(labels, x=None):
    x = np.random.default_rng(0).standard_normal((6, 2)) if x is None else x
    return Dataset("mine", x, labels=None if labels is None else np.array(labels))


NO_REGRESSIONS = [
    (labelled(None), r"data: expected a table with labels 0 and 1 .*, got no labels with mine; use"),
    (labelled([0, 1, 2, 0, 1, 2]), r"got labels 0, 1, 2 with mine"),
    (labelled([3, 7, 3, 7, 3, 7]), r"got labels 3, 7 with mine"),
    (labelled([1] * 6), r"got label 1 in all rows; use"),
    ("digits", r"got labels 0, 1, 2, 3, \.\.\. with digits:raw"),
    ("faithful", r"got no labels with faithful"),
    (
        labelled([0, 1] * 3, np.column_stack([np.arange(6.0), np.full(6, 7.0)])),
        r"data: expected features that vary .*, got constant column 1; drop it",
    ),
]


@pytest.mark.parametrize(("data", "message"), NO_REGRESSIONS)
def test_a_table_that_is_no_regression_is_refused_in_one_line(data, message):
    with pytest.raises(ValueError, match=message) as caught:
        scene(data=data)
    assert "\n" not in str(caught.value)


def test_other_labels_inside_a_datum_are_refused():
    model, x = built(table_of())
    model.rows(x)[0, 2, -1] = 0.5
    with pytest.raises(ValueError, match=r"--data: expected .*labels 0 and 1.*, got a label 0\.5"):
        model.check_data(x, "--data")


@pytest.mark.parametrize("width", [23, 25, 28])
def test_torn_rows_and_too_many_are_refused(width):
    model, _ = built(table_of())
    with pytest.raises(ValueError, match=f"data: expected 24 columns, got {width} columns"):
        model.check_data(np.ones((1, width)))


IMPOSSIBLE_MODELS = [
    (partial(LogisticRegression, 0, (0.0,), (1.0,)), "n_total: .*at least 1, got 0"),
    (partial(LogisticRegression, 3, (0.0,), (0.0,)), "scale: expected a positive finite number, got 0"),
    (partial(LogisticRegression, 3, (0.0,), (1.0, 1.0)), "scale: expected 1 numbers.*got 2"),
    (partial(LogisticRegression.for_data, np.zeros((3, 1))), "one feature besides the labels, got 1 column"),
]


@pytest.mark.parametrize(("make", "message"), IMPOSSIBLE_MODELS)
def test_an_impossible_description_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# -- a full covariance -----------------------------------------------------------------------------


def test_the_expectation_under_a_full_gaussian_is_the_integral_in_the_plane():
    model, x, eta = one_feature()
    family = FullGaussian(2)
    eta = np.column_stack([eta, [0.4]])
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    eps = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 1, 2)
    share = np.multiply.outer(weights, weights).ravel() / weights.sum() ** 2

    def value(flat):
        z = family.sample(flat[None], eps)
        return share @ model.log_joint(THETA, x, z)

    found = exact.expectation(model, THETA, x, eta, family)
    assert found.rung == "quadrature"
    assert_close(found.value, value(eta[0]), 1e-10)
    check_vjp(
        lambda flat: exact.expectation(model, THETA, x, flat[None], family).value,
        lambda flat, c: c @ exact.expectation(model, THETA, x, flat[None], family).grad_eta,
        eta[0],
        np.random.default_rng(0),
    )


def test_a_full_covariance_closes_most_of_the_gap(tumours):
    full = scene(posterior="full", at="exact")
    family, where = full.posterior.family, (full.model, THETA, full.x)
    eta = full.posterior.eta(full.phi, full.x)
    bound = exact.expectation(*where, eta, family)
    log_p = exact.evidence(*where)
    full_gap = log_p.value - bound.value - family.entropy(eta)
    diagonal = exact.expectation(*where, tumours.best_eta).value + tumours.model.family.entropy(
        tumours.best_eta
    )
    assert 0.0 < full_gap < 0.2 * (log_p.value - diagonal)
    assert np.abs(bound.grad_eta + family.entropy_grad(eta)).max() < 1e-3
