"""Conditionals whose parameters are predicted from the parents: linear forms and networks, of any output.

    logistic          x_i ~ Bernoulli(sigmoid((W u + b)_i))            mlp-bernoulli     by a network of u
    softmax           x ~ Categorical(softmax(W u + b))                mlp-categorical
    linear-gaussian   x ~ N(W u + b, diag s^2)                         mlp-gaussian

u are the values of the parents of any kind, a category by its indicators (`variables.inputs_of`). One forward
pass serves the value and its pullback, which runs backward through the output, then through the predictor.

The weighted maximum of the linear-Gaussian is least squares; that of the others has no formula. The
log-likelihood of logistic and softmax is concave in (W, b), that of a network is not.

Helps: for parents of any kind and number, where a table would need a row for every combination. Fails: the
linear forms, where parents act together rather than each by itself (exclusive or); the networks, on few rows.

Source: Koller and Friedman (2009), sections 5.4 and 5.5; Neal (1992) for the logistic one.
"""

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from elbo_lab.arrays import Draws, Floats
from elbo_lab.errors import bad_value
from elbo_lab.layout import Entries, Layout
from elbo_lab.models.graphs.conditionals import Completed, Conditional, LinearForm, LogProb, Slopes, weighted
from elbo_lab.models.graphs.outputs import (
    BernoulliOutput,
    LinearBernoulliOutput,
    NormalOutput,
    Output,
    SoftmaxOutput,
)
from elbo_lab.models.graphs.predictors import Linear, Predictor
from elbo_lab.models.graphs.regression import regression
from elbo_lab.models.graphs.variables import Values, Variable, folded, inputs_of
from elbo_lab.networks import MLP


@dataclass(frozen=True)
class Predicted(Conditional):
    """A predictor of the parents, and the output that it is the parameter of."""

    output: ClassVar[Output]
    closed_form = False

    @cached_property
    @abstractmethod
    def predictor(self) -> Predictor:
        """The map from inputs to outputs."""

    @property
    def n_inputs(self) -> int:
        """Width of the inputs u."""
        return sum(parent.size for parent in self.parents)

    @cached_property
    def layout(self) -> Layout:
        return Layout(self.predictor.layout.entries + self.extra_entries)

    @property
    def extra_entries(self) -> Entries:
        return self.output.extra_entries(self.variable.size)

    def _split(self, theta: Floats) -> tuple[Floats, Floats]:
        size = self.predictor.layout.size
        return theta[:size], theta[size:]

    def _forward(self, theta: Floats, values: Values) -> tuple[Floats, list[Floats]]:
        """Return the outputs (..., S, N, O), and activations (..., S, N, H) for the way back."""
        return self.predictor.forward(self._split(theta)[0], inputs_of(self.parents, values))

    def log_prob(self, theta: Floats, values: Values, weights: Floats | None = None) -> LogProb:
        params, extra = self._split(theta)
        outputs, activations = self._forward(theta, values)
        x = values[self.variable.name]
        factors = np.ones(1) if weights is None else weights

        def pullback(cotangent: Floats) -> Slopes:
            slopes = self.output.slopes(outputs, extra, x)
            by_component = cotangent[..., None] * factors
            by_output = folded(by_component * slopes.outputs, outputs.shape[-3:-1])
            # The rows of a weight gradient are draws and data alike.
            rows = [_flat(one) for one in activations]
            by_theta, by_inputs = self.predictor.backward(params, rows, _flat(by_output))
            if slopes.extra is not None:
                by_extra = (by_component * slopes.extra).sum(axis=(-3, -2))
                by_theta = np.concatenate([by_theta, by_extra], axis=-1)
            by_inputs = by_inputs.reshape(*by_output.shape[:-1], by_inputs.shape[-1])
            parents, start = {}, 0
            for parent in self.parents:
                part = by_inputs[..., start : start + parent.size]
                start += parent.size
                if parent.kind != "category":
                    *_, S, N, _ = parent.batch(values[parent.name]).shape
                    parents[parent.name] = folded(part, (S, N))
            by_value = slopes.value
            if by_value is not None:
                *_, S, N, _ = self.variable.batch(x).shape
                by_value = folded(by_component * by_value, (S, N))
            return Slopes(by_theta, parents, by_value)

        if weights is None:
            return self.output.log_prob(outputs, extra, x), pullback
        return weighted(self.output.components(outputs, extra, self.variable.batch(x)), weights), pullback

    def moments(self, theta: Floats, values: Values) -> tuple[Floats, Floats]:
        if self.kind != "real":
            return super().moments(theta, values)
        outputs, _ = self._forward(theta, values)
        return outputs, np.exp(self._split(theta)[1])[None, None]

    def components(self, theta: Floats, values: Values) -> Floats:
        outputs, _ = self._forward(theta, values)
        x = self.variable.batch(values[self.variable.name])
        return self.output.components(outputs, self._split(theta)[1], x)

    def sample(self, theta: Floats, values: Values, n_data: int, rng: np.random.Generator) -> Draws:
        outputs = self._forward(theta, values)[0][0]
        outputs = np.broadcast_to(outputs, (n_data, outputs.shape[-1]))
        return self.output.sample(outputs, self._split(theta)[1], rng)

    def start(self, rng: np.random.Generator) -> Floats:
        theta = np.zeros(self.layout.size)
        self._split(theta)[0][...] = self.predictor.initial(rng)
        return theta

    def described(self, theta: Floats) -> dict[str, Floats]:
        return in_natural_units(self.layout.views(theta))


def _flat(a: Floats) -> Floats:
    """Return (..., S, N, n) as (..., S N, n)."""
    return a.reshape(*a.shape[:-3], a.shape[-3] * a.shape[-2], a.shape[-1])


