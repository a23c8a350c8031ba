"""The ladder of exactness: closed form, else enumeration, else quadrature, else a long run."""

from elbo_lab.exact.answer import Bound, Evidence, Expectation
from elbo_lab.exact.inclusive import inclusive_gradient
from elbo_lab.exact.ladder import (
    evidence,
    expectation,
    expected_log_joint,
    importance_weighted_bound,
    log_evidence,
)

__all__ = [
    "Bound",
    "Evidence",
    "Expectation",
    "evidence",
    "expectation",
    "expected_log_joint",
    "importance_weighted_bound",
    "inclusive_gradient",
    "log_evidence",
]
