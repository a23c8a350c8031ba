"""What the E-step over a block of rows shares, whatever the covariance: responsibilities from log densities.

A block is `ROWS` rows, turned so that one column of the data is one contiguous stretch: the inner loop of
everything runs over rows, four at a time in a vector register. For every row, with
l_c = log pi_c + log p(x | c) and t_c = l_c - max_c l_c <= 0,

    s = sum_c exp(t_c),   log p(x) = max_c l_c + log s,   r_c = exp(t_c) / s,
    H = log s - (1/s) sum_c exp(t_c) t_c              (the entropy of r: both terms are positive)

so that a row takes C exponentials, one logarithm and one division. The scalar functions of the C library
would take five times as long as all the rest; `exponential` has forms that vectorise.

Sums over rows are taken in the order of the vector registers (`sum_loop`): other last bits on a machine with
other registers, the same for any number of threads.
"""

from elbo_lab.kernels.compiling import formula, sum_loop
from elbo_lab.kernels.exponential import exp_of_negative, log_of_at_least_one

# Rows of a block: its sixteen columns fill three quarters of a cache of 32 KB.
ROWS = 192


@formula
def _exponentials(log_joint, top, total, moment):
    """Turn a component's log densities into exp(t), and add exp(t) and exp(t) t to the sums; all (ROWS,)."""
    for i in range(ROWS):
        t = log_joint[i] - top[i]
        e = exp_of_negative(t)
        log_joint[i] = e
        total[i] += e
        moment[i] += e * t


@formula
def _close(top, total, moment):
    """Turn max, s and sum exp(t) t into log p(x), 1/s and the entropy, row by row."""
    for i in range(ROWS):
        log_s = log_of_at_least_one(total[i])
        share = 1.0 / total[i]
        top[i] += log_s
        moment[i] = log_s - moment[i] * share
        total[i] = share


@sum_loop
def _sum_of_two(first, second, n):
    one, two = 0.0, 0.0
    for i in range(n):
        one += first[i]
        two += second[i]
    return one, two


@formula
def normalise(log_joint, top, share, entropy, n):
    """Turn log densities into exp(t) and the factor 1/s of every row; add up log p(x) and the entropy.

    Parameters
    ----------
    log_joint : ndarray (C, ROWS)
        On return exp(t).
    top : ndarray (ROWS,)
        The maxima over components.
    share : ndarray (ROWS,)
        On return 1/s; zero from row n on, which are no data.
    entropy : ndarray (ROWS,)
        Room to work in.
    n : int
        Rows of the block that are data.
    """
    share[:] = 0.0
    entropy[:] = 0.0
    for c in range(log_joint.shape[0]):
        _exponentials(log_joint[c], top, share, entropy)
    _close(top, share, entropy)
    share[n:] = 0.0
    return _sum_of_two(top, entropy, n)


@formula
def raise_top(log_joint, top, raised):
    """Write the maximum of the first two into the third; a maximum in place becomes a slow masked store."""
    for i in range(ROWS):
        raised[i] = log_joint[i] if log_joint[i] > top[i] else top[i]


@formula
def turn(x, start, n, centre, columns):
    """Write n rows of x (N, D) from `start` on, less the centre (D,), into `columns` (P * ROWS,)."""
    for d in range(x.shape[1]):
        for i in range(n):
            columns[d * ROWS + i] = x[start + i, d] - centre[d]


@sum_loop
def weigh(r, share):
    """Turn exp(t) into responsibilities r = exp(t) / s; return their sum."""
    total = 0.0
    for i in range(ROWS):
        w = r[i] * share[i]
        r[i] = w
        total += w
    return total
