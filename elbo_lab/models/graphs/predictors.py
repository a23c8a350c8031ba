"""From the values of the parents to the outputs of a conditional: a linear form, or a network.

    linear   l = W u + b,   d/dW = (d/dl) u^T,   d/db = d/dl,   d/du = W^T (d/dl)

u are the inputs of `inputs_of`: reals and bits as they are, a category by its indicators.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.layout import Layout
from elbo_lab.networks import MLP


@dataclass(frozen=True)
class Linear:
    """W (out, in) and b (out,), with the methods of a network of no hidden layer.

    Parameters
    ----------
    sizes : (int, int)
        Inputs, which may be none, and outputs.
    """

    sizes: tuple[int, int]

    @cached_property
    def layout(self) -> Layout:
        n_in, n_out = self.sizes
        return Layout((("W", (n_out, n_in)), ("b", (n_out,))))

    def initial(self, rng: np.random.Generator) -> Floats:
        """Return small random weights and no bias (P,)."""
        n_in, n_out = self.sizes
        return self.layout.pack({"W": 0.5 * rng.standard_normal((n_out, n_in)) / np.sqrt(max(n_in, 1))})

    def forward(self, params: Floats, inputs: Floats) -> tuple[Floats, list[Floats]]:
        """Return the outputs (..., M, out) of inputs (..., M, in), and what `backward` needs."""
        t = self.layout.views(params)
        return inputs @ t["W"].T + t["b"], [inputs]

    def backward(self, params: Floats, activations: list[Floats], cotangent: Floats) -> tuple[Floats, Floats]:
        """Return (grad_params (..., P), grad_inputs (..., M, in)) of a cotangent (..., M, out)."""
        grads = {"W": np.swapaxes(cotangent, -1, -2) @ activations[0], "b": cotangent.sum(axis=-2)}
        lead = cotangent.shape[:-2]
        return self.layout.pack(grads, lead), cotangent @ self.layout.view(params, "W")


Predictor = Linear | MLP
