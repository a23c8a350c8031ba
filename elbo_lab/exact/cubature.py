"""Also a first rung, for a Gaussian q with full covariance: 2 K points, exact for a quadratic log-joint.

    E f(m + L eps) = (1 / 2 K) sum_k [f(m + sqrt(K) L e_k) + f(m - sqrt(K) L e_k)],   eps ~ N(0, I_K)

holds for every polynomial of degree three or less: both sides agree on 1 and eps_k^2 and, by symmetry, on all
odd and mixed terms (a third-degree rule; Stroud 1971). log p(x, z) of a linear Gaussian model has degree two
in z, and so have its derivatives in theta and the score of a Gaussian.
"""

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions import FullGaussian
from elbo_lab.distributions.base import Family
from elbo_lab.exact.answer import Expectation, without_error
from elbo_lab.models.base import Model

RUNG = "closed-form"


def applies(model: Model, family: Family | None = None) -> bool:
    """Whether q has full covariance and the log-joint is quadratic in z."""
    return isinstance(family, FullGaussian) and model.quadratic


def noise_points(n_latent: int) -> Floats:
    """Return the 2 K points of the rule as noise (2 K, 1, K); their weights are equal."""
    axes = np.sqrt(n_latent) * np.eye(n_latent)
    return np.concatenate([axes, -axes])[:, None, :]


def expected_log_joint(
    model: Model, theta: Floats, x: Floats, family: Family, eta: Floats
) -> tuple[Floats, Floats]:
    """Return E_q log p(x, z) (N,) and its error (N,), which is zero."""
    z = family.sample(eta, noise_points(family.size))
    value = model.log_joint(theta, x, z).mean(axis=0)
    return value, np.zeros_like(value)


def expectation(model: Model, theta: Floats, x: Floats, family: Family, eta: Floats) -> Expectation:
    """Return E_q log p(x, z) and its gradients."""
    noise = noise_points(family.size)
    z = family.sample(eta, noise)
    grad_theta, grad_z = model.log_joint_vjp(theta, x, z, np.full(z.shape[:2], 1.0 / (len(z) * len(x))))
    assert grad_z is not None  # z is continuous
    value, _ = expected_log_joint(model, theta, x, family, eta)
    return without_error(Expectation, RUNG, value, grad_theta, family.sample_vjp(eta, noise, grad_z))


def expected_score(p_family: Family, p_eta: Floats, family: Family, eta: Floats) -> Floats:
    """Return E_p d log q(z; eta) / d eta (N, E) for a Gaussian p and a Gaussian q."""
    z = p_family.sample(p_eta, noise_points(family.size))
    return family.score(eta, z).mean(axis=0)
