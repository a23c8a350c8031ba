"""Active units: the latent dimensions that an encoder uses.

    A_k = Var_x( E_{q(z | x)}[z_k] ) > 0.01

(Burda et al. 2016, section 5). A dimension whose mean is the same for all data carries nothing about x:
there the posterior has collapsed, q(z_k | x) = p(z_k), at no cost in KL. The variances of a trained model
fall into two groups, far above and far below the threshold, so that its value matters little.
"""

from dataclasses import dataclass

from elbo_lab.arrays import Floats
from elbo_lab.errors import NotApplicable, check_data, check_positive
from elbo_lab.evaluation.encoding import encoded
from elbo_lab.posteriors import Posterior


@dataclass(frozen=True, eq=False)
class ActiveUnits:
    """Which latent dimensions are used.

    Attributes
    ----------
    variance : ndarray (K,)
        Of the mean of q over the data (divided by N).
    active : ndarray of bool (K,)
    """

    variance: Floats
    active: Floats

    @property
    def count(self) -> int:
        """How many are active."""
        return int(self.active.sum())


def active_units(posterior: Posterior, phi: Floats, x: Floats, threshold: float = 0.01) -> ActiveUnits:
    """Return the ActiveUnits of a Gaussian q on the data x (N, D).

    Parameters
    ----------
    posterior : Posterior
    phi : ndarray (P,)
    x : ndarray (N, D)
    threshold : float
        In squared units of the prior's standard deviation.
    """
    if posterior.family.discrete:
        raise NotApplicable("active units are counted for Gaussian latents; a category is one unit")
    threshold = check_positive("threshold", threshold)
    means, _ = posterior.family.moments(encoded(posterior, phi, check_data(x)))
    variance = means.var(axis=0)
    return ActiveUnits(variance, variance > threshold)
