"""Families beyond the Gaussian: known densities, Jacobians, implicit derivatives, gradients in mean."""

import itertools

import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
from cases import CASES
from checks import assert_close, check_vjp, exact_draws
from hypothesis import given, settings
from hypothesis import strategies as st

from elbo_lab import Problem, exact
from elbo_lab.distributions import (
    FAMILIES,
    Beta,
    DiagonalGaussian,
    Exponential,
    Gamma,
    Gumbel,
    IndependentFamily,
    Laplace,
    Logistic,
    LogNormal,
    StudentT,
    Weibull,
)
from elbo_lab.distributions.beta import beta_velocity, quantile_from_above, quantile_from_below
from elbo_lab.distributions.gamma import gamma_velocity
from elbo_lab.distributions.student_t import student_velocity
from elbo_lab.errors import NotApplicable
from elbo_lab.estimators import ESTIMATORS
from elbo_lab.exact import quadrature
from elbo_lab.exact.rules import tail_rule
from elbo_lab.models import PPCA
from elbo_lab.posteriors import FreePosterior
from elbo_lab.theory.by_family import (
    COSTS,
    MEMBERS,
    expected_cost,
    family_variances,
    pathwise_moments,
    score_function_moments,
)

SCIPY = {
    Laplace: lambda m, s: scipy.stats.laplace(m, np.exp(s)),
    Logistic: lambda m, s: scipy.stats.logistic(m, np.exp(s)),
    StudentT: lambda m, s, v: scipy.stats.t(np.exp(v), m, np.exp(s)),
    Gumbel: lambda m, s: scipy.stats.gumbel_r(m, np.exp(s)),
    LogNormal: lambda m, s: scipy.stats.lognorm(np.exp(s), scale=np.exp(m)),
    Exponential: lambda s: scipy.stats.expon(scale=np.exp(s)),
    Weibull: lambda s, k: scipy.stats.weibull_min(np.exp(k), scale=np.exp(s)),
    Gamma: lambda a, s: scipy.stats.gamma(np.exp(a), scale=np.exp(s)),
    Beta: lambda a, b: scipy.stats.beta(np.exp(a), np.exp(b)),
}
U = np.array([1e-12, 1e-3, 0.2, 0.5, 0.7, 0.99, 1.0 - 1e-9])

every_member = pytest.mark.parametrize(("family", "eta"), MEMBERS, ids=lambda item: getattr(item, "name", ""))


def row(eta):
    return np.array([eta])


def quantiles(family, eta, lower=U):
    return family.quantile(row(eta), lower[:, None, None], 1.0 - lower[:, None, None])


def total_mass(family, eta):
    """Return the integral of q over its support, cut at quantiles so that no peak is missed."""
    cuts = quantiles(family, eta, np.array([1e-6, 0.01, 0.2, 0.5, 0.8, 0.99, 1.0 - 1e-6])).ravel()
    edges = [family.support[0], *cuts, family.support[1]]

    def density(z):
        return np.exp(family.log_prob(row(eta), np.array([[[z]]])))[0, 0]

    return sum(
        scipy.integrate.quad(density, *ends, epsabs=1e-13, epsrel=1e-12)[0]
        for ends in itertools.pairwise(edges)
    )


def test_every_family_has_a_member_in_the_tables():
    assert {type(family) for family, _ in MEMBERS} == {
        kind for kind in FAMILIES if issubclass(kind, IndependentFamily)
    }
    assert set(SCIPY) == {type(family) for family, _ in MEMBERS}


# -- densities -----------------------------------------------------------------------------------


@every_member
def test_log_density_quantiles_and_entropy_agree_with_scipy(family, eta):
    known, z = SCIPY[type(family)](*eta), quantiles(family, eta)
    assert_close(family.log_prob(row(eta), z)[:, 0], known.logpdf(z)[:, 0, 0], 1e-11)
    assert_close(known.cdf(z).ravel(), U, 1e-13)
    # The upper tail has its own digits.
    tiny = np.array([1e-40, 1e-20])
    top = family.quantile(row(eta), (1.0 - tiny)[:, None, None], tiny[:, None, None])
    if family.support[1] > 1.0:
        assert np.abs(known.sf(top).ravel() / tiny - 1.0).max() < 1e-9
    assert_close(family.entropy(row(eta)), [float(known.entropy())], 1e-9)


