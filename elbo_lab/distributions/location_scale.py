"""Families z = m + s u: a standard variable u, shifted and scaled.

With u frozen, dz/dm = 1 and dz/dlog s = s u = z - m, whatever the standard variable is. Its density is
q(z) = p(u) |du/dz| = p(u) / s, hence log q = log p(u) - log s: the Jacobian term of a change of scale. A
family gives log p(u), its slope, its inverse distribution function, its
entropy, its mean and its standard deviation.
"""

from abc import abstractmethod

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions.independent import IndependentFamily, MomentsOfOne

# `near` shifts by half a scale and narrows to 0.8 of it, as for the Gaussian.
SHIFT, NARROWER = 0.5, np.log(0.8)


class LocationScale(IndependentFamily):
    """z = location + exp(log_scale) u; any parameters after these two in eta are shapes of u."""

    parameters: tuple[str, ...] = ("location", "log_scale")
    has_covariance = True
    standard_mean: float = 0.0

    @abstractmethod
    def standard_quantile(self, lower: Floats, upper: Floats, *shapes: Floats) -> Floats:
        """Return the u whose tail probabilities are `lower` and `upper`."""

    @abstractmethod
    def standard_log_density(self, u: Floats, *shapes: Floats) -> Floats:
        """Return log p(u)."""

    @abstractmethod
    def standard_slope(self, u: Floats, *shapes: Floats) -> Floats:
        """Return d log p(u) / du."""

    @abstractmethod
    def standard_entropy(self, *shapes: Floats) -> Floats | float:
        """Return the entropy of u."""

    @abstractmethod
    def standard_deviation(self, *shapes: Floats) -> tuple[Floats | float, tuple[Floats, ...]]:
        """Return the standard deviation of u, and its slopes in the shapes."""

    def moments_of_one(self, location: Floats, log_scale: Floats, *shapes: Floats) -> MomentsOfOne:
        """m + s E u and s sd(u)."""
        scale = np.exp(log_scale)
        unit, by_shapes = self.standard_deviation(*shapes)
        shift, std, none = scale * self.standard_mean, scale * unit, np.zeros_like(location)
        of_mean = np.ones_like(location), shift, *(none for _ in shapes)
        return location + shift, std, of_mean, (none, std, *(scale * slope for slope in by_shapes))

    def quantiles(
        self, lower: Floats, upper: Floats, location: Floats, log_scale: Floats, *shapes: Floats
    ) -> Floats:
        return location + np.exp(log_scale) * self.standard_quantile(lower, upper, *shapes)

    def velocities(
        self,
        z: Floats,
        location: Floats,
        log_scale: Floats,  # noqa: ARG002 - one signature for all families
        *shapes: Floats,  # noqa: ARG002
    ) -> tuple[Floats, ...]:
        return np.ones_like(z), z - location

    def log_densities(self, z: Floats, location: Floats, log_scale: Floats, *shapes: Floats) -> Floats:
        u = (z - location) * np.exp(-log_scale)
        return self.standard_log_density(u, *shapes) - log_scale

    def slopes(self, z: Floats, location: Floats, log_scale: Floats, *shapes: Floats) -> Floats:
        u = (z - location) * np.exp(-log_scale)
        return self.standard_slope(u, *shapes) * np.exp(-log_scale)

    def scores(self, z: Floats, location: Floats, log_scale: Floats, *shapes: Floats) -> tuple[Floats, ...]:
        u = (z - location) * np.exp(-log_scale)
        slope = self.standard_slope(u, *shapes)
        return -slope * np.exp(-log_scale), -1.0 - u * slope

    def entropies(
        self,
        location: Floats,  # noqa: ARG002 - a shift does not change it
        log_scale: Floats,
        *shapes: Floats,
    ) -> Floats:
        return log_scale + self.standard_entropy(*shapes)

    def entropy_slopes(
        self,
        location: Floats,
        log_scale: Floats,
        *shapes: Floats,  # noqa: ARG002 - the same for all shapes
    ) -> tuple[Floats, ...]:
        return np.zeros_like(location), np.ones_like(log_scale)

    def neighbours(self, location: Floats, log_scale: Floats, *shapes: Floats) -> tuple[Floats, ...]:
        return location + SHIFT * np.exp(log_scale), log_scale + NARROWER, *shapes
