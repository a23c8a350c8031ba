"""The Gaussian-process latent-variable model: covariance functions, the model, its variational bound."""

from elbo_lab.models.gplvm.collapsed import BoundGradient, collapsed_bound
from elbo_lab.models.gplvm.covariance_functions import COVARIANCE_FUNCTIONS, CovarianceFunction
from elbo_lab.models.gplvm.model import GPLVM, SingularCovariance
from elbo_lab.models.gplvm.psi import Psi, Rows, psi_statistics
from elbo_lab.models.gplvm.rows import GPLVMRows

__all__ = [
    "COVARIANCE_FUNCTIONS",
    "GPLVM",
    "BoundGradient",
    "CovarianceFunction",
    "GPLVMRows",
    "Psi",
    "Rows",
    "SingularCovariance",
    "collapsed_bound",
    "psi_statistics",
]
