"""Estimates of the evidence log p(x) from draws.

    p(x) = E_{p(z)}[p(x | z)] = E_{q(z)}[p(x, z) / q(z)]

The averages are unbiased for p(x). Their logarithm is not unbiased for log p(x): by Jensen's inequality
it is too low on average, by about Var(w) / (2 S E[w]^2) for S draws (Burda et al. 2016; Nowozin 2018,
eq. 7). From the prior the relative variance of the weights grows exponentially with the number of
latent dimensions, which is why sampling from the prior fails.

Each returns one value per datum (..., N), in nats: the draws are coupled by the logarithm.
"""

from elbo_lab.arrays import Draws, Floats
from elbo_lab.bounds.elbo import log_weight
from elbo_lab.distributions.base import Family
from elbo_lab.models.base import Model
from elbo_lab.special import log_mean_exp


def prior_evidence(model: Model, theta: Floats, x: Floats, z: Draws) -> Floats:
    """Return log (1/S) sum_s p(x | z_s), z from the prior."""
    return log_mean_exp(model.log_likelihood(theta, x, z), axis=-2)


def importance_evidence(
    model: Model, theta: Floats, x: Floats, family: Family, eta: Floats, z: Draws
) -> Floats:
    """Return log (1/S) sum_s w_s, z from q."""
    return log_mean_exp(log_weight(model, theta, x, family, eta, z), axis=-2)
