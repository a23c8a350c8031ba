"""The gradient in phi as a sum over every value of z.

    d/d eta E_q[f] = sum_z q(z) f(z) d log q(z)/d eta,   f = log p(x, z) - log q(z)

The score function with every value as a draw, weighted by its probability: no noise is left. It costs one
evaluation per value, C for a category and 2^K for K bits, which rules out models with many latents; on small
models it is the benchmark. (Titsias and Lazaro-Gredilla 2015 sum over one bit at a time and draw the others.)
"""

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions.base import Family
from elbo_lab.distributions.independent_bernoulli import MOST_BITS
from elbo_lab.estimators.base import NO_STATE, Estimate, Estimator, log_weight_at
from elbo_lab.exact.enumeration import all_values
from elbo_lab.exact.problem import Problem

__all__ = ["Enumeration"]


class Enumeration(Estimator):
    """Sum over all values; the noise is ignored.

    Helps: no noise at all: the benchmark of small models. Fails: with many latents, by its price.
    """

    name = "enumeration"
    title = "enumeration"
    target = "grad-phi-elbo"
    summary = "exact sum over every value of a discrete z; no variance, 2^K evaluations"
    latents = "discrete"
    most_values = 2**MOST_BITS

    def evaluations(self, n_draws: int, family: Family) -> int:  # noqa: ARG002
        return len(family.values())

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        posterior, phi, x = problem.posterior, problem.phi, problem.x
        family, eta = posterior.family, posterior.eta(phi, x)
        z = all_values(family, len(x))
        f = log_weight_at(problem, eta, z)
        q = np.exp(family.log_prob(eta, z))
        grad_phi = posterior.eta_vjp(phi, x, family.log_prob_vjp(eta, z, q * f) / len(x))
        lead = noise.shape[: noise.ndim - len(family.noise_spec(1, 1).shape)]
        return np.broadcast_to(grad_phi, (*lead, *grad_phi.shape)).copy(), state
