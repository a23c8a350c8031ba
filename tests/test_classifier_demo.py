"""The likelihood p(y | x) of the classifier demo: formula by enumeration, derivative by differences."""

import math
import runpy
from pathlib import Path

import numpy as np
import pytest
from checks import assert_close, check_vjp, read_only

from elbo_lab.networks import MLP

DEMO = Path(__file__).parents[1] / "demos" / "18_classifier_by_maximum_likelihood.py"
NETWORKS = {
    "logistic": MLP((3, 4)),
    "two classes": MLP((3, 5, 2)),
    "tanh": MLP((3, 6, 5, 4), "tanh"),
    "softplus": MLP((3, 5, 4), "softplus"),
    "relu": MLP((3, 5, 4), "relu"),
}
every_network = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The functions of the demo, after a quick run of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ELBO_LAB_QUICK", "1")
        patch.setenv("ELBO_LAB_OUT", str(tmp_path_factory.mktemp("figures")))
        return runpy.run_path(str(DEMO))


def setting(network, seed=0):
    """Return (theta, inputs, y, rng); every class is among y."""
    rng = np.random.default_rng([seed, network.layout.size])
    y = np.arange(9) % network.sizes[-1]
    return rng.standard_normal(network.layout.size), rng.standard_normal((9, 3)), y, rng


@every_network
def test_the_probabilities_of_all_classes_sum_to_one(demo, network):
    theta, inputs, _, _ = setting(network)
    classes = range(network.sizes[-1])
    each = [demo["likelihood"](network, theta, inputs, np.full(9, c))[0] for c in classes]
    assert_close(np.exp(each).sum(axis=0), np.ones(9))
    assert_close(demo["log_probabilities"](network, theta, inputs), np.transpose(each))


def test_without_hidden_layers_it_is_multinomial_logistic_regression(demo):
    network = NETWORKS["logistic"]
    theta, inputs, y, _ = setting(network)
    p = network.layout.views(theta)
    expected = []
    for row, label in zip(inputs, y, strict=True):
        odds = [math.exp(row @ p["W1"][:, c] + p["b1"][c]) for c in range(4)]
        expected.append(math.log(odds[label] / sum(odds)))
    assert_close(demo["likelihood"](network, theta, inputs, y)[0], expected)


def test_two_classes_without_hidden_layers_are_the_logistic_function(demo):
    network = MLP((3, 2))
    theta, inputs, _, _ = setting(network)
    p = network.layout.views(theta)
    margin = inputs @ (p["W1"][:, 1] - p["W1"][:, 0]) + p["b1"][1] - p["b1"][0]
    value, _ = demo["likelihood"](network, theta, inputs, np.ones(9, dtype=int))
    assert_close(value, -np.log1p(np.exp(-margin)))


def test_improbable_classes_keep_their_digits_and_none_overflows(demo):
    network = MLP((1, 3))
    theta = network.layout.pack({"W1": np.array([[0.0, 1.0, -1.0]])})
    value, pullback = demo["likelihood"](network, theta, np.full((3, 1), 1e4), np.arange(3))
    assert_close(value, [-1e4, 0.0, -2e4])
    assert_close(network.layout.views(pullback(np.ones(3)))["b1"], [1.0, -2.0, 1.0])


def check_slope(demo, network, vjp, seed=0):
    theta, inputs, y, rng = setting(network, seed)
    check_vjp(
        lambda t: demo["likelihood"](network, t, inputs, y)[0],
        lambda t, cotangent: vjp(t, inputs, y, cotangent),
        theta,
        rng,
    )


@every_network
@pytest.mark.parametrize("seed", range(3))
def test_the_vjp_is_the_derivative(demo, network, seed):
    check_slope(demo, network, lambda t, x, y, c: demo["likelihood"](network, t, x, y)[1](c), seed)


@every_network
def test_the_score_has_expectation_zero_under_the_model(demo, network):
    theta, inputs, _, _ = setting(network)
    table = np.exp(demo["log_probabilities"](network, theta, inputs))
    total = np.zeros(network.layout.size)
    for c in range(network.sizes[-1]):
        total += demo["likelihood"](network, theta, inputs, np.full(9, c))[1](table[:, c])
    assert_close(total, np.zeros(network.layout.size))


def softmax_alone(vjp, network, demo, t, x, y, c):  # noqa: ARG001 - the fault is that y is not used
    _, activations = network.forward(t, x)
    slopes = -np.exp(demo["log_probabilities"](network, t, x))
    return network.backward_params(t, activations, c[:, None] * slopes)


FAULTS = {
    "wrong sign": lambda vjp, network, demo, t, x, y, c: -vjp(t, x, y, c),  # noqa: ARG005
    "softmax alone": softmax_alone,
    "another class": lambda vjp, network, demo, t, x, y, c: vjp(t, x, (y + 1) % 4, c),  # noqa: ARG005
    "cotangent of another row": lambda vjp, network, demo, t, x, y, c: vjp(t, x, y, np.roll(c, 1)),  # noqa: ARG005
    "mean for sum": lambda vjp, network, demo, t, x, y, c: vjp(t, x, y, c) / len(x),  # noqa: ARG005
    "one percent": lambda vjp, network, demo, t, x, y, c: 1.01 * vjp(t, x, y, c),  # noqa: ARG005
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(demo, fault):
    network = NETWORKS["tanh"]

    def vjp(t, x, y, cotangent):
        return demo["likelihood"](network, t, x, y)[1](cotangent)

    with pytest.raises(AssertionError):
        check_slope(demo, network, lambda *where: FAULTS[fault](vjp, network, demo, *where))


@every_network
def test_arguments_are_never_written_into(demo, network):
    theta, inputs, y, rng = setting(network)
    theta, inputs, y, cotangent = read_only(theta, inputs, y, rng.standard_normal(9))
    demo["likelihood"](network, theta, inputs, y)[1](cotangent)
