"""DisARM: what ARM says once only the outcomes of the pair are known.

    g_k = E[ARM_k | z, z'] = 1/2 [f(z) - f(z')] (z_k - z'_k) sigmoid(|l_k|)

(Dong, Mnih and Tucker 2020, section 3, there with the sign as a power of -1; at the same time as U2G by
Yin et al. 2020.) Given that the pair differs in bit k with z_k = 1, u_k is uniform below sigmoid(-|l_k|), so
that u_k - 1/2 is -sigmoid(|l_k|) / 2 in mean; where it agrees the mean is zero. By Rao and Blackwell the
variance is at most that of `arm`. A draw is a pair, two evaluations of f.
"""

import numpy as np

from elbo_lab.estimators.base import NO_STATE
from elbo_lab.estimators.discrete.arm import antithetic_pair
from elbo_lab.estimators.discrete.bit_estimator import BitEstimator, mean_gradient
from elbo_lab.special import sigmoid


class DisARM(BitEstimator):
    """Rao-Blackwellised ARM."""

    name = "disarm"
    summary = "ARM with the noise beside the outcomes integrated (U2G); two evaluations per draw"

    def estimate(self, problem, noise, state=NO_STATE):
        model, posterior, theta, phi, x = problem
        eta = posterior.eta(phi, x)
        z, other, f, f_other = antithetic_pair(model, theta, x, posterior.family, eta, noise)
        grad_eta = 0.5 * (f - f_other)[..., None] * (z - other) * sigmoid(np.abs(eta))
        return mean_gradient(posterior, phi, x, grad_eta), state
