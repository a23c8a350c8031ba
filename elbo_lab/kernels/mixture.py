"""One pass of EM for a Gaussian mixture over rows of data: densities, responsibilities, weighted moments.

With d_c = x - mu_c, the whitener A_c = L_c^-1 (Sigma_c = L_c L_c^T) and, for every row,

    l_c = scale_c - |A_c d_c|^2 / 2,       t_c = l_c - max_c l_c <= 0,       s = sum_c exp(t_c),
    log p(x) = max_c l_c + log s,          r_c = exp(t_c) / s,
    H = log s - (1 / s) sum_c exp(t_c) t_c         (the entropy of r: both terms are positive)

the pass adds up r_c, r_c d_c, r_c d_c d_c^T (or its diagonal), H and log p(x). Differences are taken from
the mean of each component: data far from zero cost no digits, and the moments lose none by cancellation.

**Layout.** Rows are processed in blocks of `ROWS`, transposed so that a column of the block is contiguous.
Every inner loop runs down the rows of a block, which a compiler turns into vector code, and a block stays in
the fastest cache. The columns of the data are read in pairs (an odd number is padded by a column of zeros):
four coefficients of A, or four sums, stay in registers while two columns of data are read. The triangles are
therefore cut into tiles of two by two.

**Cost.** An exponential for every row and component, D (D + 1) / 2 multiply-adds for |A d|^2 and as many for
the moment; up to about five columns the exponentials dominate. Matrix products through BLAS would
compute both triangles, and on sides of 16 run at a third to two thirds of their speed.

Sums over rows are taken in the order of the vector registers (`sum_loop`): other last bits on a machine with
other registers, the same for any number of threads.

The gain over NumPy, a factor of 5 to 22 on one core, is listed in `elbo_lab.em.sums`.
"""

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.kernels.compiling import formula, loop, sum_loop
from elbo_lab.kernels.exponential import log_of_at_least_one, power_of_two, reduce_by_log2

ROWS = 128
# At this logarithm the bits of 2^n are all zero, which is 0.0.
LEAST_LOG = -709.0


@formula
def _transpose(x: Floats, first: int, n: int, columns: Floats) -> None:
    """Write n rows of x (N, D) into columns (P, ROWS); the rest of the block repeats the first row."""
    for j in range(x.shape[1]):
        column = columns[j]
        for i in range(n):
            column[i] = x[first + i, j]
        column[n:] = column[0]


# -- responsibilities ---------------------------------------------------------------------------------


@formula
def _exp_or_zero(t: float) -> float:
    """Return exp(t) for LEAST_LOG <= t <= 0, and 0 at LEAST_LOG; nan at nan."""
    n, tail = reduce_by_log2(t)
    power = power_of_two(n)
    return power * tail + power


@formula
def _share(log_joint: Floats, top: Floats, share: Floats, entropy: Floats) -> None:
    """Turn l (C, ROWS) into exp(t); write log p(x), 1 / s and H of every row (ROWS,)."""
    top[:] = -np.inf
    for c in range(len(log_joint)):
        row = log_joint[c]
        for i in range(ROWS):
            top[i] = row[i] if row[i] > top[i] else top[i]
    share[:] = 0.0
    entropy[:] = 0.0
    for c in range(len(log_joint)):
        row = log_joint[c]
        for i in range(ROWS):
            t = row[i] - top[i]
            # Written so that nan fails the comparison and stays.
            t = LEAST_LOG if t < LEAST_LOG else t
            e = _exp_or_zero(t)
            row[i] = e
            share[i] += e
            entropy[i] += e * t
    for i in range(ROWS):
        log_s = log_of_at_least_one(share[i])
        share[i] = 1.0 / share[i]
        top[i] += log_s
        entropy[i] = log_s - entropy[i] * share[i]


@sum_loop
def _sum_of_two(first: Floats, second: Floats, n: int) -> tuple[float, float]:
    first_sum, second_sum = 0.0, 0.0
    for i in range(n):
        first_sum += first[i]
        second_sum += second[i]
    return first_sum, second_sum


@sum_loop
def _weigh(r: Floats, share: Floats) -> float:
    """Turn exp(t) into responsibilities r = exp(t) / s; return their sum."""
    total = 0.0
    for i in range(ROWS):
        r[i] *= share[i]
        total += r[i]
    return total


# -- full covariances ---------------------------------------------------------------------------------


@formula
def _differences(columns: Floats, mean: Floats, d: Floats) -> None:
    """Write x - mean into d (P, ROWS)."""
    for j in range(len(mean)):
        column, out, m = columns[j], d[j], mean[j]
        for i in range(ROWS):
            out[i] = column[i] - m


