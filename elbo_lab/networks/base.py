"""What encoders and decoders need of a network: parameters in one vector, forward, and backward.

Rows (axis M) are summed in a gradient of parameters; axes before them are repeats and are kept.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.layout import Layout


class Network(ABC):
    """A function of rows with a linear last layer, and its derivatives by hand.

    Attributes
    ----------
    sizes : tuple of int
        Widths (input, hidden..., output).
    activation : str
        One of `ACTIVATIONS`.
    layout : Layout
        Of the parameters (P,).
    """

    sizes: tuple[int, ...]
    activation: str

    @property
    @abstractmethod
    def layout(self) -> Layout:
        """Layout of the parameters."""

    @abstractmethod
    def initial(self, rng: np.random.Generator) -> Floats:
        """Return random parameters (P,), the biases zero."""

    @abstractmethod
    def forward(self, params: Floats, inputs: Floats) -> tuple[Floats, list[Floats]]:
        """Return the output (..., M, sizes[-1]) at inputs (..., M, sizes[0]), and what `backward` needs."""

    @abstractmethod
    def backward(
        self, params: Floats, activations: Sequence[Floats], cotangent: Floats
    ) -> tuple[Floats, Floats]:
        """Pull the cotangent (..., M, out) back to parameters (..., P) and inputs (..., M, in)."""

    @abstractmethod
    def backward_params(self, params: Floats, activations: Sequence[Floats], cotangent: Floats) -> Floats:
        """Pull the cotangent back to the parameters alone: (..., P)."""

    @abstractmethod
    def backward_inputs(self, params: Floats, activations: Sequence[Floats], cotangent: Floats) -> Floats:
        """Pull the cotangent back to the inputs alone: (..., M, sizes[0])."""

    @abstractmethod
    def last_layer(self, params: Floats) -> tuple[Floats, Floats]:
        """Return the weights and the bias of the last layer, as views of the parameters."""
