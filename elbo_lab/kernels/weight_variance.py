"""A pass of the variance of a decoder's weights, for bits: what `elbo_lab.study.compiled_variance` calls.

    for blocks of rows       forward, slopes x - sigmoid(l), backward; beside a and delta their squares
    when all rows are there
    for tiles of weights     total += (a^2)^T delta^2;   of each datum: total -= (a^T delta)^2 / S

Rows (draws x data) stand datum after datum, in flat vectors as in `kernels.mlp`. Any number of threads make
the same call at the same time. Each takes the next block or tile that nobody has taken: one that comes late,
or when all is done, keeps nobody waiting. What a block or tile holds does not depend on who took it, and so
the results are the same bits for any number of threads.

The definition is `elbo_lab.study.weight_sums.OwnInputs`; the two agree to rounding. Measured for 20-500-784,
256 draws of one datum, float32, two threads (AMD EPYC, AVX2): pieces in Python 9.2 ms, this 7.6 ms, the
products alone 6.5 ms. The first call on a machine compiles for 9 s of one core.
"""

import numpy as np

from elbo_lab.kernels import elementwise
from elbo_lab.kernels.compiling import inner_loop, loop
from elbo_lab.kernels.mlp import backward, forward, weight_gradient
from elbo_lab.kernels.squares import subtract_squares
from elbo_lab.kernels.views import matrix, vector
from elbo_lab.kernels.waiting import add_one, wait_for

# Where the counts of blocks taken, blocks filled and tiles taken stand: each in its own line of the cache.
TAKEN, FILLED, TILES = 0, 8, 16


@inner_loop
def _square(source, start, size, out):
    """Write the squares of some numbers of a vector to the same place of another."""
    for i in range(start, start + size):
        out[i] = source[i] * source[i]


@inner_loop
def _slopes(x, n_draws, first, logits, spare):
    """Lay x - sigmoid(l) over the logits (n D,) of the rows from `first` on."""
    n_out = x.shape[1]
    elementwise.sigmoid(logits, spare)
    for i in range(logits.size // n_out):
        datum, start = (first + i) // n_draws, i * n_out
        for j in range(n_out):
            logits[start + j] = x[datum, j] - spare[start + j]


@inner_loop
def _fill(network, x, z, first, n, rows, squares):
    """Fill n rows from `first` on."""
    matmul, kind, sizes, params = network
    inputs, deltas, post = rows
    n_draws, n_in, n_out, total = z.shape[0], z.shape[2], x.shape[1], z.shape[0] * z.shape[1]
    own = matrix(inputs, first * n_in, n, n_in)
    for i in range(n):
        datum, draw = (first + i) // n_draws, (first + i) % n_draws
        for k in range(n_in):
            own[i, k] = z[draw, datum, k]
    forward(matmul, kind, sizes, params, own, deltas, post, first, total)
    start = deltas.size - (total - first) * n_out
    _slopes(x, n_draws, first, vector(deltas, start, n * n_out), vector(post, start, n * n_out))
    backward(matmul, kind, sizes, params, deltas, post, first, n, total)

    _square(inputs, first * n_in, n * n_in, squares[0])
    place = 0
    for layer in range(1, sizes.size):
        start, size = place + first * sizes[layer], n * sizes[layer]
        _square(deltas, start, size, squares[1])
        if layer < sizes.size - 1:
            _square(post, start, size, squares[2])
        place += total * sizes[layer]


@inner_loop
def _put_product(network, rows, first, n, total, start, spare, out, onto):
    """Write coordinates of a^T delta over n rows from `first` on, or add them onto what is there."""
    matmul, _, sizes, _ = network
    inputs, deltas, post = rows
    own = matrix(inputs, first * sizes[0], n, sizes[0])
    weight_gradient(matmul, sizes, own, deltas, post, first, total, start, spare if onto else out)
    if onto:
        for i in range(out.size):
            out[i] += spare[i]


@inner_loop
def _divide(total, share):
    """Multiply by the share; a difference of two sums falls below zero by rounding where nothing varies."""
    zero = total.dtype.type(0.0)
    for i in range(total.size):
        value = total[i] * share
        # Written so that nan fails the comparison and stays.
        total[i] = zero if value < zero else value


@loop
def take_part(network, x, z, block, tiles, rows, squares, totals, stage, shares, counts, offer_core):
    """Do blocks and tiles of a pass until all are taken.

    Parameters
    ----------
    network : tuple
        matmul : int, as from `products.address_of_matmul`; activation : int, as in `kernels.mlp`;
        sizes : ndarray of intp, widths of the layers; params (P,).
    x : ndarray (N, D)
        The data of this pass.
    z : ndarray (S', N, K)
        Their draws in this pass.
    block : int
        Rows of a block.
    tiles : ndarray (n_tiles, 2) of intp
        First coordinate and size of each.
    rows : tuple of ndarray (R K,), (R W,), (R W,)
        Inputs, deltas and activations of the R = S' N rows, W the sum of the widths behind the inputs;
        written to.
    squares : tuple of ndarray
        As `rows`; written to.
    totals : tuple of ndarray (P,), (P,), (P,)
        The variances, the sums of a datum whose draws take several passes, and a spare; written to.
    stage : tuple of bool
        Whether a pass, and a pass of the same data, came before this one; whether the draws of these data
        end with it, and whether all data do.
    shares : tuple of float
        1 / S and 1 / (S - 1), in the dtype of the arrays.
    counts : ndarray (24,) int64
        Zeros, when the first thread comes.
    offer_core : int
        As from `waiting.address_of_yield`.
    """
    variance, sums, spare = totals
    later, goes_on, ends, is_last = stage
    n_draws, n_data = z.shape[0], z.shape[1]
    n_rows = n_draws * n_data
    # A plain 0 has a type of its own, for which the products would be compiled once more.
    top = np.intp(0)
    taken, filled, done = vector(counts, TAKEN, 1), vector(counts, FILLED, 1), vector(counts, TILES, 1)
    first = block * (add_one(taken) - 1)
    while first < n_rows:
        _fill(network, x, z, first, min(block, n_rows - first), rows, squares)
        add_one(filled)
        first = block * (add_one(taken) - 1)
    wait_for(filled, (n_rows + block - 1) // block, offer_core)
    tile = add_one(done) - 1
    while tile < tiles.shape[0]:
        start, size = tiles[tile, 0], tiles[tile, 1]
        total, own, free = (
            vector(variance, start, size),
            vector(sums, start, size),
            vector(spare, start, size),
        )
        _put_product(network, squares, top, n_rows, n_rows, start, free, total, later)
        for n in range(n_data):
            _put_product(network, rows, n * n_draws, n_draws, n_rows, start, free, own, goes_on)
            if ends:
                subtract_squares(total, own, shares[0])
        if is_last:
            _divide(total, shares[1])
        tile = add_one(done) - 1
