"""The wake-phase update of q, reparameterised.

    g = sum_k (v_k - v_k^2) d log w(z_k)/dz_k dz_k/d eta,   v_k = w_k / sum_l w_l

(Tucker et al. 2019, there "RWS-DReG".) It has the mean of `wake-phi`, since
E[v_k h_k] = E[dv_k/dz_k dz_k/d eta], and so the same bias of order 1/K; at the exact posterior it has no
variance, where `wake-phi` keeps that of a mean of scores. Needs a path; zero at one draw.
"""

from elbo_lab.estimators.multi_sample.coupled_path import CoupledPath
from elbo_lab.special import softmax


class WakePhiDreg(CoupledPath):
    """Slopes along the paths, weighted by v - v^2."""

    name = "wake-phi-dreg"
    target = "grad-phi-inclusive-kl"
    unbiased = False
    summary = "wake-phi reparameterised: same bias, no noise at the exact posterior"
    minimum_draws = 2

    def factors(self, log_w):
        weights = softmax(log_w, axis=-2)
        return weights * (1.0 - weights)
