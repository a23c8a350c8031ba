"""Activation functions and their slopes.

Each slope is written in terms of the *output* a = f(u), so that a backward pass needs to keep only
the activations, never the pre-activations:

    tanh:      f' = 1 - a^2
    relu:      f' = [a > 0]          (0 at the kink)
    softplus:  f' = sigmoid(u) = 1 - exp(-a)
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.special import softplus, tanh


@dataclass(frozen=True)
class Activation:
    """A function, its slope as a function of the output, and the gain for initial weights."""

    name: str
    value: Callable
    slope: Callable
    gain: float


def _relu(u: Floats) -> Floats:
    return np.maximum(u, 0.0)


def _tanh_slope(a: Floats) -> Floats:
    slope = a * a
    # In place: at a few thousand rows a fresh array costs more than the subtraction.
    return np.subtract(1.0, slope, out=slope)


ACTIVATIONS = MappingProxyType(
    {
        activation.name: activation
        for activation in (
            Activation("tanh", tanh, _tanh_slope, 1.0),
            Activation("relu", _relu, lambda a: (a > 0.0).astype(a.dtype), np.sqrt(2.0)),
            Activation("softplus", softplus, lambda a: -np.expm1(-a), 1.0),
        )
    }
)
