"""ELBO = E_q[log p(x | z)] - KL(q || p(z)), the KL in closed form (Kingma and Welling 2014, eq. 3).

Helps: only the reconstruction is noisy. Fails: keeps that noise even at the exact posterior.
"""

from elbo_lab.bounds import reconstruction_kl
from elbo_lab.estimators.base import NO_STATE, Estimator, mean_over_rows, posterior_draws


class ElboReconstructionKL(Estimator):
    """Average of `bounds.reconstruction_kl` over draws and rows."""

    name = "elbo-reconstruction-kl"
    target = "elbo"
    summary = "mean log p(x | z) minus the closed-form KL(q || prior)"
    needs_kl = True

    def estimate(self, problem, noise, state=NO_STATE):
        model, posterior, theta, _, x = problem
        eta, z = posterior_draws(problem, noise)
        return mean_over_rows(
            reconstruction_kl(model, theta, x, posterior.family, eta, z).mean(axis=-2)
        ), state
