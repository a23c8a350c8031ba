"""Draws without replacement, and the probability of what was drawn, whatever the order.

Draw from q, strike the value out, draw from what is left, and so on: a sequence b_1, ..., b_k. As a set S it
has the probability of all its orders together. Write W(T) for the probability that the first draws from the
values of T and those outside of S are just T; by the value that comes first,

    W(T) = sum_{b in T} q(b) / (q(T) + q(outside of S)) W(T without b),   W(empty) = 1

so that one table over the 2^k subsets of S holds p(S) = W(S), and also the probabilities of the rest of S
after one or two of its values have been struck from the start: W(S \\ s), W(S \\ s \\ t). Every term is
positive, so that sums of logarithms lose nothing, however small q is.

Source: W. Kool, H. van Hoof, M. Welling, "Estimating gradients for discrete random variables by sampling
without replacement", ICLR 2020 (there by another recursion and by quadrature).
"""

from functools import lru_cache

import numpy as np

from elbo_lab.errors import bad_value
from elbo_lab.estimators.score.few_values import draw_number, without
from elbo_lab.special import log_sum_exp

# The table has 2^k entries per datum.
LARGEST_SET = 16


def draw_set(log_q, uniforms):
    """Return the numbers of k = min(S, G) values drawn one after the other without replacement.

    Parameters
    ----------
    log_q : ndarray (N, G)
    uniforms : ndarray (..., S, N)
        Those after the G-th are not needed.

    Returns
    -------
    numbers : ndarray of int (..., k, N)
    left : ndarray (..., N, G)
        log q of the values outside of the set, -inf inside.
    """
    size = min(uniforms.shape[-2], log_q.shape[-1])
    if LARGEST_SET < size:
        raise bad_value("draws", f"at most {LARGEST_SET} for a set without replacement", size)
    left, numbers = log_q, []
    for step in range(size):
        numbers.append(draw_number(left, uniforms[..., step, :]))
        left = without(left, numbers[-1])
    return np.stack(numbers, axis=-2), left


@lru_cache
def _subsets(size):
    """Return for every count 1..k the subsets (M,) as bits and their members (M, count)."""
    masks = np.arange(2**size)
    members = masks[:, None] >> np.arange(size) & 1
    counts = members.sum(axis=1)
    return [
        (masks[counts == count], np.nonzero(members[counts == count])[1].reshape(-1, count))
        for count in range(1, size + 1)
    ]


def log_subset_probabilities(log_q, log_outside):
    """Return log W(T) (2^k, ..., N) of every subset T of S, numbered by its bits.

    Parameters
    ----------
    log_q : ndarray (k, ..., N)
        Of the members of S.
    log_outside : ndarray (..., N)
        Log-probability of all values outside of S; -inf if there is none.
    """
    mass = log_outside[None]
    for one in log_q:
        mass = np.concatenate([mass, np.logaddexp(mass, one)])
    log_w = np.zeros_like(mass)
    for masks, members in _subsets(len(log_q)):
        smaller = masks[:, None] - (1 << members)
        log_w[masks] = log_sum_exp(log_q[members] + log_w[smaller], axis=1) - mass[masks]
    return log_w


def first_draw(log_q, log_w):
    """Return P(s came first | S) (k, ..., N), and P(t came second | s first, S) (k, k, ..., N).

    The first is q(s) R(S, s) with the leave-one-out ratio R of Kool et al. 2020; the second is that of the
    set without s, and zero for t = s.
    """
    size = len(log_q)
    bits, everything = 1 << np.arange(size), 2**size - 1
    log_without = log_w[everything - bits]
    first = np.exp(log_q + log_without - log_w[everything])
    # For t = s the number of the subset is of no matter: the diagonal is zero.
    log_without_both = log_w[everything & ~(bits[:, None] | bits)]
    after = np.zeros_like(log_without_both)
    np.exp(log_q + log_without_both - log_without[:, None], out=after)
    after[np.diag_indices(size)] = 0.0
    return first, after
