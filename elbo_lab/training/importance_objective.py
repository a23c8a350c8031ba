"""The importance-weighted autoencoder: the bound of K draws as the objective of stochastic ascent.

    L_K = E[log (1/K) sum_k w_k],     ELBO = L_1 <= L_K <= L_{K+1} <= log p(x)

(Burda et al. 2016, section 3.) Climbing L_K fits theta to something nearer to log p(x), and asks less of q,
which then keeps more latents in use. It costs K passes through the decoder, and the plain gradient in phi
loses its signal as K grows (Rainforth et al. 2018): `dreg` may drive phi instead.
"""

from dataclasses import dataclass

from elbo_lab.estimators import ImportanceWeightedBound, IwaeReparameterization, IwaeTheta
from elbo_lab.estimators.passes import coupled_pass
from elbo_lab.training.objectives import ElboObjective


@dataclass(frozen=True, eq=False)
class ImportanceWeightedObjective(ElboObjective):
    """The bound of `draws` draws of a latent-variable model with a variational posterior.

    Parameters
    ----------
    theta_estimator, phi_estimator : Estimator
        Of `grad-theta-iwae` and `grad-phi-iwae`.
    draws : int
        K, all in one bound.

    The others are those of `ElboObjective`.
    """

    theta_estimator: object = IwaeTheta()
    phi_estimator: object = IwaeReparameterization()
    value_key = "iwae"
    bound = ImportanceWeightedBound()
    pair = (IwaeTheta, IwaeReparameterization)
    pass_of_pair = staticmethod(coupled_pass)

    def _targets(self):
        return ((self.theta_estimator, "grad-theta-iwae"), (self.phi_estimator, "grad-phi-iwae"))
