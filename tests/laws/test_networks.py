"""The multilayer perceptron: forward against a plain loop, backward against differences."""

from itertools import pairwise

import numpy as np
import pytest
from cases import MLPS, NETWORKS
from checks import assert_close, check_vjp, read_only
from hypothesis import given
from hypothesis import strategies as st

from elbo_lab.networks import ACTIVATIONS, MLP

ROWS = 5
PLAIN = {"tanh": np.tanh, "relu": lambda u: np.maximum(u, 0), "softplus": lambda u: np.log1p(np.exp(u))}


def network_id(network):
    return f"{type(network).__name__}-{'-'.join(map(str, network.sizes))}-{network.activation}"


every_network = pytest.mark.parametrize("network", NETWORKS, ids=network_id)
every_mlp = pytest.mark.parametrize("network", MLPS, ids=network_id)
every_activation = pytest.mark.parametrize("name", ACTIVATIONS)


def setting(network, lead=(), seed=0):
    """Return (params, inputs, cotangent, rng); biases are random too."""
    rng = np.random.default_rng([seed, network.layout.size])
    params = rng.standard_normal(network.layout.size)
    inputs = rng.standard_normal((*lead, ROWS, network.sizes[0]))
    return params, inputs, rng.standard_normal((*lead, ROWS, network.sizes[-1])), rng


def plain_forward(network, params, row):
    """Return the output for one row, every sum written out."""
    p, a = network.layout.views(params), list(row)
    for layer in range(1, network.n_layers + 1):
        W, b = p[f"W{layer}"], p[f"b{layer}"]
        u = [b[j] + sum(a[i] * W[i, j] for i in range(len(a))) for j in range(len(b))]
        a = u if layer == network.n_layers else [PLAIN[network.activation](v) for v in u]
    return a


def smallest_pre_activation(network, params, inputs):
    """Return how close a hidden unit comes to the kink of relu."""
    p, a, closest = network.layout.views(params), inputs, np.inf
    for layer in range(1, network.n_layers):
        u = a @ p[f"W{layer}"] + p[f"b{layer}"]
        closest, a = min(closest, np.abs(u).min()), PLAIN[network.activation](u)
    return closest


def pulled_back(network, params, inputs, cotangent):
    return network.backward(params, network.forward(params, inputs)[1], cotangent)


# -- forward -------------------------------------------------------------------------------------


@every_mlp
def test_forward_equals_a_plain_loop(network):
    params, inputs, _, _ = setting(network)
    expected = [plain_forward(network, params, row) for row in inputs]
    assert_close(network.forward(params, inputs)[0], expected)


@every_mlp
def test_forward_keeps_the_activations_of_every_layer(network):
    params, inputs, _, _ = setting(network, lead=(2,))
    activations = network.forward(params, inputs)[1]
    assert [a.shape for a in activations] == [(2, ROWS, width) for width in network.sizes[:-1]]
    assert activations[0] is inputs


def test_without_hidden_layers_it_is_an_affine_map():
    network = MLP((2, 3))
    params, inputs, cotangent, _ = setting(network)
    W, b = network.layout.views(params).values()
    assert_close(network.forward(params, inputs)[0], inputs @ W + b)
    grad_params, grad_inputs = pulled_back(network, params, inputs, cotangent)
    assert_close(grad_params, np.append((inputs.T @ cotangent).ravel(), cotangent.sum(axis=0)))
    assert_close(grad_inputs, cotangent @ W.T)


# -- backward ------------------------------------------------------------------------------------


@every_network
@pytest.mark.parametrize("seed", range(3))
def test_backward_is_the_derivative_in_the_parameters(network, seed):
    params, inputs, _, rng = setting(network, seed=seed)
    if network.activation == "relu":
        assert smallest_pre_activation(network, params, inputs) > 1e-3
    check_vjp(
        lambda p: network.forward(p, inputs)[0],
        lambda p, c: pulled_back(network, p, inputs, c)[0],
        params,
        rng,
    )


@every_network
@pytest.mark.parametrize("seed", range(3))
def test_backward_is_the_derivative_in_the_inputs(network, seed):
    params, inputs, _, rng = setting(network, seed=seed)
    check_vjp(
        lambda inputs: network.forward(params, inputs)[0],
        lambda inputs, c: pulled_back(network, params, inputs, c)[1],
        inputs,
        rng,
    )


