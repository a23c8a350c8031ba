"""One layer of convolution: its values against SciPy, its adjoint, its gradient, and planted faults."""

from unittest import mock

import numpy as np
import pytest
from checks import assert_close, check_vjp
from scipy.signal import correlate

from elbo_lab.models import DeepBernoulli, DeepGaussianLearned
from elbo_lab.networks import ConvDecoder, ConvEncoder, Convolution, convolution

LAYERS = (
    Convolution((6, 6, 1), 2),
    Convolution((7, 4, 2), 3),
    Convolution((5, 6, 2), 2, kernel=3, stride=1),
    Convolution((6, 9, 2), 2, kernel=3, stride=3, padding=0),
    Convolution((4, 4, 1), 1, kernel=2, stride=1, padding=2),
)
ROWS = 5
every_layer = pytest.mark.parametrize("layer", LAYERS, ids=str)


def setting(layer, dtype=np.float64):
    """Return (weights, images, cotangents, rng)."""
    rng = np.random.default_rng(layer.n_inputs)
    weights = rng.standard_normal((layer.kernel, layer.kernel, layer.shape[2], layer.channels))
    images = rng.standard_normal((ROWS, *layer.shape))
    cotangents = rng.standard_normal((ROWS, *layer.out_shape))
    return (*(a.astype(dtype) for a in (weights, images, cotangents)), rng)


def by_scipy(layer, weights, images):
    """Return the outputs (n, H', W', O) by correlation of whole padded images."""
    edge, stride = (layer.padding, layer.padding), layer.stride
    padded = np.pad(images, ((0, 0), edge, edge, (0, 0)))
    outputs = [
        [correlate(image, weights[..., o], mode="valid")[::stride, ::stride, 0] for image in padded]
        for o in range(layer.channels)
    ]
    return np.moveaxis(np.array(outputs), 0, -1)


