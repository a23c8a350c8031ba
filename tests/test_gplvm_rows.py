"""The fitted GPLVM as a model of single rows: derivatives, textbook predictions, and the fits themselves."""

import numpy as np
import pytest
from checks import assert_close, check_vjp
from matplotlib.collections import QuadMesh

from elbo_lab.models import GPLVM
from elbo_lab.models.gplvm import GPLVMRows, Rows, psi_statistics
from elbo_lab.optimise.gplvm import BoundClimb, ModeClimb
from elbo_lab.plots import draw_widths, plot_latent_plane, plot_relevances, shade_deviation

WITH_PSI = ("rbf", "linear")


def spiral(n_rows=40, n_columns=6, seed=1):
    """Return rows on a curve in a plane, seen through a random matrix, with a little noise."""
    rng = np.random.default_rng(seed)
    angle = np.linspace(0.5, 5.0, n_rows)
    plane = np.stack([angle * np.cos(angle), angle * np.sin(angle)], axis=1)
    return plane @ rng.standard_normal((2, n_columns)) + 0.1 * rng.standard_normal((n_rows, n_columns))


def fitted_rows(kind, n_latent=2):
    """Return a model of single rows, its theta under the bound, and what that was made from."""
    rng = np.random.default_rng(2)
    y = rng.standard_normal((6, 3))
    model = GPLVM(6, (0.4, 0.0, -1.0), n_latent, kind)
    theta = 0.3 * rng.standard_normal(model.layout.size)
    shapes = ((6, n_latent), (6, n_latent), (3, n_latent))
    mean, log_std, inducing = (rng.standard_normal(shape) for shape in shapes)
    rows = Rows(mean, log_std - 1.0, inducing)
    of_rows = GPLVMRows.of(model, 3)
    return of_rows, of_rows.theta_of_bound(model, theta, y, rows), model, theta, y, rows


# -- the formula ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", GPLVM.variants)
@pytest.mark.parametrize("shared", [False, True], ids=["own-z", "shared-z"])
@pytest.mark.parametrize("part", [0, 1], ids=["theta", "z"])
def test_the_pullback_of_a_row_is_its_derivative(kind, shared, part):
    rng = np.random.default_rng(7)
    model = GPLVMRows((0.4, 0.0, -1.0), 2, 4, kind)
    theta = 0.2 * rng.standard_normal(model.layout.size)
    x, z = rng.standard_normal((5, 3)), rng.standard_normal((2, 4, 1 if shared else 5, 2))
    at = [theta, z]

    def given(point):
        return [point, z] if part == 0 else [theta, point]

    def vjp(point, cotangent):
        arguments = given(point)
        found = model.likelihood(arguments[0], x, arguments[1])[1](cotangent)[part]
        return found.sum(axis=0) if part == 0 else found

    check_vjp(lambda point: model.log_likelihood(given(point)[0], x, given(point)[1]), vjp, at[part], rng)


@pytest.mark.parametrize("kind", GPLVM.variants)
def test_functions_given_the_latents_are_gaussian_process_regression(kind):
    rng = np.random.default_rng(3)
    model = GPLVM(6, (0.4, 0.0, -1.0), 2, kind)
    theta = 0.3 * rng.standard_normal(model.layout.size)
    y, z = rng.standard_normal((6, 3)), rng.standard_normal((6, 2))
    of_rows = GPLVMRows.of(model, 6)
    new = rng.standard_normal((5, 2))
    mean, variance = of_rows.moments_of_x(of_rows.theta_of_mode(model, theta, y, z), new)
    t, k = model.layout.views(theta), model.covariance.matrix
    noise = np.exp(2 * t["log_sigma"])
    C = np.linalg.inv(k(t, z, z)[0] + noise * np.eye(6))
    cross = k(t, new, z)[0]
    assert_close(mean, np.asarray(model.shift) + cross @ C @ y, 1e-10)
    assert_close(variance, np.diag(k(t, new, new)[0] - cross @ C @ cross.T) + noise, 1e-10)


@pytest.mark.parametrize("kind", WITH_PSI)
def test_functions_under_the_bound_have_the_moments_of_the_best_gaussian(kind):
    of_rows, found, model, theta, y, rows = fitted_rows(kind)
    t = model.layout.views(theta)
    beta = np.exp(-2 * t["log_sigma"])
    psi, _ = psi_statistics(model.covariance, t, rows)
    K = model.covariance.matrix(t, rows.inducing, rows.inducing)[0]
    K = K + 1e-6 * np.trace(K) / 3 * np.eye(3)
    new = np.random.default_rng(4).standard_normal((5, 2))
    cross = model.covariance.matrix(t, new, rows.inducing)[0]
    # q(values at U) = N(K S^-1 beta P, K S^-1 K), and a new value given those at U.
    S = K + beta * psi.psi2
    mean = cross @ np.linalg.solve(S, beta * psi.psi1.T @ y)
    prior = np.diag(model.covariance.matrix(t, new, new)[0])
    variance = prior - np.diag(cross @ (np.linalg.inv(K) - np.linalg.inv(S)) @ cross.T)
    # Three values of a linear function of two inputs leave K singular but for its noise.
    digits = 1e-9 if kind == "rbf" else 1e-5
    assert_close(of_rows.moments_of_x(found, new)[0], np.asarray(model.shift) + mean, digits)
    assert_close(of_rows.moments_of_x(found, new)[1], variance + 1 / beta, digits)


