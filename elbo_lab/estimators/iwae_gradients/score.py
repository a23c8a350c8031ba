"""Score-function gradients of the importance-weighted bound: a sum of signals times scores.

    g = sum_k s_k h_k,   h_k = d log q(z_k; eta) / d eta,   s_k a function of all K log-weights

An estimator of this form is its signal. For the importance-weighted bound, log Zhat = log (1/K) sum_k w_k,

    d/d eta E[log Zhat] = E[sum_k (log Zhat - v_k) h_k],   v_k = w_k / sum_l w_l

(Mnih and Rezende 2016; the term -v_k is the derivative of log Zhat through log q). A baseline c_k that does
not see draw k may be subtracted from every signal: E[c_k h_k] = 0. No derivative of the model is needed, so
that z may be discrete. Here the baseline is zero, or the bound with another weight in place of w_k:

    iwae-score-function   zero
    vimco                 the geometric mean of the other weights
    vimco-arithmetic      their arithmetic mean
"""

import math
from abc import abstractmethod

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.estimators.base import NO_STATE, Estimate, Estimator, weighted_draws
from elbo_lab.exact.problem import Problem
from elbo_lab.special import log_mean_exp, log_sum_exp, softmax

__all__ = ["IwaeScoreFunction", "Vimco", "VimcoArithmetic"]


class CoupledScore(Estimator):
    """Sum of signals times scores."""

    independent_draws = True

    @abstractmethod
    def signal(self, log_w: Floats) -> Floats:
        """Return the factors s_k of the scores (..., K, N) from the log-weights (..., S, N).

        Draws after the first K serve the signals only.
        """

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        posterior, phi, x = problem.posterior, problem.phi, problem.x
        eta, z, log_w = weighted_draws(problem, noise)
        signal = self.signal(log_w)
        score = posterior.family.score(eta, z)[..., : signal.shape[-2], :, :]
        grad_eta = (signal[..., None] * score).sum(axis=-3) / len(x)
        return posterior.eta_vjp(phi, x, grad_eta), state


def log_sum_of_others(log_w: Floats) -> Floats:
    """Return log sum_{l != k} w_l (..., K, N) for each of at least two draws.

    The sum without the largest weight is computed afresh: the difference of two sums would lose its digits.
    """
    peak = log_w.max(axis=-2, keepdims=True)
    is_peak = np.arange(log_w.shape[-2])[:, None] == log_w.argmax(axis=-2)[..., None, :]
    weights = np.exp(log_w - peak)
    others = weights.sum(axis=-2, keepdims=True) - weights
    below = log_sum_exp(np.where(is_peak, -np.inf, log_w), axis=-2)[..., None, :]
    return np.where(is_peak, below, np.log(np.where(is_peak, 1.0, others)) + peak)


class IwaeScoreFunction(CoupledScore):
    """The score-function gradient of the importance-weighted bound in phi, without a baseline.

        g = sum_k (log Zhat - v_k) h_k,   log Zhat = log (1/K) sum_l w_l,   v_k = w_k / sum_l w_l

    (Mnih and Rezende 2016.) Helps: for discrete and continuous z alike, by values only. Fails: all K scores
    are multiplied by the same log Zhat, of the size of log p(x): the noise grows with the number of draws,
    and the signal-to-noise ratio falls. It is the starting point of the others (`vimco`, `ovis-mc`).
    """

    name = "iwae-score-function"
    title = "REINFORCE of the IWAE bound"
    synonyms = ("iwae-reinforce",)
    target = "grad-phi-iwae"
    summary = "REINFORCE of log mean w, without a baseline"

    def signal(self, log_w: Floats) -> Floats:
        return log_mean_exp(log_w, axis=-2)[..., None, :] - softmax(log_w, axis=-2)


class Vimco(CoupledScore):
    """VIMCO: the bound itself as baseline, a draw's weight replaced by a mean of the other weights.

        g = sum_k (log Zhat - log Zhat_k - v_k) h_k
        Zhat_k = (1/K) (sum_{l != k} w_l + geometric mean of the w_l, l != k)

    (Mnih and Rezende 2016; their estimate of the missing weight is the geometric mean.) Zhat_k does not see
    draw k, hence unbiased. The remaining signal is what draw k has added to the bound, of order 1/K instead
    of log p(x). Helps: the size of log p(x) is no longer noise, for discrete and
    continuous z. Fails at the exact posterior: there the signal is -1/K and not zero.
    """

    name = "vimco"
    title = "VIMCO"
    target = "grad-phi-iwae"
    summary = "REINFORCE of log mean w, each draw's baseline from the others (geometric mean)"
    minimum_draws = 2

    def signal(self, log_w: Floats) -> Floats:
        geometric = (log_w.sum(axis=-2, keepdims=True) - log_w) / (log_w.shape[-2] - 1)
        replaced = np.logaddexp(log_sum_of_others(log_w), geometric)
        gained = log_sum_exp(log_w, axis=-2)[..., None, :] - replaced
        return gained - softmax(log_w, axis=-2)


class VimcoArithmetic(CoupledScore):
    """VIMCO with the arithmetic mean of the other weights in place of the missing one.

        g = sum_k (log Zhat - log Zhat_{-k} - v_k) h_k,   Zhat_{-k} = (1/(K-1)) sum_{l != k} w_l

    (Mnih and Rezende 2016, the alternative to their geometric mean.) The baseline is the bound of the other
    K - 1 draws, and log Zhat - log Zhat_{-k} = log (1 - 1/K) - log (1 - v_k). Unbiased for the same reason;
    at two draws both means are of one weight, and the two estimators coincide. Helps: as VIMCO does. Fails: a
    single large weight moves the arithmetic mean more than the geometric one.
    """

    name = "vimco-arithmetic"
    title = "VIMCO, arithmetic mean"
    target = "grad-phi-iwae"
    summary = "REINFORCE of log mean w, the bound of the other draws as baseline"
    minimum_draws = 2

    def signal(self, log_w: Floats) -> Floats:
        log_left = log_sum_of_others(log_w) - log_sum_exp(log_w, axis=-2)[..., None, :]
        return math.log1p(-1.0 / log_w.shape[-2]) - log_left - softmax(log_w, axis=-2)