@formula
def _subtract_first(d: Floats, A: Floats, out: Floats) -> None:
    """Subtract half the squares of the first two rows of A d from `out` (ROWS,)."""
    a0, b0, b1 = A[0, 0], A[1, 0], A[1, 1]
    d0, d1 = d[0], d[1]
    for i in range(ROWS):
        y0 = a0 * d0[i]
        y1 = b0 * d0[i] + b1 * d1[i]
        out[i] -= 0.5 * (y0 * y0 + y1 * y1)


@formula
def _add_product(
    d0: Floats, d1: Floats, a0: float, a1: float, b0: float, b1: float, y0: Floats, y1: Floats
) -> None:
    """Add one tile of A, times two columns of d, to two rows of A d."""
    for i in range(ROWS):
        # y comes first, so that every product is fused with a sum.
        y0[i] = y0[i] + a0 * d0[i] + a1 * d1[i]
        y1[i] = y1[i] + b0 * d0[i] + b1 * d1[i]


@formula
def _subtract_next(d: Floats, A: Floats, k: int, y0: Floats, y1: Floats, out: Floats) -> None:
    """Subtract half the squares of rows k and k + 1 of A d from `out`; y holds the columns below k."""
    a0, b0, b1 = A[k, k], A[k + 1, k], A[k + 1, k + 1]
    d0, d1 = d[k], d[k + 1]
    for i in range(ROWS):
        y2 = y0[i] + a0 * d0[i]
        y3 = y1[i] + b0 * d0[i] + b1 * d1[i]
        out[i] -= 0.5 * (y2 * y2 + y3 * y3)


@formula
def _subtract(d: Floats, A: Floats, y: Floats, out: Floats) -> None:
    """Subtract |A d|^2 / 2 from `out` (ROWS,); y (2, ROWS) is scratch memory."""
    _subtract_first(d, A, out)
    y0, y1 = y[0], y[1]
    for k in range(2, len(A), 2):
        y[:] = 0.0
        for j in range(0, k, 2):
            _add_product(d[j], d[j + 1], A[k, j], A[k, j + 1], A[k + 1, j], A[k + 1, j + 1], y0, y1)
        _subtract_next(d, A, k, y0, y1, out)


@sum_loop
def _corner_sums(
    d0: Floats, d1: Floats, r: Floats, w0: Floats, w1: Floats
) -> tuple[float, float, float, float, float]:
    """Return the sums of r d (2) and the triangle of r d d^T (3) of two columns; write r d into w."""
    s0, s1 = 0.0, 0.0
    a0, b0, b1 = 0.0, 0.0, 0.0
    for i in range(ROWS):
        w0[i] = r[i] * d0[i]
        w1[i] = r[i] * d1[i]
        s0 += w0[i]
        s1 += w1[i]
        a0 += w0[i] * d0[i]
        b0 += w1[i] * d0[i]
        b1 += w1[i] * d1[i]
    return s0, s1, a0, b0, b1


@sum_loop
def _tile_sums(d0: Floats, d1: Floats, w0: Floats, w1: Floats) -> tuple[float, float, float, float]:
    """Return the four sums of a column of w times a column of d."""
    a0, a1 = 0.0, 0.0
    b0, b1 = 0.0, 0.0
    for i in range(ROWS):
        a0 += w0[i] * d0[i]
        a1 += w0[i] * d1[i]
        b0 += w1[i] * d0[i]
        b1 += w1[i] * d1[i]
    return a0, a1, b0, b1


@formula
def _add_moments(d: Floats, r: Floats, w: Floats, shift: Floats, moment: Floats) -> None:
    """Add the sums of r d to shift (P,) and the lower triangle of r d d^T to moment (P, P)."""
    for k in range(0, len(shift), 2):
        s0, s1, a0, b0, b1 = _corner_sums(d[k], d[k + 1], r, w[0], w[1])
        shift[k] += s0
        shift[k + 1] += s1
        moment[k, k] += a0
        moment[k + 1, k] += b0
        moment[k + 1, k + 1] += b1
        for j in range(0, k, 2):
            a0, a1, b0, b1 = _tile_sums(d[j], d[j + 1], w[0], w[1])
            moment[k, j] += a0
            moment[k, j + 1] += a1
            moment[k + 1, j] += b0
            moment[k + 1, j + 1] += b1


@formula
def _full_densities(
    columns: Floats,
    mean: Floats,
    whitener: Floats,
    scale: Floats,
    d: Floats,
    two_rows: Floats,
    log_joint: Floats,
) -> None:
    """Write l of every component (C, ROWS)."""
    for c in range(len(mean)):
        log_joint[c] = scale[c]
        _differences(columns, mean[c], d)
        _subtract(d, whitener[c], two_rows, log_joint[c])


@formula
def _full_moments(
    columns: Floats,
    mean: Floats,
    r: Floats,
    d: Floats,
    two_rows: Floats,
    shift: Floats,
    moment: Floats,
) -> None:
    """Add the sums of every component, given r (C, ROWS)."""
    for c in range(len(mean)):
        _differences(columns, mean[c], d)
        _add_moments(d, r[c], two_rows, shift[c], moment[c])