def test_far_from_all_points_the_functions_are_their_prior_again():
    of_rows, found, model, theta, _, _ = fitted_rows("rbf")
    t = model.layout.views(theta)
    mean, variance = of_rows.moments_of_x(found, np.full((1, 2), 1e3))
    assert_close(mean, [model.shift])
    assert_close(variance, [np.exp(2 * t["log_amplitude"]) + np.exp(2 * t["log_sigma"])])


def test_the_shade_is_the_deviation_at_its_points_and_bars_are_the_relevances():
    ax = plot_latent_plane(np.random.default_rng(0).standard_normal((30, 2)))
    shade_deviation(draw_widths(ax, np.zeros((1, 2)), np.ones((1, 2))), lambda z: z[:, 0] + 3.0 * z[:, 1])
    mesh = next(part for part in ax.collections if isinstance(part, QuadMesh))
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    corners = np.asarray(mesh.get_array()).reshape(80, 80)[[0, 0, -1], [0, -1, 0]]
    assert_close(corners, [left + 3 * low, right + 3 * low, left + 3 * high], 1e-12)
    relevance = [0.5, 2.0, 1e-12]
    bars = plot_relevances(relevance)
    assert_close([bar.get_height() for bar in bars.patches], [0.5, 2.0, 2e-6], 1e-12)
    assert "1 below a millionth" in bars.texts[-1].get_text()


# -- the fits ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "climb"),
    [("rbf", BoundClimb), ("linear", BoundClimb), ("rbf", ModeClimb), ("matern32", ModeClimb)],
)
def test_the_gradient_of_a_climb_is_its_derivative_and_it_rises(kind, climb):
    table = spiral(12, 4)
    fit = climb(GPLVM.for_data(table, kind, 2), table)
    start = fit.start()
    rng = np.random.default_rng(0)
    near = start + 0.05 * rng.standard_normal(start.shape)

    def vjp(vector, cotangent):
        return cotangent * fit.objective(vector)[1]

    check_vjp(lambda vector: np.asarray(fit.objective(vector)[0]), vjp, near, rng, tolerance=1e-5)
    values = [fit.objective(vector)[0] for vector in (start, fit.ascended(start, 5), fit.ascended(start, 40))]
    assert values[0] < values[1] < values[2]


def test_a_fit_switches_off_the_dimensions_that_the_data_do_not_have():
    # Curved functions of two coordinates, drawn from the model itself; five latents offered.
    true = GPLVM(60, (0.0,) * 12, 2)
    theta = true.layout.pack({"log_relevance": np.log([0.3, 0.3]), "log_sigma": np.log(0.1)})
    table = true.sample(theta, 1, np.random.default_rng(0))[0].reshape(60, 12)
    fit = BoundClimb(GPLVM.for_data(table, "rbf", 5), table, 20)
    theta, _ = fit.split(fit.ascended(fit.start(), 200))
    relevance = np.sort(np.exp(fit.model.layout.view(theta, "log_relevance")))[::-1]
    assert relevance[2:].max() < 0.01 * relevance[1]


def test_a_fitted_curve_is_reconstructed_and_its_q_is_narrow():
    table = spiral()
    fit = BoundClimb(GPLVM.for_data(table, "rbf", 2), table, 15)
    theta, phi = fit.parameters(fit.ascended(fit.start(), 300))
    mean, std = fit.posterior.family.moments(fit.posterior.eta(phi, table))
    error = np.sqrt(np.mean((fit.of_rows.expected_x(theta, mean) - table) ** 2))
    assert error < 0.15 and table.std() > 1.5
    assert std.max() < 0.2


def test_the_widths_at_the_mode_are_those_of_the_slopes_by_differences():
    table = spiral(10, 3)
    fit = ModeClimb(GPLVM.for_data(table, "rbf", 2), table)
    theta, phi = fit.parameters(fit.ascended(fit.start(), 30))
    z, std = fit.posterior.family.moments(fit.posterior.eta(phi, table))
    noise = np.exp(2 * fit.of_rows.layout.view(theta, "log_sigma"))
    for q in range(2):
        step = 1e-6 * np.eye(2)[q]
        slope = (fit.of_rows.expected_x(theta, z + step) - fit.of_rows.expected_x(theta, z - step)) / 2e-6
        assert_close(std[:, q] ** -2, 1 + (slope**2).sum(axis=1) / noise, 1e-6)


def test_more_inducing_inputs_than_rows_are_refused():
    table = spiral(8, 3)
    with pytest.raises(ValueError, match="n_inducing: expected at most the 8 rows of the data, got 9"):
        BoundClimb(GPLVM.for_data(table), table, 9)
