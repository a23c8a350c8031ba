"""Student t: a Gaussian of uncertain width, with tails like |z|^-(v + 1), v degrees of freedom.

z = m + s u with u standard. Location and scale are explicit; the derivative in v is implicit. With
u = sqrt(v) sinh(tau) the density times du is proportional to cosh(tau)^-v, which is log-concave, and the
score is

    dlog p/dv = [c(v) + tanh^2 + tanh^2 / v - 2 log cosh] / 2,   c(v) = psi((v + 1) / 2) - psi(v / 2) - 1 / v.

It is positive in the middle and negative in the tails. Where it is positive at u we integrate from zero to u
(F(0) = 1/2 does not move), else from u to infinity: no digits cancel. Both bracket and c(v) are of order
1 / v^2 for large v, and are summed as series there, so that the velocity keeps its digits up to the Gaussian.

Only moments of order below v exist: with v <= 2 a cost that grows like z^2 has no expectation, and no
estimator can help.
KL between two members has no closed form.

Sources: Figurnov, Mohamed and Mnih 2018 (implicit gradients); DLMF section 5.11 (the series of psi).
"""

from dataclasses import dataclass

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions.beta import quantile_from_above, quantile_from_below
from elbo_lab.distributions.implicit import NEGLIGIBLE, on_either_side, span_integral, tail_integral
from elbo_lab.distributions.location_scale import LocationScale
from elbo_lab.distributions.special_functions import betaln, polygamma, psi

# x / (1 + x) - log(1 + x) = sum_n (-1)^(n - 1) (1 - 1 / n) x^n, n >= 2, for |x| < 0.1.
SERIES = [(-1.0) ** (n - 1) * (1.0 - 1.0 / n) for n in range(18, 1, -1)] + [0.0, 0.0]
# psi(x + 1/2) - psi(x) - 1 / (2 x) in powers of 1 / x^2, from the second to the tenth power of 1 / x.
PSI_SERIES = [31 / 2048, -17 / 2048, 1 / 128, -1 / 64, 1 / 8, 0.0]
# Above this many degrees of freedom the series of psi is used.
MANY = 40.0
START_DOF = 10.0


def _psi_gap(dof: Floats) -> Floats:
    """Return c(v) = psi((v + 1) / 2) - psi(v / 2) - 1 / v."""
    direct = psi(0.5 * dof + 0.5) - psi(0.5 * dof) - 1.0 / dof
    return np.where(dof > MANY, np.polyval(PSI_SERIES, 4.0 / np.maximum(dof, MANY) ** 2), direct)


def _log_cosh(tau: Floats) -> Floats:
    """Return log cosh(tau) for tau >= 0, without loss near zero and without overflow."""
    near = 0.5 * np.log1p(np.sinh(np.minimum(tau, 1.0)) ** 2)
    return np.where(tau < 1.0, near, tau + np.log1p(np.exp(-2.0 * tau)) - np.log(2.0))


def _dof_score(tau: Floats, dof: Floats) -> Floats:
    """Return dlog p/dv at u = sqrt(v) sinh(tau)."""
    squared, x = np.tanh(tau) ** 2, np.sinh(np.minimum(tau, 1.0)) ** 2
    bracket = np.where(x < 0.1, np.polyval(SERIES, np.minimum(x, 0.1)), squared - 2.0 * _log_cosh(tau))
    return 0.5 * (_psi_gap(dof) + bracket + squared / dof)


def _velocity_inner(dof: Floats, tau: Floats) -> Floats:
    """Return -(1 / p(u)) int_0^u p s over cosh^-v, relative to its value at u."""
    at_u = _log_cosh(tau)
    integral = span_integral(lambda t: np.exp(dof * (at_u - _log_cosh(t))) * _dof_score(t, dof), tau)
    return -np.sqrt(dof) * np.exp(at_u) * integral


def _velocity_outer(dof: Floats, tau: Floats) -> Floats:
    """Return (1 / p(u)) int_u^inf p s."""
    at_u = _log_cosh(tau)
    integral = tail_integral(
        lambda t: -dof * (_log_cosh(tau + t) - at_u),
        lambda t: _dof_score(tau + t, dof),
        NEGLIGIBLE / (dof * np.tanh(tau)),  # by the slope at u, which only becomes steeper
    )
    return np.sqrt(dof) * np.exp(at_u) * integral


