"""Two layers of convolution, 1-32-64 channels on 100 images of 28 x 28, forward and backward in float32.

The limit is the five matrix products alone (none is needed for the slope in the images), through the same
BLAS; what is above it copies the numbers that a product reads, adds them back, and takes the tanh. PyTorch
does the same work eagerly.
"""

import numpy as np
from work import Work

from elbo_lab.networks import Convolution

ROWS, KERNEL = 100, 4
LAYERS = Convolution((28, 28, 1), 32), Convolution((14, 14, 32), 64)


def setting():
    """Return (images, kernels, cotangent) in float32."""
    rng = np.random.default_rng(0)
    shapes = [(KERNEL, KERNEL, layer.shape[2], layer.channels) for layer in LAYERS]
    kernels = [(0.1 * rng.standard_normal(shape)).astype(np.float32) for shape in shapes]
    images = rng.random((ROWS, *LAYERS[0].shape), dtype=np.float32)
    return images, kernels, rng.random((ROWS, *LAYERS[1].out_shape), dtype=np.float32)


def ours():
    (first, second), (x, kernels, g) = LAYERS, setting()
    biases = [np.zeros(layer.channels, np.float32) for layer in LAYERS]

    def once():
        u = first.forward(kernels[0], x)
        u += biases[0]
        a = np.tanh(u)
        output = second.forward(kernels[1], a)
        output += biases[1]
        of_second = second.backward_weights(a, g), g.sum(axis=(0, 1, 2))
        delta = second.backward_inputs(kernels[1], g)
        delta *= 1.0 - a * a
        return output, of_second, first.backward_weights(x, delta), delta.sum(axis=(0, 1, 2))

    return once


def products():
    _, kernels, g = setting()
    rng = np.random.default_rng(1)
    counts = [ROWS * layer.out_shape[0] * layer.out_shape[1] for layer in LAYERS]
    columns = [
        rng.random((count, layer.n_inputs), dtype=np.float32)
        for count, layer in zip(counts, LAYERS, strict=True)
    ]
    weights = [w.reshape(layer.n_inputs, -1) for w, layer in zip(kernels, LAYERS, strict=True)]
    g, delta = g.reshape(-1, LAYERS[1].channels), rng.random((counts[0], 32), dtype=np.float32)

    def once():
        forward = columns[0] @ weights[0], columns[1] @ weights[1]
        return forward, columns[1].T @ g, g @ weights[1].T, columns[0].T @ delta

    return once


def pytorch():
    import torch
    from torch import nn

    torch.set_num_threads(2)
    x, kernels, g = setting()
    first, second = nn.Conv2d(1, 32, KERNEL, 2, 1), nn.Conv2d(32, 64, KERNEL, 2, 1)
    with torch.no_grad():
        for layer, kernel in zip((first, second), kernels, strict=True):
            layer.weight.copy_(torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy()))
    network = nn.Sequential(first, nn.Tanh(), second)
    x, g = (torch.from_numpy(a.transpose(0, 3, 1, 2).copy()) for a in (x, g))

    def once():
        network.zero_grad()
        network(x).backward(g)

    return once


WORKS = (
    Work(
        "convolution 1-32-64, both passes",
        ours=ours,
        limit=products,
        peers={"pytorch-eager": pytorch},
        least_over_peer={"pytorch-eager": 1 / 3},
    ),
)
