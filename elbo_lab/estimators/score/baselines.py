"""The score-function gradient of the ELBO in phi (REINFORCE), and baselines that need no derivative.

    d/d eta E_q[f] = E_q[f(z) d log q(z; eta)/d eta],   f = log p(x, z) - log q(z)

(Williams 1992; Ranganath et al. 2014, eq. 2; the derivative of f through -log q has expectation zero.)
Needs no derivative of the model and works for discrete z. Its variance grows with the *size* of f: an
additive constant in f leaves the mean unchanged and adds variance. A baseline b is subtracted from f.
Since E[score] = 0 the estimate stays unbiased as long as b does not see the draw that it is subtracted from:

    score-function                    b = 0
    score-function-running-mean       past values of f: one number, works with a single draw
    score-function-loo                the mean of the other draws
    score-function-optimal-baseline   their mean weighted by squared scores, for every coordinate
"""

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.estimators.base import (
    NO_STATE,
    Estimate,
    Estimator,
    log_weight_and_score,
    mean_gradient,
    weighted_draws,
)
from elbo_lab.exact.problem import Problem

__all__ = ["ScoreFunction", "ScoreFunctionLOO", "ScoreFunctionOptimalBaseline", "ScoreFunctionRunningMean"]

DECAY = 0.95
"""d: the last 14 estimates carry half of the weight."""


class ScoreFunction(Estimator):
    """Average of f = log p(x, z) - log q(z) times the score, without a baseline (REINFORCE; black-box VI).

    (Williams 1992; Ranganath et al. 2014, eq. 2.) Helps: needs only values of log p(x, z), and any z. Fails:
    its noise is of the size of log p(x).
    """

    name = "score-function"
    title = "REINFORCE"
    synonyms = ("likelihood-ratio", "log-derivative-trick", "black-box-vi", "bbvi")
    target = "grad-phi-elbo"
    summary = "REINFORCE: mean of log w times the score of q"

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        f, mean_score = log_weight_and_score(problem, noise)
        return mean_score(f), state


class ScoreFunctionRunningMean(Estimator):
    """Score function; the baseline is a decaying mean of past log-weights, state (2,): mean and weight.

        g = mean of (f - b) score,   b = sum_t d^t mean f(t calls ago) / sum_t d^t,   d = 0.95

    (the reinforcement baseline of Williams 1992; "centring the learning signal" in Mnih and Gregor 2014,
    section 2.3.) b is known before the draws of this call, so E[b score] = 0: unbiased given the state. One
    number for all data, so that minibatches need no table.

    It helps where log w is large and similar for all data, and it works with a single draw, where the
    leave-one-out baseline does not exist. It fails where the data differ (b fits none of them), and it lags
    behind while theta moves. In the first call the baseline is zero.
    """

    name = "score-function-running-mean"
    title = "REINFORCE, running mean"
    synonyms = ("moving-average-baseline",)
    target = "grad-phi-elbo"
    summary = "REINFORCE with a decaying mean of past log w as baseline"
    burn_in = 100

    def initial_state(self, problem: Problem) -> Floats:  # noqa: ARG002
        return np.zeros(2)

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        f, mean_score = log_weight_and_score(problem, noise)
        baseline, weight = map(float, state)
        learned = np.array(decayed(baseline, weight, float(f.mean())))
        return mean_score(f - baseline), learned


class ScoreFunctionLOO(Estimator):
    """Score function, each draw's baseline the mean of the others: leave-one-out.

        g = (1/S) sum_i (f_i - b_i) score_i,   b_i = mean of f_k over k != i

    b_i does not see draw i, so E[b_i score_i] = 0 and the estimate stays unbiased (Kool, van Hoof
    and Welling 2019). Since f_i - b_i = S/(S-1) (f_i - mean f), a constant in f drops
    out: at the exact posterior, where every f equals log p(x), the variance is exactly zero. The draws must
    be independent.

    Helps: for any z, from two draws on: the size of log p(x) is no longer noise. Fails: with one draw; and
    the variation of f under q remains.
    """

    name = "score-function-loo"
    title = "REINFORCE, leave-one-out"
    synonyms = ("rloo", "loo", "leave-one-out", "reinforce-loo")
    target = "grad-phi-elbo"
    summary = "REINFORCE with the mean of the other draws as baseline"
    minimum_draws = 2
    independent_draws = True

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        f, mean_score = log_weight_and_score(problem, noise)
        n_draws = f.shape[-2]
        centred = (f - f.sum(axis=-2, keepdims=True) / n_draws) * (n_draws / (n_draws - 1))
        return mean_score(centred), state


class ScoreFunctionOptimalBaseline(Estimator):
    """Score function, each draw's baseline the estimated optimum of every coordinate.

    The constant baseline of least variance for coordinate j of eta is E[f s_j^2] / E[s_j^2], with s_j the
    score (Greensmith et al. 2004; Ranganath et al. 2014, eq. 8, there as a control-variate coefficient).
    Here, per datum and coordinate, from the other draws only:

        b_ij = sum_{k != i} f_k s_kj^2 / sum_{k != i} s_kj^2

    so that draw i does not see its own baseline and the estimate stays unbiased. At two draws the weights
    cancel and it is the leave-one-out baseline. Helps: with many draws, since the optimum is approached
    as S grows. Fails: with few, where the ratio is noisy itself, and the plain mean of the others often does
    better.
    """

    name = "score-function-optimal-baseline"
    title = "REINFORCE, optimal baseline"
    target = "grad-phi-elbo"
    summary = "REINFORCE with the variance-optimal baseline of each coordinate, from the other draws"
    minimum_draws = 2
    independent_draws = True

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        eta, z, log_w = weighted_draws(problem, noise)
        f, score = log_w[..., None], problem.posterior.family.score(eta, z)
        # Centring with all draws shifts f and b alike: it changes rounding, not the estimate.
        f = f - f.mean(axis=-3, keepdims=True)
        squares = score * score
        weighted = f * squares
        numerator = weighted.sum(axis=-3, keepdims=True) - weighted
        denominator = squares.sum(axis=-3, keepdims=True) - squares
        # Where the scores of all other draws are zero any baseline would do, but it must not see draw i: zero
        # would be the mean of all draws (f is centred), so it is the mean of the others.
        safe = np.where(denominator > 0.0, denominator, 1.0)
        mean_of_others = f / (1 - f.shape[-3])
        baseline = np.where(denominator > 0.0, numerator / safe, mean_of_others)
        return mean_gradient(problem, (f - baseline) * score), state


def decayed(mean: float, weight: float, value: float) -> tuple[float, float]:
    """Return a decaying mean and its weight after one more value.

        m <- (d w m + (1 - d) value) / w',   w' = d w + (1 - d)

    With m = w = 0 at the start, m is the weighted mean of all values so far, with weights d^age: it has no
    bias towards the initial zero (the correction of Kingma and Ba 2015, section 3).
    """
    after = DECAY * weight + (1.0 - DECAY)
    return (DECAY * weight * mean + (1.0 - DECAY) * value) / after, after