def student_velocity(dof: Floats, u: Floats) -> Floats:
    """Return du/dv of a standard Student t draw u with the noise frozen.

    Parameters
    ----------
    dof : ndarray (...)
        v, positive.
    u : ndarray (...)

    Returns
    -------
    ndarray (...)
        Of the sign opposite to u: more degrees of freedom pull the tails in.
    """
    tau = np.arcsinh(np.abs(u) / np.sqrt(dof))
    inner = _dof_score(tau, dof) > 0.0
    return np.sign(u) * on_either_side(inner, _velocity_inner, _velocity_outer, dof, tau)


@dataclass(frozen=True)
class StudentT(LocationScale):
    """Student t over K coordinates; eta = (location (K,), log scale (K,), log degrees of freedom (K,)).

    Parameters
    ----------
    size : int
        K, the number of latent dimensions.
    """

    size: int
    name = "student-t"
    title = "Student t"
    synonyms = ("t-distribution",)
    closed_kl = False
    parameters = ("location", "log_scale", "log_dof")

    @property
    def start(self) -> Floats:
        """Ten degrees of freedom: with one or two a cost that grows like z^2 has no expectation."""
        eta = np.zeros(self.eta_size)
        eta[2 * self.size :] = np.log(START_DOF)
        return eta

    def standard_quantile(self, lower: Floats, upper: Floats, log_dof: Floats) -> Floats:
        """Return -+sqrt(v y / x), x = v / (v + u^2) and y = 1 - x, each to full relative precision."""
        half, tail = 0.5 * np.exp(log_dof), np.minimum(lower, upper)
        x = quantile_from_below(half, 0.5, 2.0 * tail)
        # y is small near the middle, where 1 - 2 tail is exact.
        outer = quantile_from_above(0.5, half, 2.0 * tail)
        inner = quantile_from_below(0.5, half, 1.0 - 2.0 * tail)
        y = np.where(tail < 0.25, outer, inner)
        return np.sign(lower - upper) * np.sqrt(2.0 * half * y / np.maximum(x, np.finfo(float).tiny))

    def velocities(
        self, z: Floats, location: Floats, log_scale: Floats, log_dof: Floats
    ) -> tuple[Floats, ...]:
        scale, dof = np.exp(log_scale), np.exp(log_dof)
        through_dof = scale * dof * student_velocity(dof, (z - location) / scale)
        return *super().velocities(z, location, log_scale), through_dof

    def standard_log_density(self, u: Floats, log_dof: Floats) -> Floats:
        dof = np.exp(log_dof)
        constant = betaln(0.5 * dof, 0.5) + 0.5 * log_dof
        return -0.5 * (dof + 1.0) * np.log1p((u / np.sqrt(dof)) ** 2) - constant

    def standard_slope(self, u: Floats, log_dof: Floats) -> Floats:
        dof = np.exp(log_dof)
        return -(dof + 1.0) * u / (dof + u * u)

    def scores(self, z: Floats, location: Floats, log_scale: Floats, log_dof: Floats) -> tuple[Floats, ...]:
        dof = np.exp(log_dof)
        tau = np.arcsinh(np.abs(z - location) * np.exp(-log_scale) / np.sqrt(dof))
        return *super().scores(z, location, log_scale, log_dof), dof * _dof_score(tau, dof)

    def standard_deviation(self, log_dof: Floats) -> tuple[Floats, tuple[Floats, ...]]:
        """Return sqrt(v / (v - 2)), infinite up to two degrees of freedom."""
        dof = np.exp(log_dof)
        above = np.where(dof > 2.0, dof - 2.0, np.nan)
        std = np.where(dof > 2.0, np.sqrt(dof / above), np.inf)
        return std, (-std / above,)

    def standard_entropy(self, log_dof: Floats) -> Floats | float:
        dof = np.exp(log_dof)
        gap = _psi_gap(dof) + 1.0 / dof
        return 0.5 * (dof + 1.0) * gap + 0.5 * log_dof + betaln(0.5 * dof, 0.5)

    def entropy_slopes(
        self, location: Floats, log_scale: Floats, log_dof: Floats
    ) -> tuple[Floats | float, ...]:
        dof = np.exp(log_dof)
        bend = polygamma(1, 0.5 * dof + 0.5) - polygamma(1, 0.5 * dof)
        through_dof = 0.25 * dof * (dof + 1.0) * bend + 0.5
        return *super().entropy_slopes(location, log_scale), through_dof
