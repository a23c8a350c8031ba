"""The straight-through gradient: behave as if a bit were its own probability.

    gradient = (dp/dl) df/dz (z),   p = sigmoid(l),   dp/dl = p (1 - p)

(Bengio, Leonard and Courville 2013, section 4, who credit Hinton's lectures; there with and without the
factor p (1 - p).) Biased: df/dz at the corner z stands in for the difference f(z_k = 1) - f(z_k = 0). That
is right in mean where f is linear in z_k; elsewhere f curves between the corners, and the slope at one of
them is too large or too small. Quiet and cheap.
"""

from elbo_lab.distributions import BinaryConcrete
from elbo_lab.estimators.base import NO_STATE, posterior_draws
from elbo_lab.estimators.discrete.bit_estimator import BitEstimator, mean_gradient
from elbo_lab.special import sigmoid


class StraightThrough(BitEstimator):
    """Slope at the discrete z, times the derivative of its probability."""

    name = "straight-through"
    unbiased = False
    summary = "slope at the discrete z times p (1 - p); biased"

    def estimate(self, problem, noise, state=NO_STATE):
        model, posterior, theta, phi, x = problem
        eta, z = posterior_draws(problem, noise)
        slope = BinaryConcrete(posterior.family).slope(model, theta, x, eta, z)
        return mean_gradient(posterior, phi, x, slope * sigmoid(eta) * sigmoid(-eta)), state