@every_member
def test_a_density_integrates_to_one(family, eta):
    assert total_mass(family, eta) == pytest.approx(1.0, abs=1e-10)


@every_member
def test_draws_have_the_moments_of_the_family(family, eta):
    z, weights = exact_draws(family, row(eta))
    mean = (weights[..., None] * z).sum(axis=0)
    variance = (weights[..., None] * (z - mean) ** 2).sum(axis=0)
    expected_mean, expected_variance = SCIPY[type(family)](*eta).stats("mv")
    assert_close([mean[0, 0], variance[0, 0]], [expected_mean, expected_variance], 1e-10)


@pytest.mark.parametrize("outside", [-1.0, 0.0])
@pytest.mark.parametrize("family", [LogNormal(1), Weibull(1), Gamma(1), Beta(1), Exponential(1)])
def test_outside_of_the_support_there_is_no_density(family, outside):
    assert family.log_prob(np.zeros((1, family.eta_size)), np.array([[[outside]]])) == -np.inf


def test_a_coordinate_outside_of_the_support_rules_out_the_whole_draw():
    assert Gamma(2).log_prob(np.zeros((1, 4)), np.array([[[1.0, -1.0]]])) == -np.inf


# -- the Jacobian --------------------------------------------------------------------------------


@every_member
def test_probabilities_survive_the_change_of_variables(family, eta):
    low, high = quantiles(family, eta, np.array([0.2, 0.7])).ravel()

    def density(z):
        return np.exp(family.log_prob(row(eta), np.array([[[z]]])))[0, 0]

    found = scipy.integrate.quad(density, low, high, epsabs=1e-13, points=quantiles(family, eta, U[3:4]))[0]
    assert found == pytest.approx(0.5, abs=1e-10)


@every_member
def test_the_density_of_z_is_that_of_the_noise_times_the_jacobian(family, eta):
    z, step = quantiles(family, eta, U[1:-1]), 1e-5
    up, down = (quantiles(family, eta, U[1:-1] * (1.0 + way)) for way in (step, -step))
    jacobian = 2.0 * step * U[1:-1] / (up - down).ravel()
    # Uniform noise has density one, so what is left of q(z) = p(u) |du/dz| is the Jacobian alone.
    found = np.exp(family.log_prob(row(eta), z)).ravel()
    # At the kink of Laplace central differences are of the first order only.
    assert np.abs(found / jacobian - 1.0).max() < (1e-4 if isinstance(family, Laplace) else 1e-6)


BASES = {
    # The base variable as a function of z and its log-density: what is left if the Jacobian is forgotten.
    LogNormal: lambda z, m, s: -0.5 * ((np.log(z) - m) / np.exp(s)) ** 2 - 0.5 * np.log(2.0 * np.pi),
    Weibull: lambda z, s, k: -((z / np.exp(s)) ** np.exp(k)),
    Gumbel: lambda z, m, s: -np.exp(-(z - m) / np.exp(s)),
    Logistic: lambda z, m, s: np.zeros_like(z + m + s),  # uniform
}
LOG_JACOBIANS = {
    LogNormal: lambda z, m, s: -np.log(z) - s - 0.0 * m,
    Weibull: lambda z, s, k: k - s + np.expm1(k) * (np.log(z) - s),
    Gumbel: lambda z, m, s: -(z - m) / np.exp(s) - s,
    Logistic: lambda z, m, s: scipy.stats.logistic.logpdf((z - m) / np.exp(s)) - s,
}


@pytest.mark.parametrize(("family", "eta"), [(f, e) for f, e in MEMBERS if type(f) in BASES])
def test_the_log_density_is_that_of_the_base_plus_the_log_jacobian(family, eta):
    z, kind = quantiles(family, eta), type(family)
    expected = BASES[kind](z, *eta) + LOG_JACOBIANS[kind](z, *eta)
    assert_close(family.log_prob(row(eta), z), expected[..., 0], 1e-11)


