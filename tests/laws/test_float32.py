"""float32 stays float32 from the parameters to the gradients, and stands beside its float64 twin."""

import numpy as np
import pytest
from cases import CASES, NETWORKS, make_case, model_id
from checks import assert_close

from elbo_lab import Problem
from elbo_lab.distributions import draw_noise
from elbo_lab.estimators import ElboAnalyticKL, ElboReconstructionKL, ReparameterizationAnalyticKL
from elbo_lab.estimators.passes import pathwise_pass
from elbo_lab.layout import Layout
from elbo_lab.models import DeepBernoulli, Model
from elbo_lab.training import ElboObjective

CONTINUOUS = [case for case in CASES if not case.model.family.discrete]
over_continuous = pytest.mark.parametrize("case", CONTINUOUS, ids=model_id)
over_networks = pytest.mark.parametrize("network", NETWORKS, ids=repr)
both_maps = pytest.mark.parametrize("which", [0, 1], ids=["free", "amortised"])
# Relative to the largest entry: float32 has seven digits, and the sums here are short.
SHORT = 1e-4


def noise_of(case, draws=4, seed=0):
    return draw_noise(case.model.family.noise_spec(draws, len(case.x)), np.random.default_rng(seed))


def short(*arrays):
    return [np.asarray(array).astype(np.float32) for array in arrays]


# -- one pass is the definitions -----------------------------------------------------------------


def check_pass(one_pass, case, posterior, phi, noise):
    problem = case.problem(posterior, phi)
    value, grad_theta, grad_phi = one_pass(problem, noise)
    assert_close(value, ElboReconstructionKL().estimate(problem, noise)[0][0], 1e-12)
    assert_close(grad_theta, ElboAnalyticKL().estimate(problem, noise)[0], 1e-12)
    assert_close(grad_phi, ReparameterizationAnalyticKL().estimate(problem, noise)[0], 1e-12)


@both_maps
@over_continuous
def test_one_pass_is_the_three_estimators_on_the_same_noise(case, which):
    check_pass(pathwise_pass, case, *case.posteriors()[which], noise_of(case))


def _without_prior(problem, noise):
    """Drop the KL's gradient in the parameters of the prior."""
    model, posterior, theta, phi, x = problem
    value, grad_theta, grad_phi = pathwise_pass(problem, noise)
    by_prior = model.family.kl_grad(posterior.eta(phi, x), model.prior_eta(theta))[1].mean(axis=0)
    return value, grad_theta + model.prior_eta_vjp(theta, by_prior), grad_phi


def _kl_summed(problem, noise):
    """Sum the KL's gradient over the rows instead of averaging it."""
    model, posterior, theta, phi, x = problem
    value, grad_theta, grad_phi = pathwise_pass(problem, noise)
    by_eta = model.family.kl_grad(posterior.eta(phi, x), model.prior_eta(theta))[0]
    return value, grad_theta, grad_phi - posterior.eta_vjp(phi, x, by_eta * (1.0 - 1.0 / len(x)))


@pytest.mark.parametrize("fault", [_without_prior, _kl_summed])
def test_a_planted_fault_in_the_pass_is_caught(fault):
    case = CONTINUOUS[0]  # gaussian-mle, whose prior has parameters
    assert not case.model.fixed_prior
    with pytest.raises(AssertionError):
        check_pass(fault, case, *case.posteriors()[1], noise_of(case))


# -- networks ------------------------------------------------------------------------------------


def network_pass(network, dtype, lead=()):
    rng = np.random.default_rng(1)
    params = rng.standard_normal(network.layout.size).astype(dtype)
    inputs = rng.standard_normal((*lead, 6, network.sizes[0])).astype(dtype)
    output, activations = network.forward(params, inputs)
    return output, (params, activations, rng.standard_normal(output.shape).astype(dtype))


