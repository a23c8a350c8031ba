"""Bounds and evidence: what a set of log-weights says about log p(x)."""

from elbo_lab.bounds.elbo import joint_entropy, log_weight, reconstruction_kl
from elbo_lab.bounds.evidence import importance_evidence, prior_evidence

__all__ = [
    "importance_evidence",
    "joint_entropy",
    "log_weight",
    "prior_evidence",
    "reconstruction_kl",
]
