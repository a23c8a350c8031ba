"""The Gaussian with full covariance: the diagonal one inside it, what the estimators make of it, and why."""

import estimator_laws as laws
import numpy as np
import pytest
from cases import CASES, FAMILIES, admits, model_id, over
from checks import assert_close, scale_matrices
from estimator_laws import BY_NAME, assert_same, noise_for
from multi_sample_laws import ONE_LATENT
from noise_integrals import estimate
from scipy.linalg import solve_triangular

from elbo_lab import Problem, compare, load
from elbo_lab.distributions import DiagonalGaussian, FullGaussian
from elbo_lab.errors import NotApplicable
from elbo_lab.estimators import Exact
from elbo_lab.exact import cubature, expectation, inclusive_gradient, quadrature
from elbo_lab.exact.ladder import log_evidence
from elbo_lab.exact.rules import hermite_rule
from elbo_lab.models import PPCA, DeepBernoulli, GaussianMixture
from elbo_lab.optimise import fit_eta
from elbo_lab.posteriors import FreePosterior
from elbo_lab.registry import ModelChoice
from elbo_lab.study import build_scene

FULL = [family for family in FAMILIES if family.name == "full-gaussian"]
PLANES = [case for case in CASES if case.model.latent_dim == 2 and not case.model.family.discrete]
LINEAR = [case for case in PLANES if hasattr(case.model, "log_evidence")]
CORRELATED = [case for case in LINEAR if hasattr(case.model, "posterior_moments")]


def table_of(case, seed=0, size=0.4):
    """Return a full posterior of a case and a random phi."""
    table = FreePosterior(FullGaussian(case.model.latent_dim), len(case.x))
    return table, size * np.random.default_rng(seed).standard_normal(table.layout.size)


def exact_member(case):
    """Return eta of the exact posterior of a linear model, correlated as it is."""
    mean, covariance = case.model.posterior_moments(case.theta, case.x)
    L = np.linalg.cholesky(covariance)
    row = np.concatenate([np.log(np.diag(L)), L[np.tril_indices(len(L), -1)]])
    return np.hstack([mean, np.tile(row, (len(mean), 1))])


# -- the family ------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FULL, ids=lambda f: str(f.size))
def test_without_entries_below_the_diagonal_it_is_the_diagonal_gaussian(family):
    rng, diagonal = np.random.default_rng(0), DiagonalGaussian(family.size)
    narrow, other = rng.standard_normal((2, 3, diagonal.eta_size))
    eta, K = family.from_diagonal(narrow), family.size
    noise = rng.standard_normal((4, 3, K))
    z = family.sample(eta, noise)
    assert_close(z, diagonal.sample(narrow, noise))
    for name in ("log_prob", "log_prob_grad_z"):
        assert_close(getattr(family, name)(eta, z), getattr(diagonal, name)(narrow, z), 1e-11)
    assert_close(family.score(eta, z)[..., : 2 * K], diagonal.score(narrow, z), 1e-11)
    assert_close(family.sample_vjp(eta, noise, z)[..., : 2 * K], diagonal.sample_vjp(narrow, noise, z))
    assert_close(family.entropy(eta), diagonal.entropy(narrow))
    assert_close(family.kl_to(diagonal, eta, other), diagonal.kl(narrow, other))
    (by_eta, by_other), (expected, expected_other) = (
        family.kl_grad_to(diagonal, eta, other),
        diagonal.kl_grad(narrow, other),
    )
    assert_close(by_eta[:, : 2 * K], expected)
    assert_close(by_other, expected_other)
    assert_close(family.near(eta), family.from_diagonal(diagonal.near(narrow)))


def test_kl_and_entropy_agree_with_the_matrix_formulas():
    family, rng = FullGaussian(3), np.random.default_rng(1)
    eta, other = rng.standard_normal((2, 4, 9))
    matrices = zip(scale_matrices(family, eta), scale_matrices(family, other), strict=True)
    for n, (L, L_other) in enumerate(matrices):
        covariance, precision = L @ L.T, np.linalg.inv(L_other @ L_other.T)
        shift = eta[n, :3] - other[n, :3]
        log_det = np.linalg.slogdet(covariance)[1]
        kl = np.trace(precision @ covariance) + shift @ precision @ shift - 3.0
        kl = 0.5 * (kl - np.linalg.slogdet(precision)[1] - log_det)
        assert family.kl(eta, other)[n] == pytest.approx(kl, rel=1e-12)
        entropy = 0.5 * (3.0 * (1.0 + np.log(2.0 * np.pi)) + log_det)
        assert family.entropy(eta)[n] == pytest.approx(entropy, rel=1e-12)


