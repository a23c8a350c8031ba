"""The gradient checker, checked: it passes what is right and catches what is plausibly wrong."""

import numpy as np
import pytest
from checks import assert_close, check_vjp, exact_draws, read_only

from elbo_lab.distributions import Categorical, DiagonalGaussian

INPUT = np.array([0.7, -1.3, 0.4])


def layer(params):
    """tanh(W v) + b, params = (W (3, 3), b (3,))."""
    return np.tanh(params[:9].reshape(3, 3) @ INPUT) + params[9:]


def layer_vjp(params, cotangent):
    delta = cotangent * (1.0 - np.tanh(params[:9].reshape(3, 3) @ INPUT) ** 2)
    return np.concatenate([np.outer(delta, INPUT).ravel(), cotangent])


def _transposed(gradient):
    return np.concatenate([gradient[:9].reshape(3, 3).T.ravel(), gradient[9:]])


def _without_slope(params, cotangent):  # noqa: ARG001 - the fault is that it is not used
    return np.concatenate([np.outer(cotangent, INPUT).ravel(), cotangent])


PLANTED_FAULTS = {
    "wrong sign": lambda p, c: -layer_vjp(p, c),
    "dropped bias": lambda p, c: layer_vjp(p, c) * (np.arange(12) < 9),
    "dropped coordinate": lambda p, c: layer_vjp(p, c) * (np.arange(12) != 4),
    "dropped slope": _without_slope,
    "one percent": lambda p, c: 1.01 * layer_vjp(p, c),
    "transposed": lambda p, c: _transposed(layer_vjp(p, c)),
    "another cotangent": lambda p, c: layer_vjp(p, c[::-1]),
    "zero": lambda p, c: 0.0 * layer_vjp(p, c),
    "not finite": lambda p, c: np.nan * layer_vjp(p, c),
}


def _point(seed):
    return np.random.default_rng(seed).standard_normal(12)


@pytest.mark.parametrize("seed", range(10))
def test_a_right_gradient_passes(seed):
    check_vjp(layer, layer_vjp, _point(seed), np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("fault", PLANTED_FAULTS)
def test_a_planted_fault_is_caught(fault, seed):
    with pytest.raises(AssertionError):
        check_vjp(layer, PLANTED_FAULTS[fault], _point(seed), np.random.default_rng(seed))


def test_gauss_hermite_draws_have_the_moments_of_the_gaussian():
    eta = np.array([[0.5, -1.0, 0.2, -0.7], [2.0, 0.0, -0.3, 0.1]])
    z, weights = exact_draws(DiagonalGaussian(2), eta)
    mean = np.einsum("gn,gnk->nk", weights, z)
    fourth = np.einsum("gn,gnk->nk", weights, (z - mean) ** 4)
    assert_close(weights.sum(axis=0), np.ones(2))
    assert_close(mean, eta[:, :2])
    assert_close(fourth, 3.0 * np.exp(4.0 * eta[:, 2:]))


def test_enumerated_draws_have_the_softmax_as_weights():
    eta = np.log([[1.0, 2.0, 5.0], [3.0, 3.0, 2.0]]) + 7.0
    z, weights = exact_draws(Categorical(3), eta)
    assert z[:, 0].tolist() == [0, 1, 2]
    assert_close(weights.T, [[0.125, 0.25, 0.625], [0.375, 0.375, 0.25]])


def test_a_write_into_a_read_only_copy_raises():
    original = np.zeros(2)
    copy = read_only(original)
    with pytest.raises(ValueError, match="read-only"):
        copy += 1.0
    original += 1.0


@pytest.mark.parametrize("wrong", [[1.0, 2.001], [[1.0, 2.0]], [1.0, np.nan]])
def test_close_arrays_must_agree_in_shape_and_value(wrong):
    with pytest.raises(AssertionError):
        assert_close(wrong, [1.0, 2.0], relative=1e-6)
