"""The multilayer perceptron: forward, and backward under it.

    a_0 = input,   a_l = f(a_{l-1} W_l + b_l)  for l < L,   output = a_{L-1} W_L + b_L.

Backward, with delta_L the cotangent of the output (reverse-mode chain rule; Bishop 2006, eqs. 5.53
and 5.56):

    grad W_l = a_{l-1}^T delta_l,   grad b_l = sum of delta_l over rows,
    delta_{l-1} = (delta_l W_l^T) * f'(a_{l-1}).

Rows (axis M) are summed in a weight gradient; axes before them are repeats and are kept.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.errors import bad_value, check_count, unknown_name
from elbo_lab.layout import Layout
from elbo_lab.networks.activations import ACTIVATIONS
from elbo_lab.networks.base import Network


def times(rows: Floats, weights: Floats) -> Floats:
    """Return rows (..., M, in) @ weights (in, out) as one product; NumPy makes many of (..., 1, in)."""
    flat = rows.reshape(-1, rows.shape[-1]) @ weights
    return flat.reshape(*rows.shape[:-1], weights.shape[-1])


@dataclass(frozen=True)
class MLP(Network):
    """A fully connected network with a linear last layer.

    Parameters
    ----------
    sizes : tuple of int
        Widths (input, hidden..., output); any number of layers, at least one.
    activation : {'tanh', 'relu', 'softplus'}

    Raises
    ------
    ValueError
        If there are fewer than two sizes, a size is below one, or the activation is unknown.
    """

    sizes: tuple[int, ...]
    activation: str = "tanh"

    def __post_init__(self) -> None:
        if len(self.sizes) < 2:
            raise bad_value("sizes", "an input and an output width", self.sizes)
        for size in self.sizes:
            check_count("sizes", size)
        if self.activation not in ACTIVATIONS:
            raise unknown_name("activation", self.activation, list(ACTIVATIONS))

    @property
    def n_layers(self) -> int:
        return len(self.sizes) - 1

    @cached_property
    def layout(self) -> Layout:
        """Layout of the parameters: W1 (in, H), b1 (H,), W2, b2, ..."""
        entries = []
        for layer, (n_in, n_out) in enumerate(pairwise(self.sizes), start=1):
            entries += [(f"W{layer}", (n_in, n_out)), (f"b{layer}", (n_out,))]
        return Layout(tuple(entries))

    def last_layer(self, params: Floats) -> tuple[Floats, Floats]:
        views = self.layout.views(params)
        return views[f"W{self.n_layers}"], views[f"b{self.n_layers}"]

    def affine_views(self, vector: Floats) -> list[Floats]:
        """Return the views (in + 1, out) of each layer in `vector` (P,): W, and b as its last row."""
        views, start = [], 0
        for n_in, n_out in pairwise(self.sizes):
            stop = start + (n_in + 1) * n_out
            views.append(vector[start:stop].reshape(n_in + 1, n_out))
            start = stop
        return views

    def product(self, layer: int, rows: Floats, weights: Floats) -> Floats:  # noqa: ARG002 - for a subclass
        """Return the product of rows (..., M, in) with the weights (in, out) of a layer, counted from 1."""
        return times(rows, weights)

    def initial(self, rng: np.random.Generator) -> Floats:
        """Return parameters (P,): Glorot-normal weights (He for relu), zero biases."""
        gain = ACTIVATIONS[self.activation].gain
        weights = {}
        for layer, (n_in, n_out) in enumerate(pairwise(self.sizes), start=1):
            std = gain * np.sqrt(2.0 / (n_in + n_out))
            weights[f"W{layer}"] = std * rng.standard_normal((n_in, n_out))
        return self.layout.pack(weights)

    def forward(self, params: Floats, inputs: Floats) -> tuple[Floats, list[Floats]]:
        """Return the output and the activations that `backward` needs.

        Parameters
        ----------
        params : ndarray (P,)
        inputs : ndarray (..., M, sizes[0])

        Returns
        -------
        output : ndarray (..., M, sizes[-1])
        activations : list of ndarray
            a_0 (the inputs) to a_{L-1}.
        """
        p, activate = self.layout.views(params), ACTIVATIONS[self.activation].value
        activations = [inputs]
        for layer in range(1, self.n_layers):
            u = self.product(layer, activations[-1], p[f"W{layer}"])
            u += p[f"b{layer}"]
            activations.append(activate(u))
        last = self.n_layers
        output = self.product(last, activations[-1], p[f"W{last}"])
        output += p[f"b{last}"]
        return output, activations

    def _deltas(
        self, p: dict[str, Floats], activations: Sequence[Floats], cotangent: Floats
    ) -> Iterator[tuple[int, Floats]]:
        """Yield (layer, delta_l (..., M, sizes[l])), from the last layer to the first."""
        slope = ACTIVATIONS[self.activation].slope
        delta = cotangent
        for layer in range(self.n_layers, 0, -1):
            yield layer, delta
            if layer > 1:
                delta = times(delta, p[f"W{layer}"].T)
                delta *= slope(activations[layer - 1])

    def deltas(self, params: Floats, activations: Sequence[Floats], cotangent: Floats) -> list[Floats]:
        """Return [delta_1 (..., M, sizes[1]), ..., delta_L], the cotangents of the pre-activations."""
        pairs = self._deltas(self.layout.views(params), activations, cotangent)
        return [delta for _, delta in pairs][::-1]

    def backward(
        self, params: Floats, activations: Sequence[Floats], cotangent: Floats
    ) -> tuple[Floats, Floats]:
        """Pull the cotangent of the output back.

        Parameters
        ----------
        params : ndarray (P,)
        activations : list of ndarray
            As returned by `forward`.
        cotangent : ndarray (..., M, sizes[-1])

        Returns
        -------
        grad_params : ndarray (..., P)
            Summed over the rows M.
        grad_inputs : ndarray (..., M, sizes[0])
        """
        grad_params, delta = self._weight_gradient(params, activations, cotangent)
        return grad_params, times(delta, self.layout.views(params)["W1"].T)

    def backward_params(self, params: Floats, activations: Sequence[Floats], cotangent: Floats) -> Floats:
        """Pull the cotangent back to the parameters alone: (..., P).

        For a network whose inputs are data: the last product of `backward`, with W1, costs as much as the
        first layer.
        """
        return self._weight_gradient(params, activations, cotangent)[0]

    def backward_inputs(self, params: Floats, activations: Sequence[Floats], cotangent: Floats) -> Floats:
        """Pull the cotangent back to the inputs alone (..., M, sizes[0]), without gradients of weights."""
        delta = self.deltas(params, activations, cotangent)[0]
        return times(delta, self.layout.views(params)["W1"].T)

    def _weight_gradient(
        self, params: Floats, activations: Sequence[Floats], cotangent: Floats
    ) -> tuple[Floats, Floats]:
        """Return the gradient (..., P) and delta_1 (..., M, sizes[1])."""
        p = self.layout.views(params)
        dtype = np.result_type(params, cotangent)
        gradient = np.empty((*cotangent.shape[:-2], self.layout.size), dtype=dtype)
        blocks = self.layout.views(gradient)  # the products are written in place
        for layer, delta in self._deltas(p, activations, cotangent):
            np.matmul(np.swapaxes(activations[layer - 1], -1, -2), delta, out=blocks[f"W{layer}"])
            delta.sum(axis=-2, out=blocks[f"b{layer}"])
        return gradient, delta

    def backward_variance(
        self, params: Floats, activations: Sequence[Floats], cotangent: Floats
    ) -> tuple[Floats, Floats]:
        """Return the variance over draws of the gradient of each datum, summed over the data (P,).

        Draws and data are independent, so this is the variance of the gradient of a sum over the data from
        one draw each. Per datum it is E[g^2] - E[g]^2 over its draws, with the divisor S - 1. A draw's weight
        gradient is an outer product, (a_i delta_j)^2 = a_i^2 delta_j^2, so the sum of squares over draws is
        `(a**2).T @ (delta**2)` (Dangel, Kunstner and Hennig 2020, section 2.2); means are one product per
        datum, and no per-draw gradient is computed. For draws that are coupled (a leave-one-out baseline,
        importance weights) this is not the variance: compute the estimate itself, once per repeat.

        Parameters
        ----------
        params : ndarray (P,)
        activations : list of ndarray
            Of a decoder, whose input z differs between draws, each (S, N, H); of an encoder, whose input is
            the data, each (N, H), shared by all draws: then only the deltas vary, and their variance factors
            as well.
        cotangent : ndarray (S, N, sizes[-1])
            One per draw and datum, S at least 2.

        Returns
        -------
        variance : ndarray (P,)
        grad_inputs : ndarray (S, N, sizes[0])
            As returned by `backward`.
        """
        variance, delta = self._weight_variance(params, activations, cotangent)
        return variance, times(delta, self.layout.views(params)["W1"].T)

    def backward_variance_params(
        self, params: Floats, activations: Sequence[Floats], cotangent: Floats
    ) -> Floats:
        """Return the variance of `backward_variance` alone, for a network whose inputs are data."""
        return self._weight_variance(params, activations, cotangent)[0]

    def _weight_variance(
        self, params: Floats, activations: Sequence[Floats], cotangent: Floats
    ) -> tuple[Floats, Floats]:
        """Return the variance (P,) and delta_1 (S, N, sizes[1])."""
        n_draws, n_data = cotangent.shape[:2]
        p = self.layout.views(params)
        variance = np.empty(self.layout.size, dtype=np.result_type(params, cotangent))
        blocks = self.layout.views(variance)
        for layer, delta in self._deltas(p, activations, cotangent):
            a, weights = activations[layer - 1], blocks[f"W{layer}"]
            by_delta = delta.var(axis=0, ddof=1)
            by_delta.sum(axis=0, out=blocks[f"b{layer}"])
            if a.ndim < delta.ndim:
                np.matmul((a * a).T, by_delta, out=weights)
                continue
            flat = a.reshape(-1, a.shape[-1]), delta.reshape(-1, delta.shape[-1])
            np.matmul((flat[0] ** 2).T, flat[1] ** 2, out=weights)
            mean = np.empty_like(weights)
            for n in range(n_data):
                np.matmul(a[:, n].T, delta[:, n], out=mean)
                mean *= mean
                mean *= 1.0 / n_draws
                weights -= mean
            weights *= 1.0 / (n_draws - 1)
            # Where nothing varies, rounding makes the difference of two sums negative.
            np.maximum(weights, 0.0, out=weights)
        return variance, delta