@pytest.mark.parametrize("family", [DiagonalGaussian(3), FullGaussian(3)], ids=lambda family: family.name)
def test_the_member_closest_to_a_gaussian_has_the_least_divergence_from_it(family):
    rng = np.random.default_rng(4)
    root = rng.standard_normal((1, 3, 3))
    target, precision = rng.standard_normal((1, 3)), root @ np.swapaxes(root, 1, 2) + np.eye(3)

    def divergence(eta):
        mean = eta[0, :3]
        if isinstance(family, FullGaussian):
            L = family.factor(eta)[0]
        else:
            L = np.diag(np.exp(eta[0, 3:]))
        misfit = np.trace(precision[0] @ L @ L.T) + (mean - target[0]) @ precision[0] @ (mean - target[0])
        return 0.5 * (misfit - 3 - np.linalg.slogdet(precision[0])[1]) - np.log(np.diag(L)).sum()

    best = family.closest_to(target, precision)
    assert (divergence(best) < 1e-12) == isinstance(family, FullGaussian)
    for _ in range(50):
        assert divergence(best + 0.1 * rng.standard_normal(best.shape)) > divergence(best)


def test_standardising_agrees_with_scipy_s_triangular_solver():
    family, rng = FullGaussian(3), np.random.default_rng(2)
    eta, z = rng.standard_normal((2, 9)), rng.standard_normal((5, 2, 3))
    for n, L in enumerate(scale_matrices(family, eta)):
        expected = solve_triangular(L, (z[:, n] - eta[n, :3]).T, lower=True).T
        assert_close(family.standardise(eta, z)[:, n], expected, 1e-11)


# -- estimators ------------------------------------------------------------------------------------

ROWS = [
    (case, estimator)
    for case in PLANES
    for estimator in BY_NAME.values()
    if admits(case, estimator, table_of(case)[0])
    and estimator.unbiased
    and estimator.draws_from == "posterior"
    and estimator.group_size(2) == 2
    # Two coupled draws of two latents are four dimensions of noise, too many for a rule.
    and not laws.couples_draws(estimator)
]
# With one latent a full covariance is a variance, and two coupled draws are two dimensions.
ROWS += [
    (case, estimator)
    for case in ONE_LATENT
    for estimator in BY_NAME.values()
    if laws.couples_draws(estimator) and estimator.unbiased and admits(case, estimator, table_of(case)[0])
]


@pytest.mark.parametrize(("case", "estimator"), ROWS, ids=lambda v: getattr(v, "name", None) or model_id(v))
def test_the_expectation_over_all_noise_is_the_exact_target(case, estimator):
    table, phi = table_of(case)
    laws.unbiased(estimator, case, table, phi)


@over(PLANES)
@pytest.mark.parametrize("name", laws.FROZEN_PHI)
def test_a_pathwise_gradient_is_the_derivative_with_the_noise_frozen(case, name):
    laws.frozen_phi_gradient(BY_NAME[name], case, *table_of(case))


@over(PLANES)
def test_the_score_function_is_the_derivative_of_a_weighted_log_q(case):
    laws.frozen_score_gradient(BY_NAME["score-function"], case, *table_of(case))


@over(CORRELATED)
def test_at_a_correlated_exact_posterior_there_is_no_noise(case):
    table, _ = table_of(case)
    phi = table.phi_from_eta(exact_member(case))
    truth = Exact("log-evidence").answer(Problem(case.model, None, case.theta, None, case.x)).value
    noise = noise_for(BY_NAME["elbo-log-weight"], case, 2, lead=(20,))
    values = estimate(BY_NAME["elbo-log-weight"], case, table, phi, noise)
    assert_same(values, np.broadcast_to(truth, values.shape), 1e-12)
    for name in ("sticking-the-landing", "score-function-loo"):
        assert np.abs(estimate(BY_NAME[name], case, table, phi, noise)).max() < 1e-11


def without_its_one(right):
    def score(self, eta, z):
        found = right(self, eta, z).copy()
        found[..., self.size : 2 * self.size] += 1.0
        return found

    return score


def of_the_transpose(right):  # noqa: ARG001
    def pulled(self, eta, u):
        return self.standardise(np.concatenate([0.0 * eta[..., : self.size], eta[..., self.size :]], -1), u)

    return pulled


