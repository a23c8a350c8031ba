"""One minibatch of a step: the work of its blocks, then their gradient, part by part.

The members of a crew work on the blocks of rows at the same time, each block with random numbers of its own;
when all are done, they move the parts of the parameter vectors at the same time. What stands between the two
is the batch's own: here the gradients of the blocks, which an optimiser adds in their order; in
`compiled_batch` the factors of a product. Neither blocks nor parts depend on the number of threads.
"""

import math
from dataclasses import dataclass
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


@dataclass(frozen=True, eq=False)
class Move:
    """A parameter vector (P,) and how it moves in this step: optimiser, memory, number of the step, rate."""

    params: np.ndarray
    optimizer: object
    slots: np.ndarray
    count: int
    rate: float

    def along(self, part, pieces, shares):
        """Move a slice along the sum of shares[b] pieces[b]."""
        where = self.params[part], pieces, shares, self.slots[:, part]
        self.optimizer.step_of_sum(*where, self.count, self.rate)


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

    Attributes
    ----------
    values : list of float
        Mean values of the blocks, in nats per datum; nan where none is known yet.
    memory : dict
        What the estimators of a batch of one block remember.
    """

    def __init__(self, objective, rows, names, params, workspace):  # noqa: ARG002 - for those that need it
        self.objective, self.names, self.params = objective, names, params
        self.blocks = objective.blocks(rows)
        self.shares = shares_of(self.blocks)
        self.gradients = [None] * len(self.blocks)
        self.values, self.memory = [math.nan] * len(self.blocks), {}

    @property
    def value(self):
        """Mean value of the batch, in nats per datum."""
        return sum(share * value for share, value in zip(self.shares, self.values, strict=True))

    @property
    def shared(self):
        """Whether there is more than one thing to do at a time."""
        return len(self.blocks) > 1 or any(len(self.parts(name)) > 1 for name in self.names)

    def ascend(self, crew, keys, memory, moves):
        """Do the step.

        Parameters
        ----------
        crew : Crew
        keys : Keys
            Per block there is one that its generator is made from.
        memory : dict
            What the estimators remember.
        moves : dict of Move
            Of `names`.
        """
        own = keys.take(len(self.blocks))
        crew.do(lambda member: self._take_part(member, crew, own, memory, moves))

    def _take_part(self, member, crew, keys, memory, moves):
        for number in range(member, len(self.blocks), crew.size):
            # Overflow on the way is found in the value; a warning from a thread would only hide the line.
            with np.errstate(all="ignore"):
                found = self.work(number, np.random.default_rng(keys[number]), memory)
            self.values[number], self.memory = found
        crew.meet()
        # Nothing moves along the gradient of a bound that is lost.
        if math.isfinite(self.value):
            parts = [(name, part) for name in self.names for part in self.parts(name)]
            for name, part in parts[member :: crew.size]:
                moves[name].along(part, *self.pieces(name, part))

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
