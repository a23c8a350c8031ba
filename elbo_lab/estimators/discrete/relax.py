"""RELAX: REBAR with a control variate that is learned during the estimation.

    g = [f(b) - c(y~)] d log q(b)/dl + (dy/dl)^T dc/dy (y) - (dy~/dl)^T dc/dy (y~),   c = a f + r_psi

(Grathwohl et al. 2018, section 3; c = f(y) + r is the form of their experiments with bits; b, y and y~ are
those of `rebar`.) Unbiased for any a and psi, so that they can be learned: after every estimate they take a
step of Adam down the gradient of the mean square of single draws of g. The mean of g does not depend on a and
psi, so this is the gradient of the variance. `state` holds (a, psi), the two running means of Adam and the
number of steps; it begins as REBAR. A study makes 300 estimates before it holds the state fixed.

Helps where f between the corners is a poor guide to f at the corners, or where many estimates are made. One
network of y serves all data: it corrects what they have in common.

**The network** is small, r(y) = w^T tanh(W y + b), and its weights are trained to lower the variance of a
gradient. That gradient contains

    dr/dy = W^T (w * (1 - h^2)),   h = tanh(W y + b)

so the derivative of dr/dy in the weights is needed as well. With a = w * (1 - h^2) and t = W d for a
direction d,

    d/dw (d . dr/dy) = (1 - h^2) * t,   d/db (d . dr/dy) = -2 a * h * t =: e
    d/dW (d . dr/dy) = a d^T + e y^T
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions import relaxation_of
from elbo_lab.estimators.base import NO_STATE, Estimate, log_weight_at, mean_gradient
from elbo_lab.estimators.discrete.bits import WithTemperature, slope_at, value_at
from elbo_lab.estimators.discrete.rebar import ConditionalPairs, conditional_pair
from elbo_lab.exact.problem import Problem
from elbo_lab.layout import Layout

__all__ = ["Relax"]

RATE = 0.01
# Adam's own defaults (Kingma and Ba 2015).
DECAY, SQUARE_DECAY, SMALL = 0.9, 0.999, 1e-8


@dataclass(frozen=True)
class Relax(WithTemperature, ConditionalPairs):
    """Score function, learned control variate, pathwise correction.

    Fails: with few estimates, before anything is learned, and where the data have little in common.
    """

    stem = "relax"
    title = "RELAX"
    summary = "REBAR with a learned coefficient and network in the control variate; unbiased"
    burn_in = 300

    def initial_state(self, problem: Problem) -> Floats:
        parameters = np.concatenate(
            [[1.0], Surrogate(relaxation_of(problem.posterior.family).width).initial()]
        )
        return np.concatenate([parameters, np.zeros(2 * len(parameters) + 1)])

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        family, eta = problem.posterior.family, problem.posterior.eta(problem.phi, problem.x)
        network = Surrogate(relaxation_of(family).width)
        a, psi = state[0], state[1 : 1 + network.layout.size]
        pair = conditional_pair(family, eta, noise, self.temperature)
        f, f_given = log_weight_at(problem, eta, pair.b), value_at(problem, eta, pair.y_given)
        slope, slope_given = slope_at(problem, eta, pair.y), slope_at(problem, eta, pair.y_given)
        score = family.score(eta, pair.b)
        # g is linear in a and in r: the terms that they multiply.
        by_f = pair.path.pull(slope) - pair.path_given.pull(slope_given) - f_given[..., None] * score
        r, r_slope = network.value(psi, pair.y_given)[..., None], network.slope(psi, pair.y)
        by_r = pair.path.pull(r_slope) - pair.path_given.pull(network.slope(psi, pair.y_given)) - r * score
        g = f[..., None] * score + a * by_f + by_r
        pull = 2.0 * g / f.size
        by_psi = network.slope_vjp(psi, pair.y, pair.path.push(pull))
        by_psi -= network.slope_vjp(psi, pair.y_given, pair.path_given.push(pull))
        by_psi -= network.value_vjp(psi, pair.y_given, (pull * score).sum(axis=-1))
        state = adam_step(state, np.concatenate([[(pull * by_f).sum()], by_psi]))
        return mean_gradient(problem, g.astype(eta.dtype, copy=False)), state


def adam_step(state: Floats, gradient: Floats) -> Floats:
    """Return the state (parameters, both running means, steps) after one step down the gradient (P,)."""
    parameters, mean, square = state[:-1].reshape(3, -1)
    steps = state[-1] + 1.0
    mean = DECAY * mean + (1.0 - DECAY) * gradient
    square = SQUARE_DECAY * square + (1.0 - SQUARE_DECAY) * gradient**2
    size = np.sqrt(square / (1.0 - SQUARE_DECAY**steps)) + SMALL
    parameters = parameters - RATE * mean / (1.0 - DECAY**steps) / size
    return np.concatenate([parameters, mean, square, [steps]])


@dataclass(frozen=True)
class Surrogate:
    """The control variate r: a network from K numbers to one; its weights psi are one flat vector.

    Parameters
    ----------
    size : int
        K.
    hidden : int
        H, tanh units.
    """

    size: int
    hidden: int = 8

    @cached_property
    def layout(self) -> Layout:
        return Layout((("W", (self.hidden, self.size)), ("b", (self.hidden,)), ("w", (self.hidden,))))

    def initial(self) -> Floats:
        """Return weights at which r is zero and yet has a gradient; the same every time."""
        W = np.random.default_rng(0).standard_normal((self.hidden, self.size))
        return self.layout.pack({"W": W, "b": -0.5 * W.sum(axis=1)})

    def _units(self, psi: Floats, y: Floats) -> tuple[dict[str, Floats], Floats]:
        t = self.layout.views(psi)
        return t, np.tanh(y @ t["W"].T + t["b"])

    def value(self, psi: Floats, y: Floats) -> Floats:
        """Return r (...) at y (..., K)."""
        t, h = self._units(psi, y)
        return h @ t["w"]

    def slope(self, psi: Floats, y: Floats) -> Floats:
        """Return dr/dy (..., K)."""
        t, h = self._units(psi, y)
        return (t["w"] * (1.0 - h * h)) @ t["W"]

    def value_vjp(self, psi: Floats, y: Floats, cotangent: Floats) -> Floats:
        """Return the gradient in psi of sum(cotangent * r), cotangent (...)."""
        t, h = self._units(psi, y)
        rows = cotangent[..., None] * t["w"] * (1.0 - h * h)
        return self._packed(rows, y, w=cotangent[..., None] * h)

    def slope_vjp(self, psi: Floats, y: Floats, cotangent: Floats) -> Floats:
        """Return the gradient in psi of sum(cotangent * dr/dy), cotangent (..., K)."""
        t, h = self._units(psi, y)
        a, along = t["w"] * (1.0 - h * h), cotangent @ t["W"].T
        direct = a.reshape(-1, self.hidden).T @ cotangent.reshape(-1, self.size)
        gradient = self._packed(-2.0 * a * h * along, y, w=(1.0 - h * h) * along)
        self.layout.views(gradient)["W"][...] += direct
        return gradient

    def _packed(self, rows: Floats, y: Floats, w: Floats) -> Floats:
        """Return the gradient in psi from those in the arguments of tanh, `rows` (..., H), and in w."""
        flat = rows.reshape(-1, self.hidden)
        W = flat.T @ y.reshape(-1, self.size)
        return self.layout.pack({"W": W, "b": flat.sum(axis=0), "w": w.reshape(-1, self.hidden).sum(axis=0)})
