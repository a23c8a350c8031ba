"""Normalizing flows: families whose z is an invertible map, with weights, of a Gaussian."""

from elbo_lab.distributions.flows.base import Flow, Layer, Moved
from elbo_lab.distributions.flows.coupling import CouplingFlow
from elbo_lab.distributions.flows.planar import PlanarFlow

__all__ = ["CouplingFlow", "Flow", "Layer", "Moved", "PlanarFlow"]
