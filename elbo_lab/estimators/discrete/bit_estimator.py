"""What all estimators for hidden bits share: the refusal of other latents, and the log-weight with its slope.

They estimate d/dl E_q[f(z)] with f = log p(x, z) - log q(z; l) and the l inside f held still: its own
derivative, that of -log q, has expectation zero.
"""

from elbo_lab.bounds import log_weight
from elbo_lab.distributions import BinaryConcrete, IndependentBernoulli
from elbo_lab.errors import NotApplicable
from elbo_lab.estimators.base import Estimator


class BitEstimator(Estimator):
    """An estimator of the gradient in phi for independent bits."""

    target = "grad-phi-elbo"

    def check_pairing(self, model, posterior):
        super().check_pairing(model, posterior)
        if not isinstance(model.family, IndependentBernoulli):
            raise NotApplicable(f"{self.name} is made for bits, and z is {model.family.name}")


def mean_gradient(posterior, phi, x, grad_eta):
    """Return the mean over draws and rows of gradients in eta (..., S, N, E), pulled back to phi."""
    return posterior.eta_vjp(phi, x, grad_eta.mean(axis=-3) / len(x))


def weight_and_slope(model, theta, x, family, eta, z):
    """Return f (..., S, N) and df/dz (..., S, N, K) at bits or at points between zero and one."""
    f = log_weight(model, theta, x, family, eta, z)
    return f, BinaryConcrete(family).slope(model, theta, x, eta, z)
