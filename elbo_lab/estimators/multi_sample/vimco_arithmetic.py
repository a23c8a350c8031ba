"""VIMCO with the arithmetic mean of the other weights in place of the missing one.

    g = sum_k (log Zhat - log Zhat_{-k} - v_k) h_k,   Zhat_{-k} = (1/(K-1)) sum_{l != k} w_l

(Mnih and Rezende 2016, the alternative to their geometric mean.) The baseline is the bound of
the other K - 1 draws, and log Zhat - log Zhat_{-k} = log (1 - 1/K) - log (1 - v_k). Unbiased for the same
reason; at two draws both means are of one weight, and the two estimators are one. A single large weight moves
the arithmetic mean more than the geometric one.
"""

import math

from elbo_lab.estimators.multi_sample.coupled_score import CoupledScore, log_sum_of_others
from elbo_lab.special import log_sum_exp, softmax


class VimcoArithmetic(CoupledScore):
    """Score function of the bound, the bound of the other draws as baseline."""

    name = "vimco-arithmetic"
    target = "grad-phi-iwae"
    summary = "REINFORCE of log mean w, the bound of the other draws as baseline"
    minimum_draws = 2

    def signal(self, log_w):
        log_left = log_sum_of_others(log_w) - log_sum_exp(log_w, axis=-2)[..., None, :]
        return math.log1p(-1.0 / log_w.shape[-2]) - log_left - softmax(log_w, axis=-2)
