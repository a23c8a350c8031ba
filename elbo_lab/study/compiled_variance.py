"""The sums of `weight_sums.OwnInputs` for a decoder of bits, with a whole pass in compiled code.

Between the products of a pass stand a dozen short loops and copies, and two threads that do them in Python
wait for the interpreter. Here each thread makes one call per pass (`kernels.weight_variance`). It is made for
`DeepBernoulli` with any depth, width and activation, in float32 or float64; everything else (another
likelihood, a NumPy whose loops are not found, the switch on "numpy") stays with the definition. The two agree
to rounding.
"""

from itertools import accumulate, islice, pairwise

import numpy as np

from elbo_lab.blas import address_of_matmul
from elbo_lab.kernels import kernels_in_use
from elbo_lab.kernels.switch import KERNEL_DTYPES
from elbo_lab.models import DeepBernoulli
from elbo_lab.study.weight_sums import in_one_piece, tiles_of


def is_compiled(model, theta, x, z):
    """Whether `CompiledSums` takes these; shapes that do not belong together are left to the definition."""
    # `type is`: a subclass may change a formula, and a masked array has an arithmetic of its own.
    return (
        kernels_in_use() == "numba"
        and type(model) is DeepBernoulli
        and all(type(array) is np.ndarray for array in (theta, x, z))
        and theta.dtype in KERNEL_DTYPES
        and (theta.shape, x.shape) == ((model.decoder.layout.size,), (len(x), model.n_columns))
        and z.shape == (len(z), len(x), model.n_latent)
        and address_of_matmul(theta.dtype) != 0
    )


def _tiles(network):
    """Return (n_tiles, 2): the first coordinate and the size of each tile in the vector of parameters."""
    starts = [0, *accumulate((n_in + 1) * n_out for n_in, n_out in pairwise(network.sizes))]
    found = []
    for layer, rows in tiles_of(network):
        width = network.sizes[layer + 1]
        found.append((starts[layer] + rows.start * width, (rows.stop - rows.start) * width))
    return np.array(found, np.intp)


class CompiledSums:
    """Sums for a decoder of bits.

    Parameters
    ----------
    network : MLP
    theta : ndarray (P,)
    n_draws, n_data : int
        S, of each datum, and N.
    n_rows, block : int
        Most rows (draws x data) of one pass, and of one piece of work.
    variance : ndarray (P,)
        Where the sums are kept, and the variances when all data have been added.
    """

    def __init__(self, network, theta, n_draws, n_data, n_rows, block, variance):
        from elbo_lab.kernels.mlp import ACTIVATIONS
        from elbo_lab.kernels.waiting import address_of_yield

        self.n_draws, self.n_data, self.block, self.offer_core = n_draws, n_data, block, address_of_yield()
        number, (n_in, *behind) = theta.dtype.type, network.sizes
        params, sizes = _plain(theta, theta.dtype), np.array(network.sizes, np.intp)
        self.network = address_of_matmul(theta.dtype), ACTIVATIONS[network.activation], sizes, params
        self.widths, self.tiles = (n_in, sum(behind), sum(behind)), _tiles(network)
        shapes = [(n_rows * width,) for width in self.widths] * 2 + [variance.shape] * 2
        arrays = in_one_piece(shapes, theta.dtype)
        self.rows, self.squares = list(islice(arrays, 3)), list(islice(arrays, 3))
        self.totals = variance, *arrays
        self.shares = number(1.0 / n_draws), number(1.0 / (n_draws - 1))

    def add(self, pool, threads, data, draws, x, z):
        """Add the slices `draws` of `data`: x (n, D) and z (s, n, K), in their order."""
        from elbo_lab.kernels.weight_variance import take_part

        x, z = (_plain(array, self.totals[0].dtype) for array in (x, z))
        rows, squares = (
            tuple(array[: len(z) * len(x) * width] for array, width in zip(arrays, self.widths, strict=True))
            for arrays in (self.rows, self.squares)
        )
        goes_on, ends = draws.start > 0, draws.stop == self.n_draws
        stage = goes_on or data.start > 0, goes_on, ends, ends and data.stop == self.n_data
        where = self.block, self.tiles, rows, squares, self.totals, stage, self.shares
        counts = np.zeros(24, np.int64)

        def work(_):
            take_part(self.network, x, z, *where, counts, self.offer_core)

        list(pool.map(work, range(threads)))


def _plain(array, dtype):
    """Return the array contiguous and writeable, since a loop is compiled anew for one that is not."""
    return np.require(array, dtype, ["C", "W"])
