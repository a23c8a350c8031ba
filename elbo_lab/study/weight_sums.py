"""Sums from which the variance of every weight follows, fed by a few rows at a time.

With a bias written as the weight of a constant input 1, the gradient of one draw of one datum is a layer's
outer product a delta^T. Two kinds of network need two kinds of sums:

- **Decoder** (`OwnInputs`): every draw has its own z, so a and delta both vary,

      (S - 1) var = sum_s (a^2)^T delta^2 - (1/S) (sum_s a^T delta)^2     for each datum, added over the data.

  The first product is shared by all data; the second is one per datum, which ends before it is squared.
- **Encoder** (`SharedInputs`): a is that of the datum, so var = a^2 (outer) var(delta), one product over the
  data with the variance of the deltas. These come from sums about a centre (the mean of the first draws), in
  which nothing cancels; the centre goes through the network like any delta, for the slopes are shared too.

The sums are kept where the variances will stand. Weights are cut into fixed tiles of rows, neighbours in
memory, each owned by one piece of work at a time, whatever the number of threads.
"""

import math
from itertools import pairwise

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.networks import MLP

# Rows of a tile: a product of fewer spends its time on packing.
MOST_ROWS, FEWEST_ROWS = 256, 64


def subtract_squares(total: Floats, product: Floats, *, share: float) -> None:
    """Subtract share product^2 from total, of one shape, in place."""
    square = product * product
    square *= share
    total -= square


