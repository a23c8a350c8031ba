"""One pass of EM over rows of D > 2 columns, full covariances: log densities, responsibilities, moments.

For component c with whitener A (lower triangular, A Sigma A^T = I) a row x has

    y = A x - A mu,   log pi_c p(x | c) = scale_c - |y|^2 / 2 nats,

and with its responsibility r adds r to R_c, r d to the shift and r d d^T to the moment, d = x - mu: D(D+1)/2
multiply-adds for y and as many for the moment. That is all the work there is, and the art is to do it at
the speed of the registers. Both triangles are cut into tiles, the first of two rows by four columns, the
second of four by two: eight coefficients (or eight sums) stay in registers while the loop runs down the ROWS
rows of a block, and a number loaded is used twice or four times. Triangles on the diagonal are four by four;
D is filled up with zeros to a multiple of four.

x and mu are taken about one centre of the data, and y as a difference of products: an error of
|x - centre| / sigma last places in y, which is what x itself is known to. The moment is about the present
mean of the component, where its sum has nothing to lose by cancellation.

Matrix products through BLAS are no match: with a side of 16 they run at a third to two thirds of their
speed and compute both triangles.
"""

import numpy as np

from elbo_lab.kernels.compiling import formula, loop, sum_loop
from elbo_lab.kernels.mixture import ROWS, normalise, turn, weigh

R1, R2, R3 = ROWS, 2 * ROWS, 3 * ROWS


@formula
def _begin(x, y, p, q, a0, a1, a2, a3, b0, b1, b2, b3):
    for i in range(ROWS):
        d0, d1, d2, d3 = x[i], x[R1 + i], x[R2 + i], x[R3 + i]
        y[i] = a0 * d0 - p + a1 * d1 + a2 * d2 + a3 * d3
        y[R1 + i] = b0 * d0 - q + b1 * d1 + b2 * d2 + b3 * d3


@formula
def _add(x, y, a0, a1, a2, a3, b0, b1, b2, b3):
    for i in range(ROWS):
        d0, d1, d2, d3 = x[i], x[R1 + i], x[R2 + i], x[R3 + i]
        # y comes first, so that every product is fused with a sum.
        y[i] = y[i] + a0 * d0 + a1 * d1 + a2 * d2 + a3 * d3
        y[R1 + i] = y[R1 + i] + b0 * d0 + b1 * d1 + b2 * d2 + b3 * d3


@formula
def _corner_alone(x, p, A, c, scale, out):
    """Write scale - |y|^2 of the first four rows of the triangle."""
    p0, p1, p2, p3 = p[c, 0], p[c, 1], p[c, 2], p[c, 3]
    a, b0, b1, c0, c1, c2 = A[c, 0, 0], A[c, 1, 0], A[c, 1, 1], A[c, 2, 0], A[c, 2, 1], A[c, 2, 2]
    e0, e1, e2, e3 = A[c, 3, 0], A[c, 3, 1], A[c, 3, 2], A[c, 3, 3]
    for i in range(ROWS):
        d0, d1, d2, d3 = x[i], x[R1 + i], x[R2 + i], x[R3 + i]
        y0 = a * d0 - p0
        y1 = b0 * d0 + b1 * d1 - p1
        y2 = c0 * d0 + c1 * d1 + c2 * d2 - p2
        y3 = e0 * d0 + e1 * d1 + e2 * d2 + e3 * d3 - p3
        out[i] = scale - (y0 * y0 + y1 * y1 + y2 * y2 + y3 * y3)


@formula
def _corner(x, y, A, c, k, out):
    """Add the triangle of rows k to k + 3 to y, and take |y|^2 off."""
    a, b0, b1 = A[c, k, k], A[c, k + 1, k], A[c, k + 1, k + 1]
    c0, c1, c2 = A[c, k + 2, k], A[c, k + 2, k + 1], A[c, k + 2, k + 2]
    e0, e1, e2, e3 = A[c, k + 3, k], A[c, k + 3, k + 1], A[c, k + 3, k + 2], A[c, k + 3, k + 3]
    for i in range(ROWS):
        d0, d1, d2, d3 = x[i], x[R1 + i], x[R2 + i], x[R3 + i]
        y0 = y[i] + a * d0
        y1 = y[R1 + i] + b0 * d0 + b1 * d1
        y2 = y[R2 + i] + c0 * d0 + c1 * d1 + c2 * d2
        y3 = y[R3 + i] + e0 * d0 + e1 * d1 + e2 * d2 + e3 * d3
        out[i] -= y0 * y0 + y1 * y1 + y2 * y2 + y3 * y3


@formula
def _log_joint(x, p, A, c, scale, y, out):
    """Write scale - |A x - p|^2 into out (ROWS,)."""
    _corner_alone(x, p, A, c, scale, out)
    for k in range(4, A.shape[1], 4):
        for h in range(2):
            a, strip = k + 2 * h, y[2 * h * ROWS :]
            _begin(
                x, strip, p[c, a], p[c, a + 1],
                A[c, a, 0], A[c, a, 1], A[c, a, 2], A[c, a, 3],
                A[c, a + 1, 0], A[c, a + 1, 1], A[c, a + 1, 2], A[c, a + 1, 3],
            )  # fmt: skip
            for b in range(4, k, 4):
                _add(
                    x[b * ROWS :], strip,
                    A[c, a, b], A[c, a, b + 1], A[c, a, b + 2], A[c, a, b + 3],
                    A[c, a + 1, b], A[c, a + 1, b + 1], A[c, a + 1, b + 2], A[c, a + 1, b + 3],
                )  # fmt: skip
        _corner(x[k * ROWS :], y, A, c, k, out)


