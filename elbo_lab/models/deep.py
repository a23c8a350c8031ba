"""Deep latent-variable models: z ~ N(0, I), and a network of z gives the parameters of p(x | z).

The prior may also be the standard member of another family (`latent_prior`): heavy tails, or half lines.

The integral over z has no closed form: z enters through a nonlinear network. One forward pass of the
decoder serves both the log-likelihood and its pullback. The subclasses define only how x is observed
given the network's output (a Gaussian or a Bernoulli density and its derivative). The network is an MLP, or
where the data are images it may end in transposed convolutions.
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property
from math import prod
from typing import Self

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions import DiagonalGaussian, DiagonalGaussianMixture, Family
from elbo_lab.distributions.named import find_family
from elbo_lab.errors import bad_kind, bad_value, check_count
from elbo_lab.layout import Entries, Layout
from elbo_lab.models.base import Pullback, StandardNormalPrior
from elbo_lab.networks import MLP, ConvDecoder, Network

# Value (..., S, N), and the functions that return its derivatives: see `DeepModel.observe`.
Observation = tuple[Floats, Callable[[], Floats], Callable[[Floats], Floats]]


@dataclass(frozen=True)
class DeepModel(StandardNormalPrior):
    """A decoder with any hidden layers.

    Parameters
    ----------
    n_columns, n_latent : int
        D and K.
    hidden : tuple of int
        Widths of the hidden layers, from the latent side.
    activation : {'tanh', 'relu', 'softplus'}
    channels : tuple of int
        Of convolutions from the data's side, above the hidden layers; empty for an MLP.
    image_shape : tuple of int, optional
        Height and width, with channels.
    latent_prior : str
        The family of p(z), as in 'laplace': its standard member, eta = 0; '' for N(0, I).
    """

    n_columns: int
    n_latent: int
    hidden: tuple[int, ...] = (64,)
    activation: str = "tanh"
    # Seeds that are made from the repr of a model stay what they were before it had these.
    channels: tuple[int, ...] = field(default=(), kw_only=True, repr=False)
    image_shape: tuple[int, int] | None = field(default=None, kw_only=True, repr=False)
    latent_prior: str = field(default="", kw_only=True, repr=False)
    default_latent = 2

    def __post_init__(self) -> None:
        check_count("n_columns", self.n_columns)
        check_count("latent", self.n_latent)
        if self.channels and (self.image_shape is None or prod(self.image_shape) != self.n_columns):
            expected = f"height and width of an image of {self.n_columns} pixels"
            raise bad_value("image_shape", expected, self.image_shape)
        if not isinstance(self.latent_prior, str):
            raise bad_kind("latent_prior", "the name of a family", repr(self.latent_prior))
        if self.family.discrete:
            expected = "a family of continuous z, along which a network has a slope"
            raise bad_value("latent_prior", expected, repr(self.latent_prior))
        if isinstance(self.family, DiagonalGaussianMixture):
            expected = "a family whose standard member is not N(0, I): equal components are one Gaussian"
            raise bad_value("latent_prior", expected, repr(self.latent_prior))
        _ = self.decoder  # which checks the hidden widths, the channels and the activation

    @classmethod
    def for_data(cls, x: Floats, variant: str | None = None, latent: int | None = None) -> Self:  # noqa: ARG003
        return cls(x.shape[1], cls.default_latent if latent is None else latent)

    @cached_property
    def family(self) -> Family:
        if not self.latent_prior:
            return DiagonalGaussian(self.n_latent)
        return find_family(self.latent_prior, "latent_prior").of_size(self.n_latent)

    @cached_property
    def posterior_family(self) -> Family:
        """Diagonal Gaussians where z is any real vector, else the family of the prior."""
        gaussian = DiagonalGaussian(self.n_latent)
        return gaussian if gaussian.shares_support(self.family) else self.family

    @cached_property
    def decoder(self) -> Network:
        """The network from z (K,) to the parameters of p(x | z)."""
        sizes = self.n_latent, *self.hidden, self.n_outputs
        if self.channels and self.image_shape is not None:
            return ConvDecoder(sizes, self.activation, self.channels, self.image_shape)
        return MLP(sizes, self.activation)

    @property
    def row_width(self) -> int:
        return self.n_columns + (self.decoder.width if isinstance(self.decoder, ConvDecoder) else 0)

    @property
    def n_outputs(self) -> int:
        """Outputs of the decoder, the parameters of p(x | z): by default one for each column."""
        return self.n_columns

    @property
    def extra_entries(self) -> Entries:
        """Layout entries of the parameters that are not in the decoder."""
        return ()

    @cached_property
    def layout(self) -> Layout:
        return Layout(self.decoder.layout.prefixed("decoder") + self.extra_entries)

    def _split(self, theta: Floats) -> tuple[Floats, Floats]:
        """Return the decoder's parameters and the rest, as views."""
        size = self.decoder.layout.size
        return theta[:size], theta[size:]

    @abstractmethod
    def observe(self, extra: Floats, outputs: Floats, x: Floats) -> Observation:
        """Return log p(x | outputs) (..., S, N) and two functions for its derivatives.

        Parameters
        ----------
        extra : ndarray (P_extra,)
            The parameters that are not in the decoder.
        outputs : ndarray (..., S, N or 1, out)
        x : ndarray (N, D)

        Returns
        -------
        value : ndarray (..., S, N)
        slopes : callable
            () -> d value / d outputs (..., S, N, out).
        extra_vjp : callable
            cotangent (..., S, N) -> (..., P_extra).
        """

    def observe_slopes(self, extra: Floats, outputs: Floats, x: Floats) -> Floats:
        """Return d log p(x | outputs) / d outputs (..., S, N, out) without the value."""
        return self.observe(extra, outputs, x)[1]()

    @abstractmethod
    def observe_sample(self, extra: Floats, outputs: Floats, rng: np.random.Generator) -> Floats:
        """Draw x (N, D) given outputs (N, out)."""

    @abstractmethod
    def observe_mean(self, outputs: Floats) -> Floats:
        """Return E[x | outputs] (..., D)."""

    @abstractmethod
    def output_bias(self, x: Floats) -> Floats:
        """Return the output bias (out,) that fits the columns of x without any latent."""

    def decode(self, theta: Floats, z: Floats) -> Floats:
        """Return the network's output (..., out) at z (..., K)."""
        return self.decoder.forward(self._split(theta)[0], z)[0]

    def output_slopes(self, theta: Floats, x: Floats, z: Floats) -> tuple[Floats, list[Floats]]:
        """Return d log p(x | z) / d outputs (S, N, out) of every draw, and the decoder's activations."""
        weights, extra = self._split(theta)
        outputs, activations = self.decoder.forward(weights, z.astype(theta.dtype, copy=False))
        return self.observe_slopes(extra, outputs, x.astype(theta.dtype, copy=False)), activations

    def likelihood(self, theta: Floats, x: Floats, z: Floats) -> tuple[Floats, Pullback]:
        """log p(x | decoder(z)): chain of the observation and the network, backward in one pass.

        The dtype of theta is the dtype of the whole pass.
        """
        z, x = z.astype(theta.dtype, copy=False), x.astype(theta.dtype, copy=False)
        decoder, (weights, extra) = self.decoder, self._split(theta)
        lead, n_rows = z.shape[:-3], z.shape[-3] * z.shape[-2]
        flat, activations = decoder.forward(weights, z.reshape((*lead, n_rows, self.n_latent)))
        outputs = flat.reshape(z.shape[:-1] + flat.shape[-1:])
        value, slopes, extra_vjp = self.observe(extra, outputs, x)
        slopes = cache(slopes)  # several cotangents may be pulled back through one pass

        def pullback(cotangent: Floats) -> tuple[Floats, Floats | None]:
            cotangent = cotangent.astype(theta.dtype, copy=False)
            rows = self._by_output(cotangent, slopes(), z).reshape(flat.shape)
            grad_weights, grad_rows = decoder.backward(weights, activations, rows)
            if not self.extra_entries:
                return grad_weights, grad_rows.reshape(z.shape)
            by_extra = extra_vjp(cotangent)
            return np.concatenate([grad_weights, by_extra], axis=-1), grad_rows.reshape(z.shape)

        return value, pullback

    def log_likelihood_grad_z(self, theta: Floats, x: Floats, z: Floats, cotangent: Floats) -> Floats:
        slopes, activations = self.output_slopes(theta, x, z)
        rows = self._by_output(cotangent.astype(theta.dtype, copy=False), slopes, z)
        return self.decoder.backward_inputs(self._split(theta)[0], activations, rows)

    @staticmethod
    def _by_output(cotangent: Floats, slopes: Floats, z: Floats) -> Floats:
        """Return the cotangent (..., S, N or 1, out) of the outputs: one per draw where z is shared."""
        if z.shape[-2] < cotangent.shape[-1]:
            # One draw for all data: contract over the data before anything is stored.
            return np.einsum("...sn,...sno->...so", cotangent, slopes)[..., None, :]
        return cotangent[..., None] * slopes

    def sample_x(self, theta: Floats, z: Floats, rng: np.random.Generator) -> Floats:
        return self.observe_sample(self._split(theta)[1], self.decode(theta, z), rng)

    def expected_x(self, theta: Floats, z: Floats) -> Floats:
        """Return E[x | z] (..., D) at z (..., K), in the dtype of theta."""
        return self.observe_mean(self.decode(theta, z.astype(theta.dtype, copy=False)))

    def initial_theta(self, x: Floats) -> Floats:
        """`random_theta` from a fixed seed."""
        return self.random_theta(x, np.random.default_rng(0))

    def random_theta(self, x: Floats, rng: np.random.Generator) -> Floats:
        """Glorot weights, output bias fitted to the columns."""
        weights = self.decoder.initial(rng)
        self.decoder.last_layer(weights)[1][...] = self.output_bias(x)
        return np.concatenate([weights, self.initial_extra(x)])

    @staticmethod
    def inner(x: Floats, outputs: Floats) -> Floats:
        """Return the inner products of x (N, D) with outputs (..., S, N or 1, D): (..., S, N)."""
        if outputs.shape[-2] < len(x):
            return outputs[..., 0, :] @ x.T
        return np.einsum("...d,...d->...", x, outputs)

    @staticmethod
    def no_extra_vjp(cotangent: Floats) -> Floats:
        """The `extra_vjp` of a model whose parameters are all in the decoder."""
        return np.zeros((*cotangent.shape[:-2], 0))

    def initial_extra(self, x: Floats) -> Floats:  # noqa: ARG002
        """Return the start of the parameters that are not in the decoder."""
        return np.zeros(0)
