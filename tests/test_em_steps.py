"""The compiled formulas of EM without data repeat their definitions, also at the floor."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elbo_lab.em import MixtureEM
from elbo_lab.em.steps import CompiledSteps, Densities, Responsibilities, Steps
from elbo_lab.kernels import mixture_steps, use_kernels
from elbo_lab.models import GaussianMixture

# Of the size of each number. Measured: 1e-15 to 1e-14.
AGREEMENT = 1e-12


def example(n_components, n_columns, seed=0, least=0.1):
    """Return (model, theta, q): anything valid, the eigenvalues of the moments from `least` on."""
    rng = np.random.default_rng(seed)
    model = GaussianMixture(n_columns, n_components, "full")
    theta = 0.5 * rng.standard_normal(model.layout.size)
    root = rng.standard_normal((n_components, n_columns, n_columns))
    moment = root @ np.swapaxes(root, 1, 2) + least * np.eye(n_columns)
    total = 100.0 * rng.random(n_components)
    q = Responsibilities(total, rng.standard_normal((n_components, n_columns)), moment, 3.0)
    return model, theta, q


def results(steps, theta, q):
    """Return all numbers that the three formulas give."""
    at = steps.densities(theta)
    value = steps.expected_log_joint(at, q)
    return at.mean, at.scale, at.whitener, np.array(value), steps.best_theta(q)


def assert_same(found, wanted):
    for one, two in zip(found, wanted, strict=True):
        assert one.shape == two.shape
        assert np.all(np.abs(one - two) <= AGREEMENT * (1.0 + np.abs(two).max()))


def both(case, floor):
    model, theta, q = case
    return [results(kind(model, 200, floor), theta, q) for kind in (CompiledSteps, Steps)]


@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 10_000))
def test_compiled_formulas_equal_their_definitions(n_components, n_columns, seed):
    assert_same(*both(example(n_components, n_columns, seed), 1e-6))


@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 10_000), st.floats(0.05, 5.0))
def test_where_the_floor_binds_the_definition_is_taken(n_components, n_columns, seed, floor):
    found, wanted = both(example(n_components, n_columns, seed), floor)
    assert_same(found, wanted)


def test_a_moment_a_hair_above_the_floor_is_compiled_and_one_below_is_not():
    _, _, q = example(2, 3)
    theta = np.empty(20)
    least = np.linalg.eigvalsh(q.moment)[:, 0].min()

    def compiled(floor):
        return mixture_steps.best_theta(q.total, 200.0, q.mean, q.moment, floor, 1e-300, theta)

    assert compiled(least * (1 - 1e-9)) and not compiled(least * (1 + 1e-9))
    assert not mixture_steps.best_theta(q.total, 200.0, q.mean, q.moment * np.nan, 0.1, 1e-300, theta)


def test_an_empty_component_keeps_the_least_weight():
    model, theta, q = example(3, 2)
    q.total[1] = 0.0
    assert_same(*both((model, theta, q), 1e-6))


def with_fault(results, fault):
    mean, scale, whitener, value, theta = (array.copy() for array in results)
    if fault == "weights not normalised":
        scale = scale + 1e-3
    elif fault == "upper instead of lower triangle":
        whitener = np.swapaxes(whitener, 1, 2)
    elif fault == "shift forgotten in the bound":
        value = value + 1e-6 * np.abs(value)
    else:
        theta[-1] = -theta[-1]
    return mean, scale, whitener, value, theta


@pytest.mark.parametrize(
    "fault",
    [
        "weights not normalised",
        "upper instead of lower triangle",
        "shift forgotten in the bound",
        "covariance of another sign below the diagonal",
    ],
)
def test_the_comparison_refuses_a_compiled_formula_with_the_fault(fault):
    found, wanted = both(example(3, 4), 1e-6)
    assert_same(found, wanted)
    with pytest.raises(AssertionError):
        assert_same(with_fault(found, fault), wanted)


def test_nan_in_theta_is_not_swallowed():
    model, theta, q = example(2, 3)
    for i in range(len(theta)):
        spoilt = theta.copy()
        spoilt[i] = np.nan
        steps = CompiledSteps(model, 200, 1e-6)
        assert np.isnan(steps.expected_log_joint(steps.densities(spoilt), q))


def test_an_answer_that_is_kept_is_that_of_the_road_in_use():
    model, theta, _ = example(2, 3)
    problem = MixtureEM(model, np.random.default_rng(0).standard_normal((50, 3)), 1e-6)
    kept = {}
    for road in ("numpy", "numba", "numpy", "numba"):
        with use_kernels(road):
            q = problem.e_step(theta)
            kept.setdefault(road, []).append(q)
            assert type(problem.steps) is (Steps if road == "numpy" else CompiledSteps)
            assert problem.e_step(theta) is q
    assert kept["numpy"][0] is not kept["numba"][0]


def test_a_theta_that_changes_in_place_is_read_anew():
    model, theta, q = example(2, 3)
    problem = MixtureEM(model, np.random.default_rng(0).standard_normal((50, 3)), 1e-6)
    before = problem.elbo(theta, q)
    theta += 0.1
    assert problem.elbo(theta, q) != before
    assert isinstance(problem.steps.densities(theta), Densities)
    assert not np.shares_memory(problem.steps.densities(theta).mean, theta)
