"""First rung: the model's own formulas."""

import numpy as np

from elbo_lab.exact.answer import Evidence, Expectation, without_error
from elbo_lab.models import ClosedForm

RUNG = "closed-form"


def applies(model, family=None):
    """Whether the model has formulas for its evidence and, if a family is given, for those under it."""
    return isinstance(model, ClosedForm) and family in (None, model.family)


def log_evidence(model, theta, x):
    """Return log p(x) (N,) and its error (N,), which is zero."""
    value = model.log_evidence(theta, x)
    return value, np.zeros_like(value)


def expected_log_joint(model, theta, x, family, eta):  # noqa: ARG001 - that of the formulas
    """Return E_q log p(x, z) (N,) and its error (N,), which is zero."""
    value = model.expected_log_joint(theta, x, eta)
    return value, np.zeros_like(value)


def evidence(model, theta, x):
    """Return log p(x) and its gradient."""
    weights = np.full(len(x), 1.0 / len(x))
    value, _ = log_evidence(model, theta, x)
    return without_error(Evidence, RUNG, value, model.log_evidence_grad(theta, x, weights))


def expectation(model, theta, x, family, eta):
    """Return E_q log p(x, z) and its gradients."""
    weights = np.full(len(x), 1.0 / len(x))
    value, _ = expected_log_joint(model, theta, x, family, eta)
    gradients = model.expected_log_joint_vjp(theta, x, eta, weights)
    return without_error(Expectation, RUNG, value, *gradients)