@pytest.mark.parametrize("kind", [LogNormal, Weibull, Gumbel])
def test_a_forgotten_jacobian_breaks_the_normalisation(kind, monkeypatch):
    family = kind(1)
    eta = dict(zip(map(type, [f for f, _ in MEMBERS]), [e for _, e in MEMBERS], strict=True))[kind]
    monkeypatch.setattr(kind, "log_densities", lambda _, z, *eta: BASES[kind](z, *eta), raising=False)
    ends = quantiles(family, eta, np.array([0.001, 0.999])).ravel()

    def density(z):
        return np.exp(family.log_prob(row(eta), np.array([[[z]]])))[0, 0]

    assert abs(scipy.integrate.quad(density, *ends)[0] - 1.0) > 0.02


# -- implicit derivatives ------------------------------------------------------------------------


def assert_moves(velocity, quantile, log_shape, step=0.01):
    """Hold dz / dlog shape against central differences of log |z| of the sixth order in log shape."""
    steps = step * np.arange(1, 4)
    odd = [np.log(np.abs(quantile(log_shape + h) / quantile(log_shape - h))) for h in steps]
    expected = np.tensordot([45.0, -9.0, 1.0], np.array(odd), 1) / (60.0 * step)
    found = velocity / quantile(log_shape)
    # Rounding of the quantiles, up to 3e-14 over a step of 0.01, stands behind the second term.
    assert np.all(np.abs(found - expected) <= 1e-8 * np.abs(expected) + 3e-12), (found, expected)


GRID = np.array([0.01, 0.1, 0.3, 0.49, 0.6, 0.9, 0.999])
SHAPES = np.array([0.2, 0.7, 1.0, 2.5, 30.0, 400.0])


@pytest.mark.parametrize("shape", SHAPES)
def test_gamma_draws_move_with_their_shape_as_differences_say(shape):
    def quantile(log_shape):
        return Gamma(1).quantiles(GRID, 1.0 - GRID, log_shape, np.array(0.0))

    log_shape = np.log(shape)
    assert_moves(shape * gamma_velocity(shape, quantile(log_shape)), quantile, log_shape)


@pytest.mark.parametrize(("a", "b"), list(itertools.product(SHAPES, repeat=2)))
def test_beta_draws_move_with_both_shapes_as_differences_say(a, b):
    z = Beta(1).inside(quantile_from_below(a, b, GRID))
    by_a = a * beta_velocity(a, b, z, 1.0 - z)
    by_b = -b * beta_velocity(b, a, 1.0 - z, z)
    assert_moves(by_a, lambda log_a: quantile_from_below(np.exp(log_a), b, GRID), np.log(a))
    assert_moves(by_b, lambda log_b: quantile_from_below(a, np.exp(log_b), GRID), np.log(b))


@pytest.mark.parametrize("dof", [0.5, 1.0, 2.5, 30.0, 39.9, 40.1, 400.0])
def test_student_draws_move_with_their_degrees_of_freedom_as_differences_say(dof):
    def quantile(log_dof):
        return StudentT(1).standard_quantile(GRID, 1.0 - GRID, log_dof)

    log_dof = np.log(dof)
    assert_moves(dof * student_velocity(dof, quantile(log_dof)), quantile, log_dof)


def test_beta_with_one_shape_of_one_has_an_explicit_velocity():
    z = np.array([1e-8, 0.01, 0.3, 0.5, 0.9, 1.0 - 1e-9])
    for a in (0.01, 0.5, 1.0, 7.0, 1e3):
        # z = u^(1 / a).
        assert_close(beta_velocity(a, 1.0, z, 1.0 - z) / (-z * np.log(z) / a), np.ones(6), 1e-11)
        # 1 - z = (1 - u)^(1 / b): the draw of shapes (1, b), seen from 1 - z.
        assert_close(beta_velocity(a, 1.0, 1.0 - z, z) / (-(1.0 - z) * np.log1p(-z) / a), np.ones(6), 1e-10)


