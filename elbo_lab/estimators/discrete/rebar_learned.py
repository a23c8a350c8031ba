"""REBAR whose temperature and coefficient are learned by the gradient of its own variance.

    g = f(b) d log q(b)/dl + a h_t,   h_t = (dy/dl)^T df/dy (y) - (dy~/dl)^T df/dy (y~) - f(y~) d log q(b)/dl

(Tucker et al. 2017, section 3.2; b, y and y~ as in `rebar`.) Unbiased at every coefficient a and temperature
t, so that both can be learned: after every estimate they take a step of Adam down the gradient of the mean
square of single draws of g, which is that of the variance, since the mean of g does not depend on them.

    d g^2 / da = 2 g h_t,   d g^2 / d log t = 2 a g dh_t / d log t

The last factor contains second derivatives of f, which models here do not have: it is a central difference
in log t on the same noise, for four evaluations more. `state` holds (a, log t), both running means of Adam
and the number of steps; it begins as REBAR.
"""

from dataclasses import dataclass

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions.base import Family
from elbo_lab.distributions.relaxations import ConditionalPair
from elbo_lab.estimators.base import NO_STATE, Estimate, log_weight_at, mean_gradient
from elbo_lab.estimators.discrete.bits import slope_at, value_at
from elbo_lab.estimators.discrete.rebar import Rebar, conditional_pair
from elbo_lab.estimators.discrete.relax import adam_step
from elbo_lab.exact.problem import Problem

__all__ = ["RebarLearned"]

# Of log t: wide enough for single precision, and its error of order STEP^2 only makes a step of Adam another.
STEP = 0.05


@dataclass(frozen=True)
class RebarLearned(Rebar):
    """Score function, relaxed control variate with learned coefficient and temperature, pathwise correction.

    Helps: needs no choice of a temperature. Fails: with few estimates, before anything is learned, and by its
    price, seven evaluations for a draw.

    Parameters
    ----------
    temperature : float
        The first one.
    """

    stem = "rebar-learned"
    title = "REBAR, temperature learned"
    synonyms = ("rebar-learned",)
    summary = "REBAR, its coefficient and temperature learned by the gradient of its variance; unbiased"
    burn_in = 300

    def evaluations(self, n_draws: int, family: Family) -> int:  # noqa: ARG002
        return 7 * n_draws  # at b, and at y and y~ of three temperatures

    def initial_state(self, problem: Problem) -> Floats:  # noqa: ARG002
        return np.concatenate([[1.0, np.log(self.temperature)], np.zeros(5)])

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        family, eta = problem.posterior.family, problem.posterior.eta(problem.phi, problem.x)
        a, log_t = state[:2]

        def variate(log_temperature: float) -> tuple[Floats, ConditionalPair]:
            """Return h (..., S, N, E), of mean zero, and the pair that it is made of."""
            pair = conditional_pair(family, eta, noise, float(np.exp(log_temperature)))
            h = pair.path.pull(slope_at(problem, eta, pair.y))
            h = h - pair.path_given.pull(slope_at(problem, eta, pair.y_given))
            value = value_at(problem, eta, pair.y_given)
            return h - value[..., None] * family.score(eta, pair.b), pair

        h, pair = variate(log_t)
        f = log_weight_at(problem, eta, pair.b)
        g = f[..., None] * family.score(eta, pair.b) + a * h
        by_log_t = (variate(log_t + STEP)[0] - variate(log_t - STEP)[0]) / (2.0 * STEP)
        pull = 2.0 * g / f.size
        gradient = np.array([(pull * h).sum(), (pull * a * by_log_t).sum()])
        return mean_gradient(problem, g.astype(eta.dtype, copy=False)), adam_step(state, gradient)
