"""What a predictor's outputs say of a variable: logits of bits, logits of a category, means of reals.

bits       log p = sum_i [x_i l_i - softplus(l_i)],              d/dl = x - sigmoid(l),    d/dx = l
category   log p = l_x - log sum_c exp(l_c),                     d/dl_c = [x = c] - softmax(l)_c
reals      log p = -sum_i [r_i^2 / 2 + log(sqrt(2 pi) s_i)],     r = (x - m) / s,
           d/dm = r / s,   d/dx = -r / s,   d/dlog s = r^2 - 1
"""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elbo_lab.arrays import Draws, Floats
from elbo_lab.distributions import IndependentBernoulli
from elbo_lab.layout import Entries
from elbo_lab.models.deep import DeepModel
from elbo_lab.models.graphs.table import drawn_states
from elbo_lab.models.graphs.variables import Kind
from elbo_lab.special import LOG_2PI, log_softmax, sigmoid, softmax, softplus


class OutputSlopes(NamedTuple):
    """Derivatives of log p (..., S, N, size): in the outputs, in the value, and in the extra parameters.

    None for the value of a category, and without extra parameters.
    """

    outputs: Floats
    value: Floats | None
    extra: Floats | None = None


class Output(ABC):
    """A density whose parameters are the outputs (..., S, N, O) of a predictor, and a few `extra` ones."""

    kind: Kind

    def extra_entries(self, size: int) -> Entries:  # noqa: ARG002
        """Return the layout entries of parameters that are not outputs."""
        return ()

    @abstractmethod
    def log_prob(self, outputs: Floats, extra: Floats, x: NDArray[Any]) -> Floats:
        """Return log p (..., S, N)."""

    @abstractmethod
    def components(self, outputs: Floats, extra: Floats, x: NDArray[Any]) -> Floats:
        """Return log p of every component (..., S, N, n)."""

    @abstractmethod
    def slopes(self, outputs: Floats, extra: Floats, x: NDArray[Any]) -> OutputSlopes:
        """Return the derivatives of log p."""

    @abstractmethod
    def sample(self, outputs: Floats, extra: Floats, rng: np.random.Generator) -> Draws:
        """Draw x given outputs (N, O)."""


class BernoulliOutput(Output):
    """Logits of independent bits."""

    kind = "bits"

    def log_prob(self, outputs: Floats, extra: Floats, x: Floats) -> Floats:  # noqa: ARG002
        """Return the value in the operations of the prior of bits, or of the decoders of bits."""
        if outputs.shape[:-1] == (1, 1):
            return IndependentBernoulli(outputs.shape[-1]).log_prob(outputs[0], x if x.ndim > 2 else x[None])
        inner = self.inner(x, outputs) if x.ndim == 2 else np.einsum("...d,...d->...", x, outputs)
        return inner - softplus(outputs).sum(axis=-1)

    def inner(self, x: Floats, outputs: Floats) -> Floats:
        """Return the inner products (..., S, N) of x (N, n) and outputs (..., S, N or 1, n)."""
        return DeepModel.inner(x, outputs)

    def components(self, outputs: Floats, extra: Floats, x: Floats) -> Floats:  # noqa: ARG002
        return x * outputs - softplus(outputs)

    def slopes(self, outputs: Floats, extra: Floats, x: Floats) -> OutputSlopes:  # noqa: ARG002
        by_outputs = x - sigmoid(outputs)
        return OutputSlopes(by_outputs, np.broadcast_to(outputs, by_outputs.shape))

    def sample(self, outputs: Floats, extra: Floats, rng: np.random.Generator) -> Floats:  # noqa: ARG002
        return (rng.random(outputs.shape) < sigmoid(outputs)).astype(np.float64)


class LinearBernoulliOutput(BernoulliOutput):
    """The same in the operations of `SigmoidBelief`, for bit-for-bit the same value."""

    def inner(self, x: Floats, outputs: Floats) -> Floats:
        if outputs.shape[-2] < len(x):
            return (outputs @ x.T)[..., 0, :]
        return np.einsum("...d,...d->...", outputs, x)


class SoftmaxOutput(Output):
    """Logits of one category."""

    kind = "category"

    def log_prob(self, outputs: Floats, extra: Floats, x: NDArray[Any]) -> Floats:  # noqa: ARG002
        log_p = log_softmax(outputs, axis=-1)
        batch = np.broadcast_shapes(outputs.shape[:-1], x.shape)
        where = np.broadcast_to(x, batch)[..., None]
        return np.take_along_axis(np.broadcast_to(log_p, (*batch, log_p.shape[-1])), where, -1)[..., 0]

    def components(self, outputs: Floats, extra: Floats, x: NDArray[Any]) -> Floats:
        return self.log_prob(outputs, extra, x)[..., None]

    def slopes(self, outputs: Floats, extra: Floats, x: NDArray[Any]) -> OutputSlopes:  # noqa: ARG002
        hit = x[..., None] == np.arange(outputs.shape[-1])
        return OutputSlopes(hit - softmax(outputs, axis=-1), None)

    def sample(self, outputs: Floats, extra: Floats, rng: np.random.Generator) -> Draws:  # noqa: ARG002
        return drawn_states(log_softmax(outputs, axis=-1), rng)


class NormalOutput(Output):
    """Means of independent normal components, with a standard deviation of each."""

    kind = "real"

    def extra_entries(self, size: int) -> Entries:
        return (("log_sigma", (size,)),)

    def log_prob(self, outputs: Floats, extra: Floats, x: Floats) -> Floats:
        return self.components(outputs, extra, x).sum(axis=-1)

    def components(self, outputs: Floats, extra: Floats, x: Floats) -> Floats:
        r = (x - outputs) * np.exp(-extra)
        return -0.5 * r * r - extra - 0.5 * LOG_2PI

    def slopes(self, outputs: Floats, extra: Floats, x: Floats) -> OutputSlopes:
        precision_root = np.exp(-extra)
        r = (x - outputs) * precision_root
        return OutputSlopes(r * precision_root, -r * precision_root, r * r - 1.0)

    def sample(self, outputs: Floats, extra: Floats, rng: np.random.Generator) -> Floats:
        return outputs + np.exp(extra) * rng.standard_normal(outputs.shape)
