"""The ELBO in its three forms.

For any q,   log p(x) = E_q[log p(x, z) - log q(z)] + KL(q || p(z | x)),   so the first term, the
evidence lower bound, is at most log p(x), with equality at the exact posterior (Jordan et al. 1999;
Bishop 2006, eqs. 9.70 to 9.72). It can be written

    E_q[log p(x | z)] - KL(q || p(z))      reconstruction - KL   (Kingma and Welling 2014, eq. 3)
    E_q[log p(x, z)] + H(q)                energy + entropy
    E_q[log p(x, z) - log q(z)]            log-weight            (their eq. 2)

Three estimators of one number: the more is integrated in closed form, the less is left to the draws;
but only the log-weight has no variance at the exact posterior.

Each returns one value per draw and datum (..., S, N), in nats; averaging over S is unbiased. `family` is
that of q, and `eta` (N, E) its parameters.
"""

from elbo_lab.arrays import Draws, Floats
from elbo_lab.distributions.base import Family
from elbo_lab.models.base import Model


def reconstruction_kl(
    model: Model, theta: Floats, x: Floats, family: Family, eta: Floats, z: Draws
) -> Floats:
    """Return log p(x | z) - KL(q || p(z)), the KL in closed form."""
    kl = family.kl_to(model.family, eta, model.prior_eta(theta))
    return model.log_likelihood(theta, x, z) - kl


def joint_entropy(model: Model, theta: Floats, x: Floats, family: Family, eta: Floats, z: Draws) -> Floats:
    """Return log p(x, z) + H(q), the entropy in closed form."""
    return model.log_joint(theta, x, z) + family.entropy(eta)


def log_weight(model: Model, theta: Floats, x: Floats, family: Family, eta: Floats, z: Draws) -> Floats:
    """Return log w = log p(x, z) - log q(z), fully sampled."""
    return model.log_joint(theta, x, z) - family.log_prob(eta, z)
