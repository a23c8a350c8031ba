"""The pathwise gradient in phi."""

from elbo_lab.estimators.pathwise.reparameterization import Reparameterization
from elbo_lab.estimators.pathwise.reparameterization_analytic_kl import ReparameterizationAnalyticKL
from elbo_lab.estimators.pathwise.sticking_the_landing import StickingTheLanding

ALL = (
    Reparameterization(),
    ReparameterizationAnalyticKL(),
    StickingTheLanding(),
)

__all__ = [
    "Reparameterization",
    "ReparameterizationAnalyticKL",
    "StickingTheLanding",
]
