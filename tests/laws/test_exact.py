"""The ladder of exactness: every rung against an independent one."""

import numpy as np
import pytest
from cases import CASES, DISCRETE, make_case, over
from checks import exact_draws
from estimator_laws import assert_same, canonical, with_theta
from scipy.integrate import quad
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from elbo_lab import exact
from elbo_lab.errors import NotApplicable
from elbo_lab.exact import closed_form, enumeration, ladder, long_run, quadrature, rules
from elbo_lab.models import PPCA, DeepBernoulli, DeepGaussianFixed, GaussianMLE

CLOSED = [case for case in CASES if hasattr(case.model, "log_evidence")]
DEEP = [case for case in CASES if case not in DISCRETE and case not in CLOSED]
DEEP_ONE_LATENT = [case for case in DEEP if case.model.latent_dim == 1]
GAUSSIAN = [make_case(model) for model in (PPCA(3, 1), PPCA(4, 2), GaussianMLE(1), GaussianMLE(2))]


def gradient_by_differences(function, theta, step=1e-4):
    """Return the gradient by fourth-order central differences."""
    grad = np.zeros(theta.size)
    for j, unit in enumerate(np.eye(theta.size)):
        near = function(theta + step * unit) - function(theta - step * unit)
        far = function(theta + 2 * step * unit) - function(theta - 2 * step * unit)
        grad[j] = (8.0 * near - far) / (12.0 * step)
    return grad


def assert_all_same(found, expected, names, relative):
    for name in names:
        assert_same(getattr(found, name), getattr(expected, name), relative)


EVIDENCE = ("value", "grad_theta")
EXPECTATION = ("value", "grad_theta", "grad_eta")


# -- which rung ------------------------------------------------------------------------------------


@over(CASES)
def test_the_ladder_takes_the_first_rung_that_applies(case):
    rung = "enumeration" if case in DISCRETE else "closed-form" if case in CLOSED else "quadrature"
    assert exact.evidence(case.model, case.theta, case.x).rung == rung
    eta = case.free.eta(case.free_phi, case.x)
    assert exact.expectation(case.model, case.theta, case.x, eta).rung == rung


def test_three_latents_under_a_network_are_a_long_run(monkeypatch):
    monkeypatch.setattr(long_run, "DRAWS_PER_BATCH", 50)
    case = make_case(DeepBernoulli(3, 3, (2,)))
    eta = case.free.eta(case.free_phi, case.x)
    assert exact.evidence(case.model, case.theta, case.x).rung == "long-run"
    assert exact.expectation(case.model, case.theta, case.x, eta).rung == "long-run"


def test_a_missed_tolerance_leads_to_the_long_run(monkeypatch):
    monkeypatch.setattr(long_run, "DRAWS_PER_BATCH", 50)
    # No two rules agree to less than zero.
    monkeypatch.setattr(quadrature, "TOLERANCE", -1.0)
    case = DEEP_ONE_LATENT[0]
    eta = case.free.eta(case.free_phi, case.x)
    with pytest.raises(quadrature.ToleranceMissed):
        quadrature.evidence(case.model, case.theta, case.x)
    with pytest.raises(quadrature.ToleranceMissed):
        quadrature.expectation(case.model, case.theta, case.x, case.model.family, eta)
    assert exact.evidence(case.model, case.theta, case.x).rung == "long-run"
    assert exact.expectation(case.model, case.theta, case.x, eta).rung == "long-run"


def test_a_long_run_is_the_same_every_time(monkeypatch):
    monkeypatch.setattr(long_run, "DRAWS_PER_BATCH", 50)
    case = make_case(DeepBernoulli(3, 3, (2,)))
    first, again = (exact.evidence(case.model, case.theta, case.x) for _ in range(2))
    np.testing.assert_array_equal(first.value, again.value)


# -- closed form -----------------------------------------------------------------------------------


@over(CLOSED)
def test_closed_form_evidence_is_the_dense_normal_density(case):
    model, theta = case.model, case.theta
    t = model.layout.views(theta)
    if model.name == "gaussian-mle":
        mean, covariance = t["mu"], model.sigma2(theta) * np.eye(model.n_columns)
    else:
        noise = np.broadcast_to(np.exp(2.0 * t["log_sigma"]), (model.n_columns,))
        mean, covariance = t["b"], t["W"] @ t["W"].T + np.diag(noise)
    expected = multivariate_normal(mean, covariance).logpdf(case.x)
    found = closed_form.evidence(model, theta, case.x)
    assert_same(found.value, expected, 1e-12)
    assert not found.value_error.any()


