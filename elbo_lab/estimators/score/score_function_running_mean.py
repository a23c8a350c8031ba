"""Score function with a running mean of past values as baseline.

    g = mean of (f - b) score,   b = sum_t d^t mean f(t calls ago) / sum_t d^t,   d = 0.95

(the reinforcement baseline of Williams 1992; "centring the learning signal" in Mnih and Gregor 2014,
section 2.3.) b is known before the draws of this call, so E[b score] = 0: unbiased given the state. One
number for all data, so that minibatches need no table.

It helps where log w is large and alike for all data, and it works with a single draw, where the
leave-one-out baseline does not exist. It fails where the data differ (b fits none of them), and it lags
behind while theta moves. The first call has seen nothing: its baseline is zero.
"""

import numpy as np

from elbo_lab.estimators.base import Estimator, log_weight_and_score
from elbo_lab.estimators.score.running import decayed


class ScoreFunctionRunningMean(Estimator):
    """Score function; the baseline is a decaying mean of past log-weights, state (2,): mean and weight."""

    name = "score-function-running-mean"
    target = "grad-phi-elbo"
    summary = "REINFORCE with a decaying mean of past log w as baseline"
    burn_in = 100

    def initial_state(self, problem):  # noqa: ARG002
        return np.zeros(2)

    def estimate(self, problem, noise, state):
        f, mean_score = log_weight_and_score(problem, noise)
        baseline, weight = map(float, state)
        learned = np.array(decayed(baseline, weight, float(f.mean())))
        return mean_score(f - baseline), learned