@every_network
def test_leading_axes_are_kept_and_equal_looped_calls(network):
    params, inputs, cotangent, _ = setting(network, lead=(2, 3))
    output, activations = network.forward(params, inputs)
    together = [output, *network.backward(params, activations, cotangent)]
    assert together[1].shape == (2, 3, network.layout.size)
    for r in np.ndindex(2, 3):
        output, activations = network.forward(params, inputs[r])
        alone = [output, *network.backward(params, activations, cotangent[r])]
        for many, one in zip(together, alone, strict=True):
            assert_close(many[r], one)


@every_network
def test_backward_to_the_inputs_alone_is_the_second_part_of_backward(network):
    params, inputs, cotangent, _ = setting(network, lead=(2,))
    activations = network.forward(params, inputs)[1]
    expected = network.backward(params, activations, cotangent)[1]
    assert np.array_equal(network.backward_inputs(params, activations, cotangent), expected)


@every_network
def test_many_cotangents_share_one_forward_pass(network):
    params, inputs, _, rng = setting(network)
    activations = network.forward(params, inputs)[1]
    cotangents = rng.standard_normal((4, ROWS, network.sizes[-1]))
    together = network.backward(params, activations, cotangents)[0]
    alone = [network.backward(params, activations, c)[0] for c in cotangents]
    assert_close(together, alone)


@every_network
def test_inputs_are_never_written_into(network):
    params, inputs, cotangent = read_only(*setting(network)[:3])
    activations = network.forward(params, inputs)[1]
    activations = [read_only(a) for a in activations]
    network.backward(params, activations, cotangent)


# -- activations ---------------------------------------------------------------------------------


@every_activation
def test_a_slope_is_the_derivative_written_in_the_output(name):
    activation = ACTIVATIONS[name]
    u = np.array([-20.0, -3.0, -0.5, -1e-3, 1e-3, 0.7, 4.0, 20.0])
    difference = (activation.value(u + 1e-5) - activation.value(u - 1e-5)) / 2e-5
    assert_close(activation.slope(activation.value(u)), difference, 1e-9)


@every_activation
def test_activations_and_slopes_stay_finite_at_extreme_inputs(name):
    activation = ACTIVATIONS[name]
    a = activation.value(np.array([-1e3, 0.0, 1e3]))
    assert np.isfinite(a).all() and np.isfinite(activation.slope(a)).all()
    assert activation.slope(a)[-1] == (0.0 if name == "tanh" else 1.0)
    assert activation.slope(a)[0] == 0.0


def test_the_slope_of_relu_at_its_kink_is_zero():
    relu = ACTIVATIONS["relu"]
    assert relu.slope(relu.value(np.zeros(1))) == 0.0


# -- start and errors ----------------------------------------------------------------------------


@every_activation
def test_initial_weights_have_the_glorot_or_he_scale_and_biases_are_zero(name):
    network = MLP((300, 200, 100), name)
    p = network.layout.views(network.initial(np.random.default_rng(0)))
    gain2 = 2.0 if name == "relu" else 1.0
    # The standard deviation of 20,000 normal numbers errs by 0.5 %; 3 % is six times that.
    assert p["W1"].std() == pytest.approx(np.sqrt(gain2 * 2.0 / 500), rel=0.03)
    assert p["W2"].std() == pytest.approx(np.sqrt(gain2 * 2.0 / 300), rel=0.03)
    assert not p["b1"].any() and not p["b2"].any()


@every_network
def test_the_start_is_replayed_by_the_seed(network):
    first, again = (network.initial(np.random.default_rng(3)) for _ in range(2))
    assert first.shape == (network.layout.size,) and np.array_equal(first, again)


@given(st.lists(st.integers(1, 9), min_size=2, max_size=5))
def test_the_layout_holds_a_matrix_and_a_bias_per_layer(sizes):
    network = MLP(tuple(sizes))
    assert network.n_layers == len(sizes) - 1
    assert network.layout.size == sum((a + 1) * b for a, b in pairwise(sizes))


@pytest.mark.parametrize("sizes", [(), (3,)])
def test_fewer_than_two_widths_are_refused(sizes):
    with pytest.raises(ValueError, match="sizes: expected an input and an output width"):
        MLP(sizes)


@pytest.mark.parametrize("width", [0, -2])
def test_a_width_below_one_is_refused(width):
    with pytest.raises(ValueError, match=f"sizes: .*at least 1, got {width}"):
        MLP((2, width, 3))


def test_a_width_that_is_no_whole_number_is_refused():
    with pytest.raises(TypeError, match=r"sizes: .*got 2\.5"):
        MLP((2, 2.5))


def test_an_unknown_activation_suggests_the_nearest():
    with pytest.raises(ValueError, match=r"activation: .*'thanh'; did you mean 'tanh'"):
        MLP((2, 3), "thanh")
