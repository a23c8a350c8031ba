"""Beta: q(z; a, b) = z^(a - 1) (1 - z)^(b - 1) / B(a, b) on (0, 1).

The derivative of a draw in a is implicit, v(z; a, b) = -(dI_z(a, b)/da) / q(z), with the score
log t - psi(a) + psi(a + b); the derivative in b follows by reflection, -v(1 - z; b, a). On the logit scale
t = sigmoid(logit z -+ tau) a tail falls log-concavely. Below the mean a / (a + b) the lower tail of shape
a + 1 is used, above it the upper tail of shape b + 1, through the exact steps

    v(z; a, b) = (z / a) [(a + b) v(z; a + 1, b) + (1 - z) (psi(a + 1) - psi(a + b) - log z)],
    v(z; a, b) = ((1 - z) / b) [(a + b) v(z; a, b + 1) + z (log z - psi(a) + psi(a + b))],

from I_z(a, b) = I_z(a + 1, b) + z^a (1 - z)^b / (a B(a, b)) and its mirror image. Every term is positive.

The relative error is about 1e-10 or less for shapes from 1e-3 to 1e3.

A draw near one keeps only the digits that 1 - z has in a float near one: with b well below one a noticeable
share of draws equals the largest float below one. For latents concentrated at both ends logits are the better
parameters.

Sources: Figurnov, Mohamed and Mnih 2018 (implicit gradients); DLMF section 8.17(iv) (the steps in a and b).
"""

from dataclasses import dataclass

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions.implicit import NEGLIGIBLE, on_either_side, tail_integral
from elbo_lab.distributions.independent import IndependentFamily, MomentsOfOne, Parameters
from elbo_lab.distributions.location_scale import NARROWER, SHIFT
from elbo_lab.distributions.special_functions import betainccinv, betaincinv, betaln, polygamma, psi


def _log_shrink(x: Floats, y: Floats, tau: Floats) -> Floats:
    """Return log(y + x exp(-tau)) for y = 1 - x, without loss for small tau and for x near one."""
    less = x * np.expm1(-tau)
    # np.where evaluates both forms everywhere; the bound keeps log1p finite where the other form is used.
    return np.where(less > -0.5, np.log1p(np.maximum(less, -0.5)), np.log(y + x * np.exp(-tau)))


def _velocity_below(a: Floats, b: Floats, x: Floats, y: Floats) -> Floats:
    """Return v for x <= a / (a + b): the lower tail of shape a + 1, logit t = logit x - tau."""
    step, log_x = psi(a + 1.0) - psi(a + b), np.log(x)
    distance = psi(a + 1.0) - psi(a + 1.0 + b) - log_x
    integral = tail_integral(
        lambda tau: -(a + 1.0) * tau - (a + 1.0 + b) * _log_shrink(x, y, tau),
        lambda tau: distance + tau + _log_shrink(x, y, tau),
        2.0 * NEGLIGIBLE + np.maximum(log_x - np.log(y), 0.0),
    )
    return x * y / a * ((a + b) * x * integral + step - log_x)


def _velocity_above(a: Floats, b: Floats, x: Floats, y: Floats) -> Floats:
    """Return v for x > a / (a + b): the upper tail of shape b + 1, logit t = logit x + tau."""
    step, log_x = psi(a + b) - psi(a), np.log(x)
    distance = psi(a + b + 1.0) - psi(a) + log_x
    integral = tail_integral(
        lambda tau: -(b + 1.0) * tau - (a + b + 1.0) * _log_shrink(y, x, tau),
        lambda tau: distance - _log_shrink(y, x, tau),
        2.0 * NEGLIGIBLE + np.maximum(np.log(y) - log_x, 0.0),
    )
    return x * y / b * ((a + b) * y * integral + log_x + step)


def beta_velocity(a: Floats, b: Floats, z: Floats, rest: Floats) -> Floats:
    """Return dz/da of a Beta draw z with the noise frozen.

    Parameters
    ----------
    a, b : ndarray (...)
        Shapes, both positive.
    z, rest : ndarray (...)
        The draw and 1 - z, each to full relative precision.

    Returns
    -------
    ndarray (...)
    """
    return on_either_side(z <= a / (a + b), _velocity_below, _velocity_above, a, b, z, rest)


def quantile_from_below(a: Floats | float, b: Floats | float, lower: Floats) -> Floats:
    """Return the z with I_z(a, b) = lower."""
    z = betaincinv(a, b, lower)
    # SciPy returns nan at some probabilities below 1e-16, where the first term of the series is enough.
    with np.errstate(divide="ignore"):
        small = np.exp((np.log(lower * a) + betaln(a, b)) / a)
    return np.where(np.isnan(z), small, z)


