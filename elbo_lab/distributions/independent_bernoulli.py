"""K independent bits: q(z; l) = prod_k sigmoid(l_k)^z_k (1 - sigmoid(l_k))^(1 - z_k), z in {0, 1}^K.

Sampling compares one uniform per bit with its probability, z_k = [u_k < sigmoid(l_k)]. As a function of
the logits that is a step: its derivative is zero wherever it exists, so there is no pathwise gradient.
With the logistic noise g = log((1 - u) / u) the same bit is [l + g > 0], the starting point of relaxations
(Maddison et al. 2017, section 2): the step is made smooth, and the noise is kept.

    log q(z) = sum_k [z_k l_k - softplus(l_k)],   d log q / d l_k = z_k - sigmoid(l_k)

The formula is linear in z, and it is evaluated unchanged for z between zero and one: with this extension
relaxations use log q at points where q is not defined. Expectations are exact by a sum over 2^K values,
which is feasible for a dozen bits.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions.base import Family, count_of_values
from elbo_lab.distributions.noise import NoiseSpec
from elbo_lab.errors import NotApplicable, Reason
from elbo_lab.layout import Layout
from elbo_lab.special import sigmoid, softplus

# Up to this number of bits all values, at most 2^16 rows, are listed.
MOST_BITS = 16


@dataclass(frozen=True)
class IndependentBernoulli(Family):
    """Independent bits; eta = logits (K,).

    Parameters
    ----------
    size : int
        K, the number of bits.
    """

    size: int
    name = "independent-bernoulli"
    title = "independent bits"
    synonyms = ("bernoulli",)
    discrete = True
    event_axes = 1
    has_natural_step = True
    support = (0.0, 1.0)

    @property
    def eta_size(self) -> int:
        return self.size

    @cached_property
    def eta_layout(self) -> Layout:
        return Layout((("logits", (self.size,)),))

    def noise_spec(self, n_draws: int, n_data: int) -> NoiseSpec:
        return NoiseSpec("uniform", (n_draws, n_data, self.size))

    def sample(self, eta: Floats, noise: Floats) -> Floats:
        """Return z = [noise < sigmoid(logit)] (..., S, N, K), floats that are zero or one."""
        return (noise < sigmoid(eta)).astype(eta.dtype)

    @property
    def n_values(self) -> float:
        return count_of_values(2, self.size)

    def values(self) -> Floats:
        """Return all rows of bits (2^K, K), the last bit changing fastest."""
        if self.size > MOST_BITS:
            text = f"2^{self.size} values are too many to list: at most {MOST_BITS} bits"
            raise NotApplicable(text, Reason.TOO_MANY_VALUES)
        return (np.arange(2**self.size)[:, None] >> np.arange(self.size)[::-1] & 1).astype(np.float64)

    def log_prob(self, eta: Floats, z: Floats) -> Floats:
        """Return sum_k [z_k l_k - softplus(l_k)] (..., S, N)."""
        if z.shape[-2] == 1:  # one draw for all data
            inner = z[..., 0, :] @ eta.T
        else:
            inner = np.einsum("...k,...k->...", z, eta)
        return inner - softplus(eta).sum(axis=-1)

    def log_prob_grad_z(self, eta: Floats, z: Floats) -> Floats:
        """Return d log q / dz = l (..., S, N, K), of the linear extension."""
        return np.broadcast_to(eta, np.broadcast_shapes(eta.shape, z.shape))

    def score(self, eta: Floats, z: Floats) -> Floats:
        """Return z_k - sigmoid(l_k) (..., S, N, K)."""
        return z - sigmoid(eta)

    def log_prob_vjp(self, eta: Floats, z: Floats, cotangent: Floats) -> Floats:
        if z.shape[-2] == 1:
            by_bits = np.swapaxes(cotangent, -1, -2) @ z[..., 0, :]
        else:
            by_bits = np.einsum("...sn,...snk->...nk", cotangent, z)
        return by_bits - cotangent.sum(axis=-2)[..., None] * sigmoid(eta)

    def moments(self, eta: Floats) -> tuple[Floats, Floats]:
        """Return p_k and sqrt(p_k (1 - p_k))."""
        p = sigmoid(eta)
        return p, np.sqrt(p * sigmoid(-eta))

    def entropy(self, eta: Floats) -> Floats:
        """Return -sum_k [p_k log p_k + (1 - p_k) log(1 - p_k)]."""
        return (sigmoid(eta) * softplus(-eta) + sigmoid(-eta) * softplus(eta)).sum(axis=-1)

    def entropy_grad(self, eta: Floats) -> Floats:
        """Return -l_k p_k (1 - p_k)."""
        return -eta * sigmoid(eta) * sigmoid(-eta)

    def kl(self, eta: Floats, other: Floats) -> Floats:
        """Return sum_k [p_k (log p_k - log p'_k) + (1 - p_k) (log(1 - p_k) - log(1 - p'_k))]."""
        ones = sigmoid(eta) * (softplus(-other) - softplus(-eta))
        zeros = sigmoid(-eta) * (softplus(other) - softplus(eta))
        return (ones + zeros).sum(axis=-1)

    def kl_grad(self, eta: Floats, other: Floats) -> tuple[Floats, Floats]:
        """Return (p_k (1 - p_k) (l_k - l'_k), p'_k - p_k)."""
        p = sigmoid(eta)
        return p * sigmoid(-eta) * (eta - other), sigmoid(other) - p

    def near(self, eta: Floats) -> Floats:
        """Return the logits times one half."""
        return 0.5 * eta

    def natural_step(self, eta: Floats, gradient: Floats, rate: float) -> Floats:
        """Return l <- l + rate (dF / dl) / (p (1 - p)); a bit without variance stays as it is."""
        variance = sigmoid(eta) * sigmoid(-eta)
        return eta + rate * np.divide(gradient, variance, out=np.zeros_like(eta), where=variance > 0.0)
