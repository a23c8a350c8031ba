"""ELBO = E_q[log p(x, z)] + H(q), the entropy in closed form (cf. Bishop 2006, eq. 9.74).

Helps: needs no KL to the prior in closed form. Fails: keeps its noise even at the exact posterior.
"""

from elbo_lab.bounds import joint_entropy
from elbo_lab.estimators.base import NO_STATE, Estimator, mean_over_rows, posterior_draws


class ElboJointEntropy(Estimator):
    """Average of `bounds.joint_entropy` over draws and rows."""

    name = "elbo-joint-entropy"
    target = "elbo"
    summary = "mean log p(x, z) plus the closed-form entropy of q"

    def estimate(self, problem, noise, state=NO_STATE):
        model, posterior, theta, _, x = problem
        eta, z = posterior_draws(problem, noise)
        return mean_over_rows(joint_entropy(model, theta, x, posterior.family, eta, z).mean(axis=-2)), state