def test_gamma_velocity_has_mean_one_whatever_the_shape():
    lower, upper, weights = tail_rule()
    for log_shape in (-3.0, 0.0, 2.0, 9.0):
        z = Gamma(1).inside(Gamma(1).quantiles(lower, upper, np.array(log_shape), np.array(0.0)))
        # E z = a, hence E dz/da = 1.
        assert weights @ gamma_velocity(np.exp(log_shape), z) == pytest.approx(1.0, abs=1e-10)


def test_student_velocity_has_its_gaussian_limit_with_all_digits():
    u, dof = np.array([-3.0, -0.5, 1.0, 2.0]), 1e9
    # z(v) = w + (w^3 + w) / (4 v) + ... around the Gaussian quantile w.
    assert np.abs(student_velocity(dof, u) / (-(u**3 + u) / (4.0 * dof**2)) - 1.0).max() < 1e-7


@given(st.floats(-4.0, 6.0))
@settings(max_examples=20)
def test_more_shape_moves_a_gamma_draw_up_and_a_student_draw_inwards(log_shape):
    shape, log_shape = np.exp(log_shape), np.array(log_shape)
    z = Gamma(1).quantiles(GRID, 1.0 - GRID, log_shape, np.array(0.0))
    assert np.all(gamma_velocity(shape, np.maximum(z, 1e-300)) >= 0.0)
    t = StudentT(1).standard_quantile(GRID, 1.0 - GRID, log_shape)
    assert np.all(student_velocity(shape, t) * t < 0.0)


