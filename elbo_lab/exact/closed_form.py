"""First rung: the formulas of the model.

They also give bounds of several draws where q is the exact posterior, since nothing is left to integrate
there: every log-weight log p(x, z) - log p(z | x) equals log p(x), so that the bound is log p(x) for any
number of draws. The bound is at most log p(x) and attains it here, so that its gradient in eta is zero; by
Fisher's identity E_q d/dtheta log p(x, z) = d/dtheta log p(x), its gradient in theta is that of log p(x).
Whether q is the posterior is decided by the log-weights themselves, at a few points.
"""

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions import draw_noise
from elbo_lab.distributions.base import Family
from elbo_lab.exact.answer import Bound, Evidence, Expectation, without_error
from elbo_lab.models import ClosedForm
from elbo_lab.models.base import Model

RUNG = "closed-form"
# log w of a linear Gaussian model is quadratic in z: if it is constant at random points, it is constant.
POINTS, SEED = 4, 0
# Of rounding, in nats, relative to the larger of 1 and |log p|.
ROUNDING = 1e-11


def applies(model: Model, family: Family | None = None) -> bool:
    """Whether the model has formulas for its evidence and, if a family is given, for those under it."""
    return isinstance(model, ClosedForm) and family in (None, model.family)


def log_evidence(model: ClosedForm, theta: Floats, x: Floats) -> tuple[Floats, Floats]:
    """Return log p(x) (N,) and its error (N,), which is zero."""
    value = model.log_evidence(theta, x)
    return value, np.zeros_like(value)


def expected_log_joint(
    model: ClosedForm,
    theta: Floats,
    x: Floats,
    family: Family,  # noqa: ARG001 - that of the formulas
    eta: Floats,
) -> tuple[Floats, Floats]:
    """Return E_q log p(x, z) (N,) and its error (N,), which is zero."""
    value = model.expected_log_joint(theta, x, eta)
    return value, np.zeros_like(value)


def evidence(model: ClosedForm, theta: Floats, x: Floats) -> Evidence:
    """Return log p(x) and its gradient."""
    weights = np.full(len(x), 1.0 / len(x))
    value, _ = log_evidence(model, theta, x)
    return without_error(Evidence, RUNG, value, model.log_evidence_grad(theta, x, weights))


def expectation(model: ClosedForm, theta: Floats, x: Floats, family: Family, eta: Floats) -> Expectation:
    """Return E_q log p(x, z) and its gradients."""
    weights = np.full(len(x), 1.0 / len(x))
    value, _ = expected_log_joint(model, theta, x, family, eta)
    gradients = model.expected_log_joint_vjp(theta, x, eta, weights)
    return without_error(Expectation, RUNG, value, *gradients)


def bound_at_posterior(model: Model, theta: Floats, x: Floats, family: Family, eta: Floats) -> Bound | None:
    """Return the Bound of any number of draws if q is the exact posterior, else None.

    It is if the model has formulas, and with q of this family and eta (N, E) all log-weights of a datum are
    equal to its log p(x).
    """
    if not isinstance(model, ClosedForm):
        return None
    noise = draw_noise(family.noise_spec(POINTS, len(x)), np.random.default_rng(SEED))
    z = family.sample(eta, noise)
    log_w = model.log_joint(theta, x, z) - family.log_prob(eta, z)
    log_p = model.log_evidence(theta, x)
    if not np.all(np.abs(log_w - log_p) <= ROUNDING * np.maximum(1.0, np.abs(log_p))):
        return None
    grad_theta = evidence(model, theta, x).grad_theta
    return without_error(Bound, RUNG, log_p, grad_theta, np.zeros(eta.shape))