@over(CASES)
def test_the_gradient_of_the_evidence_is_its_derivative(case):
    found = exact.evidence(case.model, case.theta, case.x)
    expected = gradient_by_differences(
        lambda theta: exact.evidence(case.model, theta, case.x).value.mean(), case.theta, 1e-3
    )
    assert_same(found.grad_theta, expected, 1e-6)


@over(CASES)
def test_the_gradients_of_the_expectation_are_its_derivatives(case):
    eta = case.free.eta(case.free_phi, case.x)
    found = exact.expectation(case.model, case.theta, case.x, eta)

    def value(theta, flat_eta):
        table = flat_eta.reshape(eta.shape)
        return exact.expectation(case.model, theta, case.x, table).value.mean()

    by_theta = gradient_by_differences(lambda theta: value(theta, eta.ravel()), case.theta, 1e-3)
    by_eta = gradient_by_differences(lambda flat: value(case.theta, flat), eta.ravel(), 1e-3)
    assert_same(found.grad_theta, by_theta, 1e-6)
    assert_same(found.grad_eta.ravel(), by_eta, 1e-6)


# -- enumeration -----------------------------------------------------------------------------------


@over(DISCRETE)
def test_enumeration_is_the_sum_over_all_values(case):
    model, theta, x = case.model, case.theta, case.x
    eta = case.free.eta(case.free_phi, x)
    joint = np.array(
        [
            [model.log_joint(theta, x[n : n + 1], value[None, None])[0, 0] for value in model.family.values()]
            for n in range(len(x))
        ]
    )
    found = enumeration.evidence(model, theta, x)
    assert_same(found.value, logsumexp(joint, axis=1), 1e-12)
    q = exact_draws(model.family, eta)[1].T
    expected = enumeration.expectation(model, theta, x, model.family, eta)
    assert_same(expected.value, (q * joint).sum(axis=1), 1e-12)
    assert not found.value_error.any() and not expected.grad_eta_error.any()


# -- quadrature ------------------------------------------------------------------------------------


@over(GAUSSIAN)
def test_hermite_expectations_are_the_closed_form(case):
    eta = case.free.eta(case.free_phi, case.x)
    arguments = (case.model, case.theta, case.x, case.model.family, eta)
    found, expected = quadrature.expectation(*arguments), closed_form.expectation(*arguments)
    assert_all_same(found, expected, EXPECTATION, 1e-10)


@over([case for case in GAUSSIAN if case.model.name == "ppca"])
@pytest.mark.parametrize("log_sigma", [0.0, -1.0, -3.0])
def test_the_trapezoid_evidence_is_the_closed_form(case, log_sigma):
    theta = case.theta.copy()
    theta[-1] = log_sigma
    x, _ = case.model.sample(theta, 3, np.random.default_rng(2))
    found, expected = (rung.evidence(case.model, theta, x) for rung in (quadrature, closed_form))
    assert np.abs(found.value - expected.value).max() <= 1e-8
    assert_same(found.grad_theta, expected.grad_theta, 1e-6)
    # The last change bounds the error, down to rounding.
    honest = 1e-10 + found.value_error + 1e-12 * np.abs(expected.value)
    assert (np.abs(found.value - expected.value) <= honest).all()
    scale = 1.0 + np.abs(expected.grad_theta).max()
    gap = np.abs(found.grad_theta - expected.grad_theta)
    # Nodes of negligible weight are dropped, together up to 1e-9 of a gradient in two dimensions.
    assert (gap <= found.grad_theta_error + 1e-9 * scale).all()


@over(DEEP_ONE_LATENT)
def test_deep_evidence_is_an_adaptive_integral(case):
    model, theta = case.model, case.theta
    found = exact.evidence(model, theta, case.x)
    for n in range(len(case.x)):
        row = case.x[n : n + 1]

        def log_joint(z, row=row):
            return model.log_joint(theta, row, np.array([[[z]]]))[0, 0]

        peak = max(log_joint(z) for z in np.linspace(-6.0, 6.0, 241))
        integral, error = quad(
            lambda z, f=log_joint, top=peak: np.exp(f(z) - top),
            -9.0,
            9.0,
            epsabs=1e-12,
            epsrel=1e-11,
            limit=400,
            points=np.linspace(-4.0, 4.0, 9),
        )
        assert abs(found.value[n] - np.log(integral) - peak) <= 1e-8 + 2.0 * error / integral


