"""Variance of the score-function estimators from six moments of f and the score.

With f = log w, s one coordinate of the score (E s = 0), m = E f and c = E[f s] the gradient itself, one
draw with a constant baseline b has

    Var[(f - b) s] = E[(f - b)^2 s^2] - c^2.

It is least at b* = E[f s^2] / E[s^2] (Greensmith et al. 2004), in general not at b = m: where f and s^2 go
together, the mean is a poor baseline and can be worse than none. The mean of S draws has 1/S of that.

Leave-one-out is the unbiased sample covariance of f and s (their products centred by the sample means and
divided by S - 1), so that

    Var = (1/S) {E[(f - m)^2 s^2] - (S - 2) / (S - 1) c^2 + Var f E[s^2] / (S - 1)}

(Kendall and Stuart, variance of a sample covariance.) The last term is the price of estimating the mean; at S
draws it is about 1/S of what the baseline saves.
"""

from dataclasses import dataclass

import numpy as np

from elbo_lab.arrays import Floats


@dataclass(frozen=True)
class ScoreMoments:
    """Moments of f and the score under one q per datum.

    Attributes
    ----------
    mean, variance : ndarray (N, 1)
        E f and Var f, in nats and nats^2.
    f_s : ndarray (N, E)
        E[f s], the gradient in eta.
    f_s2, f2_s2 : ndarray (N, E)
        E[(f - E f) s^2] and E[(f - E f)^2 s^2].
    s2 : ndarray (N, E)
        E[s^2], the diagonal of the Fisher information.
    """

    mean: Floats
    variance: Floats
    f_s: Floats
    f_s2: Floats
    f2_s2: Floats
    s2: Floats

    @classmethod
    def from_shifted(
        cls, shift: Floats, d: Floats, d2: Floats, d_s: Floats, d_s2: Floats, d2_s2: Floats, s2: Floats
    ) -> "ScoreMoments":
        """Return the moments, given those of d = f - shift and of the score."""
        centred = d2_s2 - 2.0 * d * d_s2 + d**2 * s2
        return cls(shift + d, d2 - d**2, d_s, d_s2 - d * s2, centred, s2)


@dataclass(frozen=True)
class DrawMoments:
    """What single draws say about the estimators of all numbers of draws.

    Attributes
    ----------
    score : ScoreMoments
    pathwise : dict of str to ndarray (N, E)
        Variance of one draw of the estimators that are plain means, by name; empty for discrete z.
    """

    score: ScoreMoments
    pathwise: dict[str, Floats]

    def variances(self, n_draws: int) -> dict[str, Floats]:
        """Return {estimator: variance (N, E) of the gradient of one datum in eta} for S = `n_draws`."""
        pathwise = {name: variance / n_draws for name, variance in self.pathwise.items()}
        return score_variances(self.score, n_draws) | pathwise


def _with_baseline(moments: ScoreMoments, baseline: Floats | float) -> Floats:
    """Return Var[(f - baseline) s] of one draw (N, E)."""
    shift = moments.mean - baseline
    second = moments.f2_s2 + 2.0 * shift * moments.f_s2 + shift**2 * moments.s2
    return second - moments.f_s**2


def score_variances(moments: ScoreMoments, n_draws: int) -> dict[str, Floats]:
    """Return {estimator: variance (N, E) of the gradient of one datum in eta} for S = `n_draws`.

    The estimated baselines that have no formula are left out; leave-one-out needs two draws.
    """
    safe = np.where(moments.s2 > 0.0, moments.s2, 1.0)
    optimal = moments.mean + np.where(moments.s2 > 0.0, moments.f_s2 / safe, 0.0)
    baselines: dict[str, Floats | float] = {
        "score-function": 0.0,
        "score-function-mean-baseline": moments.mean,
        "score-function-oracle-baseline": optimal,
    }
    found = {name: _with_baseline(moments, b) / n_draws for name, b in baselines.items()}
    if n_draws > 1:
        others = n_draws - 1
        explained = (n_draws - 2) / others * moments.f_s**2
        price = moments.variance * moments.s2 / others
        found["score-function-loo"] = (moments.f2_s2 - explained + price) / n_draws
    # Differences of moments may fall below zero by rounding where the variance vanishes.
    return {name: np.maximum(variance, 0.0) for name, variance in found.items()}
