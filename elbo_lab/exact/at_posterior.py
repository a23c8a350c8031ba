"""Bounds of several draws where q is the exact posterior: nothing is left to integrate.

There every log-weight log p(x, z) - log p(z | x) equals log p(x), so that the bound is log p(x) for any
number of draws. The bound never lies above log p(x) and touches it here, so that its gradient in eta is
zero; by Fisher's identity E_q d/dtheta log p(x, z) = d/dtheta log p(x), its gradient in theta is that of
log p(x). Holds for models with formulas (`ClosedForm`), wherever q stands by chance or by intent.

Whether q is the posterior is told by the log-weights themselves, at a few points.
"""

import numpy as np

from elbo_lab.distributions import draw_noise
from elbo_lab.exact import closed_form
from elbo_lab.exact.answer import Bound, without_error

RUNG = closed_form.RUNG
# log w of a linear Gaussian model is quadratic in z: what is flat at random points is flat.
POINTS, SEED = 4, 0
# In nats, of the largest of 1 and |log p|: rounding.
FLAT = 1e-11


def applies(model, theta, x, family, eta):
    """Whether the model has formulas, and q of this family and eta (N, E) is its exact posterior."""
    if not closed_form.applies(model):
        return False
    noise = draw_noise(family.noise_spec(POINTS, len(x)), np.random.default_rng(SEED))
    z, exact = family.sample(eta, noise), model.log_evidence(theta, x)
    log_w = model.log_joint(theta, x, z) - family.log_prob(eta, z)
    return bool(np.all(np.abs(log_w - exact) <= FLAT * np.maximum(1.0, np.abs(exact))))


def importance_weighted_bound(model, theta, x, eta):
    """Return the Bound of any number of draws."""
    found = closed_form.evidence(model, theta, x)
    return without_error(Bound, RUNG, found.value, found.grad_theta, np.zeros(eta.shape))
