"""What the pathwise gradients of several coupled draws share: weighted slopes along the paths of the draws.

    g = sum_k c_k d log w(z_k) / dz_k  dz_k / d eta,   z_k = z(eta, eps_k)

with factors c_k from all K log-weights. Held still are the parameters of log q inside log w: the slope is
that through the draws alone, and it vanishes where q is the posterior.
"""

from abc import abstractmethod

from elbo_lab.bounds import log_weight
from elbo_lab.estimators.base import NO_STATE, Estimator, posterior_draws


class CoupledPath(Estimator):
    """Sum of factors times slopes along the paths of the draws."""

    needs_pathwise = True
    independent_draws = True

    @abstractmethod
    def factors(self, log_w):
        """Return the factors c_k of the slopes (..., S, N) from the log-weights (..., S, N)."""

    def through_parameters(self, family, eta, z, factors):  # noqa: ARG002 - most leave it out
        """Return what comes in through the parameters of log q (..., N, E): nothing."""
        return 0.0

    def estimate(self, problem, noise, state=NO_STATE):
        model, posterior, theta, phi, x = problem
        family = posterior.family
        eta, z = posterior_draws(problem, noise)
        factors = self.factors(log_weight(model, theta, x, family, eta, z)) / len(x)
        grad_z = model.log_joint_grad_z(theta, x, z, factors)
        grad_z = grad_z - factors[..., None] * family.log_prob_grad_z(eta, z)
        grad_eta = family.sample_vjp(eta, noise, grad_z) + self.through_parameters(family, eta, z, factors)
        return posterior.eta_vjp(phi, x, grad_eta), state
