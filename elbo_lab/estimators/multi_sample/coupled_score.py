"""What the score-function gradients of several coupled draws share: a sum of signals times scores.

    g = sum_k s_k h_k,   h_k = d log q(z_k; eta) / d eta,   s_k a function of all K log-weights

An estimator of this form is its signal. For the importance-weighted bound, log Zhat = log (1/K) sum_k w_k,

    d/d eta E[log Zhat] = E[sum_k (log Zhat - v_k) h_k],   v_k = w_k / sum_l w_l

(Mnih and Rezende 2016; the term -v_k is the derivative of log Zhat through log q). From every
signal a baseline c_k may be taken that does not see draw k: E[c_k h_k] = 0. No derivative of the model
is needed, so that z may be discrete.
"""

from abc import abstractmethod

import numpy as np

from elbo_lab.bounds import log_weight
from elbo_lab.estimators.base import NO_STATE, Estimator, posterior_draws
from elbo_lab.special import log_sum_exp


class CoupledScore(Estimator):
    """Sum of signals times scores."""

    independent_draws = True

    @abstractmethod
    def signal(self, log_w):
        """Return the factors s_k of the scores (..., K, N) from the log-weights (..., S, N).

        Draws behind the first K serve the signals only.
        """

    def estimate(self, problem, noise, state=NO_STATE):
        model, posterior, theta, phi, x = problem
        family = posterior.family
        eta, z = posterior_draws(problem, noise)
        signal = self.signal(log_weight(model, theta, x, family, eta, z))
        score = family.score(eta, z)[..., : signal.shape[-2], :, :]
        grad_eta = (signal[..., None] * score).sum(axis=-3) / len(x)
        return posterior.eta_vjp(phi, x, grad_eta), state


def log_sum_of_others(log_w):
    """Return log sum_{l != k} w_l (..., K, N) for each of at least two draws.

    The sum without the largest weight is formed anew: from all minus one it would lose its digits.
    """
    peak = log_w.max(axis=-2, keepdims=True)
    is_peak = np.arange(log_w.shape[-2])[:, None] == log_w.argmax(axis=-2)[..., None, :]
    weights = np.exp(log_w - peak)
    others = weights.sum(axis=-2, keepdims=True) - weights
    below = log_sum_exp(np.where(is_peak, -np.inf, log_w), axis=-2)[..., None, :]
    return np.where(is_peak, below, np.log(np.where(is_peak, 1.0, others)) + peak)
