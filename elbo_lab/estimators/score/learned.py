"""Score function with a learned baseline that depends on the datum (NVIL).

    g = mean of (f - b_psi(x)) score,   b_psi(x) = c + s MLP_psi(x),   psi descends (f - b_psi(x))^2

(neural variational inference and learning, Mnih and Gregor 2014, section 2.3.) The baseline is formed before
it sees the draws of this call, so E[b_psi(x) score] = 0: unbiased given the state. c and s are running mean
and standard deviation of f, so that the network learns numbers of size one; it is trained by Adam, one
step per call, on the mean of f over the draws.

It helps where log p(x) differs from datum to datum, works with one draw, and keeps no value per datum, so
that minibatches are possible. It fails where theta runs ahead of the network, and on data that the state
has not seen. NVIL also divides f - b by its running deviation; that changes the length of the
gradient and therefore its mean, and is left out.
"""

from functools import lru_cache

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.estimators.base import NO_STATE, Estimate, Estimator, log_weight_and_score
from elbo_lab.estimators.score.baselines import decayed
from elbo_lab.exact.problem import Problem
from elbo_lab.layout import Layout
from elbo_lab.networks import MLP

__all__ = ["ScoreFunctionLearnedBaseline"]

HIDDEN = 16
RATE = 0.02
# Of Adam (Kingma and Ba 2015, algorithm 1): decay of the two moments, and the number added to the root.
DECAYS = 0.9, 0.99
TINY = 1e-8


class ScoreFunctionLearnedBaseline(Estimator):
    """Score function; the baseline is an MLP of the datum, whose parameters live in the state."""

    name = "score-function-learned-baseline"
    title = "REINFORCE, learned baseline"
    synonyms = ("nvil",)
    target = "grad-phi-elbo"
    summary = "REINFORCE with a baseline that a small network learns from x (NVIL)"
    burn_in = 300

    def initial_state(self, problem: Problem) -> Floats:
        x = problem.x
        network = _network(x.shape[1])
        # The initial hidden layer is always the same, and the output layer is zero.
        weights = network.initial(np.random.default_rng(0))
        network.layout.views(weights)["W2"][...] = 0.0
        scale = np.where(np.ptp(x, axis=0) > 0, x.std(axis=0), 1.0)
        return _layout(x.shape[1]).pack({"shift": x.mean(axis=0), "scale": scale, "network": weights})

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        f, mean_score = log_weight_and_score(problem, noise)
        x = problem.x
        s = _layout(x.shape[1]).views(state)
        output, activations = _network(x.shape[1]).forward(s["network"], (x - s["shift"]) / s["scale"])
        baseline = (s["centre"] + np.sqrt(s["square"]) * output[:, 0]).astype(f.dtype)
        return mean_score(f - baseline), _learned(x, state, f, output[:, 0], activations)


@lru_cache(maxsize=16)
def _network(n_columns: int) -> MLP:
    return MLP((n_columns, HIDDEN, 1))


@lru_cache(maxsize=16)
def _layout(n_columns: int) -> Layout:
    """What the state holds: the scale of x, that of f, the network, and the memory of Adam."""
    columns, parameters = (n_columns,), (_network(n_columns).layout.size,)
    of_x = (("shift", columns), ("scale", columns))
    of_f = (("centre", ()), ("square", ()), ("weight", ()))
    of_adam = (("first", parameters), ("second", parameters), ("steps", ()))
    return Layout((*of_x, *of_f, ("network", parameters), *of_adam))


def _learned(x: Floats, state: Floats, f: Floats, output: Floats, activations: list[Floats]) -> Floats:
    """Return the state after it has seen f (..., S, N): one step towards it."""
    state = state.copy()
    s = _layout(x.shape[1]).views(state)
    centre, _ = decayed(float(s["centre"]), float(s["weight"]), float(f.mean()))
    s["square"][...], weight = decayed(
        float(s["square"]), float(s["weight"]), float(((f - centre) ** 2).mean())
    )
    s["centre"][...], s["weight"][...] = centre, weight
    spread = np.sqrt(s["square"]) or 1.0
    target = (f.mean(axis=tuple(range(f.ndim - 1))) - centre) / spread
    residual = (output - target)[:, None] / len(x)
    gradient = _network(x.shape[1]).backward_params(s["network"], activations, residual)
    s["steps"][...] += 1.0
    for name, decay, value in zip(("first", "second"), DECAYS, (gradient, gradient**2), strict=True):
        s[name][...] = decay * s[name] + (1.0 - decay) * value
    first, second = (s[k] / (1.0 - d ** s["steps"]) for k, d in zip(("first", "second"), DECAYS, strict=True))
    s["network"][...] -= RATE * first / (np.sqrt(second) + TINY)
    return state
