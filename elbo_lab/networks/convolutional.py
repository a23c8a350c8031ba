"""Encoder and decoder of images: convolutions beside the data, full layers beside the latents.

    encoder   x -> conv -> f -> ... -> conv -> f -> MLP -> output
    decoder   z -> MLP -> f -> conv^T -> f -> ... -> conv^T -> outputs

Both are told the channels from the data's side; each layer halves the height and the width (kernel 4 x 4,
stride 2, padding 1), and the decoder is the encoder in reverse. The backward pass is that of the layers, one
after the other (`convolution`, `mlp`), with delta the cotangent before an activation: as in `mlp`,
delta_{l-1} = (layer^T delta_l) * f'(a_{l-1}).

The last layer of the decoder has a bias for every output, and not one for a channel: so it starts at the
columns of the data, as that of an MLP does. Where a column takes more than one output, those of the first
kind come first, for all columns, then those of the second.

Initial weights have the variance 2 / (n_in + n_out) of Glorot and Bengio (2010, eq. 12): an output reads
n_in = k^2 C numbers, and n_out = (k / s)^2 O outputs read a number.

Helps, and fails: see `convolution`.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.errors import bad_value, check_count
from elbo_lab.layout import Layout
from elbo_lab.networks.activations import ACTIVATIONS
from elbo_lab.networks.base import Network
from elbo_lab.networks.convolution import Convolution
from elbo_lab.networks.mlp import MLP

# The channels of an image, as far as data sets have them.
GREY = 1


@dataclass(frozen=True)
class ConvNetwork(Network):
    """What the two share.

    Parameters
    ----------
    sizes : tuple of int
        Widths (input, hidden of the full layers..., output).
    activation : {'tanh', 'relu', 'softplus'}
    channels : tuple of int
        Of the convolutions, from the data's side.
    image_shape : tuple of int
        Height and width.

    Raises
    ------
    ValueError
        If a size is wrong, the columns are no image of this shape, or one too small for so many layers.
    """

    sizes: tuple[int, ...]
    activation: str = "tanh"
    channels: tuple[int, ...] = (32, 64)
    image_shape: tuple[int, int] = (28, 28)

    def __post_init__(self) -> None:
        if not self.channels:
            raise bad_value("channels", "the channels of at least one layer", self.channels)
        for count in self.channels:
            check_count("channels", count)
        _ = self.dense, self.convolutions  # which check the rest

    @cached_property
    def convolutions(self) -> tuple[Convolution, ...]:
        """The layers, from the data's side."""
        layers, shape = [], (*self.image_shape, self.image_channels)
        for count in self.channels:
            layers.append(Convolution(shape, count))
            shape = layers[-1].out_shape
        return tuple(layers)

    @property
    def n_features(self) -> int:
        """Numbers between the convolutions and the full layers."""
        return prod(self.convolutions[-1].out_shape)

    @property
    def width(self) -> int:
        """Numbers of all layers of convolutions for one row."""
        return sum(prod(layer.out_shape) for layer in self.convolutions)

    @property
    @abstractmethod
    def image_channels(self) -> int:
        """Channels on the data's side."""

    @cached_property
    @abstractmethod
    def dense(self) -> MLP:
        """The full layers."""

    def _images_in(self, columns: int) -> int:
        """Return how many images of the shape the columns are, or raise ValueError."""
        images, rest = divmod(columns, prod(self.image_shape))
        if rest or not images:
            height, width = self.image_shape
            raise bad_value("image_shape", f"{height} x {width} columns, or a multiple", columns)
        return images

    def _initial_kernels(self, rng: np.random.Generator) -> dict[str, Floats]:
        gain, weights = ACTIVATIONS[self.activation].gain, {}
        for number, layer in enumerate(self.convolutions, start=1):
            n_out = layer.channels * (layer.kernel // layer.stride) ** 2
            shape = layer.kernel, layer.kernel, layer.shape[2], layer.channels
            weights[f"K{number}"] = (
                gain * np.sqrt(2.0 / (layer.n_inputs + n_out)) * rng.standard_normal(shape)
            )
        return weights

    def backward_params(self, params: Floats, activations: Sequence[Floats], cotangent: Floats) -> Floats:
        return self.backward(params, activations, cotangent)[0]

    def backward_inputs(self, params: Floats, activations: Sequence[Floats], cotangent: Floats) -> Floats:
        return self.backward(params, activations, cotangent)[1]


@dataclass(frozen=True)
class ConvEncoder(ConvNetwork):
    """Convolutions, then full layers: from an image to any output."""

    @cached_property
    def image_channels(self) -> int:
        if self._images_in(self.sizes[0]) != GREY:
            raise bad_value("sizes", "one image as the input of an encoder", self.sizes)
        return GREY

    @cached_property
    def dense(self) -> MLP:
        return MLP((self.n_features, *self.sizes[1:]), self.activation)

    @cached_property
    def layout(self) -> Layout:
        """Layout of the parameters: K1 (k, k, C, O), c1 (O,), K2, c2, ..., and those of the full layers."""
        entries: list[tuple[str, tuple[int, ...]]] = []
        for number, layer in enumerate(self.convolutions, start=1):
            kernel = layer.kernel, layer.kernel, layer.shape[2], layer.channels
            entries += [(f"K{number}", kernel), (f"c{number}", (layer.channels,))]
        return Layout((*entries, *self.dense.layout.entries))

    def _split(self, params: Floats) -> tuple[dict[str, Floats], Floats]:
        """Return views of all parameters, and those of the full layers (P_dense,)."""
        return self.layout.views(params), params[self.layout.size - self.dense.layout.size :]

    def initial(self, rng: np.random.Generator) -> Floats:
        kernels = self._initial_kernels(rng)
        return self.layout.pack(kernels | self.dense.layout.views(self.dense.initial(rng)))

    def last_layer(self, params: Floats) -> tuple[Floats, Floats]:
        return self.dense.last_layer(self._split(params)[1])

    def forward(self, params: Floats, inputs: Floats) -> tuple[Floats, list[Floats]]:
        p, dense = self._split(params)
        activate = ACTIVATIONS[self.activation].value
        activations = [inputs]
        for number, layer in enumerate(self.convolutions, start=1):
            u = layer.forward(p[f"K{number}"], activations[-1].reshape(-1, *layer.shape))
            u += p[f"c{number}"]
            activations.append(activate(u).reshape(*inputs.shape[:-1], -1))
        output, of_dense = self.dense.forward(dense, activations[-1])
        return output, activations[:-1] + of_dense

    def backward(
        self, params: Floats, activations: Sequence[Floats], cotangent: Floats
    ) -> tuple[Floats, Floats]:
        gradient, delta = self._to_first_layer(params, activations, cotangent)
        return gradient, self._through(1, params, delta)

    def backward_params(self, params: Floats, activations: Sequence[Floats], cotangent: Floats) -> Floats:
        return self._to_first_layer(params, activations, cotangent)[0]

    def _through(self, number: int, params: Floats, delta: Floats) -> Floats:
        """Return layer^T delta (..., M, inputs) of a convolution."""
        layer, kernel = self.convolutions[number - 1], self.layout.view(params, f"K{number}")
        images = layer.backward_inputs(kernel, delta.reshape(-1, *layer.out_shape))
        return images.reshape(*delta.shape[:-1], -1)

    def _to_first_layer(
        self, params: Floats, activations: Sequence[Floats], cotangent: Floats
    ) -> tuple[Floats, Floats]:
        """Return the gradient (..., P) and delta_1 (..., M, H' W' O)."""
        n_layers, slope = len(self.convolutions), ACTIVATIONS[self.activation].slope
        dense = self._split(params)[1]
        of_dense, delta = self.dense.backward(dense, activations[n_layers:], cotangent)
        gradient = np.empty((*of_dense.shape[:-1], self.layout.size), of_dense.dtype)
        gradient[..., self.layout.size - dense.size :] = of_dense
        blocks = self.layout.views(gradient)
        for number in range(n_layers, 0, -1):
            delta = delta * slope(activations[number])
            layer, below = self.convolutions[number - 1], activations[number - 1]
            g = delta.reshape(*delta.shape[:-1], *layer.out_shape)
            images = below.reshape(*below.shape[:-1], *layer.shape)
            blocks[f"K{number}"][...] = layer.backward_weights(images, g)
            g.sum(axis=(-4, -3, -2), out=blocks[f"c{number}"])
            if number > 1:
                delta = self._through(number, params, delta)
        return gradient, delta


@dataclass(frozen=True)
class ConvDecoder(ConvNetwork):
    """Full layers, then transposed convolutions: from any input to one or more outputs for every pixel."""

    @cached_property
    def image_channels(self) -> int:
        return self._images_in(self.sizes[-1])

    @cached_property
    def dense(self) -> MLP:
        return MLP((*self.sizes[:-1], self.n_features), self.activation)

    @cached_property
    def layout(self) -> Layout:
        """Layout: the full layers, then K2 (k, k, C, O), c2 (C,), ..., and last K1 and c1, one a pixel."""
        entries = list(self.dense.layout.entries)
        for number, layer in self._downwards():
            kernel = layer.kernel, layer.kernel, layer.shape[2], layer.channels
            entries += [(f"K{number}", kernel), (f"c{number}", self._bias_shape(number))]
        return Layout(tuple(entries))

    def _downwards(self) -> Iterator[tuple[int, Convolution]]:
        """Yield (number, layer) from the latents' side."""
        yield from zip(range(len(self.convolutions), 0, -1), self.convolutions[::-1], strict=True)

    def _bias_shape(self, number: int) -> tuple[int]:
        return (self.convolutions[number - 1].shape[2] if number > 1 else self.sizes[-1],)

    def initial(self, rng: np.random.Generator) -> Floats:
        dense = self.dense.layout.views(self.dense.initial(rng))
        return self.layout.pack(dense | self._initial_kernels(rng))

    def last_layer(self, params: Floats) -> tuple[Floats, Floats]:
        p = self.layout.views(params)
        return p["K1"], p["c1"]

    def forward(self, params: Floats, inputs: Floats) -> tuple[Floats, list[Floats]]:
        p, activate = self.layout.views(params), ACTIVATIONS[self.activation].value
        u, activations = self.dense.forward(params[: self.dense.layout.size], inputs)
        for number, layer in self._downwards():
            activations.append(activate(u))
            images = layer.backward_inputs(p[f"K{number}"], activations[-1].reshape(-1, *layer.out_shape))
            if number > 1:
                images += p[f"c{number}"]
            u = images.reshape(*inputs.shape[:-1], -1)
        return self._by_kind(u) + p["c1"], activations

    def _by_kind(self, images: Floats) -> Floats:
        """Return (..., H W C) as (..., C H W): the outputs of one kind together."""
        pixels = images.reshape(*images.shape[:-1], -1, self.image_channels)
        return np.swapaxes(pixels, -1, -2).reshape(images.shape)

    def _by_pixel(self, outputs: Floats) -> Floats:
        """Return (..., C H W) as (..., H W C): the inverse of `_by_kind`."""
        kinds = outputs.reshape(*outputs.shape[:-1], self.image_channels, -1)
        return np.swapaxes(kinds, -1, -2).reshape(outputs.shape)

    def backward(
        self, params: Floats, activations: Sequence[Floats], cotangent: Floats
    ) -> tuple[Floats, Floats]:
        gradient, delta = self._to_dense(params, activations, cotangent, with_gradient=True)
        size, n_dense = self.dense.layout.size, self.dense.n_layers
        of_dense, by_inputs = self.dense.backward(params[:size], activations[:n_dense], delta)
        gradient[..., :size] = of_dense
        return gradient, by_inputs

    def backward_inputs(self, params: Floats, activations: Sequence[Floats], cotangent: Floats) -> Floats:
        delta = self._to_dense(params, activations, cotangent, with_gradient=False)[1]
        size, n_dense = self.dense.layout.size, self.dense.n_layers
        return self.dense.backward_inputs(params[:size], activations[:n_dense], delta)

    def _to_dense(
        self, params: Floats, activations: Sequence[Floats], cotangent: Floats, with_gradient: bool
    ) -> tuple[Floats, Floats]:
        """Return the gradient (..., P), the convolutions' part written, and delta of the full layers."""
        p, slope = self.layout.views(params), ACTIVATIONS[self.activation].slope
        dtype = np.result_type(params, cotangent)
        gradient = np.empty((*cotangent.shape[:-2], self.layout.size if with_gradient else 0), dtype)
        blocks = self.layout.views(gradient) if with_gradient else {}
        if with_gradient:
            cotangent.sum(axis=-2, out=blocks["c1"])
        delta = self._by_pixel(cotangent)
        for number, layer in enumerate(self.convolutions, start=1):
            above = activations[len(activations) - number]
            images = delta.reshape(*delta.shape[:-1], *layer.shape)
            if with_gradient:
                features = above.reshape(*above.shape[:-1], *layer.out_shape)
                blocks[f"K{number}"][...] = layer.backward_weights(images, features)
                if number > 1:
                    images.sum(axis=(-4, -3, -2), out=blocks[f"c{number}"])
            g = layer.forward(p[f"K{number}"], images.reshape(-1, *layer.shape))
            delta = g.reshape(*delta.shape[:-1], -1) * slope(above)
        return gradient, delta
