"""VIMCO: the bound itself as baseline, a draw's weight replaced by what the other draws say.

    g = sum_k (log Zhat - log Zhat_k - v_k) h_k
    Zhat_k = (1/K) (sum_{l != k} w_l + geometric mean of the w_l, l != k)

(Mnih and Rezende 2016; their estimate of the missing weight is the geometric mean.) Zhat_k does
not see draw k, hence unbiased. What is left of the signal is what draw k has added to the bound, of order 1/K
instead of log p(x). Works for discrete and continuous z. Fails at the landing: with q the posterior the
signal is -1/K and not zero.
"""

import numpy as np

from elbo_lab.estimators.multi_sample.coupled_score import CoupledScore, log_sum_of_others
from elbo_lab.special import log_sum_exp, softmax


class Vimco(CoupledScore):
    """Score function of the bound, baseline by the geometric mean of the other weights."""

    name = "vimco"
    target = "grad-phi-iwae"
    summary = "REINFORCE of log mean w, each draw's baseline from the others (geometric mean)"
    minimum_draws = 2

    def signal(self, log_w):
        geometric = (log_w.sum(axis=-2, keepdims=True) - log_w) / (log_w.shape[-2] - 1)
        replaced = np.logaddexp(log_sum_of_others(log_w), geometric)
        gained = log_sum_exp(log_w, axis=-2)[..., None, :] - replaced
        return gained - softmax(log_w, axis=-2)
