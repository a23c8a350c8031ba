"""The ELBO and its gradients where the model has kinks: differences of integrated values.

Under a decoder with kinks (relu) no quadrature of the ladder converges, and the exact answer would be a
long run with a relative error of 0.001. With one latent the value can still be integrated by bisection, to
1e-12, and it is smooth in theta and phi although the integrand is not. Its gradient is then a central
difference with one step of Richardson's extrapolation, which uses no derivative written by hand.
"""

from functools import partial

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.checking.integrals import bisected
from elbo_lab.checking.slopes import central_differences
from elbo_lab.estimators import Problem
from elbo_lab.exact import Answer

TOLERANCE = 1e-11
STEP = 2e-3


def applies(problem: Problem, target: str) -> bool:
    """Whether the target is the ELBO or a gradient of it, and z one number."""
    model = problem.model
    return target.endswith("elbo") and not model.family.discrete and model.latent_dim == 1


def elbo(problem: Problem) -> float:
    """Return the mean ELBO over the rows in nats: E log p(x, z) by bisection, and the entropy of q."""
    model, posterior, theta, phi, x = problem
    family, eta = posterior.family, posterior.eta(phi, x)

    def estimates(noise: Floats) -> Floats:
        return model.log_joint(theta, x, family.sample(eta, noise)).mean(axis=-1)

    found = bisected(estimates, family.noise_spec(1, len(x)), family, TOLERANCE)
    return float(found.mean[0] + family.entropy(eta).mean())


def answer(problem: Problem, target: str) -> Answer:
    """Return the mean ELBO (1,), or its gradient in theta or phi (P,), with an estimate of its error."""
    if target == "elbo":
        return Answer(np.array([elbo(problem)]), np.array([TOLERANCE]), "bisection")
    place = "theta" if target.startswith("grad-theta") else "phi"
    point = getattr(problem, place)
    value, error = np.zeros((2, len(point)))
    for i in range(len(point)):
        coarse, fine = central_differences(partial(_moved_elbo, problem, place, i), STEP)
        value[i] = fine + (fine - coarse) / 3.0
        error[i] = 0.1 * abs(fine - coarse) + TOLERANCE / STEP
    return Answer(value, error, "differences")


def _moved_elbo(problem: Problem, place: str, i: int, step: float) -> float:
    moved = getattr(problem, place).copy()
    moved[i] += step
    return elbo(problem._replace(**{place: moved}))