@every_layer
@pytest.mark.parametrize(("dtype", "relative"), [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_the_values_are_those_of_scipy(layer, dtype, relative):
    weights, images, _, _ = setting(layer, dtype)
    found = layer.forward(weights, images)
    assert found.dtype == dtype and found.shape == (ROWS, *layer.out_shape)
    assert_close(found, by_scipy(layer, weights, images), relative)


@every_layer
def test_the_transpose_is_the_adjoint(layer):
    weights, images, g, _ = setting(layer)
    assert_close(
        (layer.forward(weights, images) * g).sum(), (images * layer.backward_inputs(weights, g)).sum()
    )


@every_layer
def test_the_gradient_of_the_weights_is_the_derivative(layer):
    weights, images, _, rng = setting(layer)
    check_vjp(
        lambda w: layer.forward(w, images), lambda _, g: layer.backward_weights(images, g), weights, rng
    )


@every_layer
def test_a_few_images_at_a_time_give_the_same(layer):
    weights, images, g, _ = setting(layer)
    whole = (
        layer.forward(weights, images),
        layer.backward_inputs(weights, g),
        layer.backward_weights(images, g),
    )
    two = 2 * layer.out_shape[0] * layer.out_shape[1] * layer.n_inputs
    with mock.patch.object(convolution, "MOST_COLUMNS", two):
        assert [part.stop for part in layer._blocks(ROWS)] == [2, 4, 5]
        parts = (
            layer.forward(weights, images),
            layer.backward_inputs(weights, g),
            layer.backward_weights(images, g),
        )
    for one, many in zip(whole, parts, strict=True):
        assert_close(many, one)


def flipped(layer, weights, images):
    return layer.forward(weights[::-1, ::-1], images)


def one_pixel_off(layer, weights, images):
    return layer.forward(weights, np.roll(images, 1, axis=2))


def channels_first(layer, weights, images):
    n_rows = len(images)
    return layer.forward(weights, np.moveaxis(images, -1, 1).reshape(n_rows, *layer.shape))


@pytest.mark.parametrize("fault", [flipped, one_pixel_off, channels_first])
def test_a_planted_fault_in_the_values_is_found(fault):
    layer = LAYERS[1]
    weights, images, _, _ = setting(layer)
    with pytest.raises(AssertionError):
        assert_close(fault(layer, weights, images), by_scipy(layer, weights, images))


def test_a_transpose_with_the_offset_of_another_padding_is_found():
    layer, other = Convolution((6, 6, 1), 2), Convolution((6, 6, 1), 2, padding=0)
    weights, images, g, _ = setting(layer)
    wrong = other.backward_inputs(weights, np.pad(g, ((0, 0), (0, 0), (0, 0), (0, 0)))[:, :2, :2])
    assert abs((layer.forward(weights, images) * g).sum() - (images * wrong).sum()) > 0.1


# -- networks and models of images -------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(8, 8), (28, 28)])
def test_the_images_of_the_data_sets_go_through(shape):
    size = shape[0] * shape[1]
    x = np.random.default_rng(0).random((2, size)).astype(np.float32)
    networks = (
        ConvEncoder((size, 4), "relu", (32, 64), shape),
        ConvDecoder((4, size), "relu", (32, 64), shape),
    )
    for network in networks:
        params = network.initial(np.random.default_rng(1)).astype(np.float32)
        output, kept = network.forward(params, x[:, : network.sizes[0]])
        gradient, by_inputs = network.backward(params, kept, np.ones_like(output))
        assert output.shape == (2, network.sizes[-1]) and output.dtype == gradient.dtype == np.float32
        assert np.isfinite(gradient).all() and by_inputs.shape == (2, network.sizes[0])


def test_the_outputs_of_a_pixel_stand_where_those_of_its_column_do():
    network = ConvDecoder((2, 72), "tanh", (2,), (6, 6))
    params = np.zeros(network.layout.size)
    network.last_layer(params)[1][...] = np.arange(72)
    assert np.array_equal(network.forward(params, np.ones((3, 2)))[0], np.tile(np.arange(72.0), (3, 1)))
    kernel = network.last_layer(params)[0]
    network.layout.views(params)["b1"][...] = 1.0
    kernel[..., 1, :] = 1.0  # the second output of every pixel, and no first one
    moved = network.forward(params, np.ones((1, 2)))[0] - np.arange(72)
    assert not moved[:, :36].any() and moved[:, 36:].all()


@pytest.mark.parametrize("kind", [DeepBernoulli, DeepGaussianLearned])
def test_a_model_of_images_has_the_derivative_of_its_log_joint(kind):
    model = kind(36, 2, (3,), channels=(2, 2), image_shape=(6, 6))
    rng = np.random.default_rng(0)
    theta, z = 0.3 * rng.standard_normal(model.layout.size), rng.standard_normal((2, 3, 2))
    x = (rng.random((3, 36)) < 0.5).astype(float)
    for shared in (z, z[:, :1]):
        check_vjp(
            lambda t, z=shared: model.log_joint(t, x, z),
            lambda t, g, z=shared: model.log_joint_vjp(t, x, z, g)[0],
            theta,
            rng,
        )
        check_vjp(
            lambda z: model.log_joint(theta, x, z),
            lambda z, g: model.log_joint_vjp(theta, x, z, g)[1],
            shared,
            rng,
        )
    terms = model.data_terms(theta, x)
    assert_close(model.shared_likelihood(theta, terms, z[:, :1]), model.log_likelihood(theta, x, z[:, :1]))


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: Convolution((1, 5, 1), 2), "channels: expected images of 2 x 2 or more .* 1 x 5"),
        (lambda: Convolution((5, 5, 1), 2, kernel=4, stride=3), "stride: expected a divisor .* 3"),
        (lambda: ConvEncoder((35, 2), "tanh", (2,), (6, 6)), "image_shape: expected 6 x 6 columns.* 35"),
        (lambda: ConvDecoder((2, 35), "tanh", (2,), (6, 6)), "image_shape: expected 6 x 6 columns.* 35"),
        (lambda: DeepBernoulli(35, 2, channels=(2,), image_shape=(6, 6)), "image_shape: .* 35 pixels"),
    ],
)
def test_a_wrong_shape_is_refused(make, line):
    with pytest.raises(ValueError, match=line):
        make()
