"""Score function with the k most probable values summed exactly (Rao-Blackwellised).

    g = sum_{c in T} q(c) f(c) s(c) + q(not T) (1/S) sum_i f(z_i) s(z_i),   z_i ~ q given z not in T

T is the set of the k most probable values (Liu et al. 2019, section 3). The first part has no noise, the
second is scaled by the probability of the rest, which is at most (G - k) / G of G values.

It helps where q is peaked: most of the sum is then exact. It never has more variance than sampling all of it
with S draws, but it asks the model for S + k values instead of S. With q flat over many values little is
gained. With k = G nothing is left to chance, and with k = G - 1 neither, since the rest is one value.
"""

from dataclasses import dataclass

import numpy as np

from elbo_lab.bounds import log_weight
from elbo_lab.distributions.noise import NoiseSpec
from elbo_lab.errors import check_count
from elbo_lab.estimators.base import NO_STATE, Estimator
from elbo_lab.estimators.score.few_values import draw_number, log_table, refuse_many_values, without
from elbo_lab.special import log_sum_exp


@dataclass(frozen=True)
class ScoreFunctionTopCategories(Estimator):
    """Score function; the most probable values exactly, the rest by draws.

    Parameters
    ----------
    k : int
        How many values are summed; part of the name if it is not one.
    """

    k: int = 1
    target = "grad-phi-elbo"
    summary = "the most probable value exactly, REINFORCE for the rest"

    def __post_init__(self):
        check_count("k", self.k)

    @property
    def name(self):
        return "score-function-top-categories" + (f"-{self.k}" if self.k > 1 else "")

    def noise_spec(self, family, n_draws, n_data):  # noqa: ARG002
        """One uniform per draw: it picks among the rest."""
        return NoiseSpec("uniform", (n_draws, n_data))

    def check_pairing(self, model, posterior):
        super().check_pairing(model, posterior)
        refuse_many_values(posterior.family)

    def estimate(self, problem, noise, state=NO_STATE):
        model, posterior, theta, phi, x = problem
        family, eta = posterior.family, posterior.eta(phi, x)
        log_q = log_table(family, eta)
        top = np.argsort(-log_q, axis=-1, kind="stable").T[: self.k]  # (k, N)
        rest = log_q
        for number in top:
            rest = without(rest, number)
        z = family.values()[top]
        grad_eta = (np.exp(family.log_prob(eta, z))[..., None] * _terms(model, theta, x, family, eta, z)).sum(
            axis=0
        )
        if self.k < log_q.shape[-1]:
            z = family.values()[draw_number(rest, noise)]
            share = np.exp(log_sum_exp(rest, axis=-1))[:, None]
            grad_eta = grad_eta + share * _terms(model, theta, x, family, eta, z).mean(axis=-3)
        return posterior.eta_vjp(phi, x, grad_eta / len(x)), state


def _terms(model, theta, x, family, eta, z):
    """Return f times score (..., S, N, E)."""
    return log_weight(model, theta, x, family, eta, z)[..., None] * family.score(eta, z)
