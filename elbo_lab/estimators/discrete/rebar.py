"""REBAR: the score function with the Concrete relaxation as control variate, made unbiased.

    g = [f(b) - f(y~)] d log q(b)/dl + df/dy (y) dy/dl - df/dy (y~) dy~/dl

b, y = sigmoid(zeta / t) and y~ = sigmoid(zeta~ / t) as in `conditional_pair` (Tucker et al. 2017, section 3,
with the coefficient of the control variate at 1). y~ is close to b, so that f(y~) takes most of
f(b) away; what it adds in mean the two pathwise terms take out again: they differ in mean by just the
score-function gradient of f(y). Unbiased at every temperature, which moves only the variance. Three
evaluations of f and two of its slope. Fails where f between the corners says little about f at the
corners.
"""

from dataclasses import dataclass

from elbo_lab.bounds import log_weight
from elbo_lab.estimators.base import NO_STATE
from elbo_lab.estimators.discrete.bit_estimator import BitEstimator, mean_gradient, weight_and_slope
from elbo_lab.estimators.discrete.conditional_pair import conditional_pair, paired_noise_spec
from elbo_lab.estimators.discrete.temperature import WithTemperature


@dataclass(frozen=True)
class Rebar(WithTemperature, BitEstimator):
    """Score function, relaxed control variate, pathwise correction."""

    stem = "rebar"
    summary = "score function with a relaxed control variate, corrected to be unbiased"

    def noise_spec(self, family, n_draws, n_data):
        return paired_noise_spec(n_draws, n_data, family.size)

    def estimate(self, problem, noise, state=NO_STATE):
        model, posterior, theta, phi, x = problem
        family, eta = posterior.family, posterior.eta(phi, x)
        pair = conditional_pair(family, eta, noise, self.temperature)
        f = log_weight(model, theta, x, family, eta, pair.b)
        f_given, slope_given = weight_and_slope(model, theta, x, family, eta, pair.y_given)
        _, slope = weight_and_slope(model, theta, x, family, eta, pair.y)
        score = family.score(eta, pair.b)
        grad_eta = (f - f_given)[..., None] * score + slope * pair.path - slope_given * pair.path_given
        return mean_gradient(posterior, phi, x, grad_eta), state
