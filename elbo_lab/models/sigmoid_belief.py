"""Sigmoid belief network: hidden bits z_k ~ Bernoulli(sigmoid(c_k)), data bits x_d ~ Bernoulli(sigmoid(l_d)).

    l = W z + b,   log p(x | z) = sum_d [x_d l_d - softplus(l_d)]
    d/dl = x - sigmoid(l),   d/dW = (x - sigmoid(l)) z^T,   d/dz = W^T (x - sigmoid(l))

(Neal 1992; the model on which Mnih and Gregor 2014, and most later work, tested estimators of gradients
through bits.) A mixture of 2^K products of bits whose logits share their parameters: with up to ten units
everything is exact by a sum over 2^K values.

Given x the hidden bits are coupled ("explaining away"), so that the exact posterior is not a product of
bits, and the best factorised q leaves a gap. The hidden bits may be permuted, and each may be flipped (its
column of W negated, b and c adapted), without any change in p(x): the likelihood has K! 2^K equal maxima,
and lower local maxima as well.

The formula of log p(x | z) holds for real z as well; relaxations use it there.

Source: R. M. Neal, "Connectionist learning of belief networks", Artificial Intelligence 56 (1992).

Helps: as the test case of gradients through bits. Fails: with many hidden bits, whose 2^K values nobody can
sum.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from elbo_lab.arrays import Draws, Floats
from elbo_lab.distributions import IndependentBernoulli
from elbo_lab.errors import NotApplicable, Reason, bad_value, check_count
from elbo_lab.layout import Layout
from elbo_lab.models.base import Model, Pullback
from elbo_lab.models.bits import column_logits, refuse_grey
from elbo_lab.special import sigmoid, softplus

# Up to this number of units sums over all values are fast.
MOST_UNITS = 10


@dataclass(frozen=True)
class SigmoidBelief(Model):
    """Hidden bits, each of which adds its column of W to the logits of the data bits.

    Parameters
    ----------
    n_columns, n_units : int
        D and K, at most 10 hidden bits.
    """

    n_columns: int
    n_units: int
    name = "sigmoid-belief"
    title = "sigmoid belief network"
    synonyms = ("sbn", "sigmoid-belief-net")
    summary = "z_k ~ Bernoulli(pi_k), x | z ~ Bernoulli(sigmoid(W z + b))"
    default_data = "digits:binary"
    natural_views = ("binary",)
    default_latent = 4

    def __post_init__(self) -> None:
        check_count("n_columns", self.n_columns)
        if check_count("latent", self.n_units) > MOST_UNITS:
            expected = f"at most {MOST_UNITS} units for {self.name} (2^{MOST_UNITS} values are summed over)"
            raise bad_value("latent", expected, self.n_units)

    @classmethod
    def for_data(cls, x: Floats, variant: str | None = None, latent: int | None = None) -> Self:  # noqa: ARG003
        return cls(x.shape[1], cls.default_latent if latent is None else latent)

    @cached_property
    def family(self) -> IndependentBernoulli:
        return IndependentBernoulli(self.n_units)

    @cached_property
    def layout(self) -> Layout:
        D, K = self.n_columns, self.n_units
        return Layout((("logits", (K,)), ("W", (D, K)), ("b", (D,))))

    def check_support(self, x: Floats, argument: str = "data") -> Floats:
        """Refuse anything but zeros and ones."""
        return refuse_grey(super().check_support(x, argument), argument, self.name)

    def prior_eta(self, theta: Floats) -> Floats:
        return self.layout.view(theta, "logits")[None]

    def prior_eta_vjp(self, theta: Floats, grad_eta: Floats) -> Floats:  # noqa: ARG002 - the map is linear
        return self.layout.pack({"logits": grad_eta}, lead=grad_eta.shape[:-1])

    def decode(self, theta: Floats, z: Draws) -> Floats:
        """Return the logits W z + b (..., D) at z (..., K)."""
        t = self.layout.views(theta)
        return z @ t["W"].T + t["b"]

    def likelihood(self, theta: Floats, x: Floats, z: Draws) -> tuple[Floats, Pullback]:
        """Return sum_d [x_d l_d - softplus(l_d)]; z may be real.

        The dtype of theta is the dtype of the whole pass.
        """
        z, x = z.astype(theta.dtype, copy=False), x.astype(theta.dtype, copy=False)
        W, logits = self.layout.views(theta)["W"], self.decode(theta, z)
        shared = z.shape[-2] < len(x)
        inner = (logits @ x.T)[..., 0, :] if shared else np.einsum("...d,...d->...", logits, x)

        def pullback(cotangent: Floats) -> tuple[Floats, Floats | None]:
            cotangent = cotangent.astype(theta.dtype, copy=False)
            if shared:  # contract over the data before anything is stored
                total = cotangent.sum(axis=-1, keepdims=True)
                rows = (cotangent @ x - total * sigmoid(logits[..., 0, :]))[..., None, :]
            else:
                rows = cotangent[..., None] * (x - sigmoid(logits))
            lead = rows.shape[:-3]
            # Several cotangents may be pulled back through one pass: z then has fewer leading axes.
            flat, flat_z = (a.reshape((*a.shape[:-3], -1, a.shape[-1])) for a in (rows, z))
            grads = {"W": np.swapaxes(flat, -1, -2) @ flat_z, "b": flat.sum(axis=-2)}
            return self.layout.pack(grads, lead), rows @ W

        return inner - softplus(logits).sum(axis=-1), pullback

    def sample_x(self, theta: Floats, z: Draws, rng: np.random.Generator) -> Floats:
        p = self.expected_x(theta, z)
        return (rng.random(p.shape) < p).astype(np.float64)

    def expected_x(self, theta: Floats, z: Draws) -> Floats:
        """Return sigmoid(W z + b) (..., D), the probabilities of a one."""
        return sigmoid(self.decode(theta, z))

    def random_theta(self, x: Floats, rng: np.random.Generator) -> Floats:
        """Fair hidden bits, small random weights, b such that the columns fit at the mean of z."""
        # Equal columns of W would always have equal gradients, and stay equal.
        W = rng.standard_normal((self.n_columns, self.n_units))
        return self.layout.pack({"W": W, "b": column_logits(x) - 0.5 * W.sum(axis=1)})

    def initial_theta(self, x: Floats) -> Floats:
        """`random_theta` from a fixed seed."""
        return self.random_theta(x, np.random.default_rng(0))

    def posterior_eta(self, theta: Floats, x: Floats) -> Floats:  # noqa: ARG002
        text = f"the exact posterior of {self.name} couples its bits: it does not factorise"
        raise NotApplicable(text, Reason.NO_POSTERIOR)