@over(DEEP)
def test_deep_evidence_is_a_brute_force_grid(case):
    k = case.model.latent_dim
    step = 0.02 if k == 1 else 0.05
    axis = np.arange(-8.0, 8.0 + step / 2, step)
    z = np.stack(np.meshgrid(*[axis] * k, indexing="ij"), axis=-1).reshape(-1, 1, k)
    joint = case.model.log_joint(case.theta, case.x, z)
    expected = logsumexp(joint, axis=0) + k * np.log(step)
    found = exact.evidence(case.model, case.theta, case.x)
    assert np.abs(found.value - expected).max() <= 1e-8
    weights = np.exp(joint - logsumexp(joint, axis=0)) / len(case.x)
    by_theta = case.model.log_joint_vjp(case.theta, case.x, z, weights)[0]
    assert_same(found.grad_theta, by_theta, 1e-7)


def two_sided_decoder():
    """A decoder that is even in z: tanh(3 (z + 1.8)) - tanh(3 (z - 1.8)), shifted.

    Its posterior has two equal peaks far apart.
    """
    model = DeepGaussianFixed(1, 1, (2,))
    parts = {
        "decoder.W1": np.array([[3.0, 3.0]]),
        "decoder.b1": np.array([6.0, -6.0]),
        "decoder.W2": np.array([[1.0], [-1.0]]),
        "decoder.b2": np.array([-1.0]),
        "log_sigma": np.array(-4.0),
    }
    return model, model.layout.pack(parts), np.array([[0.0]])


def test_a_posterior_with_two_sharp_modes_is_integrated_in_full():
    model, theta, x = two_sided_decoder()
    axis = np.arange(-8.0, 8.0, 5e-5)[:, None, None]
    joint = model.log_joint(theta, x, axis)[:, 0]
    mass = np.exp(joint - joint.max())
    left = mass[axis[:, 0, 0] < 0].sum() / mass.sum()
    assert abs(left - 0.5) < 1e-6, "the case is meant to have two equal modes"
    found = exact.evidence(model, theta, x)
    assert found.rung == "quadrature"
    assert abs(found.value[0] - logsumexp(joint) - np.log(5e-5)) <= 1e-8


@over(CASES)
def test_the_evidence_of_a_datum_does_not_depend_on_its_neighbours(case):
    together = exact.evidence(case.model, case.theta, case.x).value
    alone = [exact.evidence(case.model, case.theta, row[None]).value[0] for row in case.x]
    assert_same(together, np.array(alone), 1e-12)


# -- values without gradients ----------------------------------------------------------------------


def values_are_those_with_gradients(case):
    """The cheap calls give the values, the errors and the rungs of the full ones."""
    model, theta, x = case.model, case.theta, case.x
    value, error, rung = ladder.log_evidence(model, theta, x)
    full = exact.evidence(model, theta, x)
    np.testing.assert_array_equal(value, full.value)
    np.testing.assert_array_equal(error, full.value_error)
    assert rung == full.rung
    eta = case.free.eta(case.free_phi, x)
    value, error, rung = exact.expected_log_joint(model, theta, x, eta)
    full = exact.expectation(model, theta, x, eta)
    # The gradients may ask for a finer rule than the value alone.
    allowed = 1e-12 * (1.0 + np.abs(full.value)) + error
    assert (np.abs(value - full.value) <= allowed).all(), (value, full.value)
    assert value.shape == error.shape == (len(x),) and rung == full.rung


@over(CASES)
def test_values_alone_are_those_that_come_with_gradients(case):
    values_are_those_with_gradients(case)


@pytest.mark.parametrize("name", ["_expected_values", "converged_grids"])
def test_a_wrong_value_without_gradients_is_caught(name, monkeypatch):
    honest = getattr(quadrature, name)
    faults = {
        "_expected_values": lambda *given: 1.001 * honest(*given),
        # Data that are handed back in another order.
        "converged_grids": lambda *given: ((done[::-1], *rest) for done, *rest in honest(*given)),
    }
    case = next(case for case in DEEP if case.model.latent_dim == 2)
    if name == "converged_grids":
        expected = exact.evidence(case.model, case.theta, case.x)
        monkeypatch.setattr(exact, "evidence", lambda *_: expected)
    monkeypatch.setattr(quadrature, name, faults[name])
    with pytest.raises(AssertionError):
        values_are_those_with_gradients(case)


