"""The pathwise gradient in phi."""

from elbo_lab.estimators.pathwise.reparameterization import Reparameterization
from elbo_lab.estimators.pathwise.reparameterization_analytic_kl import ReparameterizationAnalyticKL

ALL = (
    Reparameterization(),
    ReparameterizationAnalyticKL(),
)

__all__ = [
    "Reparameterization",
    "ReparameterizationAnalyticKL",
]
