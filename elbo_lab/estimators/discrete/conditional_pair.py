"""The continuous variable behind a bit, and another one given the bit: what REBAR and RELAX are made of.

    zeta = l + log((1 - u) / u),   b = [zeta > 0]
    zeta~ ~ p(zeta | b):   with s = 2 b - 1,   zeta~ = s (softplus(s l + log(1 - v)) - log v)

(Tucker et al. 2017, section 3 and appendix; the formula is the inverse of the truncated logistic
distribution.) Both are logistic around l once b is averaged over, and both move with l:

    dzeta / dl = 1,   dzeta~ / dl = sigmoid(s l + log(1 - v))
"""

from dataclasses import dataclass

import numpy as np

from elbo_lab.distributions import NoiseSpec
from elbo_lab.distributions.relaxations import inside, logistic
from elbo_lab.special import sigmoid, softplus


def paired_noise_spec(n_draws, n_data, n_bits):
    """Return the noise (S, N, K, 2) of both: u and v of every bit."""
    return NoiseSpec("uniform", (n_draws, n_data, n_bits, 2))


@dataclass(frozen=True, eq=False)
class ConditionalPair:
    """Bits b and the two continuous variables that have them, relaxed; all (..., S, N, K).

    Attributes
    ----------
    b : ndarray
    y, y_given : ndarray
        sigmoid(zeta / t) and sigmoid(zeta~ / t).
    path, path_given : ndarray
        dy / dl and dy~ / dl, b held still.
    """

    b: np.ndarray
    y: np.ndarray
    y_given: np.ndarray
    path: np.ndarray
    path_given: np.ndarray


def conditional_pair(family, eta, noise, temperature):
    """Return the ConditionalPair of logits (N, K) and noise (..., S, N, K, 2)."""
    u, v = noise[..., 0], inside(noise[..., 1])
    b = family.sample(eta, u)
    sign = 2.0 * b - 1.0
    within = sign * eta + np.log1p(-v)
    y = sigmoid((eta + logistic(u)) / temperature)
    y_given = sigmoid(sign * (softplus(within) - np.log(v)) / temperature)
    path = y * (1.0 - y) / temperature
    path_given = y_given * (1.0 - y_given) / temperature * sigmoid(within)
    return ConditionalPair(b, y, y_given, path, path_given)
