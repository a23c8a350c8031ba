"""Exact answers on a ladder: closed form, else enumeration, else quadrature, else a long run."""

from elbo_lab.exact.answer import Answer, Bound, Evidence, Expectation
from elbo_lab.exact.inclusive import inclusive_gradient
from elbo_lab.exact.ladder import evidence, expectation, expected_log_joint, importance_weighted_bound
from elbo_lab.exact.problem import Problem
from elbo_lab.exact.quantities import Gradients, elbo, gradients, kl, log_evidence

__all__ = [
    "Answer",
    "Bound",
    "Evidence",
    "Expectation",
    "Gradients",
    "Problem",
    "elbo",
    "evidence",
    "expectation",
    "expected_log_joint",
    "gradients",
    "importance_weighted_bound",
    "inclusive_gradient",
    "kl",
    "log_evidence",
]