def in_natural_units(views: dict[str, Floats]) -> dict[str, Floats]:
    """Return the parameters by name, with sigma in place of log_sigma."""
    parts = {name: view.copy() for name, view in views.items() if name != "log_sigma"}
    return parts | ({"sigma": np.exp(views["log_sigma"])} if "log_sigma" in views else {})


def regress(
    t: dict[str, Floats], rows: Completed, inputs: Floats, x: Floats, floor: float, variable: str
) -> None:
    """Write the least squares of x (R, n) on inputs (R, I) into views W (n, I), b and log_sigma (n,).

    Components with equal weights share one solution; one without any weight keeps what it has.

    Raises
    ------
    ValueError
        If a component does not vary about its means, and the floor under the variance is zero.
    """
    left = np.arange(x.shape[1])
    while len(left):
        weights = rows.weights[:, left[0]]
        equal = (rows.weights[:, left] == weights[:, None]).all(axis=0)
        here, left = left[equal], left[~equal]
        if not weights.any():
            continue
        covariance = rows.covariance
        if covariance is not None:
            kept = np.concatenate([np.arange(inputs.shape[1]), inputs.shape[1] + here])
            covariance = covariance[:, kept[:, None], kept]
        t["W"][here], t["b"][here], variance = regression(inputs, x[:, here], weights, covariance)
        t["log_sigma"][here] = _log_root(variance, floor, variable)


def _log_root(variance: Floats, floor: float, variable: str) -> Floats:
    """Return log sqrt(variance), at least the floor, or refuse a variable without any variance."""
    variance = np.maximum(variance, floor)
    if not (variance > 0.0).all():
        expected = f"values of {variable!r} that vary about what its parents predict"
        raise bad_value(
            "data", expected, "none that do", "the density is unbounded; drop it, or give a floor"
        )
    return 0.5 * np.log(variance)


@dataclass(frozen=True)
class LinearlyPredicted(Predicted):
    """The predictor is a linear form."""

    @cached_property
    def predictor(self) -> Linear:
        return Linear((self.n_inputs, self.variable.size))


@dataclass(frozen=True)
class Logistic(LinearlyPredicted):
    """Bits whose logits are linear in the parents."""

    name = "logistic"
    kind = "bits"
    summary = "x_i ~ Bernoulli(sigmoid((W u + b)_i))"
    output = LinearBernoulliOutput()


@dataclass(frozen=True)
class Softmax(LinearlyPredicted):
    """A category whose logits are linear in the parents."""

    name = "softmax"
    kind = "category"
    summary = "x ~ Categorical(softmax(W u + b))"
    output = SoftmaxOutput()


@dataclass(frozen=True)
class LinearGaussian(LinearlyPredicted):
    """Reals whose means are linear in the parents."""

    name = "linear-gaussian"
    kind = "real"
    summary = "x ~ N(W u + b, diag sigma^2)"
    output = NormalOutput()
    closed_form = True

    @property
    def entering(self) -> tuple[Variable, ...]:
        """The parents whose values the linear form takes: all of them."""
        return self.parents

    def linear_form(self, theta: Floats, values: Values) -> LinearForm:  # noqa: ARG002 - the same in every row
        """Return W, b and log_sigma with the leading axes (1, 1)."""
        t = self.layout.views(theta)
        return LinearForm(*(t[name][None, None] for name in ("W", "b", "log_sigma")))

    def linear_form_vjp(self, values: Values, by_W: Floats, by_log_sigma: Floats) -> Floats:  # noqa: ARG002
        return self.layout.pack({"W": by_W.sum(axis=0), "log_sigma": by_log_sigma.sum(axis=0)})

    def maximise(self, theta: Floats, rows: Completed, floor: float = 0.0) -> Floats:
        theta, x = theta.copy(), rows.values[self.variable.name]
        inputs = inputs_of(self.parents, rows.values)[0]
        inputs = np.broadcast_to(inputs, (len(x), self.n_inputs))
        regress(self.layout.views(theta), rows, inputs, x, floor, self.variable.name)
        return theta


@dataclass(frozen=True)
class NetworkPredicted(Predicted):
    """The predictor is a network.

    Parameters
    ----------
    hidden : tuple of int
    activation : {'tanh', 'relu', 'softplus'}
    """

    hidden: tuple[int, ...] = (16,)
    activation: str = "tanh"

    def __post_init__(self) -> None:
        if not self.parents:
            expected = f"at least one parent for the network of {self.variable.name!r}"
            raise bad_value("parents", expected, "none", f"describe it with {ROOTS[self.kind]}")
        _ = self.predictor  # which checks the widths and the activation

    @cached_property
    def predictor(self) -> MLP:
        return MLP((self.n_inputs, *self.hidden, self.variable.size), self.activation)


ROOTS = {"bits": "logistic", "category": "table", "real": "linear-gaussian"}
"""What describes a variable without parents, by its kind."""


@dataclass(frozen=True)
class NetworkBernoulli(NetworkPredicted):
    """Bits whose logits are a network of the parents."""

    name = "mlp-bernoulli"
    kind = "bits"
    summary = "x_i ~ Bernoulli(sigmoid(MLP(u)_i))"
    output = BernoulliOutput()


@dataclass(frozen=True)
class NetworkCategorical(NetworkPredicted):
    """A category whose logits are a network of the parents."""

    name = "mlp-categorical"
    kind = "category"
    summary = "x ~ Categorical(softmax(MLP(u)))"
    output = SoftmaxOutput()


@dataclass(frozen=True)
class NetworkGaussian(NetworkPredicted):
    """Reals whose means are a network of the parents."""

    name = "mlp-gaussian"
    kind = "real"
    summary = "x ~ N(MLP(u), diag sigma^2)"
    output = NormalOutput()