def quantile_from_above(a: Floats | float, b: Floats | float, upper: Floats) -> Floats:
    """Return the z with 1 - I_z(a, b) = upper."""
    z = betainccinv(a, b, upper)
    with np.errstate(divide="ignore"):
        small = np.exp((np.log(upper * b) + betaln(a, b)) / b)
    return np.where(np.isnan(z), 1.0 - small, z)


@dataclass(frozen=True)
class Beta(IndependentFamily):
    """Beta over K coordinates; eta = (log a (K,), log b (K,)); the mean is a / (a + b).

    Parameters
    ----------
    size : int
        K, the number of latent dimensions.
    """

    size: int
    name = "beta"
    parameters = ("log_a", "log_b")
    has_covariance = True
    support = (0.0, 1.0)

    def quantiles(self, lower: Floats, upper: Floats, log_a: Floats, log_b: Floats) -> Floats:
        a, b = np.exp(log_a), np.exp(log_b)
        return np.where(lower < upper, quantile_from_below(a, b, lower), quantile_from_above(a, b, upper))

    def velocities(self, z: Floats, log_a: Floats, log_b: Floats) -> tuple[Floats, ...]:
        a, b = np.exp(log_a), np.exp(log_b)
        rest = 1.0 - z
        return a * beta_velocity(a, b, z, rest), -b * beta_velocity(b, a, rest, z)

    def log_densities(self, z: Floats, log_a: Floats, log_b: Floats) -> Floats:
        a, b = np.exp(log_a), np.exp(log_b)
        return (a - 1.0) * np.log(z) + (b - 1.0) * np.log1p(-z) - betaln(a, b)

    def slopes(self, z: Floats, log_a: Floats, log_b: Floats) -> Floats:
        return (np.exp(log_a) - 1.0) / z - (np.exp(log_b) - 1.0) / (1.0 - z)

    def scores(self, z: Floats, log_a: Floats, log_b: Floats) -> tuple[Floats, ...]:
        a, b = np.exp(log_a), np.exp(log_b)
        both = psi(a + b)
        return a * (np.log(z) - psi(a) + both), b * (np.log1p(-z) - psi(b) + both)

    def moments_of_one(self, log_a: Floats, log_b: Floats) -> MomentsOfOne:
        """a / (a + b), and the root of a b / (a + b)^2 / (a + b + 1)."""
        a, b = np.exp(log_a), np.exp(log_b)
        both = a + b
        mean, std = a / both, np.sqrt(a * b / (both + 1.0)) / both
        moved = mean * (b / both)
        by_a, by_b = (std * (0.5 - c / both - 0.5 * c / (both + 1.0)) for c in (a, b))
        return mean, std, (moved, -moved), (by_a, by_b)

    def entropies(self, log_a: Floats, log_b: Floats) -> Floats:
        a, b = np.exp(log_a), np.exp(log_b)
        return betaln(a, b) - (a - 1.0) * psi(a) - (b - 1.0) * psi(b) + (a + b - 2.0) * psi(a + b)

    def entropy_slopes(self, log_a: Floats, log_b: Floats) -> tuple[Floats | float, ...]:
        a, b = np.exp(log_a), np.exp(log_b)
        both = (a + b - 2.0) * polygamma(1, a + b)
        return a * (both - (a - 1.0) * polygamma(1, a)), b * (both - (b - 1.0) * polygamma(1, b))

    def divergences(self, ours: Parameters, others: Parameters) -> Floats:
        """Return log B(a', b') / B(a, b) + E_q of the difference of the two exponents."""
        (a, b), (a_o, b_o) = map(np.exp, ours), map(np.exp, others)
        both = psi(a + b)
        constants = betaln(a_o, b_o) - betaln(a, b)
        return constants + (a - a_o) * (psi(a) - both) + (b - b_o) * (psi(b) - both)

    def divergence_slopes(self, ours: Parameters, others: Parameters) -> tuple[Parameters, Parameters]:
        (a, b), (a_o, b_o) = map(np.exp, ours), map(np.exp, others)
        both = ((a - a_o) + (b - b_o)) * polygamma(1, a + b)
        by_ours = a * ((a - a_o) * polygamma(1, a) - both), b * ((b - b_o) * polygamma(1, b) - both)
        change = psi(a_o + b_o) - psi(a + b)
        by_others = a_o * (psi(a_o) - psi(a) - change), b_o * (psi(b_o) - psi(b) - change)
        return by_ours, by_others

    def neighbours(self, log_a: Floats, log_b: Floats) -> tuple[Floats, ...]:
        """Return a narrower member whose logits are moved by about half of their width."""
        moved = 0.5 * SHIFT * np.sqrt(1.0 / (1.0 + np.exp(log_a)) + 1.0 / (1.0 + np.exp(log_b)))
        return log_a - 2.0 * NARROWER + moved, log_b - 2.0 * NARROWER - moved