FAULTS = {
    "wrong sign": lambda v: -v,
    "one per cent": lambda v: 1.01 * v,
    "no derivative": lambda v: 0.0 * v,
    "shape instead of its logarithm": lambda v: v / 2.0,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_in_an_implicit_derivative_is_caught(fault, monkeypatch):
    family, eta, rng = Gamma(1), np.array([[np.log(2.0), 0.3]]), np.random.default_rng(0)
    noise = np.linspace(0.05, 0.95, 5)[:, None, None]

    def check():
        check_vjp(
            lambda eta: family.sample(eta, noise), lambda eta, c: family.sample_vjp(eta, noise, c), eta, rng
        )

    def wrong(_, z, *parameters, right=family.velocities):
        by_shape, by_scale = right(z, *parameters)
        return FAULTS[fault](by_shape), by_scale

    check()
    monkeypatch.setattr(Gamma, "velocities", wrong)
    with pytest.raises(AssertionError):
        check()


# -- extremes ------------------------------------------------------------------------------------


@every_member
def test_answers_stay_finite_for_tiny_and_huge_shapes_and_noise_at_its_ends(family, eta):
    noise = np.array([0.0, 1e-300, 1e-16, 0.5, np.nextafter(1.0, 0.0)])[:, None, None]
    if family.noise_kind == "normal":
        noise = np.linspace(-9.0, 9.0, 5)[:, None, None]
    for extreme in itertools.product([-6.0, 0.0, 12.0], repeat=len(eta)):
        here = row(extreme)
        z = family.sample(here, noise)
        assert np.all((z > family.support[0]) & (z < family.support[1]))
        answers = [
            z,
            family.sample_vjp(here, noise, np.ones_like(z)),
            family.log_prob(here, z),
            family.log_prob_grad_z(here, z),
            family.score(here, z),
            family.entropy(here),
            family.entropy_grad(here),
            family.near(here),
        ]
        assert all(np.isfinite(answer).all() for answer in answers), extreme


def test_quantiles_where_scipy_has_none_take_the_first_term_of_the_series():
    upper = np.array([1e-17 * 10.0**-0.5, 1e-40])
    a, b = 0.0391638982, 1.030454533953519
    rest = 1.0 - quantile_from_above(a, b, upper)
    assert np.isfinite(rest).all() and np.all(rest < 1e-15)
    a, b, upper = 1.3119479099626478e-05, 1.0089842166093024, 1.0338539401801323e-17
    z = quantile_from_above(a, b, upper)
    assert z < 1.0 and scipy.special.betaincc(a, b, z) == pytest.approx(upper, rel=1e-3)  # 1 - z is 1e-12


def test_float32_noise_is_moved_off_its_ends_in_its_own_precision():
    z = Exponential(1).sample(
        np.zeros((1, 1)),
        np.array([0.0, np.nextafter(np.float32(1), np.float32(0))], dtype=np.float32)[:, None, None],
    )
    assert np.all((z > 0.0) & (z < 20.0))


# -- both gradients ------------------------------------------------------------------------------


# E exp(-z) under a Student t has no value.
PAIRS = [(f, e, c) for f, e in MEMBERS for c in COSTS if (f.name, c.name) != ("student-t", "exp(-z)")]


@pytest.mark.parametrize(("family", "eta", "cost"), PAIRS, ids=lambda item: getattr(item, "name", ""))
def test_score_function_and_pathwise_agree_in_mean_and_are_the_gradient(family, eta, cost):
    score, path = (moments(family, eta, cost).mean for moments in (score_function_moments, pathwise_moments))
    assert_close(score, path, 1e-9)
    differences = [
        (expected_cost(family, eta + step, cost) - expected_cost(family, eta - step, cost)) / 2e-5
        for step in 1e-5 * np.eye(len(eta))
    ]
    assert_close(path, differences, 1e-7)


def test_the_variances_of_the_exponential_are_known():
    square, cosine, *_, exponential = COSTS
    arguments = Exponential(1), (0.0,)
    # E z^n = n!, so for z^2: E z^4 (z - 1)^2 - 16 and E 4 z^4 - 16.
    assert_close(score_function_moments(*arguments, square).variance, [488.0], 1e-10)
    assert_close(pathwise_moments(*arguments, square).variance, [80.0], 1e-10)
    # E cos z = 1 / (1 + s^2); E exp(-2 z) z^2 = 2 / 27.
    assert_close(pathwise_moments(*arguments, cosine).mean, [-0.5], 1e-10)
    assert_close(pathwise_moments(*arguments, exponential).variance, [2.0 / 27.0 - 1.0 / 16.0], 1e-10)


def test_pathwise_wins_on_smooth_costs_and_loses_on_fast_oscillations():
    smaller = {(r["family"], r["cost"], r["parameter"]): r["smaller"] for r in family_variances()}
    assert all(winner == "pathwise" for (_, cost, _), winner in smaller.items() if cost == "z^2")
    reversed_cases = {
        family
        for (family, cost, _), winner in smaller.items()
        if cost == "cos(4z)" and winner == "score-function"
    }
    assert reversed_cases == {family.name for family, _ in MEMBERS} - {"beta"}
    # One reversed case of a gentle cost: the exponential is wide against a period.
    assert smaller["exponential", "cos(z)", "log_scale"] == "score-function"


def test_what_a_heavy_tail_leaves_without_a_value_is_infinite():
    heavy, (square, *_, exponential) = (StudentT(1), (0.0, 0.0, np.log(3.0))), COSTS
    assert expected_cost(*heavy, exponential) == np.inf
    assert expected_cost(*heavy, square) == pytest.approx(3.0, rel=1e-9)
    # In the location the slope of z^2 asks for E z^2 alone: 4 E z^2 = 12. In the scale it asks for E z^4.
    variance = pathwise_moments(*heavy, square).variance
    assert variance[0] == pytest.approx(12.0, rel=1e-9) and np.isinf(variance[1])
    rows = family_variances([(StudentT(1), (0.0, 0.0, 0.0))], [exponential])
    assert {r["smaller"] for r in rows} == {"neither"}


WRONG_MEMBERS = [
    (DiagonalGaussian(1), (0.0, 0.0), TypeError, "family: expected one with independent .*Gaussian"),
    (Gamma(2), (0.0,) * 4, ValueError, r"family: expected one coordinate, got 2 of them; use Gamma\(1\)"),
    (Gamma(1), (0.0,), ValueError, r"eta: expected shape \(2,\), got shape \(1,\)"),
]


@pytest.mark.parametrize(("family", "eta", "error", "message"), WRONG_MEMBERS)
def test_a_wrong_family_or_eta_is_named(family, eta, error, message):
    with pytest.raises(error, match=message):
        expected_cost(family, eta, COSTS[0])


# -- as a q --------------------------------------------------------------------------------------


def test_quadrature_takes_uniform_noise_and_agrees_with_the_formula_of_a_linear_model():
    case = next(case for case in CASES if isinstance(case.model, PPCA))
    family, n_data = Logistic(2), len(case.x)
    location, log_scale = 0.3 * np.random.default_rng(0).standard_normal((2, n_data, 2)) - 0.2
    eta = family.join(location, log_scale)
    found = quadrature.expectation(case.model, case.theta, case.x, family, eta)
    # log p(x, z) is quadratic in z, so that only the mean and the variance pi^2 s^2 / 3 of q count.
    log_std = log_scale + np.log(np.pi / np.sqrt(3.0))
    known = exact.expectation(case.model, case.theta, case.x, np.hstack([location, log_std]))
    assert known.rung == "closed-form"
    assert_close(found.value, known.value, 1e-8)
    assert_close(found.grad_theta, known.grad_theta, 1e-8)
    assert_close(found.grad_eta, known.grad_eta, 1e-8)


def log_q_estimators():
    return [e for e in ESTIMATORS if e.name in ("score-function", "reparameterization")]


@pytest.mark.parametrize("estimator", log_q_estimators(), ids=lambda e: e.name)
@pytest.mark.parametrize(
    ("family", "eta"),
    [item for item in MEMBERS if item[0].support[0] == -np.inf],
    ids=lambda item: getattr(item, "name", ""),
)
def test_estimators_of_the_elbo_gradient_are_unbiased_under_another_q(family, eta, estimator):
    case = next(
        case for case in CASES if case.model.label.startswith("deep-gaussian") and case.model.latent_dim == 1
    )
    posterior, x = FreePosterior(family, 1), case.x[:1]
    phi = posterior.phi_from_eta(row(eta))
    lower, _, weights = tail_rule()
    estimates, _ = estimator.estimate(
        Problem(case.model, posterior, case.theta, phi, x), lower[:, None, None, None]
    )
    step = 1e-5 * np.eye(len(phi))

    def elbo(point):
        z, w = exact_draws(family, point[None])
        log_w = case.model.log_joint(case.theta, x, z) - family.log_prob(point[None], z)
        return (w * log_w).sum()

    expected = [(elbo(phi + h) - elbo(phi - h)) / 2e-5 for h in step]
    assert_close(weights @ estimates, expected, 1e-7)


@pytest.mark.parametrize("estimator", [e for e in ESTIMATORS if e.needs_kl], ids=lambda e: e.name)
def test_a_closed_kl_between_a_q_and_a_prior_of_two_families_is_refused(estimator):
    case = next(case for case in CASES if isinstance(case.model, PPCA))
    estimator.check_pairing(case.model, case.free)
    with pytest.raises(NotApplicable, match="a laplace q and a diagonal-gaussian prior has no closed form"):
        estimator.check_pairing(case.model, FreePosterior(Laplace(2), len(case.x)))


# -- the rule for uniform noise ------------------------------------------------------------------


def test_the_rule_for_uniform_noise_knows_its_integrals():
    lower, upper, weights = tail_rule()
    log_u, log_v = np.log(lower), np.log(upper)
    known = [
        (np.ones_like(lower), 1.0),
        (lower, 0.5),
        (log_u**4, 24.0),
        (lower**-0.5, 2.0),
        (upper**-0.8, 5.0),
        (log_u * log_v, 2.0 - np.pi**2 / 6.0),
        (np.abs(lower - 0.5), 0.25),
    ]
    for values, expected in known:
        assert weights @ values == pytest.approx(expected, rel=1e-12)


def test_independent_is_a_base_and_not_a_family_of_its_own():
    with pytest.raises(TypeError, match="abstract"):
        IndependentFamily()
