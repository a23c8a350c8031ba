"""The contract of a posterior q_phi(z | x) = family(z; eta), eta = map_phi(x).

The family knows densities and samples; the map knows where eta comes from. Estimators differentiate
with respect to eta, and `eta_vjp` carries that back to phi. Three maps: a free table (one eta per
datum, no amortisation gap), an MLP encoder shared by all data, and the exact posterior.
"""

from abc import ABC, abstractmethod

import numpy as np


class Posterior(ABC):
    """A family with a map from data to its parameters.

    Attributes
    ----------
    name : str
    family : Family
    layout : Layout
        Names and shapes in phi.
    """

    name: str

    @abstractmethod
    def eta(self, phi, x):
        """Return eta (N, E) for the data x (N, D)."""

    @abstractmethod
    def eta_vjp(self, phi, x, grad_eta):
        """Pull a cotangent (..., N, E) of eta back to phi: (..., P)."""

    def initial(self, rng):  # noqa: ARG002 - an encoder needs weights
        """Return phi at which training begins: eta is zero, N(0, I) or equal categories."""
        return np.zeros(self.layout.size)

    def eta_and_pullback(self, phi, x):
        """Return eta (N, E) and the function that pulls its cotangent back: one pass for both."""
        return self.eta(phi, x), lambda grad_eta: self.eta_vjp(phi, x, grad_eta)

    def eta_error(self, phi, x, error):
        """Carry independent standard errors of a gradient in eta (N, E) over to phi: (P,).

        The map is linear, so the variances add: one backward pass per parameter of one datum.
        """
        variance = np.zeros(self.layout.size)
        for n in range(len(x)):
            one_datum = np.zeros((error.shape[1], *error.shape))
            one_datum[:, n, :] = np.diag(error[n])
            variance += (self.eta_vjp(phi, x, one_datum) ** 2).sum(axis=0)
        return np.sqrt(variance)

    @property
    def has_parameters(self):
        """Whether there is anything to differentiate."""
        return self.layout.size > 0
