"""Tapes: what the networks of a VAE leave of a pass over a batch for compiled code, and what follows from it.

    grad W_l = a_{l-1}^T delta_l,   a_{l-1} (B, H'), delta_l (B, H)   over all rows of the batch

A block leaves its rows of a and delta; once all rows are there, every part of the gradient is one product,
formed by the thread that moves those parameters at once, while the part is in its cache. Nothing is added up.
"""

from functools import cache
from itertools import pairwise

import numpy as np

from elbo_lab.threads import address_of_matmul
from elbo_lab.training.batch import edges_of


@cache
def row_edges(sizes, most):
    """Return where to cut a network's parameters into parts of about `most` coordinates: between two rows.

    Parameters
    ----------
    sizes : tuple of int
        Widths of the layers.
    most : int

    Returns
    -------
    ndarray (n_parts + 1,) of intp
        From 0 to P.
    """
    rows, start = [], 0
    for narrow, wide in pairwise(sizes):
        rows += [*range(start, start + (narrow + 1) * wide, wide)]
        start += (narrow + 1) * wide
    # A bias is one row more of its weights.
    rows = np.array([*rows, start], np.intp)
    return np.unique(rows[np.searchsorted(rows, edges_of(start, most))])


class Tape:
    """What a network leaves of a forward and backward pass over the rows of a batch.

    It serves step after step: memory that is given back and asked for anew comes in fresh pages.

    Parameters
    ----------
    network : MLP
    n_rows : int
    dtype : dtype

    Attributes
    ----------
    inputs : ndarray (n_rows, sizes[0])
    layers : ndarray (2, n_rows W)
        Deltas and activations of all layers, as in `kernels.mlp`.
    """

    def __init__(self, network, n_rows, dtype):
        self.network, self.sizes = network, np.array(network.sizes, np.intp)
        self.inputs = np.empty((n_rows, network.sizes[0]), dtype)
        self.layers = np.empty((2, n_rows * sum(network.sizes[1:])), dtype)
        self.parts = {}

    def gradient(self, part):
        """Return the coordinates of a slice of the gradient, between two edges; good until the next step."""
        from elbo_lab.kernels.mlp import weight_gradient

        if part.start not in self.parts:
            self.parts[part.start] = np.empty(part.stop - part.start, self.inputs.dtype)
        out = self.parts[part.start]
        where = 0, len(self.inputs), part.start
        weight_gradient(address_of_matmul(out.dtype), self.sizes, self.inputs, *self.layers, *where, out)
        return out


def tapes_of(objective, n_rows, dtype):
    """Return the tapes of decoder and encoder by the names of their parameters."""
    networks = {"theta": objective.model.decoder, "phi": objective.posterior.network}
    counts = {"theta": objective.draws * n_rows, "phi": n_rows}
    return {name: Tape(network, counts[name], dtype) for name, network in networks.items()}


def kinds_of(tapes):
    """Return the numbers of the activations of decoder and encoder."""
    from elbo_lab.kernels.mlp import ACTIVATIONS

    return tuple(ACTIVATIONS[tape.network.activation] for tape in tapes.values())
