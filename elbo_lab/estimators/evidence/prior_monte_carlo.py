"""Naive Monte Carlo: average p(x | z) over draws from the prior, then take the logarithm.

    log p(x) ~= log (1/S) sum_s p(x | z_s),   z_s ~ p(z)

Helps: needs no q. Fails: as soon as the posterior is much narrower than the prior, almost every draw
explains x badly, the average hangs on the few lucky ones, and the logarithm is far too low. Biased low
by Jensen's inequality (Burda et al. 2016, section 3).
"""

from elbo_lab.bounds import prior_evidence
from elbo_lab.estimators.base import NO_STATE, Estimator, mean_over_rows, prior_draws


class PriorMonteCarlo(Estimator):
    """log of the mean likelihood over prior draws."""

    name = "prior-monte-carlo"
    target = "log-evidence"
    unbiased = False
    summary = "log mean of p(x | z) over draws from the prior; biased low"
    independent_draws = True
    draws_from = "prior"

    def estimate(self, problem, noise, state=NO_STATE):
        model, _, theta, _, x = problem
        z = prior_draws(model, theta, noise)
        return mean_over_rows(prior_evidence(model, theta, x, z)), state
