"""Second rung: sum over every value of a discrete z.

log p(x) = log sum_k p(x, z = k),          gradient: posterior average of the joint's gradient
E_q log p(x, z) = sum_k q_k log p(x, k),   d/d eta = sum_k q_k score_k log p(x, k)
"""

import numpy as np

from elbo_lab.arrays import Draws, Floats
from elbo_lab.distributions.base import Family
from elbo_lab.distributions.independent_bernoulli import MOST_BITS
from elbo_lab.exact.answer import Evidence, Expectation, without_error
from elbo_lab.models.base import Model
from elbo_lab.special import log_sum_exp, softmax

RUNG = "enumeration"


def applies(model: Model, family: Family | None = None) -> bool:  # noqa: ARG001 - a discrete model has one kind of q
    """Whether the latent takes finitely many values, and few enough to list them."""
    return model.family.discrete and model.family.n_values <= 2**MOST_BITS


def all_values(family: Family, n_data: int) -> Draws:
    """Return every value of z as a draw: categories (G, N), or vectors (G, 1, K) that all data share."""
    values = family.values()[:, None]
    return values if family.event_axes else np.broadcast_to(values, (len(values), n_data))


def _log_joint(model: Model, theta: Floats, x: Floats) -> tuple[Draws, Floats]:
    """Return every value as a draw, and log p(x, z) there (G, N)."""
    z = all_values(model.family, len(x))
    return z, model.log_joint(theta, x, z)


def _under_q(family: Family, eta: Floats, z: Draws, log_joint: Floats) -> tuple[Floats, Floats]:
    """Return q (G, N) and E_q log p(x, z) (N,)."""
    q = np.exp(family.log_prob(eta, z))
    return q, (q * log_joint).sum(axis=0)


def log_evidence(model: Model, theta: Floats, x: Floats) -> tuple[Floats, Floats]:
    """Return log p(x) (N,) and its error (N,), which is zero."""
    value = log_sum_exp(_log_joint(model, theta, x)[1], axis=0)
    return value, np.zeros_like(value)


def expected_log_joint(
    model: Model, theta: Floats, x: Floats, family: Family, eta: Floats
) -> tuple[Floats, Floats]:
    """Return E_q log p(x, z) (N,) and its error (N,), which is zero."""
    value = _under_q(family, eta, *_log_joint(model, theta, x))[1]
    return value, np.zeros_like(value)


def evidence(model: Model, theta: Floats, x: Floats) -> Evidence:
    """Return log p(x) and its gradient."""
    z, log_joint = _log_joint(model, theta, x)
    posterior = softmax(log_joint, axis=0)
    grad_theta, _ = model.log_joint_vjp(theta, x, z, posterior / len(x))
    return without_error(Evidence, RUNG, log_sum_exp(log_joint, axis=0), grad_theta)


def expectation(model: Model, theta: Floats, x: Floats, family: Family, eta: Floats) -> Expectation:
    """Return E_q log p(x, z) and its gradients."""
    z, log_joint = _log_joint(model, theta, x)
    q, value = _under_q(family, eta, z, log_joint)
    grad_theta, _ = model.log_joint_vjp(theta, x, z, q / len(x))
    grad_eta = family.log_prob_vjp(eta, z, q * log_joint) / len(x)
    return without_error(Expectation, RUNG, value, grad_theta, grad_eta)