@pytest.mark.parametrize("lead", [(), (3,)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@over_networks
def test_the_backward_pass_to_the_parameters_alone_is_the_first_half_of_the_whole(network, dtype, lead):
    _, arguments = network_pass(network, dtype, lead)
    found = network.backward_params(*arguments)
    assert found.dtype == dtype and found.shape == (*lead, network.layout.size)
    assert np.array_equal(found, network.backward(*arguments)[0])


@over_networks
def test_a_network_in_float32_stays_there_both_ways(network):
    (long, wide), (output, narrow) = network_pass(network, np.float64), network_pass(network, np.float32)
    assert output.dtype == np.float32 and {a.dtype for a in narrow[1]} == {np.dtype(np.float32)}
    assert_close(output, long, SHORT)
    for found, expected in zip(network.backward(*narrow), network.backward(*wide), strict=True):
        assert found.dtype == np.float32
        assert_close(found, expected, SHORT)


def test_a_packed_vector_has_the_dtype_of_its_parts():
    layout = Layout((("a", (2,)), ("b", ())))
    for dtype in (np.float32, np.float64):
        assert layout.pack({"a": np.ones(2, dtype), "b": dtype(3)}).dtype == dtype
        assert layout.pack({"a": np.ones(2, dtype)}).dtype == dtype
    assert layout.pack({"a": np.ones(2, np.float32), "b": np.float64(1)}).dtype == np.float64
    assert layout.pack({"a": np.ones(2, int)}).dtype == layout.pack({}).dtype == np.float64


# -- models and posteriors -----------------------------------------------------------------------


@over_continuous
def test_a_likelihood_in_float32_pulls_back_in_float32(case):
    z = noise_of(case)
    cotangent = np.random.default_rng(2).standard_normal(z.shape[:-1])
    value, pullback = case.model.likelihood(case.theta, case.x, z)
    narrow, narrow_pullback = case.model.likelihood(*short(case.theta, case.x, z))
    assert narrow.dtype == np.float32
    assert_close(narrow, value, SHORT)
    for found, expected in zip(narrow_pullback(*short(cotangent)), pullback(cotangent), strict=True):
        assert found.dtype == np.float32
        assert_close(found, expected, SHORT)


@both_maps
@over_continuous
def test_an_encoder_in_float32_stays_there_both_ways(case, which):
    posterior, phi = case.posteriors()[which]
    x, narrow_phi = short(case.x, phi)
    (eta, pull), (narrow, narrow_pull) = (
        posterior.eta_and_pullback(p, data) for p, data in ((phi, case.x), (narrow_phi, x))
    )
    cotangent = np.random.default_rng(3).standard_normal(eta.shape)
    found = narrow_pull(*short(cotangent))
    assert narrow.dtype == found.dtype == np.float32
    assert_close(narrow, eta, SHORT)
    assert_close(found, pull(cotangent), SHORT)
    assert np.array_equal(posterior.eta(phi, case.x), eta)
    assert_close(posterior.eta_vjp(phi, case.x, cotangent), pull(cotangent), 1e-14)


@both_maps
@over_continuous
def test_one_pass_in_float32_gives_float32_gradients(case, which):
    posterior, phi = case.posteriors()[which]
    noise = noise_of(case)
    expected = pathwise_pass(case.problem(posterior, phi), noise)
    theta, short_phi, x, short_noise = short(case.theta, phi, case.x, noise)
    found = pathwise_pass(Problem(case.model, posterior, theta, short_phi, x), short_noise)
    assert isinstance(found[0], float)
    assert found[1].dtype == found[2].dtype == np.float32
    for narrow, wide in zip(found, expected, strict=True):
        assert_close(narrow, wide, SHORT)


# A model that says nothing of a random start begins at its only one.
RANDOM_START = [
    case
    for case in CONTINUOUS
    if case.model.layout.size and type(case.model).random_theta is not Model.random_theta
]


@pytest.mark.parametrize("case", RANDOM_START, ids=model_id)
def test_a_start_that_is_random_comes_from_the_generator_alone(case):
    starts = [case.model.random_theta(case.x, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert np.array_equal(starts[0], starts[1]) and not np.array_equal(starts[0], starts[2])


@pytest.mark.parametrize("kind", ["normal", "uniform"])
def test_noise_in_float32_is_a_draw_of_its_own_of_the_same_law(kind):
    spec = CONTINUOUS[0].model.family.noise_spec(1, 5000)
    spec = type(spec)(kind, spec.shape)
    narrow, wide = (draw_noise(spec, np.random.default_rng(0), dtype=t) for t in (np.float32, np.float64))
    assert narrow.dtype == np.float32 and wide.dtype == np.float64
    assert draw_noise(spec, np.random.default_rng(0)).dtype == np.float64
    assert not np.allclose(narrow, wide)
    # 10 000 draws: six standard errors of the mean are 0.06 (normal), 0.018 (uniform).
    centre, width = (0.0, 0.06) if kind == "normal" else (0.5, 0.018)
    assert abs(narrow.mean() - centre) < width


# -- objectives ----------------------------------------------------------------------------------


def bits(n_data=30):
    return (np.random.default_rng(4).random((n_data, 5)) < 0.4).astype(np.float64)


def objective_of(dtype, probabilities=None):
    x = bits()
    model = DeepBernoulli(5, 2, (4,))
    posterior = make_case(model).amortised
    return ElboObjective(model, posterior, x, probabilities, dtype=dtype)


@pytest.mark.parametrize("dynamic", [False, True])
def test_nothing_that_a_float32_objective_draws_or_returns_is_float64(dynamic):
    chances = np.full((30, 5), 0.4) if dynamic else None
    objective, rng = objective_of(np.float32, chances), np.random.default_rng(5)
    params = objective.initial(rng)
    assert {vector.dtype for vector in params.values()} == {np.dtype(np.float32)}
    block = objective.draw(np.arange(30), rng)
    rows, noise = block
    assert rows.dtype == np.float32 and set(np.unique(rows)) == {0.0, 1.0}
    assert {draws.dtype for draws in noise.values()} == {np.dtype(np.float32)}
    value, gradients, _ = objective.gradients(params, block, objective.names, {})
    assert isinstance(value, float)
    assert {gradient.dtype for gradient in gradients.values()} == {np.dtype(np.float32)}
