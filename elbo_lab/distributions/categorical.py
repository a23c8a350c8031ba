"""Categories 0..K-1 with probabilities softmax(logits).

Sampling inverts the distribution function: z = number of cumulative probabilities at or below u, with
u ~ U(0, 1). As a function of the logits z is piecewise constant: its derivative is zero wherever it
exists, so there is no pathwise gradient, and expectations are exact by enumeration instead.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from elbo_lab.arrays import Draws, Floats, Integers
from elbo_lab.distributions.base import Family
from elbo_lab.distributions.noise import NoiseSpec
from elbo_lab.layout import Layout
from elbo_lab.special import below_peak, log_softmax, softmax


@dataclass(frozen=True)
class Categorical(Family):
    """Categorical over K categories; eta = logits (K,).

    The logits are unconstrained and redundant (adding a constant changes nothing).

    Parameters
    ----------
    size : int
        K, the number of categories.
    """

    size: int
    name = "categorical"
    discrete = True
    has_slope = False
    event_axes = 0
    has_natural_step = True

    @property
    def support(self) -> tuple[float, float]:
        return 0.0, self.size - 1.0

    @property
    def eta_size(self) -> int:
        return self.size

    @cached_property
    def eta_layout(self) -> Layout:
        return Layout((("logits", (self.size,)),))

    def noise_spec(self, n_draws: int, n_data: int) -> NoiseSpec:
        return NoiseSpec("uniform", (n_draws, n_data))

    def sample(self, eta: Floats, noise: Floats) -> Integers:
        """Return z (..., S, N), integers in 0..K-1."""
        return self._inverted(np.exp(below_peak(eta, axis=-1)), noise)[0]

    def _inverted(self, weights: Floats, noise: Floats) -> tuple[Integers, Floats]:
        """Return z, and the sum of the weights (N, 1), which are proportional to p_k."""
        cumulative = np.add.accumulate(weights, axis=-1)
        total = cumulative[..., -1:]
        # By rounding the sum of all p_k may be below one: a u in that gap would draw a category of
        # probability zero. So the last sum divides the others and is itself left out: z <= K - 1.
        inner = cumulative[..., :-1] / total
        return np.add.reduce(noise[..., None] >= inner, axis=-1, dtype=np.intp), total

    def values(self) -> Integers:
        """Return 0..K-1 (K,)."""
        return np.arange(self.size)

    def one_hot(self, z: Draws) -> Floats:
        """Return the indicators [z = k] as floats (..., S, N, K)."""
        return (z[..., None] == np.arange(self.size)).astype(np.float64)

    def log_table(self, eta: Floats) -> Floats:
        """Return log p_k (N, K)."""
        return log_softmax(eta, axis=-1)

    def log_prob(self, eta: Floats, z: Integers) -> Floats:
        """Return log softmax(logits)[z] (..., S, N)."""
        return looked_up(self.log_table(eta), z)

    def log_prob_vjp(self, eta: Floats, z: Integers, cotangent: Floats) -> Floats:
        return self._summed_score(softmax(eta, axis=-1), z, cotangent)

    def draw(self, eta: Floats, noise: Floats) -> tuple[Integers, Floats, Callable[[Floats], Floats]]:
        shifted = below_peak(eta, axis=-1)
        weights = np.exp(shifted)
        z, total = self._inverted(weights, noise)
        log_q = looked_up(shifted - np.log(total), z)
        return z, log_q, lambda cotangent: self._summed_score(weights / total, z, cotangent)

    def _summed_score(self, p: Floats, z: Integers, cotangent: Floats) -> Floats:
        """Return sum_s c_s ([z_s = k] - p_k)."""
        return self.by_category(z, cotangent) - cotangent.sum(axis=-2)[..., None] * p

    def by_category(self, z: Integers, cotangent: Floats) -> Floats:
        """Return the cotangents (..., S, N) that each category has drawn, sum_s c_s [z_s = k] (..., N, K)."""
        if z.shape != cotangent.shape:
            z, cotangent = np.broadcast_arrays(z, cotangent)
        *lead, _, n_data = z.shape
        first = np.arange(0, math.prod(lead) * n_data * self.size, self.size).reshape(*lead, 1, n_data)
        # A weighted count needs no indicators, of which there are K for every draw.
        sums = np.bincount((z + first).ravel(), cotangent.ravel(), first.size * self.size)
        # NumPy annotates counts without weights only, which are whole numbers.
        return sums.reshape(*lead, n_data, self.size)  # type: ignore[return-value]

    def score(self, eta: Floats, z: Integers) -> Floats:
        """Return [z = k] - p_k (..., S, N, K)."""
        return self.one_hot(z) - softmax(eta, axis=-1)

    def moments(self, eta: Floats) -> tuple[Floats, Floats]:
        """Return p_k and sqrt(p_k (1 - p_k)), of the indicators."""
        p = softmax(eta, axis=-1)
        return p, np.sqrt(p * (1.0 - p))

    def entropy(self, eta: Floats) -> Floats:
        """Return -sum_k p_k log p_k."""
        log_p = log_softmax(eta, axis=-1)
        return -(np.exp(log_p) * log_p).sum(axis=-1)

    def entropy_grad(self, eta: Floats) -> Floats:
        """Return -p_k (log p_k + H)."""
        log_p = log_softmax(eta, axis=-1)
        return -np.exp(log_p) * (log_p + self.entropy(eta)[..., None])

    def kl(self, eta: Floats, other: Floats) -> Floats:
        """Return sum_k p_k (log p_k - log p'_k)."""
        log_p, log_o = log_softmax(eta, axis=-1), log_softmax(other, axis=-1)
        return (np.exp(log_p) * (log_p - log_o)).sum(axis=-1)

    def kl_grad(self, eta: Floats, other: Floats) -> tuple[Floats, Floats]:
        """Return (p_k (log p_k - log p'_k - KL), p'_k - p_k)."""
        log_p, log_o = log_softmax(eta, axis=-1), log_softmax(other, axis=-1)
        p = np.exp(log_p)
        first = p * (log_p - log_o - self.kl(eta, other)[..., None])
        return first, np.exp(log_o) - p

    def natural_step(self, eta: Floats, gradient: Floats, rate: float) -> Floats:
        """Return logits <- logits + rate (dF / d logits) / p; a category of probability zero stays one."""
        p = softmax(eta, axis=-1)
        return eta + rate * np.divide(gradient, p, out=np.zeros_like(p), where=p > 0.0)

    def near(self, eta: Floats) -> Floats:
        """Return the centred logits times one half."""
        return 0.5 * (eta - eta.mean(axis=-1, keepdims=True))


def looked_up(table: Floats, z: Integers) -> Floats:
    """Return the entry of category z (..., S, N or 1) in the row of its datum in `table` (N, K) or (1, K)."""
    return table[0][z] if len(table) == 1 else table[np.arange(len(table)), z]