@over(GAUSSIAN)
def test_expected_values_by_quadrature_are_the_closed_form(case):
    eta = case.free.eta(case.free_phi, case.x)
    arguments = (case.model, case.theta, case.x, case.model.family, eta)
    value, error = quadrature.expected_log_joint(*arguments)
    expected, none = closed_form.expected_log_joint(*arguments)
    assert_same(value, expected, 1e-10)
    assert error.max() < 1e-8 * (1.0 + np.abs(value).max()) and not none.any()


def test_data_that_need_finer_rules_come_back_in_their_place(monkeypatch):
    case = make_case(DeepGaussianFixed(3, 1, (3,)), n_data=9)
    theta = 3.0 * case.theta
    # Narrow and wide q by turns: the first stand on few nodes, the others go on to trapezoid grids.
    log_std = np.where(np.arange(9) % 2 == 0, -4.0, 0.7)[:, None]
    eta = np.concatenate([np.linspace(-1.0, 1.0, 9)[:, None], log_std], axis=1)
    sizes, honest = [], quadrature._expected_values

    def watched(model, theta, x, family, eta, rule):
        sizes.append(len(x))
        return honest(model, theta, x, family, eta, rule)

    monkeypatch.setattr(quadrature, "_expected_values", watched)
    together, error = quadrature.expected_log_joint(case.model, theta, case.x, case.model.family, eta)
    assert sizes[0] == 9 and sizes[-1] < 9, "the case is meant to have data of both kinds"
    rows = [slice(n, n + 1) for n in range(9)]
    alone = [
        quadrature.expected_log_joint(case.model, theta, case.x[r], case.model.family, eta[r])[0]
        for r in rows
    ]
    assert_same(together, np.concatenate(alone), 1e-12)
    finest = rules.trapezoid_rule(0.01, 1)
    truth = honest(case.model, theta, case.x, case.model.family, eta, finest)
    assert (np.abs(together - truth) <= error + 1e-10 * (1.0 + np.abs(truth))).all()


def test_large_data_sets_are_cut_into_blocks_of_one_grid_each(monkeypatch):
    case = make_case(DeepBernoulli(4, 2, (3,)), n_data=7)
    whole = quadrature.evidence(case.model, case.theta, case.x)
    monkeypatch.setattr(quadrature, "DATA_PER_GRID", 3)
    cut = quadrature.evidence(case.model, case.theta, case.x)
    assert_same(cut.value, whole.value, 1e-12)
    assert_same(cut.grad_theta, whole.grad_theta, 1e-7)
    np.testing.assert_array_equal(quadrature.log_evidence(case.model, case.theta, case.x)[0], cut.value)


def test_a_grid_that_outgrows_the_memory_is_given_up(monkeypatch):
    case = make_case(DeepBernoulli(4, 2, (3,), "relu"))
    monkeypatch.setattr(quadrature, "MOST_PAIRS", 100_000)
    with pytest.raises(quadrature.ToleranceMissed):
        quadrature.log_evidence(case.model, case.theta, case.x)
    with pytest.raises(NotApplicable, match="kinks as with relu"):
        ladder.log_evidence(case.model, case.theta, case.x)
    # Smooth decoders stand long before.
    smooth = make_case(DeepBernoulli(4, 2, (3,)))
    assert ladder.log_evidence(smooth.model, smooth.theta, smooth.x)[2] == "quadrature"


def test_values_without_gradients_are_never_a_long_run(monkeypatch):
    three = make_case(DeepBernoulli(3, 3, (2,)))
    eta = three.free.eta(three.free_phi, three.x)
    with pytest.raises(NotApplicable, match=r"log p\(x\) of deep-bernoulli.*one or two latents.* 3$"):
        ladder.log_evidence(three.model, three.theta, three.x)
    with pytest.raises(NotApplicable, match=r"E_q log p\(x, z\) of deep-bernoulli.* 3$"):
        exact.expected_log_joint(three.model, three.theta, three.x, eta)
    monkeypatch.setattr(quadrature, "TOLERANCE", -1.0)
    case = DEEP_ONE_LATENT[0]
    eta = case.free.eta(case.free_phi, case.x)
    with pytest.raises(NotApplicable, match="quadrature misses"):
        ladder.log_evidence(case.model, case.theta, case.x)
    with pytest.raises(NotApplicable, match="quadrature misses"):
        exact.expected_log_joint(case.model, case.theta, case.x, eta)


# -- long run --------------------------------------------------------------------------------------

# Batches are independent and nearly normal, 40 of them: |t| <= 7 with 39 degrees of freedom is a
# false alarm of 2e-8 per coordinate; there are about 100, and the seed is fixed.
T_LIMIT = 7.0


