"""The problem that an estimator is given: a model, a q, both parameter vectors and the data, in one tuple."""

from typing import NamedTuple

from elbo_lab.arrays import Floats
from elbo_lab.models.base import Model
from elbo_lab.posteriors.base import Posterior


class Problem(NamedTuple):
    """The arguments of an estimate; `model, posterior, theta, phi, x = problem` unpacks them.

    Attributes
    ----------
    model : Model
        log p_theta(x, z).
    posterior : Posterior
        q_phi(z | x). May be None where no q is needed: for log p(x) and its gradient.
    theta : ndarray (P_theta,)
        Parameters of the model.
    phi : ndarray (P_phi,)
        Variational parameters.
    x : ndarray (N, D)
        The rows over which estimates are means.
    """

    model: Model
    posterior: Posterior
    theta: Floats
    phi: Floats
    x: Floats
