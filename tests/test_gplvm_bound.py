"""The variational bound of the GPLVM: psi statistics, collapsed bound, gradient, what it is equal to."""

import itertools
import sys

import numpy as np
import pytest
from checks import assert_close, check_vjp, product_nodes, read_only

from elbo_lab.chains import HamiltonianMonteCarlo
from elbo_lab.errors import NotApplicable
from elbo_lab.evaluation import AnnealedPath, annealed_weights, pilot_steps, sigmoidal_schedule
from elbo_lab.kernels import use_kernels
from elbo_lab.models import GPLVM
from elbo_lab.models.gplvm import Psi, Rows, collapsed_bound, psi_statistics
from elbo_lab.models.gplvm import collapsed as collapsed_module
from elbo_lab.models.gplvm import psi as psi_module
from elbo_lab.models.gplvm.pairs import (
    Gaussians,
    slopes_by_kernels,
    slopes_definition,
    sums_by_kernels,
    sums_definition,
)
from elbo_lab.optimise import ascend
from elbo_lab.special import LOG_2PI

WITH_PSI = ("rbf", "linear")
over_kinds = pytest.mark.parametrize("kind", WITH_PSI)


def setting(kind, n_rows=5, n_columns=3, n_latent=2, n_inducing=4, seed=0):
    """Return a model, theta, a centred table and rows of q with inducing inputs."""
    rng = np.random.default_rng([seed, n_rows, n_latent])
    model = GPLVM(n_rows, (0.0,) * n_columns, n_latent, kind)
    theta = 0.3 * rng.standard_normal(model.layout.size)
    y = rng.standard_normal((n_rows, n_columns))
    shape = (n_rows, n_latent)
    rows = Rows(
        rng.standard_normal(shape),
        -0.7 + 0.3 * rng.standard_normal(shape),
        rng.standard_normal((n_inducing, n_latent)),
    )
    return model, theta, y - y.mean(axis=0), rows


def flat(rows):
    return np.concatenate([part.ravel() for part in rows])


def unflat(vector, like):
    edges = np.cumsum([part.size for part in like])[:-1]
    return Rows(*(v.reshape(p.shape) for v, p in zip(np.split(vector, edges), like, strict=True)))


def psi_by_quadrature(model, theta, rows, n_nodes=40):
    """Return the psi statistics as Gauss-Hermite sums over every row of z."""
    t, k = model.layout.views(theta), model.covariance
    nodes, weights = np.polynomial.hermite_e.hermegauss(n_nodes)
    eps = product_nodes(nodes, model.n_latent)
    w = product_nodes(weights / weights.sum(), model.n_latent).prod(axis=-1)
    psi0, psi1, psi2 = 0.0, [], 0.0
    for mean, log_std in zip(rows.mean, rows.log_std, strict=True):
        z = mean + np.exp(log_std) * eps
        cross = k.matrix(t, z, rows.inducing)[0]
        psi0 += w @ k.diagonal(t, z)
        psi1.append(w @ cross)
        psi2 = psi2 + cross.T @ (w[:, None] * cross)
    return Psi(psi0, np.array(psi1), psi2)


# -- psi statistics ------------------------------------------------------------------------------------


@over_kinds
@pytest.mark.parametrize("n_latent", [1, 2])
def test_the_psi_statistics_are_gauss_hermite_sums(kind, n_latent):
    model, theta, _, rows = setting(kind, n_latent=n_latent)
    found, _ = psi_statistics(model.covariance, model.layout.views(theta), rows)
    for one, other in zip(found, psi_by_quadrature(model, theta, rows), strict=True):
        assert_close(one, other, 1e-10)


