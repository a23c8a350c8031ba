"""The score-function gradient of the importance-weighted bound in phi, without a baseline.

    g = sum_k (log Zhat - v_k) h_k,   log Zhat = log (1/K) sum_l w_l,   v_k = w_k / sum_l w_l

(Mnih and Rezende 2016.) For discrete and continuous z alike. All K scores are multiplied by the
same log Zhat, of the size of log p(x): the noise grows with the number of draws, and the signal-to-noise
ratio falls. It is here to be improved upon (`vimco`, `ovis-mc`).
"""

from elbo_lab.estimators.multi_sample.coupled_score import CoupledScore
from elbo_lab.special import log_mean_exp, softmax


class IwaeScoreFunction(CoupledScore):
    """Log of the mean weight, less the draw's own share, times the score."""

    name = "iwae-score-function"
    target = "grad-phi-iwae"
    summary = "REINFORCE of log mean w, without a baseline"

    def signal(self, log_w):
        return log_mean_exp(log_w, axis=-2)[..., None, :] - softmax(log_w, axis=-2)
