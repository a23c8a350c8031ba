"""OVIS: the expected signal of a draw, given all others, as its baseline (Lievin et al. 2020).

    g = sum_k (d_k - c_k) h_k,   d_k = log Zhat - v_k

in the notation of the score-function gradients (`score`). The baseline c_k of least variance is the
expectation of d_k over draw k, estimated by further draws (`ovis-mc`), or derived in the limit of many draws
(`ovis-tilde`).
"""

import math
from dataclasses import dataclass

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions import NoiseSpec
from elbo_lab.distributions.base import Family
from elbo_lab.errors import bad_value, check_count
from elbo_lab.estimators.iwae_gradients.score import CoupledScore, log_sum_of_others
from elbo_lab.special import log_sum_exp, softmax

__all__ = ["OvisMonteCarlo", "OvisTilde"]


@dataclass(frozen=True)
class OvisMonteCarlo(CoupledScore):
    """OVIS-MC: score function of the bound, the expected signal of a draw estimated by further draws.

        g = sum_k (d_k - c_k) h_k,   d_k = log Zhat - v_k
        c_k = (1/A) sum_a d_k with z_k replaced by a further draw z_a ~ q

    (Lievin et al. 2020, eq. 12.) c_k does not see draw k: unbiased for any number A of further draws. They
    serve all baselines but enter no bound, so that one estimate costs S + A evaluations of the model. Helps:
    the signal of every draw is centred given the others, and at the exact posterior the noise is zero, where
    that of VIMCO is not. Fails: by its price, also in memory: S x A numbers per datum.

    Parameters
    ----------
    further : int
        A, draws in addition to the S of the bound.
    """

    further: int
    synonyms = ("ovis-mc",)
    target = "grad-phi-iwae"
    summary = "REINFORCE of log mean w, baseline: the signal with further draws in a draw's place"
    minimum_draws = 2

    def __post_init__(self) -> None:
        check_count("further", self.further)

    @property
    def name(self) -> str:
        return f"ovis-mc-{self.further}"

    @property
    def title(self) -> str:
        return f"OVIS-MC, {self.further} further draws"

    def noise_spec(self, family: Family, n_draws: int, n_data: int) -> NoiseSpec:
        return family.noise_spec(n_draws + self.further, n_data)

    def evaluations(self, n_draws: int, family: Family) -> int:  # noqa: ARG002
        return n_draws + self.further

    def signal(self, log_w: Floats) -> Floats:
        bound, further = log_w[..., : -self.further, :], log_w[..., -self.further :, :]
        log_total = log_sum_exp(bound, axis=-2)[..., None, :]
        # (..., A, S, N): the sum with draw k replaced by the further draw a.
        replaced = np.logaddexp(log_sum_of_others(bound)[..., None, :, :], further[..., :, None, :])
        shares = np.exp(further[..., :, None, :] - replaced)
        return log_total - softmax(bound, axis=-2) - (replaced - shares).mean(axis=-3)


@dataclass(frozen=True)
class OvisTilde(CoupledScore):
    """OVIS~: score function of the bound, the optimal baseline in the limit of many draws.

        g = sum_k (log Zhat - v_k - c_k) h_k,   c_k = log Zhat_{-k} - gamma v_k + (1 - gamma) log (1 - 1/K)
          = sum_k [gamma log (1 - 1/K) - log (1 - v_k) - (1 - gamma) v_k] h_k

    with Zhat_{-k} the mean of the other weights (Lievin et al. 2020, eq. 17), without further draws.
    gamma = 0 is meant for weights of which one dominates: the signal is -log (1 - v_k) - v_k, nearly
    v_k^2 / 2, and c_k sees only the other draws: unbiased. gamma = 1 is meant for nearly equal weights: c_k
    contains v_k, which removes the term -v_k h_k from the gradient. That is biased, however many
    draws there are (its mean is the gradient of the bound plus that of `wake-phi`), and has no variance at
    the exact posterior.

    Helps: with gamma = 0 the signal-to-noise ratio grows with the draws, at no further price. Fails: gamma =
    1 by its bias; gamma = 0 keeps some noise at the exact posterior.

    Parameters
    ----------
    gamma : float
        Between 0 (unbiased) and 1.
    """

    gamma: float
    synonyms = ("ovis-tilde", "ovis~")
    target = "grad-phi-iwae"
    minimum_draws = 2

    def __post_init__(self) -> None:
        if not 0.0 <= self.gamma <= 1.0:
            raise bad_value("gamma", "a number between 0 and 1", self.gamma)

    @property
    def name(self) -> str:
        return f"ovis-tilde-{self.gamma:g}"

    @property
    def title(self) -> str:
        return f"OVIS~, gamma = {self.gamma:g}"

    @property
    def unbiased(self) -> bool:
        return self.gamma == 0.0

    @property
    def summary(self) -> str:
        verdict = "unbiased" if self.unbiased else "biased"
        return f"REINFORCE of log mean w, baseline optimal for many draws, gamma = {self.gamma:g}; {verdict}"

    def signal(self, log_w: Floats) -> Floats:
        log_left = log_sum_of_others(log_w) - log_sum_exp(log_w, axis=-2)[..., None, :]
        constant = self.gamma * math.log1p(-1.0 / log_w.shape[-2])
        return constant - log_left - (1.0 - self.gamma) * softmax(log_w, axis=-2)