def assert_within_own_error(found, expected, names):
    for name in names:
        gap = np.abs(getattr(found, name) - getattr(expected, name))
        error = getattr(found, f"{name}_error")
        assert (gap <= T_LIMIT * error + 1e-10).all(), (name, gap / error)
        assert (error > 0.0).all() and (error < 0.1 * (1.0 + np.abs(gap))).all(), name


@over([GAUSSIAN[1], GAUSSIAN[3]])
def test_a_long_run_agrees_within_its_own_error(case):
    case, rng = canonical(case), np.random.default_rng(3)
    eta = case.model.family.near(case.model.posterior_eta(case.theta, case.x))
    arguments = (case.model, case.theta, case.x, case.model.family, eta)
    expectation = long_run.expectation(*arguments, rng)
    assert_within_own_error(expectation, closed_form.expectation(*arguments), EXPECTATION)
    # A proposal wider than the posterior on all sides.
    wide = case.model.posterior_eta(case.theta, case.x) + np.array([0.0, 0.0, 0.3, 0.3])
    evidence = long_run.evidence(case.model, case.theta, case.x, case.model.family, wide, rng)
    truth = closed_form.evidence(case.model, case.theta, case.x)
    assert_within_own_error(evidence, truth, EVIDENCE)


def test_a_long_run_with_four_times_the_draws_has_half_the_error(monkeypatch):
    case = canonical(GAUSSIAN[1])
    wide = case.model.posterior_eta(case.theta, case.x) + np.array([0.0, 0.0, 0.3, 0.3])
    errors = []
    for draws in (250, 1000, 4000):
        monkeypatch.setattr(long_run, "DRAWS_PER_BATCH", draws)
        rng = np.random.default_rng(4)
        found = long_run.evidence(case.model, case.theta, case.x, case.model.family, wide, rng)
        errors.append(np.linalg.norm(found.grad_theta_error))
    # An error from 40 batches is itself known to about 11 per cent per coordinate.
    assert 0.35 < errors[1] / errors[0] < 0.7
    assert 0.35 < errors[2] / errors[1] < 0.7


def test_the_size_of_a_pass_does_not_change_a_long_run(monkeypatch):
    case = GAUSSIAN[1]
    eta = case.free.eta(case.free_phi, case.x)
    results = []
    for rows in (long_run.ROWS_PER_PASS, 301):
        monkeypatch.setattr(long_run, "ROWS_PER_PASS", rows)
        rng = np.random.default_rng(5)
        results.append(long_run.expectation(case.model, case.theta, case.x, case.model.family, eta, rng))
    assert_all_same(results[1], results[0], EXPECTATION, 1e-11)


def test_a_sharp_posterior_of_a_deep_model_is_not_missed():
    case = make_case(DeepGaussianFixed(3, 1, (3,)))
    theta = case.theta.copy()
    theta[-1] = -4.0
    sharp = with_theta(case, theta)
    x, _ = sharp.model.sample(theta, 3, np.random.default_rng(6))
    z = np.arange(-8.0, 8.0, 2e-4)[:, None, None]
    expected = logsumexp(sharp.model.log_joint(theta, x, z), axis=0) + np.log(2e-4)
    found = exact.evidence(sharp.model, theta, x)
    assert found.rung == "quadrature"
    assert np.abs(found.value - expected).max() <= 1e-8


@over(DEEP_ONE_LATENT)
def test_the_long_run_of_the_covering_gradient_is_a_mean_over_the_rows_too(case, monkeypatch):
    where = case.model, case.theta, case.x, case.model.family, case.free.eta(case.free_phi, case.x)
    grid, _, rung = exact.inclusive_gradient(*where)
    assert rung == "quadrature" and len(case.x) == 3
    monkeypatch.setattr(quadrature, "applies", lambda *_: False)
    sampled, error, rung = exact.inclusive_gradient(*where)
    # Six coordinates, 40 batches: |z| <= 6 is a false alarm of 3e-6. A sum over rows is three times as long.
    assert rung == "long-run" and (np.abs(sampled - grid) <= 6.0 * error).all()
    assert (2.0 * np.abs(grid) > 60.0 * error).any()


def test_the_children_of_a_point_are_all_within_one_new_step_and_inside_the_grid():
    found = rules.children(np.array([[0, 2], [1, 2]]), 4)
    expected = [(i, j) for i in range(-1, 4) for j in (3, 4)]
    assert sorted(map(tuple, found.tolist())) == expected
