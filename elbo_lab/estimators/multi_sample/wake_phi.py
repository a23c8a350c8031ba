"""The wake-phase update of q in reweighted wake-sleep.

    -d KL(p(z | x) || q)/d eta = E_{p(z | x)}[h(z)] ~= sum_k v_k h_k,   v_k = w_k / sum_l w_l,  z_k ~ q

with h the score of q (Bornschein and Bengio 2015; Le et al. 2019, there "wake-phase phi"). It does not
follow a bound on log p(x) but the other KL: q is to cover the posterior. Helps: no baseline, no path,
discrete z, and more draws lower bias and variance alike. Fails: self-normalised, hence biased by order 1/K
(at one draw it is a score alone, of mean zero), and where q misses a mode no weight ever points there.
"""

from elbo_lab.estimators.multi_sample.coupled_score import CoupledScore
from elbo_lab.special import softmax


class WakePhi(CoupledScore):
    """Normalised weights times scores."""

    name = "wake-phi"
    target = "grad-phi-inclusive-kl"
    unbiased = False
    summary = "reweighted wake-sleep: self-normalised weights times the score of q; biased"

    def signal(self, log_w):
        return softmax(log_w, axis=-2)
