"""The doubly reparameterised gradient of the importance-weighted bound (DReG).

    d/d eta E[log (1/K) sum_k w_k] = E_eps[sum_k v_k^2 d log w(z_k)/dz_k dz_k/d eta],   v_k = w_k / sum_l w_l

(Tucker et al. 2019.) The total derivative has the term -sum_k v_k h_k, h_k the score of q; it is
a score function whose f is v_k, and is reparameterised a second time:
E[v_k h_k] = E[dv_k/dz_k dz_k/d eta] = E[(v_k - v_k^2) d log w(z_k)/dz_k dz_k/d eta].
Helps: no variance at all at the exact posterior, and a signal-to-noise ratio that grows as sqrt(K). At one
draw it is "sticking the landing" (Roeder et al. 2017). Fails where z has no path, and far from the posterior
it need not beat the plain derivative.
"""

from elbo_lab.estimators.multi_sample.coupled_path import CoupledPath
from elbo_lab.special import softmax


class Dreg(CoupledPath):
    """Slopes along the paths, weighted by the squares of the normalised weights."""

    name = "dreg"
    target = "grad-phi-iwae"
    summary = "doubly reparameterised: squared weights times the slopes along the paths"

    def factors(self, log_w):
        return softmax(log_w, axis=-2) ** 2
