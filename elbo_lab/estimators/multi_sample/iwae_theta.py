"""The gradient of the importance-weighted bound in theta.

    d/d theta E[log (1/K) sum_k w_k] = E[sum_k v_k d log p(x, z_k)/d theta],   v_k = w_k / sum_l w_l,  z_k ~ q

(Burda et al. 2016, eqs. 13 and 14.) It is `importance-weighted`, number for number: what is a biased
estimate of the gradient of log p(x) is an unbiased one of the gradient of the bound. Better with more draws
in both senses: the bound comes nearer to log p(x), and the signal-to-noise ratio grows as sqrt(K)
(Rainforth et al. 2018, theorem 1).
"""

from elbo_lab.estimators.evidence.importance_weighted import ImportanceWeighted


class IwaeTheta(ImportanceWeighted):
    """Self-normalised average of the joint's gradient, held against the bound that it belongs to."""

    name = "iwae-theta"
    target = "grad-theta-iwae"
    unbiased = True
    summary = "the importance-weighted bound's own gradient: importance-weighted, another target"
