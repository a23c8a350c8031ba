"""The best theta and phi where the ELBO with a weighted KL is exact: no noise, no step size.

    L_beta = mean_n E_q[log p(x_n, z)] + H(q) + (1 - beta) KL(q || p(z)),   q = q_phi(z | x_n)

The expectation comes from the ladder (`elbo_lab.exact`): a formula for linear Gaussian models, a sum for
discrete z, quadrature for one or two latents. So what an ascent ends at is a property of the objective and of
the start, and not of the noise of a training.
"""

from collections.abc import Iterable

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.errors import NotApplicable, Reason
from elbo_lab.estimators.passes import kl_pass
from elbo_lab.exact import Problem, expectation
from elbo_lab.optimise.ascent import ascend
from elbo_lab.threads import single_threaded_blas


def exact_weighted_elbo(problem: Problem, beta: float = 1.0) -> tuple[float, Floats, Floats]:
    """Return the mean of L_beta in nats per datum, and its gradients in theta and phi.

    Parameters
    ----------
    problem : Problem
        With a q whose KL to the prior is closed.
    beta : float
        Weight of the KL; 1 for the ELBO.
    """
    model, posterior, theta, phi, x = problem
    family = posterior.family
    model.check_prior()
    if not family.has_kl_to(model.family):
        pair = f"a {family.name} q and a {model.family.name} prior"
        raise NotApplicable(f"KL between {pair} has no closed form", Reason.NEEDS_CLOSED_KL)
    eta, pull_eta = posterior.eta_and_pullback(phi, x)
    found = expectation(model, theta, x, eta, family)
    by_eta = found.grad_eta + family.entropy_grad(eta) / len(x)
    kl, kl_by_theta, kl_by_phi = kl_pass(problem)
    value = float((found.value + family.entropy(eta)).mean()) + (1.0 - beta) * kl
    by_theta = found.grad_theta + (1.0 - beta) * kl_by_theta
    return value, by_theta, pull_eta(by_eta) + (1.0 - beta) * kl_by_phi


def ascend_weighted_elbo(
    problem: Problem,
    beta: float = 1.0,
    held: Iterable[str] = (),
    max_iterations: int = 2000,
    tolerance: float = 1e-15,
) -> Problem:
    """Return the problem at the theta and phi to which L-BFGS climbs from its own.

    Parameters
    ----------
    problem : Problem
    beta : float
    held : iterable of str
        Parts of theta that stand still, as in `model.layout`: ("log_sigma",).
    max_iterations : int
    tolerance : float
        Relative rise of the objective at which it stops.
    """
    layout, size = problem.model.layout, problem.model.layout.size
    moves = np.ones(size + problem.posterior.layout.size)
    for name in held:
        layout.views(moves[:size])[name][...] = 0.0

    def at(vector: Floats) -> Problem:
        return problem._replace(theta=vector[:size], phi=vector[size:])

    def objective(vector: Floats) -> tuple[float, Floats]:
        value, *gradients = exact_weighted_elbo(at(vector), beta)
        return value, moves * np.concatenate(gradients)

    with single_threaded_blas():
        start = np.concatenate([problem.theta, problem.phi])
        return at(ascend(objective, start, max_iterations, tolerance))
