"""RELAX: REBAR with a control variate that learns while it works.

    g = [f(b) - c(y~)] d log q(b)/dl + dc/dy (y) dy/dl - dc/dy (y~) dy~/dl,   c = a f + r_psi

(Grathwohl et al. 2018, section 3; c = f(y) + r is the form of their experiments with bits.) Unbiased for
any a and psi, so that they are free to be learned: after every estimate they take a step of Adam down
the gradient of the mean square of single draws of g. The mean of g does not depend on a and psi, so this is
the gradient of the variance. `state` holds (a, psi), the two running means of Adam and the
number of steps; it begins as REBAR. A study lets 300 estimates pass before it holds the state still.

Helps where the model between the corners misleads, or where the number of estimates is large. One network
of y serves all data: it corrects what they have in common.
"""

from dataclasses import dataclass

import numpy as np

from elbo_lab.bounds import log_weight
from elbo_lab.estimators.base import NO_STATE
from elbo_lab.estimators.discrete.bit_estimator import BitEstimator, mean_gradient, weight_and_slope
from elbo_lab.estimators.discrete.conditional_pair import conditional_pair, paired_noise_spec
from elbo_lab.estimators.discrete.surrogate import Surrogate
from elbo_lab.estimators.discrete.temperature import WithTemperature

RATE = 0.01
# Adam's own defaults (Kingma and Ba 2015).
DECAY, SQUARE_DECAY, SMALL = 0.9, 0.999, 1e-8


def adam_step(state, gradient):
    """Return the state (parameters, both running means, steps) after one step down the gradient (P,)."""
    parameters, mean, square = state[:-1].reshape(3, -1)
    steps = state[-1] + 1.0
    mean = DECAY * mean + (1.0 - DECAY) * gradient
    square = SQUARE_DECAY * square + (1.0 - SQUARE_DECAY) * gradient**2
    size = np.sqrt(square / (1.0 - SQUARE_DECAY**steps)) + SMALL
    parameters = parameters - RATE * mean / (1.0 - DECAY**steps) / size
    return np.concatenate([parameters, mean, square, [steps]])


@dataclass(frozen=True)
class Relax(WithTemperature, BitEstimator):
    """Score function, learned control variate, pathwise correction."""

    stem = "relax"
    summary = "REBAR with a learned coefficient and network in the control variate; unbiased"
    burn_in = 300

    def noise_spec(self, family, n_draws, n_data):
        return paired_noise_spec(n_draws, n_data, family.size)

    def initial_state(self, problem):
        parameters = np.concatenate([[1.0], Surrogate(problem.posterior.family.size).initial()])
        return np.concatenate([parameters, np.zeros(2 * len(parameters) + 1)])

    def estimate(self, problem, noise, state=NO_STATE):
        model, posterior, theta, phi, x = problem
        family, eta = posterior.family, posterior.eta(phi, x)
        network = Surrogate(family.size)
        a, psi = state[0], state[1 : 1 + network.layout.size]
        pair = conditional_pair(family, eta, noise, self.temperature)
        f = log_weight(model, theta, x, family, eta, pair.b)
        f_given, slope_given = weight_and_slope(model, theta, x, family, eta, pair.y_given)
        _, slope = weight_and_slope(model, theta, x, family, eta, pair.y)
        score = family.score(eta, pair.b)
        # What a and r contribute: both enter linearly.
        by_f = slope * pair.path - slope_given * pair.path_given - f_given[..., None] * score
        r, r_slope = network.value(psi, pair.y_given)[..., None], network.slope(psi, pair.y)
        by_r = r_slope * pair.path - network.slope(psi, pair.y_given) * pair.path_given - r * score
        g = f[..., None] * score + a * by_f + by_r
        pull = 2.0 * g / f.size
        by_psi = network.slope_vjp(psi, pair.y, pull * pair.path)
        by_psi -= network.slope_vjp(psi, pair.y_given, pull * pair.path_given)
        by_psi -= network.value_vjp(psi, pair.y_given, (pull * score).sum(axis=-1))
        state = adam_step(state, np.concatenate([[(pull * by_f).sum()], by_psi]))
        return mean_gradient(posterior, phi, x, g.astype(eta.dtype, copy=False)), state
