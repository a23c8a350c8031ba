"""Also a first rung, for a quadratic log-joint and any q whose mean and covariance are known: 2 K points.

    E f(z) = (1 / 2 K) sum_k [f(m + sqrt(K) L e_k) + f(m - sqrt(K) L e_k)],   z of mean m and covariance L L^T

holds for every polynomial of degree two: both sides agree on 1, on z and on z z^T, and nothing else of q
enters it. For a Gaussian it holds up to degree three (a third-degree rule; Stroud 1971). log p(x, z) of a
linear Gaussian model has degree two in z, and so have its derivatives in theta and the score of a Gaussian.
Both sides are functions of m and L, so that the gradient in eta is that of the right side.

It needs a finite covariance: a Student t of two degrees of freedom or less has none, and the ELBO is then
minus infinity.
"""

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions.base import Family, MeanAndRoot
from elbo_lab.exact.answer import Expectation, without_error
from elbo_lab.exact.quadrature import ToleranceMissed
from elbo_lab.models.base import Model

RUNG = "closed-form"


def applies(model: Model, family: Family | None = None) -> bool:
    """Whether the covariance of q has a formula and the log-joint is quadratic in z."""
    return family is not None and family.has_covariance and model.quadratic


def noise_points(n_latent: int) -> Floats:
    """Return the 2 K points of the rule as noise (2 K, 1, K); their weights are equal."""
    axes = np.sqrt(n_latent) * np.eye(n_latent)
    return np.concatenate([axes, -axes])[:, None, :]


def points(family: Family, eta: Floats) -> tuple[Floats, MeanAndRoot]:
    """Return the 2 K points (2 K, N, K) under q, and what they were made from.

    Raises
    ------
    ToleranceMissed
        If q has no finite covariance: no rung has an answer then.
    """
    mean, root, _ = found = family.mean_and_root(eta)
    if not np.all(np.isfinite(root)):
        raise ToleranceMissed
    return mean + np.einsum("nij,snj->sni", root, noise_points(family.size)), found


def expected_log_joint(
    model: Model, theta: Floats, x: Floats, family: Family, eta: Floats
) -> tuple[Floats, Floats]:
    """Return E_q log p(x, z) (N,) and its error (N,), which is zero."""
    z, _ = points(family, eta)
    value = model.log_joint(theta, x, z).mean(axis=0)
    return value, np.zeros_like(value)


def expectation(model: Model, theta: Floats, x: Floats, family: Family, eta: Floats) -> Expectation:
    """Return E_q log p(x, z) and its gradients."""
    z, (_, _, pullback) = points(family, eta)
    grad_theta, grad_z = model.log_joint_vjp(theta, x, z, np.full(z.shape[:2], 1.0 / (len(z) * len(x))))
    assert grad_z is not None  # z is continuous
    value, _ = expected_log_joint(model, theta, x, family, eta)
    noise = np.broadcast_to(noise_points(family.size), grad_z.shape)
    by_root = np.einsum("sni,snj->nij", grad_z, noise)
    return without_error(Expectation, RUNG, value, grad_theta, pullback(grad_z.sum(axis=0), by_root))


def expected_score(p_family: Family, p_eta: Floats, family: Family, eta: Floats) -> Floats:
    """Return E_p d log q(z; eta) / d eta (N, E) for a Gaussian p and a Gaussian q."""
    z = p_family.sample(p_eta, noise_points(family.size))
    return family.score(eta, z).mean(axis=0)
