"""The Renyi family of bounds: one number alpha from the largest weight to the smallest.

    L_alpha = 1 / (1 - alpha) log E_q[w^(1 - alpha)] = log p(x) - D_alpha(q || p(z | x))

(Li and Turner 2016, section 3.) L_alpha falls as alpha rises: it is log p(x) at alpha = 0, the ELBO in the
limit alpha -> 1, a lower bound for every alpha > 0 and an upper bound for alpha < 0. The limits
alpha -> -inf and +inf are the largest and the smallest log-weight. alpha = 1 - n is the chi-square bound of
order n, which is above log p(x) for n > 1:

    CUBO_n = (1/n) log E_q[w^n]                                   (Dieng et al. 2017)

From draws, E_q is a mean inside a logarithm, and the estimate is biased: too low for alpha < 1 and too high
for alpha > 1 (Li and Turner 2016, section 4.1). At alpha = 0 it is the importance-weighted bound. So an upper
bound holds in exact form only: **a sampled CUBO is too low, by several nats where q misses a part of the
posterior, and may well fall below log p(x)**. The bound itself is +inf where the tails of q are too light for
E w^n; no sample shows that.

Helps: an exact CUBO with an exact ELBO brackets log p(x); alpha between 0 and 1 gives a tighter bound for
training. Fails: the further alpha is below zero, the fewer draws dominate the mean.

Values per datum (..., N), in nats.
"""

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.errors import bad_kind, bad_value
from elbo_lab.special import log_mean_exp, log_sum_exp


def check_alpha(alpha: float) -> float:
    """Return alpha as a float, or raise: 1 and nan have no bound of this family."""
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float, np.number)):
        raise bad_kind("alpha", "a number other than 1", repr(alpha))
    if np.isnan(alpha) or alpha == 1:
        raise bad_value("alpha", "a number other than 1", alpha, "the limit at 1 is the ELBO")
    return float(alpha)


def check_order(order: float) -> float:
    """Return the order of a chi-square bound as a float, or raise."""
    if isinstance(order, bool) or not isinstance(order, (int, float, np.number)):
        raise bad_kind("order", "a finite number above 1", repr(order))
    if not (np.isfinite(order) and order > 1):
        raise bad_value("order", "a finite number above 1", order, "at 1 it is log p(x), below a lower bound")
    return float(order)


def renyi_bound(log_w: Floats, alpha: float) -> Floats:
    """Return the sampled L_alpha (..., N): too low on average for alpha < 1, too high for alpha > 1.

    Parameters
    ----------
    log_w : ndarray (..., S, N)
        Of draws from q.
    alpha : float
        Any number but 1; -inf and inf are the largest and the smallest log-weight.
    """
    alpha = check_alpha(alpha)
    if np.isinf(alpha):
        return log_w.max(axis=-2) if alpha < 0 else log_w.min(axis=-2)
    return log_mean_exp((1.0 - alpha) * log_w, axis=-2) / (1.0 - alpha)


def exact_renyi_bound(log_w: Floats, log_q: Floats, alpha: float) -> Floats:
    """Return L_alpha (N,) itself, the expectation being a sum over every value of z or a rule.

    Parameters
    ----------
    log_w : ndarray (G, N)
        At every value of a discrete z, or at the nodes of a rule.
    log_q : ndarray (G, N)
        Logarithms of their probabilities under q.
    alpha : float
        Any number but 1. At -inf and inf only values that q can draw count.
    """
    alpha = check_alpha(alpha)
    possible = log_q > -np.inf
    if np.isinf(alpha):
        log_w = np.where(possible, log_w, alpha)
        return log_w.max(axis=0) if alpha < 0 else log_w.min(axis=0)
    terms = np.where(possible, (1.0 - alpha) * log_w, 0.0) + log_q
    return log_sum_exp(terms, axis=0) / (1.0 - alpha)


def chi_square_estimate(log_w: Floats, order: float = 2) -> Floats:
    """Return (1/n) log mean w^n (..., N): an estimate of CUBO_n that is too low, and no bound.

    Parameters
    ----------
    log_w : ndarray (..., S, N)
    order : float
        n > 1.
    """
    return renyi_bound(log_w, 1.0 - check_order(order))


def exact_chi_square_bound(log_w: Floats, log_q: Floats, order: float = 2) -> Floats:
    """Return CUBO_n (N,), an upper bound of log p(x); arguments as for `exact_renyi_bound`."""
    return exact_renyi_bound(log_w, log_q, 1.0 - check_order(order))
