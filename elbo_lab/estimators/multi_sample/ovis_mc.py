"""OVIS-MC: the expected signal of a draw, given all others, as its baseline; estimated by further draws.

    g = sum_k (d_k - c_k) h_k,   d_k = log Zhat - v_k
    c_k = (1/A) sum_a d_k with z_k replaced by a further draw z_a ~ q

(Lievin et al. 2020, eq. 12.) c_k does not see draw k: unbiased for any number A of further draws. They serve
all baselines but stand in no bound, so that one estimate costs S + A evaluations of the model. Helps: the
signal of every draw is centred given the others, and at the exact posterior the noise is zero, where that of
VIMCO is not. Memory S x A per datum.
"""

from dataclasses import dataclass

import numpy as np

from elbo_lab.errors import check_count
from elbo_lab.estimators.multi_sample.coupled_score import CoupledScore, log_sum_of_others
from elbo_lab.special import log_sum_exp, softmax


@dataclass(frozen=True)
class OvisMonteCarlo(CoupledScore):
    """Score function of the bound, baseline by further draws.

    Parameters
    ----------
    further : int
        A, draws beside the S of the bound.
    """

    further: int
    target = "grad-phi-iwae"
    summary = "REINFORCE of log mean w, baseline: the signal with further draws in a draw's place"
    minimum_draws = 2

    def __post_init__(self):
        check_count("further", self.further)

    @property
    def name(self):
        return f"ovis-mc-{self.further}"

    def noise_spec(self, family, n_draws, n_data):
        return family.noise_spec(n_draws + self.further, n_data)

    def signal(self, log_w):
        bound, further = log_w[..., : -self.further, :], log_w[..., -self.further :, :]
        log_total = log_sum_exp(bound, axis=-2)[..., None, :]
        # (..., A, S, N): the sum with draw k replaced by the further draw a.
        replaced = np.logaddexp(log_sum_of_others(bound)[..., None, :, :], further[..., :, None, :])
        shares = np.exp(further[..., :, None, :] - replaced)
        return log_total - softmax(bound, axis=-2) - (replaced - shares).mean(axis=-3)