@over_kinds
@pytest.mark.parametrize("kernels", ["numpy", "numba"])
@pytest.mark.parametrize("statistic", Psi._fields)
def test_the_pullback_of_a_psi_statistic_is_its_derivative(kind, kernels, statistic):
    model, theta, _, rows = setting(kind, n_latent=3)
    size = len(theta)

    def at(vector):
        t = model.layout.views(vector[:size])
        return psi_statistics(model.covariance, t, unflat(vector[size:], rows))

    def vjp(vector, cotangent):
        psi, pullback = at(vector)
        zero = Psi(0.0, np.zeros(psi.psi1.shape), np.zeros(psi.psi2.shape))
        grads, by_rows = pullback(zero._replace(**{statistic: cotangent}))
        return np.concatenate([model.layout.pack(grads), flat(by_rows)])

    with use_kernels(kernels):
        start = np.concatenate([theta, flat(rows)])
        check_vjp(lambda v: getattr(at(v)[0], statistic), vjp, start, np.random.default_rng(1))


@pytest.mark.parametrize("kind", ["matern32", "matern52"])
def test_a_matern_function_has_no_psi_statistics(kind):
    model, theta, y, rows = setting(kind)
    with pytest.raises(NotApplicable, match=f"{kind} .*no closed form; take rbf or linear, or the mode"):
        collapsed_bound(model, theta, y, rows)


# -- the compiled sums ---------------------------------------------------------------------------------


def some_gaussians(n_rows, n_pairs, n_inputs, seed=0):
    rng = np.random.default_rng(seed)
    return Gaussians(
        rng.standard_normal((n_rows, n_inputs)),
        rng.random((n_rows, n_inputs)),
        -rng.random(n_rows),
        rng.standard_normal((n_inputs, n_pairs)),
        -rng.random(n_pairs),
    )


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 7, 2), (70, 66, 3), (200, 10, 5)])
def test_a_compiled_sum_over_pairs_is_its_definition(shape):
    given = Gaussians(*read_only(*some_gaussians(*shape)))
    weights = read_only(np.random.default_rng(3).standard_normal(shape[1]))
    assert_close(sums_by_kernels(given), sums_definition(given), 1e-12)
    slopes = zip(slopes_by_kernels(given, weights), slopes_definition(given, weights), strict=True)
    for one, other in slopes:
        assert_close(one, other, 1e-12)


def test_pairs_that_no_row_reaches_give_zero_and_no_nan():
    given = some_gaussians(3, 4, 2)._replace(centres=np.full((2, 4), 1e4))
    for sums, slopes in ((sums_by_kernels, slopes_by_kernels), (sums_definition, slopes_definition)):
        assert not sums(given).any()
        assert not any(part.any() for part in slopes(given, np.ones(4)))


def test_threads_change_no_bit_of_the_sums():
    given, weights = some_gaussians(600, 2000, 8), np.ones(2000)
    one, three = (sums_by_kernels(given, threads) for threads in (1, 3))
    assert np.array_equal(one, three)
    for one, three in zip(*(slopes_by_kernels(given, weights, threads) for threads in (1, 3)), strict=True):
        assert np.array_equal(one, three)


# -- the bound -----------------------------------------------------------------------------------------


@over_kinds
def test_the_gradient_of_the_bound_is_its_derivative(kind):
    model, theta, y, rows = setting(kind, n_inducing=4 if kind == "rbf" else 2)
    size = len(theta)

    def at(vector):
        return collapsed_bound(model, vector[:size], y, unflat(vector[size:], rows))

    def vjp(vector, cotangent):
        found = at(vector)[1]()
        return cotangent * np.concatenate([found.theta, flat(found.rows)])

    start = np.concatenate([theta, flat(rows)])
    check_vjp(lambda v: np.asarray(at(v)[0]), vjp, start, np.random.default_rng(2))


def kl_to_prior(rows):
    v = np.exp(2 * rows.log_std)
    return 0.5 * (v + rows.mean**2 - 1 - np.log(v)).sum()


