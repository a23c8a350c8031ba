"""The ELBO in its three forms, and its gradient in theta."""

from elbo_lab.estimators.elbo.elbo_analytic_kl import ElboAnalyticKL
from elbo_lab.estimators.elbo.elbo_joint_entropy import ElboJointEntropy
from elbo_lab.estimators.elbo.elbo_log_weight import ElboLogWeight
from elbo_lab.estimators.elbo.elbo_reconstruction_kl import ElboReconstructionKL
from elbo_lab.estimators.elbo.elbo_sampled import ElboSampled

ALL = (
    ElboReconstructionKL(),
    ElboJointEntropy(),
    ElboLogWeight(),
    ElboSampled(),
    ElboAnalyticKL(),
)

__all__ = [
    "ElboAnalyticKL",
    "ElboJointEntropy",
    "ElboLogWeight",
    "ElboReconstructionKL",
    "ElboSampled",
]
