"""z ~ N(0, I), x_d | z ~ Bernoulli(sigmoid(l_d)), logits l = decoder(z): the VAE's binary decoder.

    log p(x | z) = sum_d [x_d l_d - softplus(l_d)],   d/dl = x - sigmoid(l)

(Kingma and Welling 2014, appendix C.1, in logits, so that no probability is ever rounded to 0 or 1).
The formula is a normalised probability only for x in {0, 1}; grey values are refused.

Helps: for black-and-white images, by a curved decoder of few latents. Fails: on grey values; and log p(x) is
exact for one or two latents only.
"""

from dataclasses import dataclass

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.models.bits import column_logits, refuse_grey
from elbo_lab.models.deep import DeepModel, Observation
from elbo_lab.special import sigmoid, softplus


@dataclass(frozen=True)
class DeepBernoulli(DeepModel):
    """MLP decoder for the logits of independent bits."""

    name = "deep-bernoulli"
    title = "Bernoulli VAE"
    synonyms = ("vae", "variational-autoencoder", "variational-auto-encoder")
    summary = "z ~ N(0, I), x | z ~ Bernoulli(sigmoid(MLP(z)))"
    default_data = "digits:binary"
    natural_views = ("binary",)

    def check_support(self, x: Floats, argument: str = "data") -> Floats:
        """Refuse anything but zeros and ones."""
        return refuse_grey(super().check_support(x, argument), argument, self.name)

    def observe(self, extra: Floats, outputs: Floats, x: Floats) -> Observation:
        bits = self.inner(x, outputs)
        value = bits - softplus(outputs).sum(axis=-1)
        return value, lambda: self.observe_slopes(extra, outputs, x), self.no_extra_vjp

    def observe_slopes(self, extra: Floats, outputs: Floats, x: Floats) -> Floats:  # noqa: ARG002
        return x - sigmoid(outputs)

    def data_terms(self, theta: Floats, x: Floats) -> Floats:
        """Return (W x, b . x, 1) (N, H + 2): the data multiplied by the last layer, and a one.

        The logits are linear in the last hidden layer, l = a W + b, and so is x . l = a . (W x) + b . x; the
        one multiplies the sum of softplus(l). Convolutions have no such layer: the terms are x.
        """
        if self.channels:
            return super().data_terms(theta, x)
        weights, bias = self.decoder.last_layer(self._split(theta)[0])
        x = x.astype(theta.dtype, copy=False)
        terms = np.ones((len(x), len(weights) + 2), theta.dtype)
        np.matmul(x, weights.T, out=terms[:, :-2])
        np.matmul(x, bias, out=terms[:, -2])
        return terms

    def shared_likelihood(self, theta: Floats, terms: Floats, z: Floats) -> Floats:
        """Return (a, 1, -sum softplus(l)) . terms: one product over the hidden layer instead of over x."""
        if self.channels:
            return super().shared_likelihood(theta, terms, z)
        z = z[..., 0, :].astype(theta.dtype, copy=False)
        outputs, activations = self.decoder.forward(self._split(theta)[0], z)
        rows = np.empty((len(z), terms.shape[1]), theta.dtype)
        rows[:, :-2] = activations[-1]
        rows[:, -2] = 1.0
        rows[:, -1] = -softplus(outputs).sum(axis=-1)
        return rows @ terms.T

    def observe_sample(self, extra: Floats, outputs: Floats, rng: np.random.Generator) -> Floats:  # noqa: ARG002
        return (rng.random(outputs.shape) < sigmoid(outputs)).astype(np.float64)

    def observe_mean(self, outputs: Floats) -> Floats:
        """Return the probabilities of a one."""
        return sigmoid(outputs)

    def output_bias(self, x: Floats) -> Floats:
        return column_logits(x)
