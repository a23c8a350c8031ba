"""Covariance functions k(a, b) of a Gaussian process, and their derivatives.

    linear       k = sum_q alpha_q a_q b_q
    rbf          k = s^2 exp(-r^2 / 2)
    matern32     k = s^2 (1 + sqrt(3) r) exp(-sqrt(3) r)
    matern52     k = s^2 (1 + sqrt(5) r + 5 r^2 / 3) exp(-sqrt(5) r)
                 with r^2 = sum_q alpha_q (a_q - b_q)^2

(Rasmussen and Williams 2006, eqs. 4.9 and 4.17; Titsias and Lawrence 2010, section 2.) Every input dimension
has its own relevance alpha_q, the inverse of a squared length: at alpha_q = 0 the function does not depend on
that input. So the fit of alpha decides which dimensions are used (automatic relevance determination). Stored
are log s (`log_amplitude`) and log alpha (`log_relevance`).

The three functions of r are differentiable in r^2 also at r = 0: the derivatives of the Matern functions are
written without a division by r.

Two of the four have a closed form of their Gaussian expectations, the psi statistics: of the linear function
they are moments, and the RBF is itself an unnormalised Gaussian. A Matern function is a polynomial times
exp(-c r) in which r is a root of a sum of squares: under a Gaussian in more than one dimension no closed form
of its expectation is known. It serves for the exact log p(Y | X) and for the mode.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.layout import Entries

Params = dict[str, Floats]
# Cotangent (..., A, B) -> (gradients by parameter (..., *shape), grad_a (..., A, Q), grad_b (..., B, Q)).
CovariancePullback = Callable[[Floats], tuple[Params, Floats, Floats]]


@dataclass(frozen=True)
class CovarianceFunction(ABC):
    """A covariance function of Q inputs.

    Parameters
    ----------
    size : int
        Q.
    """

    size: int
    name: ClassVar[str]
    has_psi: ClassVar[bool] = False

    @property
    @abstractmethod
    def entries(self) -> Entries:
        """Names and shapes of its parameters."""

    @abstractmethod
    def matrix(self, params: Params, a: Floats, b: Floats) -> tuple[Floats, CovariancePullback]:
        """Return k(a_i, b_j) (..., A, B) and its pullback, of inputs a (..., A, Q) and b (..., B, Q)."""

    @abstractmethod
    def diagonal(self, params: Params, a: Floats) -> Floats:
        """Return k(a_i, a_i) (..., A)."""


class Linear(CovarianceFunction):
    """The covariance of f(a) = w . a with independent weights w_q ~ N(0, alpha_q)."""

    name = "linear"
    has_psi = True

    @property
    def entries(self) -> Entries:
        return (("log_relevance", (self.size,)),)

    def matrix(self, params: Params, a: Floats, b: Floats) -> tuple[Floats, CovariancePullback]:
        """a diag(alpha) b^T; d/da = c b alpha, d/dlog alpha_q = alpha_q sum_ij c_ij a_iq b_jq."""
        relevance = np.exp(params["log_relevance"])

        def pullback(cotangent: Floats) -> tuple[Params, Floats, Floats]:
            by_b = (cotangent @ b) * relevance
            by_a = (np.swapaxes(cotangent, -1, -2) @ a) * relevance
            return {"log_relevance": (a * by_b).sum(axis=-2)}, by_b, by_a

        return (a * relevance) @ np.swapaxes(b, -1, -2), pullback

    def diagonal(self, params: Params, a: Floats) -> Floats:
        return (a * a) @ np.exp(params["log_relevance"])


class Stationary(CovarianceFunction):
    """s^2 g(r^2): the three functions of the scaled distance r."""

    @property
    def entries(self) -> Entries:
        return (("log_amplitude", ()), ("log_relevance", (self.size,)))

    @abstractmethod
    def shape(self, r2: Floats) -> tuple[Floats, Floats]:
        """Return g(r^2) and dg / d(r^2), element by element."""

    def matrix(self, params: Params, a: Floats, b: Floats) -> tuple[Floats, CovariancePullback]:
        """s^2 g(r^2), with h = c s^2 g'(r^2): d/da_i = 2 alpha sum_j h_ij (a_i - b_j), d/dlog s = 2 c . k."""
        relevance, variance = np.exp(params["log_relevance"]), np.exp(2.0 * params["log_amplitude"])
        # By differences, input by input: |a|^2 + |b|^2 - 2 a . b would lose the digits of near neighbours.
        r2 = np.zeros((*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-2]), a.dtype)
        for q in range(self.size):
            r2 += relevance[q] * (a[..., :, None, q] - b[..., None, :, q]) ** 2
        g, slope = self.shape(r2)
        value = variance * g

        def pullback(cotangent: Floats) -> tuple[Params, Floats, Floats]:
            h = variance * cotangent * slope
            of_a, of_b = h.sum(axis=-1)[..., None], h.sum(axis=-2)[..., None]
            towards_b, towards_a = h @ b, np.swapaxes(h, -1, -2) @ a
            squares = (of_a * a * a - 2.0 * a * towards_b).sum(axis=-2) + (of_b * b * b).sum(axis=-2)
            grads = {
                "log_amplitude": 2.0 * (cotangent * value).sum(axis=(-2, -1)),
                "log_relevance": relevance * squares,
            }
            twice = 2.0 * relevance
            return grads, twice * (of_a * a - towards_b), twice * (of_b * b - towards_a)

        return value, pullback

    def diagonal(self, params: Params, a: Floats) -> Floats:
        return np.broadcast_to(np.exp(2.0 * params["log_amplitude"]), a.shape[:-1])


class RBF(Stationary):
    """The squared exponential, whose functions have derivatives of every order."""

    name = "rbf"
    has_psi = True

    def shape(self, r2: Floats) -> tuple[Floats, Floats]:
        g = np.exp(-0.5 * r2)
        return g, -0.5 * g


class Matern32(Stationary):
    """Functions with one derivative."""

    name = "matern32"

    def shape(self, r2: Floats) -> tuple[Floats, Floats]:
        """g' = -3/2 exp(-sqrt(3) r)."""
        u = np.sqrt(3.0 * r2)
        decay = np.exp(-u)
        return (1.0 + u) * decay, -1.5 * decay


class Matern52(Stationary):
    """Functions with two derivatives."""

    name = "matern52"

    def shape(self, r2: Floats) -> tuple[Floats, Floats]:
        """g' = -5/6 (1 + sqrt(5) r) exp(-sqrt(5) r)."""
        u = np.sqrt(5.0 * r2)
        decay = np.exp(-u)
        return (1.0 + u + u * u / 3.0) * decay, (-5.0 / 6.0) * (1.0 + u) * decay


COVARIANCE_FUNCTIONS: dict[str, type[CovarianceFunction]] = {
    kind.name: kind for kind in (RBF, Linear, Matern32, Matern52)
}