@over_kinds
def test_the_bound_is_the_gaussian_integral_over_the_inducing_variables(kind):
    # The other way: psi statistics by quadrature, and for every column the integral over the values f_u of
    # N(f_u; 0, K) exp(E_q log N(y; k(Z, U) K^-1 f_u, sigma^2)), with dense inverses and determinants.
    model, theta, y, rows = setting(kind, n_inducing=3 if kind == "rbf" else 2)
    t = model.layout.views(theta)
    noise = np.exp(2 * t["log_sigma"])
    psi0, psi1, psi2 = psi_by_quadrature(model, theta, rows)
    K = model.covariance.matrix(t, rows.inducing, rows.inducing)[0]
    inverse = np.linalg.inv(K)
    precision = inverse + inverse @ psi2 @ inverse / noise
    expected = -kl_to_prior(rows)
    for column in y.T:
        linear = inverse @ psi1.T @ column / noise
        expected += 0.5 * linear @ np.linalg.solve(precision, linear)
        expected -= 0.5 * np.linalg.slogdet(K @ precision)[1]
        expected -= 0.5 * (len(y) * np.log(2 * np.pi * noise) + column @ column / noise)
        expected -= 0.5 * (psi0 - np.trace(inverse @ psi2)) / noise
    found, _ = collapsed_bound(model, theta, y, rows, jitter=0.0)
    assert found == pytest.approx(expected, rel=1e-8)


@over_kinds
def test_a_point_with_inducing_inputs_at_the_rows_gives_log_p_given_z(kind):
    # q(Z) of no width, U = Z: nothing is lost, and the bound and its KL add up to log p(Y | Z).
    n_latent = 2 if kind == "rbf" else 3
    model, theta, y, rows = setting(kind, n_rows=3, n_latent=n_latent)
    rows = Rows(rows.mean, np.full_like(rows.log_std, -18.0), rows.mean)
    bound, _ = collapsed_bound(model, theta, y, rows, jitter=0.0)
    log_p = model.log_likelihood(theta, y.reshape(1, -1), rows.mean.reshape(1, 1, -1))[0, 0]
    assert bound + kl_to_prior(rows) == pytest.approx(log_p, rel=1e-9)


def bayesian_pca(alpha, sigma2, y, rows):
    """Return the bound of Bayesian PCA at q(Z) and its best Gaussian q(W) (Bishop 1999).

    The model is y_n ~ N(W z_n, sigma^2 I), w_dq ~ N(0, alpha_q), z_n ~ N(0, I); q(W, Z) = q(W) q(Z). With
    <Z^T Z> = sum_n E z_n z_n^T, a row of W has the precision L = diag(1/alpha) + <Z^T Z> / sigma^2 and the
    mean w_d = L^-1 E[Z]^T y_d / sigma^2. The bound is written term by term.
    """
    n_rows = len(y)
    variance = np.exp(2 * rows.log_std)
    moment = rows.mean.T @ rows.mean + np.diag(variance.sum(axis=0))
    covariance = np.linalg.inv(np.diag(1 / alpha) + moment / sigma2)
    bound = -kl_to_prior(rows)
    for column in y.T:
        w = covariance @ rows.mean.T @ column / sigma2
        second = covariance + np.outer(w, w)
        squares = column @ column - 2 * column @ rows.mean @ w + np.trace(second @ moment)
        bound += -0.5 * n_rows * np.log(2 * np.pi * sigma2) - 0.5 * squares / sigma2
        divergence = np.trace(second / alpha[:, None]) - len(alpha) + np.log(alpha).sum()
        bound -= 0.5 * (divergence - np.linalg.slogdet(covariance)[1])
    return bound


