"""Second rung: sum over every value of a categorical z.

log p(x) = log sum_k p(x, z = k),          gradient: posterior average of the joint's gradient
E_q log p(x, z) = sum_k q_k log p(x, k),   d/d eta = sum_k q_k score_k log p(x, k)
"""

import numpy as np

from elbo_lab.exact.answer import Evidence, Expectation, without_error
from elbo_lab.special import log_sum_exp, softmax

RUNG = "enumeration"


def applies(model):
    """Whether the latent is categorical."""
    return model.family.discrete


def all_categories(model, x):
    """Return every category as a draw (K, N)."""
    categories = np.arange(model.family.size)[:, None]
    return np.broadcast_to(categories, (model.family.size, len(x)))


def _log_joint(model, theta, x):
    """Return every category as a draw (K, N), and log p(x, z) there (K, N)."""
    z = all_categories(model, x)
    return z, model.log_joint(theta, x, z)


def _under_q(model, eta, z, log_joint):
    """Return q (K, N) and E_q log p(x, z) (N,)."""
    q = np.exp(model.family.log_prob(eta, z))
    return q, (q * log_joint).sum(axis=0)


def log_evidence(model, theta, x):
    """Return log p(x) (N,) and its error (N,), which is zero."""
    value = log_sum_exp(_log_joint(model, theta, x)[1], axis=0)
    return value, np.zeros_like(value)


def expected_log_joint(model, theta, x, eta):
    """Return E_q log p(x, z) (N,) and its error (N,), which is zero."""
    value = _under_q(model, eta, *_log_joint(model, theta, x))[1]
    return value, np.zeros_like(value)


def evidence(model, theta, x):
    """Return log p(x) and its gradient."""
    z, log_joint = _log_joint(model, theta, x)
    posterior = softmax(log_joint, axis=0)
    grad_theta, _ = model.log_joint_vjp(theta, x, z, posterior / len(x))
    return without_error(Evidence, RUNG, log_sum_exp(log_joint, axis=0), grad_theta)


def expectation(model, theta, x, eta):
    """Return E_q log p(x, z) and its gradients."""
    z, log_joint = _log_joint(model, theta, x)
    q, value = _under_q(model, eta, z, log_joint)
    grad_theta, _ = model.log_joint_vjp(theta, x, z, q / len(x))
    grad_eta = model.family.log_prob_vjp(eta, z, q * log_joint) / len(x)
    return without_error(Expectation, RUNG, value, grad_theta, grad_eta)
