"""Bounds and estimates of log p(x) from a set of log-weights."""

from elbo_lab.bounds.elbo import joint_entropy, log_weight, reconstruction_kl
from elbo_lab.bounds.evidence import importance_evidence, prior_evidence
from elbo_lab.bounds.grouped import combined_bound, group_of, grouped_bound
from elbo_lab.bounds.jackknife import jackknife_evidence
from elbo_lab.bounds.renyi import chi_square_estimate, exact_chi_square_bound, exact_renyi_bound, renyi_bound

BOUNDS = (
    log_weight,
    reconstruction_kl,
    joint_entropy,
    importance_evidence,
    prior_evidence,
    grouped_bound,
    combined_bound,
    jackknife_evidence,
    renyi_bound,
    chi_square_estimate,
)

__all__ = [
    "BOUNDS",
    "chi_square_estimate",
    "combined_bound",
    "exact_chi_square_bound",
    "exact_renyi_bound",
    "group_of",
    "grouped_bound",
    "importance_evidence",
    "jackknife_evidence",
    "joint_entropy",
    "log_weight",
    "prior_evidence",
    "reconstruction_kl",
    "renyi_bound",
]
