"""The Gaussian-process latent-variable model: covariance functions, the model, its variational bound."""

from elbo_lab.models.gplvm.covariance_functions import COVARIANCE_FUNCTIONS, CovarianceFunction
from elbo_lab.models.gplvm.model import GPLVM

__all__ = ["COVARIANCE_FUNCTIONS", "GPLVM", "CovarianceFunction"]