@pytest.mark.parametrize("n_latent", [1, 2, 3])
def test_with_the_linear_function_the_bound_is_that_of_bayesian_pca(n_latent):
    model, theta, y, rows = setting("linear", 8, 4, n_latent, n_latent)
    # Values of a linear function at the unit vectors are its weights: as many inducing variables as latents.
    rows = rows._replace(inducing=np.eye(n_latent))
    t = model.layout.views(theta)
    expected = bayesian_pca(np.exp(t["log_relevance"]), np.exp(2 * t["log_sigma"]), y, rows)
    found, _ = collapsed_bound(model, theta, y, rows, jitter=0.0)
    assert found == pytest.approx(expected, rel=1e-11)
    # Any other Q independent inputs carry the same information.
    rng = np.random.default_rng(5)
    turned = rows._replace(inducing=np.eye(n_latent) + 0.3 * rng.standard_normal((n_latent, n_latent)))
    assert collapsed_bound(model, theta, y, turned, jitter=0.0)[0] == pytest.approx(expected, rel=1e-10)


# -- below log p(Y) ------------------------------------------------------------------------------------


def log_evidence_on_a_grid(model, theta, y, step):
    """Return log p(Y), the trapezoid sum of p(Y | Z) p(Z) over Z, N Q at most 3."""
    axis = np.arange(-6.0, 6.0 + step / 2, step)
    z = np.array(list(itertools.product(axis, repeat=model.latent_dim)))[:, None, :]
    log_p = model.log_joint(theta, y.reshape(1, -1), z)[:, 0]
    top = log_p.max()
    return top + np.log(np.exp(log_p - top).sum()) + model.latent_dim * np.log(step)


@pytest.mark.parametrize(("kind", "n_rows", "n_latent"), [("rbf", 2, 1), ("rbf", 3, 1), ("linear", 3, 1)])
def test_the_bound_stays_below_the_exact_log_evidence(kind, n_rows, n_latent):
    model, theta, y, rows = setting(kind, n_rows, 2, n_latent, n_rows if kind == "rbf" else 1)
    coarse, fine = (log_evidence_on_a_grid(model, theta, y, step) for step in (0.4, 0.25))
    assert fine == pytest.approx(coarse, abs=1e-6)

    def objective(vector):
        value, gradient = collapsed_bound(model, theta, y, unflat(vector, rows), jitter=1e-9)
        return value, flat(gradient().rows)

    best = objective(ascend(objective, flat(rows), 300))[0]
    assert best < fine
    # Not far below: a bound that had lost a constant would be.
    assert fine - best < 1.0


def annealed_log_evidence(model, theta, y, n_chains, seed=0):
    """Return (log p(Y), its standard error) by annealed chains from the prior, which covers all modes."""
    rng = np.random.default_rng(seed)
    path = AnnealedPath.from_q(model, theta, y.reshape(1, -1))
    schedule, transition = sigmoidal_schedule(50), HamiltonianMonteCarlo()
    steps = pilot_steps(path, schedule, transition, rng)
    weights = annealed_weights(path, schedule, transition, rng, n_chains, steps).weights()
    return float(weights.log_mean()[0]), float(weights.standard_error()[0])


@over_kinds
def test_annealed_chains_find_all_mirrored_modes(kind):
    # One false alarm in 15,000; a mode that is missed costs log 2, a constant that is lost more than 0.2.
    model, theta, y, _ = setting(kind, 2, 2, 1)
    found, error = annealed_log_evidence(model, theta, y, 400)
    assert error < 0.05
    assert abs(found - log_evidence_on_a_grid(model, theta, y, 0.25)) < 4.0 * error


@over_kinds
def test_beyond_the_grid_the_best_bound_stays_below_annealed_chains(kind):
    model, theta, y, rows = setting(kind, 6, 3, 2, 6 if kind == "rbf" else 2)

    def objective(vector):
        value, gradient = collapsed_bound(model, theta, y, unflat(vector, rows), jitter=1e-9)
        return value, flat(gradient().rows)

    best = objective(ascend(objective, flat(rows), 200))[0]
    found, error = annealed_log_evidence(model, theta, y, 400)
    assert error < 0.2
    assert best < found - 4.0 * error


def test_more_inducing_inputs_never_lower_the_best_bound():
    # With the first inputs in place, further ones only add information.
    model, theta, y, rows = setting("rbf", 6, 3, 2, 6)
    few = rows._replace(inducing=rows.inducing[:3])
    bounds = [collapsed_bound(model, theta, y, given, jitter=1e-10)[0] for given in (few, rows)]
    assert bounds[0] < bounds[1]


