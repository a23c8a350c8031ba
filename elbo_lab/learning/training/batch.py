"""One minibatch of a step: the work of its blocks, then their gradient, part by part.

The blocks of rows are worked on at the same time, each with random numbers of its own; when all are done, the
parts of the parameter vectors move at the same time. What stands between the two is the batch's own: here the
gradients of the blocks, which an optimiser adds in their order; in `compiled_batch` the factors of a product.
Neither blocks nor parts depend on the number of threads.
"""

from functools import cache
from itertools import pairwise

import numpy as np

# Coordinates of one part of a parameter vector, at most.
SLICE = 1 << 18


@cache
def edges_of(size, most):
    """Return the edges of equal parts of a vector of at most so many coordinates, from 0 to size."""
    return tuple(np.linspace(0, size, -(-size // most) + 1).round().astype(int).tolist())


def shares_of(blocks):
    """Return the share of each block of rows in their batch."""
    n_rows = sum(len(rows) for rows in blocks)
    return [len(rows) / n_rows for rows in blocks]


class Batch:
    """The step of any objective.

    Parameters
    ----------
    objective : Objective
    rows : ndarray (B,)
        Row numbers.
    names : tuple of str
        The parameter vectors that will move.
    params : dict of ndarray
        All parameter vectors; nothing moves before all blocks are done.
    workspace : dict
        Of one training: what a batch leaves there, the next one may write over.
    """

    def __init__(self, objective, rows, names, params, workspace):  # noqa: ARG002 - for those that need it
        self.objective, self.names, self.params = objective, names, params
        self.blocks = objective.blocks(rows)
        self.shares = shares_of(self.blocks)
        self.gradients = [None] * len(self.blocks)

    def work(self, number, rng, memory):
        """Draw for a block and go through it; return its mean value and the memory."""
        drawn = self.objective.draw(self.blocks[number], rng)
        found = self.objective.gradients(self.params, drawn, self.names, memory)
        value, self.gradients[number], memory = found
        return value, memory

    def parts(self, name):
        """Return the slices of a parameter vector that can move at the same time."""
        return [slice(a, b) for a, b in pairwise(edges_of(self.params[name].size, SLICE))]

    def pieces(self, name, part):
        """Return (gradients, shares) of a part: their weighted sum is the gradient of the batch."""
        return [gradient[name][part] for gradient in self.gradients], self.shares
