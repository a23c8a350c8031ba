"""One pass of EM over rows whose columns are independent given the component: diagonal covariances.

    y_d = (x_d - mu_d) / sigma_d,   log pi_c p(x | c) = scale_c - |y|^2 / 2 nats,

and the sums of r, r d and r d^2 column by column, d = x - mu. Four columns at a time: their means, scales and
sums stay in registers while the loop runs down the rows of a block. D is filled up with zeros to a multiple
of four. A spherical covariance is a diagonal one with equal scales.
"""

import numpy as np

from elbo_lab.kernels.compiling import formula, loop, sum_loop
from elbo_lab.kernels.mixture import ROWS, normalise, turn, weigh

R1, R2, R3 = ROWS, 2 * ROWS, 3 * ROWS


@formula
def _take_off(x, m0, m1, m2, m3, a0, a1, a2, a3, out):
    """Take |y|^2 of four columns off `out`."""
    for i in range(ROWS):
        y0, y1 = a0 * (x[i] - m0), a1 * (x[R1 + i] - m1)
        y2, y3 = a2 * (x[R2 + i] - m2), a3 * (x[R3 + i] - m3)
        out[i] -= y0 * y0 + y1 * y1 + y2 * y2 + y3 * y3


@sum_loop
def _moments(x, r, m0, m1, m2, m3):
    """Return the sums of r d and of r d^2 of four columns."""
    s0, s1, s2, s3, t0, t1, t2, t3 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(ROWS):
        w = r[i]
        d0, d1, d2, d3 = x[i] - m0, x[R1 + i] - m1, x[R2 + i] - m2, x[R3 + i] - m3
        w0, w1, w2, w3 = w * d0, w * d1, w * d2, w * d3
        s0, s1, s2, s3 = s0 + w0, s1 + w1, s2 + w2, s3 + w3
        t0, t1, t2, t3 = t0 + w0 * d0, t1 + w1 * d1, t2 + w2 * d2, t3 + w3 * d3
    return s0, s1, s2, s3, t0, t1, t2, t3


@loop
def column_sums(x, centre, mean, whitener, scale, start, stop, total, shift, moment):
    """Add the sums over rows start to stop; return (log-likelihood, entropy).

    Parameters
    ----------
    x : ndarray (N, D)
    centre : ndarray (D,)
    mean : ndarray (C, P)
        About the centre; P is D filled up to a multiple of four.
    whitener : ndarray (C, P)
        ROOT_OF_BITS / sigma.
    scale : ndarray (C,)
        log pi_c - sum_d log sigma_cd - D log(2 pi) / 2, in bits.
    total, shift, moment : ndarray (C,), (C, P), (C, P)
        Sums so far.
    """
    n_components, n_columns = mean.shape
    columns = np.zeros(n_columns * ROWS)
    log_joint = np.empty(n_components * ROWS)
    top, share, entropy = np.empty(ROWS), np.empty(ROWS), np.empty(ROWS)
    sum_log_p, sum_entropy = 0.0, 0.0
    for first in range(start, stop, ROWS):
        n = min(ROWS, stop - first)
        turn(x, first, n, centre, columns)
        for c in range(n_components):
            out = log_joint[c * ROWS : (c + 1) * ROWS]
            out[:] = scale[c]
            for k in range(0, n_columns, 4):
                m0, m1, m2, m3 = mean[c, k], mean[c, k + 1], mean[c, k + 2], mean[c, k + 3]
                a0, a1, a2, a3 = whitener[c, k], whitener[c, k + 1], whitener[c, k + 2], whitener[c, k + 3]
                _take_off(columns[k * ROWS :], m0, m1, m2, m3, a0, a1, a2, a3, out)
        log_p, h = normalise(log_joint, n_components, top, share, entropy, n)
        sum_log_p += log_p
        sum_entropy += h
        for c in range(n_components):
            r = log_joint[c * ROWS :]
            total[c] += weigh(r, share)
            for k in range(0, n_columns, 4):
                m0, m1, m2, m3 = mean[c, k], mean[c, k + 1], mean[c, k + 2], mean[c, k + 3]
                sums = _moments(columns[k * ROWS :], r, m0, m1, m2, m3)
                for j in range(4):
                    shift[c, k + j] += sums[j]
                    moment[c, k + j] += sums[4 + j]
    return sum_log_p, sum_entropy
