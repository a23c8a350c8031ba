"""Importance sampling of the evidence with q as proposal.

    log p(x) ~= log (1/S) sum_s w_s,   w_s = p(x, z_s) / q(z_s | x),   z_s ~ q

Helps: with q near the posterior the weights are nearly equal and few draws suffice. Fails: if q is
narrower than the posterior the weights have heavy tails. Biased low for log p(x) (its mean is the
importance-weighted bound of Burda et al. 2016, eq. 8).
"""

from elbo_lab.bounds import importance_evidence
from elbo_lab.estimators.base import NO_STATE, Estimator, mean_over_rows, posterior_draws


class ImportanceSampling(Estimator):
    """log of the mean weight over draws from q."""

    name = "importance-sampling"
    target = "log-evidence"
    unbiased = False
    summary = "log mean of the weights p(x, z) / q(z) over draws from q; biased low"
    independent_draws = True

    def estimate(self, problem, noise, state=NO_STATE):
        model, posterior, theta, _, x = problem
        eta, z = posterior_draws(problem, noise)
        return mean_over_rows(importance_evidence(model, theta, x, posterior.family, eta, z)), state