def tiles_of(network: MLP) -> list[tuple[int, slice]]:
    """Return [(layer, slice of rows)], the largest layers first; the last row of a layer is its bias."""
    sizes = sorted(enumerate(pairwise(network.sizes)), key=lambda entry: -entry[1][0] * entry[1][1])
    found = []
    for layer, (n_in, _) in sizes:
        # An even number, for two threads.
        n_tiles = 2 * math.ceil(n_in / (2 * MOST_ROWS)) if n_in >= 2 * FEWEST_ROWS else 1
        edges = [(n_in + 1) * i // n_tiles for i in range(n_tiles + 1)]
        found += [(layer, slice(*pair)) for pair in pairwise(edges)]
    return found


def _put_product(left: Floats, right: Floats, out: Floats, onto: bool) -> None:
    """Write left @ right into `out`, or add it onto what is there."""
    if onto:
        out += left @ right
    else:
        np.matmul(left, right, out=out)


def _with_ones(n_rows: int, width: int, dtype: np.dtype) -> Floats:
    """Return (n_rows, width + 1), the last column ones."""
    array = np.empty((n_rows, width + 1), dtype)
    array[:, -1] = 1.0
    return array


def _by_datum(rows: Floats, n_draws: int) -> Floats:
    """Return the view (N, S, H) of rows (R, H) that hold n_draws of one datum after the other."""
    n_data = len(rows) // n_draws
    return rows[: n_data * n_draws].reshape(n_data, n_draws, -1)


class OwnInputs:
    """Sums for a network that sees another input at every draw.

    Parameters
    ----------
    network : MLP
    n_draws, n_data : int
        S, of each datum, and N.
    n_rows : int
        Most rows (draws x data) of one pass.
    variance : ndarray (P,)
        Where the sums are kept, and the variances when all data have been added.
    """

    def __init__(self, network: MLP, n_draws: int, n_data: int, n_rows: int, variance: Floats) -> None:
        self.n_draws, self.n_data, self.tiles = n_draws, n_data, tiles_of(network)
        views = network.affine_views(variance)
        self.totals = [views[layer][rows] for layer, rows in self.tiles]
        inputs, outputs, dtype = network.sizes[:-1], network.sizes[1:], variance.dtype
        self.a, self.a2 = ([_with_ones(n_rows, width, dtype) for width in inputs] for _ in range(2))
        self.delta, self.delta2 = ([np.empty((n_rows, width), dtype) for width in outputs] for _ in range(2))
        self.sums = [np.empty_like(total) for total in self.totals]
        # Of each tile: whether anything has been added, to the sum of a datum too, and the data that are in.
        self.begun = [False for _ in self.tiles]
        self.open = [False for _ in self.tiles]
        self.done = [0 for _ in self.tiles]

    def put(self, rows: tuple[int, int, int], activations: list[Floats], deltas: list[Floats]) -> None:
        """Store activations and deltas (S, N, H) of each layer.

        `rows` says where: (first datum, first draw, draws of each datum) in this pass.
        """
        datum, draw, n_draws = rows
        for arrays, squares, sources in ((self.a, self.a2, activations), (self.delta, self.delta2, deltas)):
            for array, square, source in zip(arrays, squares, sources, strict=True):
                by_datum = np.swapaxes(source, 0, 1)
                data, draws = (
                    slice(i, i + n) for i, n in zip((datum, draw), by_datum.shape[:2], strict=True)
                )
                place = data, draws, slice(source.shape[-1])
                _by_datum(array, n_draws)[place] = by_datum
                np.multiply(by_datum, by_datum, out=_by_datum(square, n_draws)[place])

    def add(self, index: int, n_data: int, n_draws: int, last: bool) -> None:
        """Add what is stored, n_draws of each of n_data, to tile `index`; `last` if these end their data."""
        (layer, own), total, sums = self.tiles[index], self.totals[index], self.sums[index]
        a, a2 = self.a[layer][:, own].T, self.a2[layer][:, own].T
        delta, delta2 = self.delta[layer], self.delta2[layer]
        stop = n_data * n_draws
        _put_product(a2[:, :stop], delta2[:stop], total, self.begun[index])
        self.begun[index] = True
        for start in range(0, stop, n_draws):
            rows = slice(start, start + n_draws)
            _put_product(a[:, rows], delta[rows], sums, self.open[index])
            self.open[index] = not last
            if last:
                subtract_squares(total, sums, share=1.0 / self.n_draws)
                self.done[index] += 1
        if self.done[index] == self.n_data:
            self._divide(total)

    def _divide(self, total: Floats) -> None:
        total *= 1.0 / (self.n_draws - 1)
        # A difference of two sums falls below zero by rounding where nothing varies.
        np.maximum(total, 0.0, out=total)


class SharedInputs:
    """Sums for a network that sees the data, whatever the draw; they go straight into the variances.

    Parameters
    ----------
    network : MLP
    params : ndarray (P,)
    n_draws : int
    variance : ndarray (P,)
        What is written to, and then added to.
    """

    def __init__(self, network: MLP, params: Floats, n_draws: int, variance: Floats) -> None:
        self.network, self.params, self.n_draws = network, params, n_draws
        self.places, self.begun = network.affine_views(variance), False

    def begin(self, activations: list[Floats]) -> None:
        """Begin with other data, whose activations are (N, H)."""
        n_data, dtype = len(activations[0]), self.params.dtype
        self.activations = activations
        self.centre: Floats | None = None
        self.a2 = [_with_ones(n_data, a.shape[-1], dtype) for a in activations]
        for own, a in zip(self.a2, activations, strict=True):
            np.multiply(a, a, out=own[:, :-1])
        widths = self.network.sizes[1:]
        self.sums, self.squares = ([np.zeros((n_data, width), dtype) for width in widths] for _ in range(2))

    def put(self, cotangent: Floats) -> None:
        """Add draws of the cotangent (S, N, sizes[-1]) of these data."""
        if self.centre is None:
            self.centre = cotangent.mean(axis=0)
        deltas = self.network.deltas(self.params, self.activations, cotangent - self.centre)
        for sums, squares, delta in zip(self.sums, self.squares, deltas, strict=True):
            sums += delta.sum(axis=0)
            squares += np.einsum("snh,snh->nh", delta, delta)

    def add(self) -> None:
        """Add the variances of these data, when all of their draws have been put."""
        for place, a2, sums, squares in zip(self.places, self.a2, self.sums, self.squares, strict=True):
            by_delta = squares - sums * sums * (1.0 / self.n_draws)
            by_delta *= 1.0 / (self.n_draws - 1)
            # Sums about a rounded centre fall below zero where nothing varies.
            np.maximum(by_delta, 0.0, out=by_delta)
            _put_product(a2.T, by_delta, place, self.begun)
        self.begun = True
