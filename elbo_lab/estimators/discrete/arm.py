"""Antithetic pairs of noise for hidden bits: ARM, and what is left of it once the noise is integrated.

    z = [u < sigmoid(l)],   z' = [1 - u < sigmoid(l)]

A draw is a pair, two evaluations of f. The pair shares its level, so that a constant in f drops out without
any baseline, and where the pair agrees the draw says nothing (Yin and Zhou 2019; Dong, Mnih and Tucker 2020).
"""

import numpy as np

from elbo_lab.arrays import Draws, Floats
from elbo_lab.estimators.base import NO_STATE, Estimate, log_weight_at, mean_gradient
from elbo_lab.estimators.discrete.bits import BitEstimator
from elbo_lab.estimators.problem import Problem
from elbo_lab.special import sigmoid

__all__ = ["ARM", "DisARM"]


def antithetic_pair(problem: Problem, eta: Floats, noise: Floats) -> tuple[Draws, Draws, Floats, Floats]:
    """Return (z, z', f(z), f(z')) of the noise u and of 1 - u."""
    family = problem.posterior.family
    z, other = family.sample(eta, noise), family.sample(eta, 1.0 - noise)
    return z, other, log_weight_at(problem, eta, z), log_weight_at(problem, eta, other)


class ARM(BitEstimator):
    """ARM: augment, REINFORCE, merge - the score of the uniform noise, on an antithetic pair.

        g_k = [f(z') - f(z)] (u_k - 1/2),   z = [u < sigmoid(l)],   z' = [1 - u < sigmoid(l)]

    (Yin and Zhou 2019, theorem 1.) What is left of u beside the pair of outcomes is noise: `disarm`
    integrates it.
    """

    name = "arm"
    summary = "antithetic pair of noise u and 1 - u, times u - 1/2; two evaluations per draw"

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        eta = problem.posterior.eta(problem.phi, problem.x)
        _, _, f, f_other = antithetic_pair(problem, eta, noise)
        return mean_gradient(problem, (f_other - f)[..., None] * (noise - 0.5)), state


class DisARM(BitEstimator):
    """DisARM: what ARM says once only the outcomes of the pair are known; Rao-Blackwellised ARM.

        g_k = E[ARM_k | z, z'] = 1/2 [f(z) - f(z')] (z_k - z'_k) sigmoid(|l_k|)

    (Dong, Mnih and Tucker 2020, section 3, there with the sign as a power of -1; at the same time as U2G by
    Yin et al. 2020.) Given that the pair differs in bit k with z_k = 1, u_k is uniform below sigmoid(-|l_k|),
    so that u_k - 1/2 is -sigmoid(|l_k|) / 2 in mean; where it agrees the mean is zero. By Rao and Blackwell
    the variance is at most that of `arm`.
    """

    name = "disarm"
    summary = "ARM with the noise beside the outcomes integrated (U2G); two evaluations per draw"

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        eta = problem.posterior.eta(problem.phi, problem.x)
        z, other, f, f_other = antithetic_pair(problem, eta, noise)
        grad_eta = 0.5 * (f - f_other)[..., None] * (z - other) * sigmoid(np.abs(eta))
        return mean_gradient(problem, grad_eta), state
