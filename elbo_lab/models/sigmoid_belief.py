"""Sigmoid belief networks: layers of hidden bits, each the parent of the next, and data bits at the end.

    one layer         z_k ~ Bernoulli(sigmoid(c_k)),   x_d ~ Bernoulli(sigmoid(l_d)),   l = W z + b
    several layers    h_L ~ prod_k Bernoulli(sigmoid(c_k)),
                      h_m | h_{m+1} ~ prod_k Bernoulli(sigmoid((V_m^T h_{m+1} + a_m)_k)),   m = L-1 .. 1,
                      x | h_1 ~ prod_d Bernoulli(sigmoid((W h_1 + b)_d))

    log p(x | z) = sum_d [x_d l_d - softplus(l_d)]
    d/dl = x - sigmoid(l),   d/dW = (x - sigmoid(l)) h_1^T,   d/dh_1 = W^T (x - sigmoid(l))

(Neal 1992; the model on which Mnih and Gregor 2014, and most later work, tested estimators of gradients
through bits.) A mixture of 2^K products of bits whose logits share their parameters: with few units
everything is exact by a sum over 2^K values, with several layers by sums over one layer after the other
(`exact.elimination`). Nothing else limits the widths.

Given x the hidden bits are coupled ("explaining away"), so that the exact posterior is not a product of
bits, and the best factorised q leaves a gap. The hidden bits may be permuted, and each may be flipped (its
column of W negated, b and c adapted), without any change in p(x): the likelihood of one layer has K! 2^K
equal maxima, and lower local maxima as well.

The formula of log p(x | z) holds for real z as well; relaxations use it there.

Sources: R. M. Neal, "Connectionist learning of belief networks", Artificial Intelligence 56 (1992), eqs. 1 to
6; A. Mnih and K. Gregor, "Neural variational inference and learning in belief networks", ICML (2014).

Helps: as the test case of gradients through bits. Fails: with many hidden bits in a layer, whose 2^K values
nobody can sum: log p(x) is then known by sampling only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from elbo_lab.arrays import Draws, Floats
from elbo_lab.distributions import BernoulliChain, IndependentBernoulli
from elbo_lab.errors import NotApplicable, Reason, check_count
from elbo_lab.layout import Layout
from elbo_lab.models.base import Model, Pullback
from elbo_lab.models.bits import column_logits, refuse_grey
from elbo_lab.models.layered import pull_of_chain, widths_of
from elbo_lab.special import sigmoid, softplus


class BeliefNet(Model):
    """Bits x whose logits are an affine function of the layer of hidden bits next to them.

    Attributes
    ----------
    layers : tuple of int
        Widths (K_1, ..., K_L), the layer next to the data first.
    chain : BernoulliChain
        The prior of the hidden bits, whose eta is `prior_eta`.
    """

    default_data = "digits:binary"
    natural_views = ("binary",)

    if TYPE_CHECKING:
        # A subclass gives a field of the dataclass, or a property.

        @property
        def layers(self) -> tuple[int, ...]: ...

    @cached_property
    def chain(self) -> BernoulliChain:
        return BernoulliChain(self.layers, "top-down")

    def check_support(self, x: Floats, argument: str = "data") -> Floats:
        """Refuse anything but zeros and ones."""
        return refuse_grey(super().check_support(x, argument), argument, self.name)

    def decode(self, theta: Floats, z: Draws) -> Floats:
        """Return the logits W h_1 + b (..., D) at z (..., K), of which h_1 is the first layer."""
        t = self.layout.views(theta)
        return z[..., : self.layers[0]] @ t["W"].T + t["b"]

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
            first = z[..., : self.layers[0]]
            flat, flat_z = (a.reshape((*a.shape[:-3], -1, a.shape[-1])) for a in (rows, first))
            grads = {"W": np.swapaxes(flat, -1, -2) @ flat_z, "b": flat.sum(axis=-2)}
            return self.layout.pack(grads, lead), self._beside_zeros(rows @ W)

        return inner - softplus(logits).sum(axis=-1), pullback

    def _beside_zeros(self, first: Floats) -> Floats:
        """Return a gradient (..., K) in z from that in h_1 (..., K_1): the other layers have none."""
        missing = self.latent_dim - self.layers[0]
        return np.pad(first, [(0, 0)] * (first.ndim - 1) + [(0, missing)]) if missing else first

    def terms_of_data(self, theta: Floats, x: Floats) -> Floats:
        """Return (W^T x, b . x, 1) (N, K_1 + 2): l = W h + b is linear in h, and so is x . l."""
        t, x = self.layout.views(theta), x.astype(theta.dtype, copy=False)
        return np.concatenate([x @ t["W"], (x @ t["b"])[:, None], np.ones((len(x), 1), theta.dtype)], axis=1)

    def terms_of_bits(self, theta: Floats, first: Floats) -> Floats:
        """Return (h, 1, -sum softplus(l)) (G, K_1 + 2); times `terms_of_data` it is log p(x | h)."""
        constant = -softplus(self.decode(theta, first)).sum(axis=1, keepdims=True)
        return np.concatenate([first, np.ones_like(constant), constant], axis=1)

    def likelihood_gradient(
        self, theta: Floats, x: Floats, first: Floats, mean: Floats, share: Floats
    ) -> Floats:
        """Return d/dtheta (P,) of sum_n E_n log p(x_n | h_1) under any distributions of h_1.

        Parameters
        ----------
        theta : ndarray (P,)
        x : ndarray (N, D)
        first : ndarray (G, K_1)
            Values of h_1.
        mean : ndarray (N, K_1)
            E_n[h_1].
        share : ndarray (G,)
            Sum over the data of the probability of each value.
        """
        p = share[:, None] * self.expected_x(theta, first)
        return self.layout.pack({"W": x.T @ mean - p.T @ first, "b": x.sum(axis=0) - p.sum(axis=0)})

    def sample_x(self, theta: Floats, z: Draws, rng: np.random.Generator) -> Floats:
        p = self.expected_x(theta, z)
        return (rng.random(p.shape) < p).astype(np.float64)

    def expected_x(self, theta: Floats, z: Draws) -> Floats:
        """Return sigmoid(W h_1 + b) (..., D), the probabilities of a one."""
        return sigmoid(self.decode(theta, z))

    def initial_theta(self, x: Floats) -> Floats:
        """`random_theta` from a fixed seed."""
        return self.random_theta(x, np.random.default_rng(0))

    def posterior_eta(self, theta: Floats, x: Floats) -> Floats:  # noqa: ARG002
        text = f"the exact posterior of {self.name} couples its bits: it does not factorise"
        raise NotApplicable(text, Reason.NO_POSTERIOR)


@dataclass(frozen=True)
class SigmoidBelief(BeliefNet):
    """Hidden bits, each of which adds its column of W to the logits of the data bits.

    Parameters
    ----------
    n_columns, n_units : int
        D and K.
    """

    n_columns: int
    n_units: int
    name = "sigmoid-belief"
    title = "sigmoid belief network"
    synonyms = ("sbn", "sigmoid-belief-net")
    summary = "z_k ~ Bernoulli(pi_k), x | z ~ Bernoulli(sigmoid(W z + b))"
    default_latent = 4

    def __post_init__(self) -> None:
        check_count("n_columns", self.n_columns)
        check_count("latent", self.n_units)

    @classmethod
    def for_data(cls, x: Floats, variant: str | None = None, latent: int | None = None) -> Self:  # noqa: ARG003
        return cls(x.shape[1], cls.default_latent if latent is None else latent)

    @property
    def layers(self) -> tuple[int, ...]:
        return (self.n_units,)

    @cached_property
    def family(self) -> IndependentBernoulli:
        return IndependentBernoulli(self.n_units)

    @cached_property
    def layout(self) -> Layout:
        D, K = self.n_columns, self.n_units
        return Layout((("logits", (K,)), ("W", (D, K)), ("b", (D,))))

    def prior_eta(self, theta: Floats) -> Floats:
        return self.layout.view(theta, "logits")[None]

    def prior_eta_vjp(self, theta: Floats, grad_eta: Floats) -> Floats:  # noqa: ARG002 - the map is linear
        return self.layout.pack({"logits": grad_eta}, lead=grad_eta.shape[:-1])

    def random_theta(self, x: Floats, rng: np.random.Generator) -> Floats:
        """Fair hidden bits, small random weights, b such that the columns fit at the mean of z."""
        # Equal columns of W would always have equal gradients, and stay equal.
        W = rng.standard_normal((self.n_columns, self.n_units))
        return self.layout.pack({"W": W, "b": column_logits(x) - 0.5 * W.sum(axis=1)})


@dataclass(frozen=True)
class DeepSigmoidBelief(BeliefNet):
    """Layers of hidden bits, of any number and width; the logits of each are affine in the layer above.

    Parameters
    ----------
    n_columns : int
        D.
    layers : tuple of int
        Widths (K_1, ..., K_L), the layer next to the data first.
    """

    n_columns: int
    layers: tuple[int, ...]
    name = "deep-sigmoid-belief"
    title = "deep sigmoid belief network"
    synonyms = ("deep-sbn", "deep-sigmoid-belief-net")
    summary = "layers of bits h_m | h_{m+1} ~ Bernoulli(sigmoid(V h_{m+1} + a)), then x | h_1 alike"
    default_layers: ClassVar[tuple[int, ...]] = (8, 4)
    compared = False

    def __post_init__(self) -> None:
        check_count("n_columns", self.n_columns)
        _ = self.chain  # which checks the widths

    @classmethod
    def for_data(
        cls,
        x: Floats,
        variant: str | None = None,  # noqa: ARG003
        latent: int | Sequence[int] | None = None,
    ) -> Self:
        return cls(x.shape[1], widths_of(latent, cls.default_layers))

    @property
    def family(self) -> BernoulliChain:
        return self.chain

    @property
    def posterior_family(self) -> IndependentBernoulli:
        return IndependentBernoulli(self.latent_dim)

    @property
    def latent_option(self) -> tuple[int, ...]:
        return self.layers

    @cached_property
    def layout(self) -> Layout:
        of_x = (("W", (self.n_columns, self.layers[0])), ("b", (self.n_columns,)))
        return Layout((*self.chain.eta_layout.entries, *of_x))

    def prior_eta(self, theta: Floats) -> Floats:
        """Return the logits of the top layer and the weights between the layers, the first part of theta."""
        return theta[None, : self.chain.eta_size]

    def prior_eta_vjp(self, theta: Floats, grad_eta: Floats) -> Floats:
        zeros = np.zeros((*grad_eta.shape[:-1], len(theta) - self.chain.eta_size), grad_eta.dtype)
        return np.concatenate([grad_eta, zeros], axis=-1)

    def log_prior_vjp(self, theta: Floats, z: Draws, cotangent: Floats) -> tuple[Floats, Floats | None]:
        return pull_of_chain(self, self.chain, theta, z, cotangent)

    def data_terms(self, theta: Floats, x: Floats) -> Floats:
        return self.terms_of_data(theta, x)

    def shared_likelihood(self, theta: Floats, terms: Floats, z: Draws) -> Floats:
        """Return one product over h_1 instead of one over x."""
        bits = z[..., 0, : self.layers[0]].astype(theta.dtype, copy=False)
        return self.terms_of_bits(theta, bits) @ terms.T

    def random_theta(self, x: Floats, rng: np.random.Generator) -> Floats:
        """Fair bits at the top, small random weights, biases such that every layer is fair on average."""
        parts: dict[str, Floats] = {}
        for name, shape in self.chain.eta_layout.entries:
            if len(shape) == 2:
                weights = rng.standard_normal(shape) / np.sqrt(shape[0])
                parts |= {name: weights, name.replace("W", "b"): -0.5 * weights.sum(axis=0)}
        W = rng.standard_normal((self.n_columns, self.layers[0])) / np.sqrt(self.layers[0])
        return self.layout.pack(parts | {"W": W, "b": column_logits(x) - 0.5 * W.sum(axis=1)})
