r"""Hierarchical VAE: layers of continuous z, each drawn given the one above, and a decoder of the lowest.

    z_L ~ N(0, I),   z_l | z_{l+1} ~ N(m, diag s^2),   (m, log s) = network(z_{l+1}),   l = L-1 .. 1
    x | z_1 as in `deep-bernoulli` or `deep-gaussian`,   the parameters from a decoder of z_1

    log p(x, z) = log p(z_L) + sum_l log p(z_l | z_{l+1}) + log p(x | z_1)

The layers above z_1 are a learned prior of z_1. Given z_1 they do not depend on x, so that the posterior is
p(z_1 | x) p(z_2 | z_1) ..., and a chain from the bottom up, of which the encoder gives z_1 alone, has exactly
its form: it is the q where none is asked for. Mean field (diagonal-gaussian) cuts the links between layers.

Where all networks are affine and s is constant, z_1 is Gaussian, and the hierarchy adds nothing to N(0, I)
under a decoder that may turn and stretch it. What the upper layers can add is a z_1 that is not Gaussian.

The networks between layers have a hidden layer of tanh, so that log s is bounded. Were log s affine in the
layer before, in the prior and in q, E_q log p(z) would have a term E exp(c exp(d z)) with z Gaussian, which
is infinite: no such q has an ELBO.

At the start of a training the standard deviations are sqrt(1/2) for every z above, so that none is near zero;
the means depend on the layer above by random weights, since weights of zero would give the upper layer no
gradient: it would be unused, and stay so.

Sources: D. J. Rezende, S. Mohamed and D. Wierstra, "Stochastic backpropagation", ICML (2014), section 3, for
the model; C. K. Sønderby et al., "Ladder variational autoencoders", NeurIPS (2016), section 2, for layers
that are not used, and the warm-up of the KL.

Helps: as the test case of layers of z, and where codes are clustered or curved. Fails: by upper layers that
are not used; no KL and no entropy of q is closed, and log p(x) is exact for two latents in all only.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self, cast

import numpy as np

from elbo_lab.arrays import Draws, Floats
from elbo_lab.distributions import GaussianChain
from elbo_lab.errors import check_count
from elbo_lab.layout import Layout
from elbo_lab.models.base import Model, Pullback
from elbo_lab.models.deep import DeepModel
from elbo_lab.models.deep_bernoulli import DeepBernoulli
from elbo_lab.models.deep_gaussian import DeepGaussianFixed
from elbo_lab.models.layered import pull_of_chain, widths_of


@dataclass(frozen=True)
class HierarchicalVAE(Model):
    """Layers of Gaussians, and a network of the lowest for the parameters of p(x | z_1).

    Parameters
    ----------
    n_columns : int
        D.
    layers : tuple of int
        Widths (K_1, ..., K_L), the layer next to the data first.
    hidden : tuple of int
        Widths of the hidden layers of the decoder, from the latent side.
    activation : {'tanh', 'relu', 'softplus'}
        Of the decoder; the networks between layers have tanh.
    prior_hidden : tuple of int
        Hidden widths of each network between two layers of z; () for affine maps.
    """

    n_columns: int
    layers: tuple[int, ...]
    hidden: tuple[int, ...] = (64,)
    activation: str = "tanh"
    prior_hidden: tuple[int, ...] = (16,)
    name = "hierarchical-vae"
    title = "hierarchical VAE"
    synonyms = ("hvae",)
    usual_variant = "bernoulli"
    default_layers: ClassVar[tuple[int, ...]] = (1, 1)
    compared = False

    def __post_init__(self) -> None:
        check_count("n_columns", self.n_columns)
        _ = self.family, self.observed.decoder  # which check the widths and the activation

    @classmethod
    def for_data(
        cls,
        x: Floats,
        variant: str | None = None,  # noqa: ARG003
        latent: int | Sequence[int] | None = None,
    ) -> Self:
        return cls(x.shape[1], widths_of(latent, cls.default_layers))

    @property
    @abstractmethod
    def observed(self) -> DeepModel:
        """The VAE of z_1 alone, which says how x is observed."""

    @cached_property
    def family(self) -> GaussianChain:
        return GaussianChain(self.layers, "top-down", self.prior_hidden)

    @cached_property
    def posterior_family(self) -> GaussianChain:
        """A chain of the same layers from the bottom up."""
        return self.family.as_q()

    @property
    def latent_option(self) -> tuple[int, ...]:
        return self.layers

    @property
    def row_width(self) -> int:
        return self.observed.row_width

    @cached_property
    def layout(self) -> Layout:
        entries = self.family.eta_layout.entries[len(self.family.parameters) :]
        return Layout((*entries, *self.observed.layout.entries))

    def _split(self, theta: Floats) -> tuple[Floats, Floats]:
        """Return the weights between the layers, and the parameters of `observed`, as views."""
        return theta[: self.family.shared_size], theta[self.family.shared_size :]

    def _first(self, z: Draws) -> Floats:
        return cast(Floats, z[..., : self.layers[0]])

    def _beside_zeros(self, by_first: Floats) -> Floats:
        """Return a gradient (..., K) in z from that in z_1 (..., K_1): the other layers have none."""
        return np.pad(by_first, [(0, 0)] * (by_first.ndim - 1) + [(0, self.latent_dim - self.layers[0])])

    # -- the prior -------------------------------------------------------------------------------

    def prior_eta(self, theta: Floats) -> Floats:
        """Return N(0, I) of the top layer and the weights between the layers."""
        top = np.zeros(self.family.own_size, theta.dtype)
        return np.concatenate([top, self._split(theta)[0]])[None]

    def prior_eta_vjp(self, theta: Floats, grad_eta: Floats) -> Floats:
        by_weights = grad_eta[..., self.family.own_size :]
        rest = np.zeros((*grad_eta.shape[:-1], len(self._split(theta)[1])), grad_eta.dtype)
        return np.concatenate([by_weights, rest], axis=-1)

    def log_prior_vjp(self, theta: Floats, z: Draws, cotangent: Floats) -> tuple[Floats, Floats | None]:
        return pull_of_chain(self, self.family, theta, z, cotangent)

    # -- the likelihood, a function of z_1 -------------------------------------------------------

    def likelihood(self, theta: Floats, x: Floats, z: Draws) -> tuple[Floats, Pullback]:
        """Return log p(x | z_1)."""
        value, pull = self.observed.likelihood(self._split(theta)[1], x, self._first(z))

        def pullback(cotangent: Floats) -> tuple[Floats, Floats | None]:
            by_observed, by_first = pull(cotangent)
            assert by_first is not None  # of a network
            zeros = np.zeros((*by_observed.shape[:-1], self.family.shared_size), by_observed.dtype)
            return np.concatenate([zeros, by_observed], axis=-1), self._beside_zeros(by_first)

        return value, pullback

    def log_likelihood_grad_z(self, theta: Floats, x: Floats, z: Draws, cotangent: Floats) -> Floats:
        own = self._split(theta)[1]
        return self._beside_zeros(self.observed.log_likelihood_grad_z(own, x, self._first(z), cotangent))

    def data_terms(self, theta: Floats, x: Floats) -> Floats:
        return self.observed.data_terms(self._split(theta)[1], x)

    def shared_likelihood(self, theta: Floats, terms: Floats, z: Draws) -> Floats:
        return self.observed.shared_likelihood(self._split(theta)[1], terms, self._first(z))

    def check_support(self, x: Floats, argument: str = "data") -> Floats:
        return self.observed.check_support(x, argument)

    def sample_x(self, theta: Floats, z: Draws, rng: np.random.Generator) -> Floats:
        return self.observed.sample_x(self._split(theta)[1], self._first(z), rng)

    def expected_x(self, theta: Floats, z: Draws) -> Floats:
        """Return E[x | z_1] (..., D) at z (..., K)."""
        return self.observed.expected_x(self._split(theta)[1], self._first(z))

    # -- starts ----------------------------------------------------------------------------------

    def initial_theta(self, x: Floats) -> Floats:
        """`random_theta` from a fixed seed."""
        return self.random_theta(x, np.random.default_rng(0))

    def random_theta(self, x: Floats, rng: np.random.Generator) -> Floats:
        """Glorot weights; between the layers a constant standard deviation of sqrt(1/2)."""
        own = self.observed.random_theta(x, rng)
        parts = []
        for network in self.family.networks:
            weights = network.initial(rng)
            last, bias = network.last_layer(weights)
            n_units = len(bias) // 2
            last[:, n_units:], bias[n_units:] = 0.0, -0.5 * np.log(2.0)
            parts.append(weights)
        return np.concatenate([*parts, own])


@dataclass(frozen=True)
class HierarchicalBernoulli(HierarchicalVAE):
    """Independent bits given z_1."""

    variant = "bernoulli"
    variants = ("bernoulli",)
    summary = "z_L ~ N(0, I), z_l | z_{l+1} ~ N(MLP(z_{l+1})), x | z_1 ~ Bernoulli(sigmoid(MLP(z_1)))"
    default_data = "digits:binary"
    natural_views = ("binary",)

    @cached_property
    def observed(self) -> DeepBernoulli:
        return DeepBernoulli(self.n_columns, self.layers[0], self.hidden, self.activation)


@dataclass(frozen=True)
class HierarchicalGaussian(HierarchicalVAE):
    """Gaussian columns given z_1, with one noise scale."""

    variant = "fixed"
    variants = ("fixed",)
    summary = "z_L ~ N(0, I), z_l | z_{l+1} ~ N(MLP(z_{l+1})), x | z_1 ~ N(MLP(z_1), sigma^2 I)"
    default_data = "digits:dequantised"
    natural_views = ("dequantised",)
    must_vary = "one"

    @cached_property
    def observed(self) -> DeepGaussianFixed:
        return DeepGaussianFixed(self.n_columns, self.layers[0], self.hidden, self.activation)
