"""A relaxed z in place of a discrete one: pathwise gradients where z has no path. Biased, with low variance.

    concrete                   path and slope of a relaxed z             (dy/dl)^T df/dy (y)
    straight-through           slope at z, path of its probabilities     (dp/dl)^T df/dz (z)
    straight-through-gumbel    slope at the discrete z, relaxed path      (dy/dl)^T df/dz (z)

with y = sigmoid((l + g) / t) or softmax((l + g) / t), p = sigmoid(l) or softmax(l), and f = log p(x, z) -
log q(z); of categories z stands for their indicators. They use the slope of the model, as reparameterization
does. The model must be defined between the corners, or at least have a slope at them: log p(x | y) of bits
depends on W y, that of a mixture is sum_c y_c log N_c(x), and a network takes shares of categories as well as
their indicators.
"""

from dataclasses import dataclass

from elbo_lab.arrays import Floats
from elbo_lab.distributions import relaxation_of
from elbo_lab.estimators.base import NO_STATE, Estimate, mean_gradient
from elbo_lab.estimators.discrete.bits import RelaxingEstimator, WithTemperature, slope_at
from elbo_lab.exact.problem import Problem

__all__ = ["Concrete", "StraightThrough", "StraightThroughGumbel"]


class RelaxedEstimator(RelaxingEstimator):
    """An estimator that sends the gradient through a relaxation, and is therefore biased."""

    unbiased = False


@dataclass(frozen=True)
class Concrete(WithTemperature, RelaxedEstimator):
    """The Concrete (Gumbel-softmax) gradient: reparameterize a relaxed z instead of the discrete one.

        y = sigmoid((l + g) / t)  or  softmax((l + g) / t),      gradient = (dy/dl)^T df/dy (y)

    with f = log p(x, y) - log q(y), the masses extended to y between the corners, and the l inside f held
    fixed (Maddison et al. 2017; Jang et al. 2017). Helps: it has little noise at moderate temperatures.
    Fails: it is the gradient of another objective. For one bit b

        E f(y) - E f(b) = t C sigmoid(l) sigmoid(-l) + O(t^2),
        C = integral over v of f(sigmoid(v)) - f(1) [v > 0] - f(0) [v <= 0],

    by v = (l + g) / t, where sigmoid(l) sigmoid(-l) is the density of l + g at zero. The bias of the gradient
    therefore falls like the temperature t; like t^2 only where C = 0, as for f linear in the bit, or at
    l = 0, the top of that density. The variance grows like 1 / t: dy/dl is then a narrow peak of height
    1 / (4 t) that few draws hit. Papers differ in the q-term: Maddison et al. also replace the masses by the
    densities of y, which keeps a bound, of a relaxed model.
    """

    stem = "concrete"
    title = "Gumbel-softmax"
    synonyms = ("concrete",)
    summary = "pathwise derivative at a relaxed z (Gumbel-softmax); biased"

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        model, posterior, theta, phi, x = problem
        eta, relaxation = posterior.eta(phi, x), relaxation_of(posterior.family)
        y = relaxation.relax(eta, noise, self.temperature)
        slope = relaxation.slope(model, theta, x, eta, y)
        return mean_gradient(problem, relaxation.relax_vjp(y, self.temperature, slope)), state


class StraightThrough(RelaxedEstimator):
    """The straight-through gradient: differentiate as if z were its mean.

        gradient = (dp/dl)^T df/dz (z),   p = sigmoid(l), dp/dl = p (1 - p)   or   p = softmax(l)

    (Bengio, Leonard and Courville 2013, section 4, who credit Hinton's lectures; there with and without the
    factor p (1 - p).) Biased: the mean of its slope, (1 - p) f'(0) + p f'(1) in z_k, stands in for the
    difference f(1) - f(0). They agree at every p where f is linear in z_k, and only at p = 1/2 where f is
    quadratic in it. Helps: low variance, and cheap. Fails: where f is curved in z, by its size and even
    by its sign.
    """

    name = "straight-through"
    title = "straight-through"
    synonyms = ("ste", "straight-through-estimator")
    summary = "slope at the discrete z times the derivative of its mean; biased"

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        posterior = problem.posterior
        eta, relaxation = posterior.eta(problem.phi, problem.x), relaxation_of(posterior.family)
        slope = slope_at(problem, eta, relaxation.harden(eta, noise))
        return mean_gradient(problem, relaxation.mean_vjp(eta, slope)), state


@dataclass(frozen=True)
class StraightThroughGumbel(WithTemperature, RelaxedEstimator):
    """The straight-through Gumbel-softmax gradient: the discrete z forward, the relaxed y backward.

        gradient = (dy/dl)^T df/dz (z),   z and y from the same noise

    (Jang et al. 2017, section 2.2.) Helps: the model is evaluated at true values of z, so only its slope need
    exist. Fails: it is biased, since slope and path belong to different points. As t falls to zero only draws
    at the threshold contribute, from either side, and [f'(0) + f'(1)] / 2 replaces f(1) - f(0): the trapezoid
    rule, exact for f that are quadratic in a bit and inexact for others. On a mixture, whose f is linear in
    y, it equals `concrete`.
    """

    stem = "straight-through-gumbel"
    title = "straight-through Gumbel-softmax"
    synonyms = ("straight-through-gumbel", "st-gumbel")
    summary = "slope at the discrete z, path of the relaxed z; biased"

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        model, posterior, theta, phi, x = problem
        eta, relaxation = posterior.eta(phi, x), relaxation_of(posterior.family)
        y = relaxation.relax(eta, noise, self.temperature)
        slope = relaxation.slope(model, theta, x, eta, relaxation.harden(eta, noise))
        return mean_gradient(problem, relaxation.relax_vjp(y, self.temperature, slope)), state
