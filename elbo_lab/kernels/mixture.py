"""What the E-step over a block of rows shares, whatever the covariance: responsibilities from log densities.

A block is `ROWS` rows, turned so that one column of the data is one contiguous stretch: the inner loop of
everything runs over rows, four at a time in a vector register. Log densities are counted in bits, which is
what a power of two needs. For every row, with l_c = log2 pi_c + log2 p(x | c) and t_c = l_c - max_c l_c <= 0,

    s = sum_c 2^t_c,   log p(x) = log 2 max_c l_c + log s,   r_c = 2^t_c / s,
    H = log s - (log 2 / s) sum_c 2^t_c t_c          (the entropy of r: both terms are positive)

so that a row takes C powers, one logarithm and one division. The scalar functions of the C library would
take five times as long as all the rest. The maximum and the two sums over components stay in registers
while `LANES` rows go through all components (`lanes`). A share below 2^-1023 of the greatest counts as zero.

Sums over rows are taken in the order of the vector registers (`sum_loop`): other last bits on a machine with
other registers, the same for any number of threads.
"""

import math

import numpy as np

from elbo_lab.kernels.compiling import formula, sum_loop
from elbo_lab.kernels.exponential import log_of_at_least_one
from elbo_lab.kernels.lanes import LANES, everywhere, larger, load, store
from elbo_lab.kernels.powers import at_least_lowest, two_to

# Rows of a block: its sixteen columns fill three quarters of a cache of 32 KB.
ROWS = 192
LOG_2 = math.log(2.0)
# What turns y = L^-1 (x - mu) into y' with |y'|^2 = |y|^2 / 2 in bits.
ROOT_OF_BITS = math.sqrt(0.5 / LOG_2)


@formula
def _powers(log_joint, n_components, top, total, moment):
    """Turn log densities into 2^t; write max l, the sum of 2^t and that of 2^t t of every row."""
    for i in range(0, ROWS, LANES):
        best = everywhere(-np.inf)
        for c in range(n_components):
            best = larger(load(log_joint, c * ROWS + i), best)
        s, m = everywhere(0.0), everywhere(0.0)
        for c in range(n_components):
            t = at_least_lowest(load(log_joint, c * ROWS + i) - best)
            e = two_to(t)
            store(log_joint, c * ROWS + i, e)
            s = s + e
            m = m + e * t
        store(top, i, best)
        store(total, i, s)
        store(moment, i, m)


@formula
def _close(top, total, moment):
    """Turn max l, s and sum 2^t t into log p(x), 1/s and the entropy, row by row."""
    for i in range(ROWS):
        log_s = log_of_at_least_one(total[i])
        share = 1.0 / total[i]
        top[i] = LOG_2 * top[i] + log_s
        moment[i] = log_s - LOG_2 * moment[i] * share
        total[i] = share


@sum_loop
def _sum_of_two(first, second, n):
    one, two = 0.0, 0.0
    for i in range(n):
        one += first[i]
        two += second[i]
    return one, two


@formula
def normalise(log_joint, n_components, top, share, entropy, n):
    """Turn log densities into 2^t and the factor 1/s of every row; add up log p(x) and the entropy.

    Parameters
    ----------
    log_joint : ndarray (C * ROWS,)
        In bits; on return 2^t.
    n_components : int
        C.
    top : ndarray (ROWS,)
        Room to work in.
    share : ndarray (ROWS,)
        On return 1/s; zero from row n on, which are no data.
    entropy : ndarray (ROWS,)
        Room to work in.
    n : int
        Rows of the block that are data.
    """
    _powers(log_joint, n_components, top, share, entropy)
    _close(top, share, entropy)
    share[n:] = 0.0
    return _sum_of_two(top, entropy, n)


@formula
def turn(x, start, n, centre, columns):
    """Write n rows of x (N, D) from `start` on, less the centre (D,), into `columns` (P * ROWS,)."""
    for d in range(x.shape[1]):
        for i in range(n):
            columns[d * ROWS + i] = x[start + i, d] - centre[d]


@sum_loop
def weigh(r, share):
    """Turn 2^t into responsibilities r = 2^t / s; return their sum."""
    total = 0.0
    for i in range(ROWS):
        w = r[i] * share[i]
        r[i] = w
        total += w
    return total
