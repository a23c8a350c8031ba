"""OVIS~: the optimal baseline in the limit of many draws, without further draws.

    g = sum_k (log Zhat - v_k - c_k) h_k,   c_k = log Zhat_{-k} - gamma v_k + (1 - gamma) log (1 - 1/K)
      = sum_k [gamma log (1 - 1/K) - log (1 - v_k) - (1 - gamma) v_k] h_k

with Zhat_{-k} the mean of the other weights (Lievin et al. 2020, eq. 17). gamma = 0 is made for weights of
which one dominates: the signal is -log (1 - v_k) - v_k, nearly v_k^2 / 2, and c_k sees only the other draws:
unbiased. gamma = 1 is made for nearly equal weights: c_k contains v_k, which takes the term -v_k h_k out of
the gradient altogether. That is biased, however many draws there are (its mean is the gradient of the bound
plus that of `wake-phi`), and has no variance at the exact posterior.
"""

import math
from dataclasses import dataclass

from elbo_lab.errors import bad_value
from elbo_lab.estimators.multi_sample.coupled_score import CoupledScore, log_sum_of_others
from elbo_lab.special import log_sum_exp, softmax


@dataclass(frozen=True)
class OvisTilde(CoupledScore):
    """Score function of the bound, asymptotically optimal baseline.

    Parameters
    ----------
    gamma : float
        Between 0 (unbiased) and 1.
    """

    gamma: float
    target = "grad-phi-iwae"
    minimum_draws = 2

    def __post_init__(self):
        if not 0.0 <= self.gamma <= 1.0:
            raise bad_value("gamma", "a number between 0 and 1", self.gamma)

    @property
    def name(self):
        return f"ovis-tilde-{self.gamma:g}"

    @property
    def unbiased(self):
        return self.gamma == 0.0

    @property
    def summary(self):
        verdict = "unbiased" if self.gamma == 0.0 else "biased"
        return f"REINFORCE of log mean w, baseline optimal for many draws, gamma = {self.gamma:g}; {verdict}"

    def signal(self, log_w):
        log_left = log_sum_of_others(log_w) - log_sum_exp(log_w, axis=-2)[..., None, :]
        constant = self.gamma * math.log1p(-1.0 / log_w.shape[-2])
        return constant - log_left - (1.0 - self.gamma) * softmax(log_w, axis=-2)
