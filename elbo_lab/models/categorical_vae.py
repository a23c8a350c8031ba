"""z = K categories of C values each, and a network of their indicators gives the logits of the bits of x.

    z_k ~ Categorical(softmax(c_k)),   x_d | z ~ Bernoulli(sigmoid(l_d)),   l = decoder(indicators of z)

(Jang et al. 2017, section 4.2, and Maddison et al. 2017, section 5.) The indicators are K C zeros and ones in
one row, and the decoder is that of `deep-bernoulli`. As a network it takes shares of categories as well, so
that relaxations of z have a log p(x | y). The logits of the prior are learned, and begin even.

A mixture of C^K products of bits whose parameters are shared: while C^K values can be summed, log p(x), the
posterior and every gradient are exact. The names of the categories mean nothing: any exchange of the values
of one variable, and of the variables, gives the same p(x). Given x the variables depend on each other, so
that the best factorised q leaves a gap.

Helps: codes of symbols; the test case of gradients through categories. Fails: with many variables, whose C^K
values nobody can sum; and an unused category may never come back, since no draw of it asks for a gradient.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from elbo_lab.arrays import Draws, Floats
from elbo_lab.distributions import CategoricalVector
from elbo_lab.distributions.categorical_vector import MOST_VALUES
from elbo_lab.errors import bad_value, check_count
from elbo_lab.layout import Layout
from elbo_lab.models.base import Model, Pullback, RelaxedPullback
from elbo_lab.models.deep_bernoulli import DeepBernoulli


@dataclass(frozen=True)
class CategoricalVAE(Model):
    """Categories, a learned prior of each, and an MLP decoder of their indicators for the logits of bits.

    Parameters
    ----------
    n_columns, n_latent, n_categories : int
        D, K and C; C^K is at most 65 536.
    hidden : tuple of int
        Widths of the hidden layers, from the latent side.
    activation : {'tanh', 'relu', 'softplus'}
    """

    n_columns: int
    n_latent: int
    n_categories: int = 4
    hidden: tuple[int, ...] = (64,)
    activation: str = "tanh"
    name = "categorical-vae"
    title = "categorical VAE"
    synonyms = ("gumbel-softmax-vae", "discrete-vae")
    summary = "z_k ~ Categorical(softmax(c_k)), x | z ~ Bernoulli(sigmoid(MLP(indicators of z)))"
    default_data = "digits:binary"
    natural_views = ("binary",)
    default_latent = 3
    relaxes = True
    compared = False

    def __post_init__(self) -> None:
        check_count("n_columns", self.n_columns)
        check_count("latent", self.n_latent)
        check_count("categories", self.n_categories, minimum=2)
        if self.family.n_values > MOST_VALUES:
            expected = f"at most {MOST_VALUES:,} values, of which each is summed over"
            raise bad_value("latent", expected, f"{self.n_categories}^{self.n_latent}")
        _ = self.observed.decoder  # which checks the hidden widths and the activation

    @classmethod
    def for_data(
        cls,
        x: Floats,
        variant: str | None = None,  # noqa: ARG003 - there is one kind
        latent: int | None = None,
        categories: int | None = None,
    ) -> Self:
        size = cls.default_latent if latent is None else latent
        return cls(x.shape[1], size, cls.n_categories if categories is None else categories)

    @cached_property
    def family(self) -> CategoricalVector:
        return CategoricalVector(self.n_latent, self.n_categories)

    @cached_property
    def observed(self) -> DeepBernoulli:
        """p(x | z) as a function of the indicators, which are K C real numbers to it."""
        return DeepBernoulli(self.n_columns, self.family.eta_size, self.hidden, self.activation)

    @cached_property
    def layout(self) -> Layout:
        return Layout((("logits", (self.n_latent, self.n_categories)), *self.observed.layout.entries))

    def _decoder_theta(self, theta: Floats) -> Floats:
        return theta[self.family.eta_size :]

    def _with_prior(self, grad_decoder: Floats) -> Floats:
        """Return the gradient in theta (..., P) of what the logits of the prior do not enter."""
        zeros = np.zeros((*grad_decoder.shape[:-1], self.family.eta_size), grad_decoder.dtype)
        return np.concatenate([zeros, grad_decoder], axis=-1)

    def prior_eta(self, theta: Floats) -> Floats:
        return theta[None, : self.family.eta_size]

    def prior_eta_vjp(self, theta: Floats, grad_eta: Floats) -> Floats:  # noqa: ARG002 - the map is linear
        rest = np.zeros((*grad_eta.shape[:-1], self.layout.size - grad_eta.shape[-1]), grad_eta.dtype)
        return np.concatenate([grad_eta, rest], axis=-1)

    def relaxed_likelihood(self, theta: Floats, x: Floats, y: Floats) -> tuple[Floats, RelaxedPullback]:
        """Return log p(x | y) for shares y (..., S, N, K C), and its pullback."""
        value, pull = self.observed.likelihood(self._decoder_theta(theta), x, y)

        def pullback(cotangent: Floats) -> tuple[Floats, Floats]:
            grad_decoder, grad_y = pull(cotangent)
            assert grad_y is not None  # of a network
            return self._with_prior(grad_decoder), grad_y

        return value, pullback

    def likelihood(self, theta: Floats, x: Floats, z: Draws) -> tuple[Floats, Pullback]:
        """Return log p(x | indicators of z)."""
        value, pullback = self.relaxed_likelihood(theta, x, self.family.one_hot(z))
        return value, lambda cotangent: (pullback(cotangent)[0], None)

    def data_terms(self, theta: Floats, x: Floats) -> Floats:
        return self.observed.data_terms(self._decoder_theta(theta), x)

    def shared_likelihood(self, theta: Floats, terms: Floats, z: Draws) -> Floats:
        return self.observed.shared_likelihood(self._decoder_theta(theta), terms, self.family.one_hot(z))

    def check_support(self, x: Floats, argument: str = "data") -> Floats:
        """Refuse anything but zeros and ones."""
        return self.observed.check_support(x, argument)

    def sample_x(self, theta: Floats, z: Draws, rng: np.random.Generator) -> Floats:
        return self.observed.sample_x(self._decoder_theta(theta), self.family.one_hot(z), rng)

    def expected_x(self, theta: Floats, z: Draws) -> Floats:
        """Return the probabilities of a one (..., D) at categories z (..., K)."""
        return self.expected_at_shares(theta, self.family.one_hot(z))

    def expected_at_shares(self, theta: Floats, y: Floats) -> Floats:
        """Return the probabilities of a one (..., D) at shares of categories y (..., K C)."""
        return self.observed.expected_x(self._decoder_theta(theta), y)

    def initial_theta(self, x: Floats) -> Floats:
        """`random_theta` from a fixed seed."""
        return self.random_theta(x, np.random.default_rng(0))

    def random_theta(self, x: Floats, rng: np.random.Generator) -> Floats:
        """Even categories, Glorot weights, an output bias fitted to the columns."""
        return self._with_prior(self.observed.random_theta(x, rng))