def test_the_noise_of_the_inducing_variables_keeps_it_a_bound():
    model, theta, y, rows = setting("rbf", 3, 2, 1, 3)
    exact = log_evidence_on_a_grid(model, theta, y, 0.4)
    bounds = [collapsed_bound(model, theta, y, rows, jitter=jitter)[0] for jitter in (0.0, 1e-6, 0.1, 10.0)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[0] < exact


def test_twice_the_same_inducing_input_is_refused_without_that_noise():
    model, theta, y, rows = setting("rbf", 5, 2, 2, 4)
    rows = rows._replace(inducing=np.repeat(rows.inducing[:2], 2, axis=0))
    with pytest.raises(ValueError, match=r"inducing: .*full rank, got one of 4 rows .*; take fewer"):
        collapsed_bound(model, theta, y, rows, jitter=0.0)
    assert np.isfinite(collapsed_bound(model, theta, y, rows)[0])


def test_the_bound_has_all_its_constants():
    # Without signal (alpha = 0, linear) the table is noise: F = sum log N(y; 0, sigma^2) - KL.
    model, _, y, rows = setting("linear", n_inducing=2)
    theta = model.layout.pack({"log_relevance": np.full(2, -40.0), "log_sigma": 0.2})
    expected = -0.5 * y.size * (LOG_2PI + 0.4) - 0.5 * (y**2).sum() * np.exp(-0.4) - kl_to_prior(rows)
    assert collapsed_bound(model, theta, y, rows)[0] == pytest.approx(expected, rel=1e-12)


# -- planted faults ------------------------------------------------------------------------------------


def psi_with(**changes):
    """Return psi statistics of which some are changed, {name: function}."""

    def faulty(*arguments):
        psi, pullback = psi_module.psi_statistics(*arguments)
        changed = {name: change(getattr(psi, name)) for name, change in changes.items()}
        return psi._replace(**changed), pullback

    return faulty


def bound_without_kl(model, theta, y, rows, **options):
    value, gradient = collapsed_module.collapsed_bound(model, theta, y, rows, **options)
    return value + kl_to_prior(rows), gradient


def bound_without_the_slope_of_kl(model, theta, y, rows, **options):
    value, gradient = collapsed_module.collapsed_bound(model, theta, y, rows, **options)

    def faulty():
        found = gradient()
        return found._replace(rows=found.rows._replace(mean=found.rows.mean + rows.mean))

    return value, faulty


def quadrature_law():
    test_the_psi_statistics_are_gauss_hermite_sums("rbf", 1)


def integral_law():
    test_the_bound_is_the_gaussian_integral_over_the_inducing_variables("rbf")


def gradient_law():
    test_the_gradient_of_the_bound_is_its_derivative("rbf")


HERE = sys.modules[__name__]
# {fault: (where, name, what stands there, the law that must fail)}
FAULTS = {
    "wrong sign of psi1": (HERE, "psi_statistics", psi_with(psi1=np.negative), quadrature_law),
    "psi2 too small": (
        HERE,
        "psi_statistics",
        psi_with(psi2=lambda psi2: 0.8 * psi2),
        quadrature_law,
    ),
    "no trace term": (
        collapsed_module,
        "psi_statistics",
        psi_with(psi0=lambda psi0: 0.0 * psi0),
        integral_law,
    ),
    "no KL": (HERE, "collapsed_bound", bound_without_kl, integral_law),
    "no slope of the KL": (HERE, "collapsed_bound", bound_without_the_slope_of_kl, gradient_law),
}


@pytest.mark.parametrize(("where", "name", "fault", "law"), FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_is_caught(where, name, fault, law, monkeypatch):
    law()
    monkeypatch.setattr(where, name, fault)
    with pytest.raises(AssertionError):
        law()
