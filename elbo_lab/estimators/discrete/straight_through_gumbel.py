"""The straight-through Gumbel-softmax gradient: the discrete z forward, the relaxed y backward.

    gradient = (dy/dl)^T df/dz (z),   z and y from the same noise

(Jang et al. 2017, section 2.2.) The model sees true values of z, so nothing in it need be relaxed but its
slope. Biased: slope and path belong to different points. As t falls to zero the path is met at the threshold
alone, from either side, and [f'(0) + f'(1)] / 2 stands for f(1) - f(0): the trapezoid rule, right for f
that are quadratic in a bit and off for others. On a mixture, whose f is linear in y, it is `concrete`.
"""

from dataclasses import dataclass

from elbo_lab.distributions import relaxation_of
from elbo_lab.estimators.base import NO_STATE
from elbo_lab.estimators.discrete.bit_estimator import mean_gradient
from elbo_lab.estimators.discrete.temperature import RelaxedEstimator, WithTemperature


@dataclass(frozen=True)
class StraightThroughGumbel(WithTemperature, RelaxedEstimator):
    """Slope at the discrete z, path of the relaxed one."""

    stem = "straight-through-gumbel"
    summary = "slope at the discrete z, path of the relaxed z; biased"

    def estimate(self, problem, noise, state=NO_STATE):
        model, posterior, theta, phi, x = problem
        eta, relaxation = posterior.eta(phi, x), relaxation_of(posterior.family)
        y = relaxation.relax(eta, noise, self.temperature)
        slope = relaxation.slope(model, theta, x, eta, relaxation.harden(eta, noise))
        grad_eta = relaxation.relax_vjp(y, self.temperature, slope)
        return mean_gradient(posterior, phi, x, grad_eta), state
