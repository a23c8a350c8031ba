"""The ladder of exactness: closed form, else enumeration, else quadrature, else a long run."""

from elbo_lab.exact.answer import Evidence, Expectation
from elbo_lab.exact.ladder import evidence, expectation, expected_log_joint, log_evidence

__all__ = ["Evidence", "Expectation", "evidence", "expectation", "expected_log_joint", "log_evidence"]