# -- diagonal covariances -----------------------------------------------------------------------------


@formula
def _subtract_columns(columns: Floats, mean: Floats, a: Floats, out: Floats) -> None:
    """Subtract sum_j (a_j d_j)^2 / 2 from `out` (ROWS,)."""
    for j in range(0, len(mean), 2):
        m0, m1, a0, a1 = mean[j], mean[j + 1], a[j], a[j + 1]
        x0, x1 = columns[j], columns[j + 1]
        for i in range(ROWS):
            y0 = a0 * (x0[i] - m0)
            y1 = a1 * (x1[i] - m1)
            out[i] -= 0.5 * (y0 * y0 + y1 * y1)


@sum_loop
def _column_sums(
    x0: Floats, x1: Floats, r: Floats, m0: float, m1: float
) -> tuple[float, float, float, float]:
    """Return the sums of r d (2) and of r d^2 (2) of two columns."""
    s0, s1 = 0.0, 0.0
    t0, t1 = 0.0, 0.0
    for i in range(ROWS):
        d0 = x0[i] - m0
        d1 = x1[i] - m1
        s0 += r[i] * d0
        s1 += r[i] * d1
        t0 += r[i] * d0 * d0
        t1 += r[i] * d1 * d1
    return s0, s1, t0, t1


@formula
def _add_column_moments(columns: Floats, r: Floats, mean: Floats, shift: Floats, moment: Floats) -> None:
    """Add the sums of r d to shift (P,) and those of r d^2 to moment (P,)."""
    for j in range(0, len(mean), 2):
        s0, s1, t0, t1 = _column_sums(columns[j], columns[j + 1], r, mean[j], mean[j + 1])
        shift[j] += s0
        shift[j + 1] += s1
        moment[j] += t0
        moment[j + 1] += t1


@formula
def _diagonal_densities(
    columns: Floats, mean: Floats, whitener: Floats, scale: Floats, log_joint: Floats
) -> None:
    """Write l of every component (C, ROWS)."""
    for c in range(len(mean)):
        log_joint[c] = scale[c]
        _subtract_columns(columns, mean[c], whitener[c, 0], log_joint[c])


@formula
def _diagonal_moments(columns: Floats, mean: Floats, r: Floats, shift: Floats, moment: Floats) -> None:
    """Add the sums of every component, given r (C, ROWS)."""
    for c in range(len(mean)):
        _add_column_moments(columns, r[c], mean[c], shift[c], moment[c, 0])


# -- the pass -----------------------------------------------------------------------------------------


@loop
def add_weighted_sums(
    x: Floats,
    mean: Floats,
    whitener: Floats,
    scale: Floats,
    start: int,
    stop: int,
    total: Floats,
    shift: Floats,
    moment: Floats,
) -> tuple[float, float]:
    """Add the sums over rows start to stop; return (log-likelihood, entropy) in nats.

    Parameters
    ----------
    x : ndarray (N, D)
    mean : ndarray (C, P)
        P is D, or D + 1 where D is odd; the last column is then 0 throughout.
    whitener : ndarray (C, P, P) or (C, 1, P)
        L_c^-1, lower triangular, or its diagonal for diagonal covariances.
    scale : ndarray (C,)
        log pi_c - log |L_c| - D log(2 pi) / 2.
    start, stop : int
    total, shift, moment : ndarray (C,), (C, P) and one like `whitener`
        Sums so far, updated in place; of a matrix only the lower triangle.
    """
    n_components, n_columns = mean.shape
    full = whitener.shape[1] > 1
    columns = np.zeros((n_columns, ROWS))
    d = np.empty((n_columns, ROWS))
    two_rows = np.empty((2, ROWS))
    log_joint = np.empty((n_components, ROWS))
    top, share, entropy = np.empty(ROWS), np.empty(ROWS), np.empty(ROWS)
    sum_log_p, sum_entropy = 0.0, 0.0
    for first in range(start, stop, ROWS):
        n = min(ROWS, stop - first)
        _transpose(x, first, n, columns)
        # The branch is outside the loops over components: inside, they would take twice as long.
        if full:
            _full_densities(columns, mean, whitener, scale, d, two_rows, log_joint)
        else:
            _diagonal_densities(columns, mean, whitener, scale, log_joint)
        _share(log_joint, top, share, entropy)
        # Rows from n on are padding.
        share[n:] = 0.0
        log_p, h = _sum_of_two(top, entropy, n)
        sum_log_p += log_p
        sum_entropy += h
        for c in range(n_components):
            total[c] += _weigh(log_joint[c], share)
        if full:
            _full_moments(columns, mean, log_joint, d, two_rows, shift, moment)
        else:
            _diagonal_moments(columns, mean, log_joint, shift, moment)
    return sum_log_p, sum_entropy
