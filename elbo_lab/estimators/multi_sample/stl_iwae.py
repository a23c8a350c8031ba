"""The plain "sticking the landing" of the importance-weighted bound: right at one draw only.

    g = sum_k v_k d log w(z_k)/dz_k dz_k/d eta,   v_k = w_k / sum_l w_l

(Roeder et al. 2017; shown to be biased by Tucker et al. 2019.) The pathwise gradient without its score term.
For one draw the dropped term has expectation zero; for several it is -sum_k v_k h_k, and v_k sees its own
draw. It is the sum of `dreg` and `wake-phi-dreg`: the gradient of the bound plus a step of the wake phase.
Kept as the biased neighbour of `dreg`; no variance at the exact posterior either.
"""

from elbo_lab.estimators.multi_sample.coupled_path import CoupledPath
from elbo_lab.special import softmax


class StlIwae(CoupledPath):
    """Slopes along the paths, weighted by the normalised weights."""

    name = "stl-iwae"
    target = "grad-phi-iwae"
    unbiased = False
    summary = "iwae-reparameterization without its score term; biased from two draws on"

    def factors(self, log_w):
        return softmax(log_w, axis=-2)
