"""The Gaussian-process latent-variable model: covariances, derivatives, and what its maximum is."""

from functools import partial

import numpy as np
import pytest
import scipy.stats
from checks import assert_close, check_vjp, read_only

from elbo_lab import compare, exact, make_problem
from elbo_lab.errors import NotApplicable
from elbo_lab.models import GPLVM, PPCA
from elbo_lab.models.gplvm import COVARIANCE_FUNCTIONS
from elbo_lab.optimise import ascend

RNG = np.random.default_rng(4)
KINDS = tuple(COVARIANCE_FUNCTIONS)
over_kinds = pytest.mark.parametrize("kind", KINDS)


def some_params(covariance, rng):
    return {name: 0.4 * rng.standard_normal(shape) for name, shape in covariance.entries}


def some_table(n_rows=7, n_columns=4, seed=0):
    """Return a table (N, D) of two directions and noise."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n_rows, 2))
    return z @ rng.standard_normal((2, n_columns)) + 0.3 * rng.standard_normal((n_rows, n_columns)) + 2.0


def textbook(kind, params, a, b):
    """Return k(a, b) of two points, as it is printed in Rasmussen and Williams."""
    relevance = np.exp(params["log_relevance"])
    if kind == "linear":
        return float(sum(relevance * a * b))
    r = np.sqrt(sum(relevance * (a - b) ** 2))
    forms = {
        "rbf": np.exp(-(r**2) / 2),
        "matern32": (1 + np.sqrt(3) * r) * np.exp(-np.sqrt(3) * r),
        "matern52": (1 + np.sqrt(5) * r + 5 * r**2 / 3) * np.exp(-np.sqrt(5) * r),
    }
    return float(np.exp(params["log_amplitude"]) ** 2 * forms[kind])


# -- covariance functions ----------------------------------------------------------------------------


@over_kinds
def test_a_covariance_function_is_that_of_the_textbook(kind):
    covariance = COVARIANCE_FUNCTIONS[kind](3)
    rng = np.random.default_rng(1)
    params, a, b = some_params(covariance, rng), rng.standard_normal((4, 3)), rng.standard_normal((5, 3))
    expected = [[textbook(kind, params, one, other) for other in b] for one in a]
    assert_close(covariance.matrix(params, a, b)[0], expected, 1e-13)
    assert_close(covariance.diagonal(params, a), [textbook(kind, params, one, one) for one in a], 1e-13)


@over_kinds
@pytest.mark.parametrize("argument", ["params", "a", "b"])
def test_the_pullback_of_a_covariance_function_is_its_derivative(kind, argument):
    covariance = COVARIANCE_FUNCTIONS[kind](2)
    rng = np.random.default_rng(2)
    params, a, b = some_params(covariance, rng), rng.standard_normal((3, 2)), rng.standard_normal((4, 2))
    # A point that both have in common: r = 0, where a Matern function has a kink in r but not in r^2.
    b[0] = a[0]
    model = GPLVM(3, (0.0, 0.0), 2, kind)
    point = {"params": model.layout.pack(params), "a": a, "b": b}[argument]

    def at(point):
        given = {"params": model.layout.pack(params), "a": a, "b": b} | {argument: point}
        return covariance.matrix(model.layout.views(given["params"]), given["a"], given["b"])

    def vjp(point, cotangent):
        grads, by_a, by_b = at(point)[1](cotangent)
        return {"params": model.layout.pack(grads), "a": by_a, "b": by_b}[argument]

    check_vjp(lambda point: at(point)[0], vjp, point, rng)


@over_kinds
def test_leading_axes_of_inputs_are_looped_calls(kind):
    covariance = COVARIANCE_FUNCTIONS[kind](2)
    rng = np.random.default_rng(3)
    params, a, b = (
        some_params(covariance, rng),
        rng.standard_normal((5, 3, 2)),
        rng.standard_normal((5, 4, 2)),
    )
    cotangent = rng.standard_normal((5, 3, 4))
    value, pullback = covariance.matrix(params, a, b)
    grads, by_a, by_b = pullback(cotangent)
    for i in range(5):
        one, pull = covariance.matrix(params, a[i], b[i])
        own, own_a, own_b = pull(cotangent[i])
        assert_close(value[i], one)
        assert_close(by_a[i], own_a)
        assert_close(by_b[i], own_b)
        for name, grad in own.items():
            assert_close(grads[name][i], grad)


# -- the model ---------------------------------------------------------------------------------------


@over_kinds
def test_log_p_given_z_is_the_dense_gaussian_density_of_every_column(kind):
    table = some_table(5, 3)
    model = GPLVM.for_data(table, kind)
    rng = np.random.default_rng(5)
    theta, z = 0.5 * rng.standard_normal(model.layout.size), rng.standard_normal((2, 1, model.latent_dim))
    t = model.layout.views(theta)
    for one, rows in zip(model.log_likelihood(theta, model.as_data(table), z)[:, 0], z, strict=True):
        rows = rows.reshape(5, 2)
        C = [[textbook(kind, t, a, b) for b in rows] for a in rows] + np.exp(2 * t["log_sigma"]) * np.eye(5)
        columns = scipy.stats.multivariate_normal(np.zeros(5), C).logpdf((table - table.mean(axis=0)).T)
        assert_close(one, columns.sum(), 1e-11)


@over_kinds
@pytest.mark.parametrize("part", [0, 1], ids=["theta", "z"])
def test_the_pullback_of_the_likelihood_is_its_derivative(kind, part):
    table = np.stack([some_table(4, 3, seed).ravel() for seed in (0, 1)])
    model = GPLVM(4, (2.0, 2.0, 2.0), 2, kind)
    rng = np.random.default_rng(6)
    at = [0.3 * rng.standard_normal(model.layout.size), rng.standard_normal((3, 2, model.latent_dim))]

    def given(point):
        return [point, at[1]] if part == 0 else [at[0], point]

    def value(point):
        theta, z = given(point)
        return model.log_likelihood(theta, table, z)

    def vjp(point, cotangent):
        theta, z = given(point)
        return model.likelihood(theta, table, z)[1](cotangent)[part]

    check_vjp(value, vjp, at[part], rng)


def test_rows_far_from_each_other_are_independent():
    # With an RBF and distant latents C is (s^2 + sigma^2) I, and the table is white noise.
    table = some_table(4, 3)
    model = GPLVM.for_data(table)
    theta = model.layout.pack({"log_amplitude": 0.3, "log_sigma": -0.5})
    z = 100.0 * np.arange(model.latent_dim, dtype=float).reshape(1, 1, -1)
    scale = np.sqrt(np.exp(0.6) + np.exp(-1.0))
    expected = scipy.stats.norm(table.mean(axis=0), scale).logpdf(table).sum()
    assert_close(model.log_likelihood(theta, model.as_data(table), z), [[expected]], 1e-12)


def test_inputs_of_the_likelihood_are_not_written_into():
    table = some_table(4, 3)
    model = GPLVM.for_data(table)
    theta, x, z, cotangent = read_only(
        model.initial_theta(model.as_data(table)),
        model.as_data(table),
        RNG.standard_normal((2, 1, 8)),
        np.ones((2, 1)),
    )
    model.likelihood(theta, x, z)[1](cotangent)


# -- the linear model without a prior on z (Lawrence 2005) ---------------------------------------------


def highest_likelihood(model, table):
    """Return theta and z (N, Q) at which L-BFGS has maximised log p(Y | Z) over both, and the value."""
    x = model.as_data(table)
    size = model.layout.size

    def objective(vector):
        value, pullback = model.likelihood(vector[:size], x, vector[size:][None, None])
        by_theta, by_z = pullback(np.ones((1, 1)))
        return value[0, 0], np.concatenate([by_theta, by_z[0, 0]])

    start = np.concatenate([model.initial_theta(x), model.principal_scores(x).ravel()])
    found = ascend(objective, start, 5000, tolerance=1e-16)
    return found[:size], found[size:].reshape(model.n_rows, -1), objective(found)[0]


def lawrence(table, n_latent):
    """Return the maximum over Z and sigma in closed form (Lawrence 2005, appendix A).

    With the eigenvalues l of S = Y Y^T / D, the covariance at the maximum has the eigenvalues l_1, ..., l_Q,
    and sigma^2, the mean of the remaining N - Q, one of which is the zero of the centred table.
    """
    y = table - table.mean(axis=0)
    n_rows, n_columns = y.shape
    eigenvalues = np.linalg.eigvalsh(y @ y.T / n_columns)[::-1]
    noise = eigenvalues[n_latent:].sum() / (n_rows - n_latent)
    log_det = np.log(eigenvalues[:n_latent]).sum() + (n_rows - n_latent) * np.log(noise)
    return -0.5 * n_columns * (n_rows * np.log(2 * np.pi) + log_det + n_rows), noise


def test_the_maximum_of_the_linear_model_is_lawrences_closed_form():
    table = some_table(8, 5)
    model = GPLVM.for_data(table, "linear")
    theta, z, value = highest_likelihood(model, table)
    expected, noise = lawrence(table, 2)
    assert value == pytest.approx(expected, rel=1e-8, abs=1e-8)
    assert np.exp(2 * model.layout.view(theta, "log_sigma")) == pytest.approx(noise, rel=1e-5)
    # The latent coordinates span the first principal scores: dual to the loadings of PCA.
    scores = np.linalg.svd(table - table.mean(axis=0))[0][:, :2]
    cosines = np.linalg.svd(scores.T @ np.linalg.qr(z)[0], compute_uv=False)
    assert_close(cosines, np.ones(2), 1e-8)


def test_the_maximum_of_the_linear_model_is_not_that_of_ppca():
    # The same directions, another integral: PPCA integrates z and keeps W, this model the reverse.
    table = some_table(8, 5)
    ppca = PPCA.for_data(table, latent=2)
    log_p = ppca.log_evidence(ppca.maximum_likelihood(table), table).sum()
    assert abs(log_p - lawrence(table, 2)[0]) > 1.0


# -- refusals ----------------------------------------------------------------------------------------

REFUSALS = {
    "more latents than rows": (partial(GPLVM, 3, (0.0,) * 9, 4), "latent: .*at most the 3 rows.*got 4"),
    "more than columns": (partial(GPLVM, 9, (0.0,) * 3, 4), "latent: .*at most the 3 columns.*got 4"),
    "no rows": (partial(GPLVM, 0, (0.0,), 1), "n_rows: .*at least 1, got 0"),
    "unknown function": (partial(GPLVM, 3, (0.0,), 1, "rfb"), "variant: .*'rfb'; did you mean 'rbf'"),
    "constant": (
        lambda: GPLVM.for_data(np.full((5, 2), 0.1)).check_data(np.full((1, 10), 0.1)),
        "data: expected a column that varies",
    ),
    "other table": (
        lambda: GPLVM(3, (0.0, 0.0), 1).check_data(np.ones((1, 4))),
        "data: expected 6 columns, got 4",
    ),
}


@pytest.mark.parametrize(("call", "message"), REFUSALS.values(), ids=REFUSALS)
def test_what_no_model_can_have_is_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


@over_kinds
def test_a_singular_covariance_is_refused_and_not_repaired(kind):
    table = some_table(6, 3)
    model = GPLVM.for_data(table, kind, 1)
    theta = model.layout.pack({"log_sigma": -25.0})
    z = np.ones((1, 1, 6))  # all rows at one place
    with pytest.raises(ValueError, match=r"theta: .*full rank, got one of 6 rows .*; raise log_sigma"):
        model.log_likelihood(theta, model.as_data(table), z)
    # The same matrix with noise is a matrix like any other.
    noisy = model.layout.pack({"log_sigma": -5.0})
    assert np.isfinite(model.log_likelihood(noisy, model.as_data(table), z)).all()


# -- in comparisons ------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["linear", "rbf"])
def test_two_rows_are_compared_with_exact_answers(variant):
    estimators = ["exact", "elbo-sampled", "reparameterization", "score-function-loo", "sticking-the-landing"]
    result = compare(f"gplvm:{variant}", estimators=estimators, repeats=200, rows=8, seed=1)
    (scene,) = result.scenes
    assert scene.model.n_rows == 2 and scene.model.latent_dim == 2
    rows = [row for row in result.rows if row["applicable"]]
    assert {row["reference"] for row in rows} == {"quadrature"}
    assert {row["estimator"] for row in rows} == {*estimators}
    assert "FAIL" not in {row["bias_verdict"] for row in rows}


def test_the_q_that_is_compared_stands_at_one_of_two_mirrored_maxima():
    problem = make_problem("gplvm:rbf", at="exact")
    answers = [quantity(problem) for quantity in (exact.log_evidence, exact.elbo)]
    mirrored = problem._replace(phi=problem.phi * np.array([-1.0, -1.0, 1.0, 1.0]))
    assert exact.elbo(mirrored).value == pytest.approx(answers[1].value, abs=1e-9)
    # One of two modes: the gap is at least about log 2.
    assert answers[0].value - answers[1].value > 0.9 * np.log(2.0)
    assert exact.gradients(problem).phi_elbo.value == pytest.approx(np.zeros(4), abs=1e-4)


def test_more_latents_than_a_grid_holds_are_not_compared():
    with pytest.raises(NotApplicable, match="one z of 4 numbers, and log p is exact for 2: mirrored"):
        compare("gplvm:rbf", estimators="exact", latent=2, repeats=10)