def without_the_exponential(right):  # noqa: ARG001
    def eta_grad(self, by_mean, by_factor, eta):  # noqa: ARG001
        diagonal, below = np.diag_indices(self.size), np.tril_indices(self.size, -1)
        return np.concatenate([by_mean, by_factor[..., *diagonal], by_factor[..., *below]], axis=-1)

    return eta_grad


def upside_down(right):
    return lambda self, eta: np.swapaxes(right(self, eta), -1, -2)


FAULTS = [
    ("score", without_its_one),
    ("_pulled", of_the_transpose),
    ("_eta_grad", without_the_exponential),
    ("factor", upside_down),
    ("entropy", lambda right: lambda self, eta: right(self, eta) + 0.1),
]


@pytest.mark.parametrize(("attribute", "wrong"), FAULTS)
def test_a_planted_fault_of_the_family_breaks_a_law(attribute, wrong, monkeypatch):
    case = CORRELATED[0]
    laws_of_full = [
        (laws.unbiased, "score-function"),
        (laws.unbiased, "elbo-joint-entropy"),
        (laws.unbiased, "elbo-log-weight"),
        (laws.frozen_phi_gradient, "reparameterization"),
    ]
    monkeypatch.setattr(FullGaussian, attribute, wrong(getattr(FullGaussian, attribute)))
    broken = []
    for law, name in laws_of_full:
        try:
            law(BY_NAME[name], case, *table_of(case))
        except AssertionError:
            broken.append(name)
    assert broken


@over(PLANES)
def test_measure_valued_gradients_want_a_diagonal_q(case):
    with pytest.raises(NotApplicable, match="Gaussian number behind each coordinate, and z is full-gaussian"):
        BY_NAME["measure-valued"].check_pairing(case.model, table_of(case)[0])


# -- exact answers and fits ------------------------------------------------------------------------


@over(PLANES)
def test_the_exact_gradient_is_the_derivative_of_the_exact_elbo(case):
    table, phi = table_of(case)
    direction = np.random.default_rng(3).standard_normal(phi.size)

    def answer(step, target="elbo"):
        return (
            Exact(target).answer(Problem(case.model, table, case.theta, phi + step * direction, case.x)).value
        )

    slope = (answer(1e-4) - answer(-1e-4))[0] / 2e-4
    assert answer(0.0, "grad-phi-elbo") @ direction == pytest.approx(slope, rel=1e-6, abs=1e-7)


@over(LINEAR)
def test_the_cubature_agrees_with_quadrature_and_with_the_formulas_of_the_diagonal(case):
    table, phi = table_of(case)
    family, eta = table.family, table.eta(phi, case.x)
    narrow = case.free.eta(case.free_phi, case.x)
    where, names = (case.model, case.theta, case.x), ("value", "grad_theta", "grad_eta")
    found, by_nodes = (rung.expectation(*where, family, eta) for rung in (cubature, quadrature))
    inside, formula = expectation(*where, family.from_diagonal(narrow), family), expectation(*where, narrow)
    assert inside.rung == formula.rung == "closed-form"
    for name in names:
        assert_close(getattr(found, name), getattr(by_nodes, name), 1e-10)
        within = getattr(inside, name)
        assert_close(within[:, :4] if name == "grad_eta" else within, getattr(formula, name), 1e-11)


@over([case for case in CASES if not case.model.family.discrete])
def test_models_say_rightly_whether_their_log_joint_is_quadratic(case):
    # The third difference of a quadratic is zero.
    rng, K = np.random.default_rng(4), case.model.latent_dim
    point, step = rng.standard_normal((2, 1, 3, K))
    values = [case.model.log_joint(case.theta, case.x, point + i * step) for i in range(4)]
    third = np.abs(values[3] - 3.0 * values[2] + 3.0 * values[1] - values[0]).max()
    assert (third < 1e-10 * np.abs(values).max()) == case.model.quadratic


@over(CORRELATED)
def test_on_a_rotated_model_only_the_full_family_reaches_the_evidence(case):
    truth, _, _ = log_evidence(case.model, case.theta, case.x)
    family, rng = FullGaussian(2), np.random.default_rng(0)
    diagonal = fit_eta(case.model, case.theta, case.x, np.zeros((3, 4)), rng)
    full = fit_eta(case.model, case.theta, case.x, family.from_diagonal(diagonal), rng, family=family)
    assert_close(full, exact_member(case), 1e-3)
    bounds = [
        expectation(case.model, case.theta, case.x, eta, q).value + q.entropy(eta)
        for q, eta in ((case.model.family, diagonal), (family, full))
    ]
    # The diagonal family loses half the log determinant of the posterior's correlation.
    _, covariance = case.model.posterior_moments(case.theta, case.x)
    precision = np.linalg.inv(covariance)
    loss = 0.5 * (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1])
    assert loss > 1e-3
    np.testing.assert_allclose(truth - bounds[0], loss, rtol=1e-5)
    np.testing.assert_allclose(bounds[1], truth, atol=1e-7)


