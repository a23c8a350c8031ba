"""ELBO = E_q[log p(x, z) - log q(z)], fully sampled (Kingma and Welling 2014, eq. 2).

Helps: at the exact posterior log w = log p(x) for every draw, so the variance is zero; needs only
densities. Fails: far from the posterior the sampled log q adds noise.
"""

from elbo_lab.bounds import log_weight
from elbo_lab.estimators.base import NO_STATE, Estimator, mean_over_rows, posterior_draws


class ElboLogWeight(Estimator):
    """Average of `bounds.log_weight` over draws and rows."""

    name = "elbo-log-weight"
    target = "elbo"
    summary = "mean log w = log p(x, z) - log q(z), fully sampled"

    def estimate(self, problem, noise, state=NO_STATE):
        model, posterior, theta, _, x = problem
        eta, z = posterior_draws(problem, noise)
        return mean_over_rows(log_weight(model, theta, x, posterior.family, eta, z).mean(axis=-2)), state