@sum_loop
def _first_two(x, r, m0, m1, weighted):
    """Return the sums of r d (2) and the triangle of r d d^T (3) of two columns; write r d."""
    s0, s1, a, b0, b1 = 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(ROWS):
        w = r[i]
        d0, d1 = x[i] - m0, x[R1 + i] - m1
        w0, w1 = w * d0, w * d1
        weighted[i], weighted[R1 + i] = w0, w1
        s0, s1 = s0 + w0, s1 + w1
        a, b0, b1 = a + w0 * d0, b0 + w1 * d0, b1 + w1 * d1
    return s0, s1, a, b0, b1


@sum_loop
def _next_two(x, r, m0, m1, m2, m3, weighted):
    """Return the sums of r d (2) and of r d_a d_b (7) for the third and fourth of four columns."""
    s0, s1, a0, a1, a2, b0, b1, b2, b3 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(ROWS):
        w = r[i]
        d0, d1, d2, d3 = x[i] - m0, x[R1 + i] - m1, x[R2 + i] - m2, x[R3 + i] - m3
        w2, w3 = w * d2, w * d3
        weighted[R2 + i], weighted[R3 + i] = w2, w3
        s0, s1 = s0 + w2, s1 + w3
        a0, a1, a2 = a0 + w2 * d0, a1 + w2 * d1, a2 + w2 * d2
        b0, b1, b2, b3 = b0 + w3 * d0, b1 + w3 * d1, b2 + w3 * d2, b3 + w3 * d3
    return s0, s1, a0, a1, a2, b0, b1, b2, b3


@sum_loop
def _tile_moments(x, weighted, m0, m1):
    """Return the sums of (r d)_a d_b for four a and two b."""
    a0, a1, b0, b1, c0, c1, e0, e1 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(ROWS):
        d0, d1 = x[i] - m0, x[R1 + i] - m1
        w0, w1, w2, w3 = weighted[i], weighted[R1 + i], weighted[R2 + i], weighted[R3 + i]
        a0, a1, b0, b1 = a0 + w0 * d0, a1 + w0 * d1, b0 + w1 * d0, b1 + w1 * d1
        c0, c1, e0, e1 = c0 + w2 * d0, c1 + w2 * d1, e0 + w3 * d0, e1 + w3 * d1
    return a0, a1, b0, b1, c0, c1, e0, e1


@formula
def _moments(x, r, mean, c, weighted, shift, moment):
    """Add the sums of r d to shift (C, P) and the lower triangle of r d d^T to moment (C, P, P)."""
    for k in range(0, mean.shape[1], 4):
        m0, m1, m2, m3 = mean[c, k], mean[c, k + 1], mean[c, k + 2], mean[c, k + 3]
        x4 = x[k * ROWS :]
        s0, s1, a, b0, b1 = _first_two(x4, r, m0, m1, weighted)
        s2, s3, c0, c1, c2, e0, e1, e2, e3 = _next_two(x4, r, m0, m1, m2, m3, weighted)
        for j, s in enumerate((s0, s1, s2, s3)):
            shift[c, k + j] += s
        moment[c, k, k] += a
        for j, s in enumerate((b0, b1)):
            moment[c, k + 1, k + j] += s
        for j, s in enumerate((c0, c1, c2)):
            moment[c, k + 2, k + j] += s
        for j, s in enumerate((e0, e1, e2, e3)):
            moment[c, k + 3, k + j] += s
        for b in range(0, k, 2):
            tile = _tile_moments(x[b * ROWS :], weighted, mean[c, b], mean[c, b + 1])
            for j in range(4):
                moment[c, k + j, b] += tile[2 * j]
                moment[c, k + j, b + 1] += tile[2 * j + 1]


@loop
def full_sums(x, centre, mean, whitener, offset, scale, start, stop, total, shift, moment):
    """Add the sums over rows start to stop; return (log-likelihood, entropy).

    Parameters
    ----------
    x : ndarray (N, D)
    centre : ndarray (D,)
    mean : ndarray (C, P)
        About the centre; P is D filled up to a multiple of four.
    whitener : ndarray (C, P, P)
        L_c^-1 ROOT_OF_BITS, lower triangular.
    offset : ndarray (C, P)
        whitener @ mean.
    scale : ndarray (C,)
        log pi_c - log |L_c| - D log(2 pi) / 2, in bits.
    total, shift, moment : ndarray (C,), (C, P), (C, P, P)
        Sums so far; of moment only the lower triangle.
    """
    n_components, n_columns = mean.shape
    columns = np.zeros(n_columns * ROWS)
    y, weighted = np.empty(4 * ROWS), np.empty(4 * ROWS)
    log_joint = np.empty(n_components * ROWS)
    top, share, entropy = np.empty(ROWS), np.empty(ROWS), np.empty(ROWS)
    sum_log_p, sum_entropy = 0.0, 0.0
    for first in range(start, stop, ROWS):
        n = min(ROWS, stop - first)
        turn(x, first, n, centre, columns)
        for c in range(n_components):
            _log_joint(columns, offset, whitener, c, scale[c], y, log_joint[c * ROWS :])
        log_p, h = normalise(log_joint, n_components, top, share, entropy, n)
        sum_log_p += log_p
        sum_entropy += h
        for c in range(n_components):
            r = log_joint[c * ROWS :]
            total[c] += weigh(r, share)
            _moments(columns, r, mean, c, weighted, shift, moment)
    return sum_log_p, sum_entropy
