"""The contract of a conditional p(x | parents), one factor of a graph.

A conditional knows its variable and its parents, and nothing else of the graph. Its parameters are one flat
vector with a layout, as those of a model; its gradient is derived by hand and stands under its value.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from elbo_lab.arrays import Draws, Floats
from elbo_lab.errors import NotApplicable, bad_value, unknown_name
from elbo_lab.layout import Layout
from elbo_lab.models.graphs.reading import log_of, numbers
from elbo_lab.models.graphs.variables import Kind, Values, Variable


class Slopes(NamedTuple):
    """What a cotangent is pulled back to.

    Attributes
    ----------
    theta : ndarray (..., P)
    parents : dict of ndarray
        {name: (..., S, N, n)} of the parents that have a slope: reals, and bits by the formula that also
        holds between zero and one.
    value : ndarray (..., S, N, n) or None
        None for a category.
    """

    theta: Floats
    parents: dict[str, Floats]
    value: Floats | None


LogProb = tuple[Floats, Callable[[Floats], Slopes]]


class Completed(NamedTuple):
    """Weighted rows in which nothing is missing, from which a conditional learns.

    Attributes
    ----------
    values : dict of ndarray
        Of the variable and its parents, (R,) or (R, n).
    weights : ndarray (R, n)
        Of every component of the variable, one for a category; not negative.
    covariance : ndarray (R, I + n, I + n) or None
        Of (inputs, variable) within a row, where hidden reals were integrated and not listed.
    """

    values: Values
    weights: Floats
    covariance: Floats | None = None


class LinearForm(NamedTuple):
    """x ~ N(W u + b, diag exp(2 log_sigma)), for every row.

    Attributes
    ----------
    W : ndarray (..., n, I)
    b, log_sigma : ndarray (..., n)
    """

    W: Floats
    b: Floats
    log_sigma: Floats


@dataclass(frozen=True)
class Conditional(ABC):
    """p(variable | parents).

    Parameters
    ----------
    variable : Variable
    parents : tuple of Variable
    """

    variable: Variable
    parents: tuple[Variable, ...]
    name: ClassVar[str]
    kind: ClassVar[Kind]
    """Of the variable."""
    summary: ClassVar[str]
    closed_form: ClassVar[bool] = True
    """Whether `maximise` is a formula."""

    @property
    @abstractmethod
    def layout(self) -> Layout:
        """Names and shapes of the parameters."""

    @abstractmethod
    def log_prob(self, theta: Floats, values: Values, weights: Floats | None = None) -> LogProb:
        """Return log p(variable | parents) (..., S, N) in nats and the pullback of a cotangent of it.

        Parameters
        ----------
        theta : ndarray (P,)
        values : dict of ndarray
            Of the variable and of its parents at least.
        weights : ndarray (..., n), optional
            Factors of the components, one for a category; 0 leaves out what is missing.
        """

    @abstractmethod
    def components(self, theta: Floats, values: Values) -> Floats:
        """Return log p of every component (..., S, N, n), one for a category; their sum is `log_prob`."""

    def moments(self, theta: Floats, values: Values) -> tuple[Floats, Floats]:  # noqa: ARG002
        """Return means and standard deviations (..., S, N, n) of a real variable given its parents.

        Raises
        ------
        NotApplicable
            If the variable is not real.
        """
        raise NotApplicable(f"{self.name} has no mean and standard deviation")

    def expected(self, theta: Floats, rows: Completed) -> tuple[float, Floats]:
        """Return E log p over weighted rows, a number, and its gradient (P,).

        Where (inputs, variable) vary within a row, their covariance C enters by the expected square of the
        residual: with A = (-W, I) the value falls by A C A^T / (2 sigma^2) of every component.
        """
        value, pullback = self.log_prob(theta, rows.values, rows.weights)
        total, gradient = float(value.sum()), pullback(np.ones(value.shape)).theta
        if rows.covariance is None:
            return total, gradient
        form = self.linear_form(theta, rows.values)
        W = np.broadcast_to(form.W[0], (len(rows.weights), *form.W.shape[2:]))
        n_inputs = W.shape[2]
        # C A^T, and its product with A.
        CA = rows.covariance[:, :, n_inputs:] - rows.covariance[:, :, :n_inputs] @ np.swapaxes(W, 1, 2)
        variance = np.einsum("rnn->rn", CA[:, n_inputs:] - W @ CA[:, :n_inputs])
        factor = rows.weights * np.exp(-2.0 * form.log_sigma[0])
        by_W = factor[..., None] * np.swapaxes(CA[:, :n_inputs], 1, 2)
        gradient = gradient + self.linear_form_vjp(rows.values, by_W, factor * variance)
        return total - 0.5 * float((factor * variance).sum()), gradient

    def linear_form_vjp(self, values: Values, by_W: Floats, by_log_sigma: Floats) -> Floats:  # noqa: ARG002
        """Pull cotangents of W (R, n, I) and log_sigma (R, n) of all rows back to theta (P,)."""
        raise NotApplicable(f"{self.name} is not linear-Gaussian")

    @property
    def entering(self) -> tuple[Variable, ...]:
        """The parents whose values enter `linear_form`."""
        return ()

    def linear_form(self, theta: Floats, values: Values) -> LinearForm:  # noqa: ARG002
        """Return the linear form of a linear-Gaussian conditional, given the categories among its parents.

        Raises
        ------
        NotApplicable
            If it is not linear-Gaussian.
        """
        raise NotApplicable(f"{self.name} is not linear-Gaussian")

    @abstractmethod
    def sample(self, theta: Floats, values: Values, n_data: int, rng: np.random.Generator) -> Draws:
        """Draw the variable, (N,) or (N, n), given values (N, ...) of its parents."""

    def maximise(self, theta: Floats, rows: Completed, floor: float = 0.0) -> Floats:  # noqa: ARG002
        """Return the theta (P,) of the greatest weighted sum of log p over rows, by a formula.

        Parameters
        ----------
        theta : ndarray (P,)
            The present ones, kept where no row has a say.
        rows : Completed
        floor : float
            Least variance.

        Raises
        ------
        NotApplicable
            If there is no formula (`closed_form`).
        ValueError
            If a real variable does not vary about its means.
        """
        raise NotApplicable(f"the maximum of {self.name} has no closed form")

    @abstractmethod
    def start(self, rng: np.random.Generator) -> Floats:
        """Return parameters (P,) to start from, not all equal where equal ones would stay so."""

    def packed(self, described: dict[str, Any], where: str) -> Floats:
        """Return theta (P,) of parameters as people write them.

        Raises
        ------
        ValueError
            If a parameter is unknown, missing, or of another shape; it names `where`.
        """
        known = list(self.described(np.zeros(self.layout.size)))
        for name in described:
            if not known:
                raise bad_value(where, f"no parameters of a {self.name}", name)
            if name not in known:
                raise unknown_name(f"parameters of {where}", name, known)
        return self._packed(described, where)

    def _packed(self, described: dict[str, Any], where: str) -> Floats:
        parts = {}
        for name, shape in self.layout.entries:
            if name == "log_sigma":
                parts[name] = log_of(numbers(described, "sigma", shape, where), where)
            else:
                parts[name] = numbers(described, name, shape, where)
        return self.layout.pack(parts)

    @abstractmethod
    def described(self, theta: Floats) -> dict[str, Floats]:
        """Return the parameters as people write them: probabilities, standard deviations."""


def weighted(components: Floats, weights: Floats) -> Floats:
    """Return the weighted sum (..., S, N) of components (..., S, N, n); a weight of zero drops -inf."""
    return (np.where(weights > 0.0, components, 0.0) * weights).sum(axis=-1)
