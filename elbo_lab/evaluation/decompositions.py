"""The ELBO of each datum taken apart: three pairs of terms with one value.

    ELBO = log p(x) - KL(q || p(z | x))          evidence - gap
         = E_q log p(x | z) - KL(q || p(z))      reconstruction - rate
         = E_q log p(x, z) + H(q)                energy + entropy

(Jordan et al. 1999; Kingma and Welling 2014, eqs. 1 to 3.) The first shows why it is a bound, the second what
a code costs, the third why q does not collapse onto the best z. All terms are exact, from the ladder of
`exact` and the closed forms of the family of q.
"""

from dataclasses import dataclass

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions import Family
from elbo_lab.errors import NotApplicable, Reason, check_data
from elbo_lab.estimators import Problem
from elbo_lab.evaluation.encoding import encoded
from elbo_lab.exact import ladder
from elbo_lab.models import Model
from elbo_lab.threads import single_threaded_blas


@dataclass(frozen=True, eq=False)
class Decomposition:
    """Terms of the ELBO of each datum (N,), in nats.

    Attributes
    ----------
    log_p, kl_to_posterior : ndarray (N,)
    reconstruction, kl_to_prior : ndarray (N,)
    energy, entropy : ndarray (N,)
    error : ndarray (N,)
        Last changes of quadratures; zero on other rungs.
    """

    log_p: Floats
    kl_to_posterior: Floats
    reconstruction: Floats
    kl_to_prior: Floats
    energy: Floats
    entropy: Floats
    error: Floats

    @property
    def elbo(self) -> Floats:
        """The value (N,) of all three pairs."""
        return self.energy + self.entropy

    def beta_objective(self, beta: float) -> Floats:
        """Return E_q log p(x | z) - beta KL(q || p(z)) (N,): the ELBO for beta = 1, no bound below 1."""
        return self.reconstruction - beta * self.kl_to_prior

    def means(self) -> dict[str, float]:
        """Return the mean of every term over the data, by name."""
        terms = {name: values for name, values in vars(self).items() if name != "error"}
        return {name: float(values.mean()) for name, values in {"elbo": self.elbo, **terms}.items()}


def mean_kl_to_prior(problem: Problem) -> float:
    """Return the mean over rows of KL(q || p(z)), in closed form, in nats per datum.

    Raises
    ------
    NotApplicable
        If it has none.
    """
    model, posterior, theta, phi, x = problem
    model.check_prior()
    if not posterior.family.has_kl_to(model.family):
        pair = f"a {posterior.family.name} q and a {model.family.name} prior"
        raise NotApplicable(f"KL between {pair} has no closed form", Reason.NEEDS_CLOSED_KL)
    eta = encoded(posterior, phi, x)
    return float(posterior.family.kl_to(model.family, eta, model.prior_eta(theta)).mean())


def decompose(
    model: Model, theta: Floats, x: Floats, eta: Floats, family: Family | None = None
) -> Decomposition:
    """Return the Decomposition of the ELBO of each datum.

    Parameters
    ----------
    model : Model
    theta : ndarray (P,)
    x : ndarray (N, D)
    eta : ndarray (N, E)
        Of q.
    family : Family, optional
        Of q; the model's own if not given.

    Raises
    ------
    NotApplicable
        If log p(x) or E_q log p(x, z) is not exact for this model.
    """
    x, family = check_data(x, n_columns=model.n_columns), model.posterior_family if family is None else family
    with single_threaded_blas():
        log_p, log_p_error, _ = ladder.log_evidence(model, theta, x)
        energy, energy_error, _ = ladder.expected_log_joint(model, theta, x, eta, family)
    entropy = np.broadcast_to(family.entropy(eta), energy.shape)
    rate = np.broadcast_to(family.kl_to(model.family, eta, model.prior_eta(theta)), energy.shape)
    return Decomposition(
        log_p=log_p,
        kl_to_posterior=log_p - energy - entropy,
        # E_q log p(z) = -KL(q || p(z)) - H(q).
        reconstruction=energy + rate + entropy,
        kl_to_prior=rate,
        energy=energy,
        entropy=entropy,
        error=log_p_error + energy_error,
    )
