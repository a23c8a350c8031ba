"""The pathwise gradient of the importance-weighted bound in phi.

    d/d eta E[log (1/K) sum_k w_k] = E_eps[sum_k v_k d/d eta log w(z(eta, eps_k); eta)], v_k = w_k / sum_l w_l

(Burda et al. 2016, eqs. 13 and 14; the total derivative: through z and through the parameters of log q.)
Helps: the tighter bound at the price of K passes. Fails as K grows: the gradient in phi goes to zero as 1/K
and its standard deviation only as K^(-1/2), so that the signal-to-noise ratio falls as K^(-1/2)
(Rainforth et al. 2018, theorem 1); `dreg` mends that.
"""

from elbo_lab.estimators.multi_sample.coupled_path import CoupledPath
from elbo_lab.special import softmax


class IwaeReparameterization(CoupledPath):
    """Total derivative of the log of the mean weight."""

    name = "iwae-reparameterization"
    target = "grad-phi-iwae"
    summary = "pathwise derivative of log mean w; its signal-to-noise ratio falls with the draws"

    def factors(self, log_w):
        return softmax(log_w, axis=-2)

    def through_parameters(self, family, eta, z, factors):
        return -family.log_prob_vjp(eta, z, factors)
