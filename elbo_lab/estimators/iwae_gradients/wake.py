"""The wake-phase update of q in reweighted wake-sleep: the other KL.

    -d KL(p(z | x) || q)/d eta = E_{p(z | x)}[h(z)] ~= sum_k v_k h_k,   v_k = w_k / sum_l w_l,  z_k ~ q

with h the score of q (Bornschein and Bengio 2015; Le et al. 2019, there "wake-phase phi"). It does not
raise a bound on log p(x) but lowers the other KL: q is to cover the posterior. Both estimators are
self-normalised, hence biased by order 1/K; they have the same mean, by the score or along the path.
"""

from elbo_lab.arrays import Floats
from elbo_lab.estimators.iwae_gradients.path import CoupledPath
from elbo_lab.estimators.iwae_gradients.score import CoupledScore
from elbo_lab.special import softmax

__all__ = ["WakePhi", "WakePhiDreg"]


class WakePhi(CoupledScore):
    """Normalised weights times scores.

        -d KL(p(z | x) || q)/d eta ~= sum_k v_k h_k,   v_k = w_k / sum_l w_l,  z_k ~ q

    Helps: no baseline, no path, discrete z, and more draws lower bias and variance alike. Fails:
    self-normalised, hence biased by order 1/K (at one draw it is a score alone, of mean zero), and where q
    misses a mode no weight ever points there.
    """

    name = "wake-phi"
    title = "reweighted wake-sleep"
    synonyms = ("rws", "wake-phase-phi")
    target = "grad-phi-inclusive-kl"
    unbiased = False
    summary = "reweighted wake-sleep: self-normalised weights times the score of q; biased"

    def signal(self, log_w: Floats) -> Floats:
        return softmax(log_w, axis=-2)


class WakePhiDreg(CoupledPath):
    """The wake-phase update of q, reparameterised: slopes along the paths, weighted by v - v^2.

        g = sum_k (v_k - v_k^2) d log w(z_k)/dz_k dz_k/d eta,   v_k = w_k / sum_l w_l

    (Tucker et al. 2019, there "RWS-DReG".) It has the mean of `wake-phi`, since E[v_k h_k] = E[dv_k/dz_k
    dz_k/d eta], and so the same bias of order 1/K. Helps: at the exact posterior it has no variance, where
    `wake-phi` keeps that of a mean of scores. Fails: without a path; and at one draw, where it is zero.
    """

    name = "wake-phi-dreg"
    title = "reweighted wake-sleep, doubly reparameterized"
    synonyms = ("rws-dreg",)
    target = "grad-phi-inclusive-kl"
    unbiased = False
    summary = "wake-phi reparameterised: same bias, no noise at the exact posterior"
    minimum_draws = 2

    def factors(self, log_w: Floats) -> Floats:
        weights = softmax(log_w, axis=-2)
        return weights * (1.0 - weights)
