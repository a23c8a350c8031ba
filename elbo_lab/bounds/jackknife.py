"""The importance-weighted bound, corrected by the jackknife.

The bias of L_S = log (1/S) sum_s w_s is a series in 1/S, log p(x) - E L_S = a_1 / S + a_2 / S^2 + ... A
combination with bounds of fewer of the same draws cancels the first m terms:

    J_1 = S L_S - (S - 1) mean L_{S-1}
    J_m = sum_{j=0..m} c_j mean L_{S-j},    c_j = (-1)^j (S - j)^m / ((m - j)! j!)

the mean running over all subsets of S - j draws (Nowozin 2018, "Debiasing evidence approximations").

Helps: a few times S evaluations of the logarithm, none of the model, and the bias falls from 1/S to 1/S^2
or 1/S^3. Fails: it is no longer a bound and may be above log p(x) on average; variance rises with the order;
and where a few weights carry the sum there is no such series, so that the correction is large and wrong.

Order two leaves out every pair: S^2 logarithms per datum, memory of order S.
"""

import math

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.errors import bad_value, check_count
from elbo_lab.special import log_mean_exp

HIGHEST_ORDER = 2


def check_order(order: int) -> int:
    """Return the order of the correction, 1 or 2, or raise."""
    if check_count("order", order) > HIGHEST_ORDER:
        raise bad_value("order", "1 or 2", order, "above 2 the variance outgrows the gain in bias")
    return order


def coefficients(n_draws: int, order: int) -> list[float]:
    """Return c_0..c_m, the weights of the bounds of S, S - 1, ... S - m draws; their sum is one."""
    return [
        (-1) ** j * (n_draws - j) ** order / (math.factorial(order - j) * math.factorial(j))
        for j in range(order + 1)
    ]


def leave_one_out(log_w: Floats) -> Floats:
    """Return log of the sum of the other weights (..., S, N).

    By sums from the left and from the right, without a difference: no digits are lost where one weight
    carries nearly all.
    """
    zero = np.full_like(log_w[..., :1, :], -np.inf)
    left = np.logaddexp.accumulate(log_w, axis=-2)
    right = np.logaddexp.accumulate(log_w[..., ::-1, :], axis=-2)[..., ::-1, :]
    before = np.concatenate([zero, left[..., :-1, :]], axis=-2)
    return np.logaddexp(before, np.concatenate([right[..., 1:, :], zero], axis=-2))


def mean_without(log_w: Floats, n_left_out: int) -> Floats:
    """Return the mean over all subsets of S - j draws of log (1 / (S - j)) sum w (..., N)."""
    n_draws = log_w.shape[-2]
    if n_left_out == 0:
        return log_mean_exp(log_w, axis=-2)
    if n_left_out == 1:
        return leave_one_out(log_w).mean(axis=-2) - math.log(n_draws - 1)
    # Every subset is counted n_left_out times, once for each draw that it lacks.
    means = [mean_without(np.delete(log_w, s, axis=-2), n_left_out - 1) for s in range(n_draws)]
    return sum(means) / n_draws


def jackknife_evidence(log_w: Floats, order: int = 1) -> Floats:
    """Return the jackknife-corrected log mean weight (..., N).

    Parameters
    ----------
    log_w : ndarray (..., S, N)
        Of more than `order` independent draws.
    order : int
        1 or 2.

    Raises
    ------
    ValueError
        If so few weights of a datum are above zero that a mean without `order` of them is zero.
    """
    order = check_order(order)
    n_draws = log_w.shape[-2]
    if n_draws <= order:
        raise bad_value("draws", f"at least {order + 1} for a correction of order {order}", n_draws)
    least = (log_w > -np.inf).sum(axis=-2).min()
    if least <= order and not np.isnan(log_w).any():
        expected = f"at least {order + 1} above -inf for every datum"
        raise bad_value("log-weights", expected, f"{least}", "take more draws or a wider q")
    terms = [c * mean_without(log_w, j) for j, c in enumerate(coefficients(n_draws, order))]
    return np.sum(terms, axis=0)
