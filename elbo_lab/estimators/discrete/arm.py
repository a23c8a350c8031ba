"""Antithetic pairs of noise for hidden bits: ARM, and DisARM, which integrates the remaining noise.

    z = [u < sigmoid(l)],   z' = [1 - u < sigmoid(l)]

A draw is a pair and takes two evaluations of f. A constant in f cancels in the difference, without any
baseline, and a pair that agrees contributes nothing (Yin and Zhou 2019; Dong, Mnih and Tucker 2020).

Both are about two values: 1 - u has the law of u, so that z and z' are draws of one law, and where they
differ one is the opposite of the other. Three categories have no opposite: their noise is a Dirichlet vector,
whose law no reflection keeps.
"""

import numpy as np

from elbo_lab.arrays import Draws, Floats
from elbo_lab.distributions.base import Family
from elbo_lab.estimators.base import NO_STATE, Estimate, log_weight_at, mean_gradient
from elbo_lab.estimators.discrete.bits import BitEstimator
from elbo_lab.exact.problem import Problem
from elbo_lab.special import sigmoid

__all__ = ["ARM", "DisARM"]


def antithetic_pair(problem: Problem, eta: Floats, noise: Floats) -> tuple[Draws, Draws, Floats, Floats]:
    """Return (z, z', f(z), f(z')) of the noise u and of 1 - u."""
    family = problem.posterior.family
    z = family.sample(eta, noise)
    z_antithetic = family.sample(eta, 1.0 - noise)
    return z, z_antithetic, log_weight_at(problem, eta, z), log_weight_at(problem, eta, z_antithetic)


class ARM(BitEstimator):
    """ARM: augment, REINFORCE, merge - the score of the uniform noise, on an antithetic pair.

        g_k = [f(z') - f(z)] (u_k - 1/2),   z = [u < sigmoid(l)],   z' = [1 - u < sigmoid(l)]

    (Yin and Zhou 2019, theorem 1.) Given the outcomes, the rest of u is noise: `disarm` integrates it.

    Helps: needs no slope and no baseline. Fails: with many bits: the difference f(z') - f(z) of the whole
    pair is the noise of each of them.
    """

    name = "arm"
    title = "ARM"
    synonyms = ("augment-reinforce-merge",)
    summary = "antithetic pair of noise u and 1 - u, times u - 1/2; two evaluations per draw"

    def evaluations(self, n_draws: int, family: Family) -> int:  # noqa: ARG002
        return 2 * n_draws

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        eta = problem.posterior.eta(problem.phi, problem.x)
        _, _, f, f_antithetic = antithetic_pair(problem, eta, noise)
        return mean_gradient(problem, (f_antithetic - f)[..., None] * (noise - 0.5)), state


class DisARM(BitEstimator):
    """DisARM: the expectation of ARM given the outcomes of the pair; Rao-Blackwellised ARM.

        g_k = E[ARM_k | z, z'] = 1/2 [f(z) - f(z')] (z_k - z'_k) sigmoid(|l_k|)

    (Dong, Mnih and Tucker 2020, section 3, there with the sign as a power of -1; at the same time as U2G by
    Yin et al. 2020.) Given that the pair differs in bit k with z_k = 1, u_k is uniform below sigmoid(-|l_k|),
    so that u_k - 1/2 has mean -sigmoid(|l_k|) / 2; where it agrees the mean is zero. By the theorem of Rao
    and Blackwell the variance is at most that of `arm`.

    Helps: costs what `arm` costs, and never has more variance. Fails: with many bits, as `arm` does.
    """

    name = "disarm"
    title = "DisARM"
    synonyms = ("u2g",)
    summary = "ARM with its noise integrated out given the outcomes (U2G); two evaluations per draw"

    def evaluations(self, n_draws: int, family: Family) -> int:  # noqa: ARG002
        return 2 * n_draws

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        eta = problem.posterior.eta(problem.phi, problem.x)
        z, z_antithetic, f, f_antithetic = antithetic_pair(problem, eta, noise)
        grad_eta = 0.5 * (f - f_antithetic)[..., None] * (z - z_antithetic) * sigmoid(np.abs(eta))
        return mean_gradient(problem, grad_eta), state
