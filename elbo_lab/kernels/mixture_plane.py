"""One pass of EM over rows of two columns: log densities, responsibilities, moments.

In the plane a component has three numbers in its whitener and three in its moment: all of them, and the
six sums, stay in registers while the loop runs down the rows of a block. What is left is the price of
the exponentials: half of the time of a pass. Differences are taken from the mean of each component, as in
the definition, so that means far from zero cost no digits.

Spherical and diagonal covariances are full ones here, with a zero below the diagonal of the whitener.
"""

import numpy as np

from elbo_lab.kernels.compiling import formula, loop, sum_loop
from elbo_lab.kernels.mixture import ROWS, normalise


@formula
def _turn(flat, first, n, left, right):
    """Write n rows of (x, y) pairs (2 N,) into two columns (ROWS,)."""
    pairs = flat[2 * first : 2 * (first + n)]
    for i in range(n):
        left[i] = pairs[2 * i]
        right[i] = pairs[2 * i + 1]


@formula
def _log_joint(left, right, m0, m1, a, b0, b1, scale, out):
    """Write scale - |y|^2 into out (ROWS,)."""
    for i in range(ROWS):
        d0, d1 = left[i] - m0, right[i] - m1
        y0 = a * d0
        y1 = b0 * d0 + b1 * d1
        out[i] = scale - (y0 * y0 + y1 * y1)


@sum_loop
def _moments(left, right, e, share, m0, m1):
    """Return the sums of r, r d (2) and the triangle of r d d^T (3), with r = e * share."""
    total, s0, s1, a, b0, b1 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(ROWS):
        r = e[i] * share[i]
        d0, d1 = left[i] - m0, right[i] - m1
        w0, w1 = r * d0, r * d1
        total += r
        s0, s1 = s0 + w0, s1 + w1
        a, b0, b1 = a + w0 * d0, b0 + w1 * d0, b1 + w1 * d1
    return total, s0, s1, a, b0, b1


@loop
def plane_sums(x, mean, whitener, scale, start, stop, total, shift, moment):
    """Add the sums over rows start to stop; return (log-likelihood, entropy).

    Parameters
    ----------
    x : ndarray (N, 2)
    mean : ndarray (C, 2)
    whitener : ndarray (C, 2, 2)
        L_c^-1 ROOT_OF_BITS, lower triangular.
    scale : ndarray (C,)
        log pi_c - log |L_c| - log(2 pi), in bits.
    total, shift, moment : ndarray (C,), (C, 2), (C, 2, 2)
        Sums so far; of moment only the lower triangle.
    """
    flat = x.reshape(-1)
    left, right = np.zeros(ROWS), np.zeros(ROWS)
    log_joint = np.empty(len(mean) * ROWS)
    top, share, entropy = np.empty(ROWS), np.empty(ROWS), np.empty(ROWS)
    sum_log_p, sum_entropy = 0.0, 0.0
    for first in range(start, stop, ROWS):
        n = min(ROWS, stop - first)
        _turn(flat, first, n, left, right)
        for c in range(len(mean)):
            m0, m1 = mean[c, 0], mean[c, 1]
            a, b0, b1 = whitener[c, 0, 0], whitener[c, 1, 0], whitener[c, 1, 1]
            _log_joint(left, right, m0, m1, a, b0, b1, scale[c], log_joint[c * ROWS :])
        log_p, h = normalise(log_joint, len(mean), top, share, entropy, n)
        sum_log_p += log_p
        sum_entropy += h
        for c in range(len(mean)):
            r, s0, s1, a, b0, b1 = _moments(left, right, log_joint[c * ROWS :], share, mean[c, 0], mean[c, 1])
            total[c] += r
            shift[c, 0] += s0
            shift[c, 1] += s1
            moment[c, 0, 0] += a
            moment[c, 1, 0] += b0
            moment[c, 1, 1] += b1
    return sum_log_p, sum_entropy