@over([laws.canonical(case) for case in LINEAR])
def test_the_inclusive_gradient_is_taken_under_the_posterior_where_it_is_known(case):
    table, phi = table_of(case)
    eta = table.eta(phi, case.x)
    found, error, rung = inclusive_gradient(case.model, case.theta, case.x, table.family, eta)
    assert rung == cubature.RUNG and not error.any()
    known = case.model.posterior_eta(case.theta, case.x)
    # -KL(p || q) differs from E_p log q by a constant: second moments of p in the quadratic log q.
    mean, log_std = case.model.family.split(known)
    step = 1e-5

    def value(point):
        u, L = table.family.standardise(point, mean[None])[0], table.family.factor(point)
        spread = np.linalg.solve(L, np.exp(log_std)[:, :, None] * np.eye(2))
        squares = (u**2).sum(axis=1) + (spread**2).sum(axis=(1, 2))
        return -0.5 * squares - point[:, 2:4].sum(axis=1)

    for e in range(5):
        shift = step * np.eye(5)[e]
        slope = (value(eta + shift) - value(eta - shift)) / (2.0 * step) / len(case.x)
        np.testing.assert_allclose(found[:, e], slope, rtol=1e-6, atol=1e-7)


# -- the study -------------------------------------------------------------------------------------

BITS = load("digits:binary").rows(60, 0).x[:, 20:30]


def placed(kind, data, at, **kind_options):
    return build_scene(ModelChoice(kind, **kind_options), data, 2, "full", at, 5, 0)


def test_the_places_of_a_full_q():
    exact, near, start = (placed(DeepBernoulli, BITS, at) for at in ("exact", "near", "start"))

    # 16 x 16 nodes of the noise: far more digits than the differences have.
    nodes, weights = hermite_rule(16, 2)
    noise = np.broadcast_to(nodes[:, None], (len(nodes), 5, 2))

    def bound(phi):
        eta, q = exact.posterior.eta(phi, exact.x), exact.posterior.family
        log_joint = exact.model.log_joint(exact.theta, exact.x, q.sample(eta, noise))
        return (weights @ log_joint + q.entropy(eta)).mean()

    assert bound(exact.phi) > bound(near.phi)
    eta = exact.posterior.eta(exact.phi, exact.x)
    np.testing.assert_allclose(near.posterior.eta(near.phi, near.x), exact.posterior.family.near(eta))
    assert np.array_equal(start.posterior.eta(start.phi, start.x), np.zeros((5, 5)))
    # Better than the best diagonal one, by more than the fits are off.
    diagonal = exact.posterior.family.from_diagonal(exact.best_eta)
    assert bound(exact.phi) > bound(exact.posterior.phi_from_eta(diagonal)) + 1e-6


def test_a_linear_model_is_placed_at_its_exact_posterior():
    table = np.random.default_rng(1).standard_normal((30, 4)) @ np.diag([3.0, 2.0, 1.0, 1.0])
    scene = placed(PPCA, table, "exact")
    expected = scene.posterior.family.from_diagonal(scene.model.posterior_eta(scene.theta, scene.x))
    np.testing.assert_allclose(scene.posterior.eta(scene.phi, scene.x), expected)


def test_categories_have_no_covariance():
    scene = placed(GaussianMixture, np.random.default_rng(0).standard_normal((30, 2)), "near", variant="full")
    assert scene.posterior is None
    assert scene.no_posterior.startswith("posterior: full-gaussian as q needs continuous z, not categ")


def test_compare_takes_a_full_posterior_and_finds_no_fault():
    names = [
        "elbo-joint-entropy",
        "score-function-loo",
        "reparameterization",
        "sticking-the-landing",
        "exact",
    ]
    result = compare(
        ["deep-bernoulli", "gaussian-mle"], estimators=names, posterior="full", rows=3, repeats=90
    )
    assert all(row["applicable"] and row["posterior"] == "full-gaussian" for row in result.rows)
    assert {row["bias_max_z"] is None or row["bias_max_z"] < row["bias_z_limit"] for row in result.rows} == {
        True
    }
