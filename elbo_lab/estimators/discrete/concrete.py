"""The Concrete (Gumbel-softmax) gradient: reparameterize a relaxed z instead of the discrete one.

    y = sigmoid((l + g) / t)  or  softmax((l + g) / t),      gradient = (dy/dl)^T df/dy (y)

with f = log p(x, y) - log q(y), the masses extended to y between the corners, and the l inside f held
still (Maddison et al. 2017; Jang et al. 2017). It uses the slope of the model, as reparameterization does,
and has little noise at moderate temperatures; but it is the gradient of another objective. For one bit b

    E f(y) - E f(b) = t C sigmoid(l) sigmoid(-l) + O(t^2),
    C = integral over v of f(sigmoid(v)) - f(1) [v > 0] - f(0) [v <= 0],

by v = (l + g) / t, where sigmoid(l) sigmoid(-l) is the density of l + g at zero. The bias of the gradient
therefore falls like the temperature t; like t^2 only where C = 0, as for f linear in the bit, or at l = 0,
the top of that density. The variance grows like 1 / t: dy/dl is then a narrow peak of height 1 / (4 t) that
few draws meet. Papers differ in the q-term: Maddison et al. also put the densities of y in the place of the
masses, which keeps a bound, of a relaxed model.

The model must mean something between the corners: log p(x | y) of bits enters through W y, that of a
mixture is sum_c y_c log N_c(x).
"""

from dataclasses import dataclass

from elbo_lab.distributions import relaxation_of
from elbo_lab.estimators.base import NO_STATE
from elbo_lab.estimators.discrete.bit_estimator import mean_gradient
from elbo_lab.estimators.discrete.temperature import RelaxedEstimator, WithTemperature


@dataclass(frozen=True)
class Concrete(WithTemperature, RelaxedEstimator):
    """Pathwise derivative at a relaxed z."""

    stem = "concrete"
    summary = "pathwise derivative at a relaxed z (Gumbel-softmax); biased"

    def estimate(self, problem, noise, state=NO_STATE):
        model, posterior, theta, phi, x = problem
        eta, relaxation = posterior.eta(phi, x), relaxation_of(posterior.family)
        y = relaxation.relax(eta, noise, self.temperature)
        slope = relaxation.slope(model, theta, x, eta, y)
        grad_eta = relaxation.relax_vjp(y, self.temperature, slope)
        return mean_gradient(posterior, phi, x, grad_eta), state
