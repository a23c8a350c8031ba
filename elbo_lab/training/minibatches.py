"""Which rows a step sees: a fresh permutation per epoch, cut into minibatches.

Every datum is equally likely in every minibatch, also in the last, shorter one, so the mean over a
minibatch is unbiased for the mean over the data; within an epoch each datum is seen once.
"""

import numpy as np


class Minibatches:
    """The order of the data, as a state that can be saved.

    Parameters
    ----------
    n_rows, batch : int
    rng : numpy.random.Generator
        Drawn from once per epoch.
    shuffled : bool
        False for objectives that see all rows at once, in their order.
    """

    def __init__(self, n_rows, batch, rng, shuffled=True):
        self.n_rows, self.batch, self.rng, self.shuffled = n_rows, min(batch, n_rows), rng, shuffled
        self.position = 0
        self.order = self._new_order()

    def _new_order(self):
        return self.rng.permutation(self.n_rows) if self.shuffled else np.arange(self.n_rows)

    @property
    def last_of_epoch(self):
        """Whether the minibatch that comes next is the last of its epoch."""
        start = self.position if self.position < self.n_rows else 0
        return start + self.batch >= self.n_rows

    def next(self):
        """Return the row numbers of the next minibatch."""
        if self.position >= self.n_rows:
            self.order, self.position = self._new_order(), 0
        rows = self.order[self.position : self.position + self.batch]
        self.position += self.batch
        return rows
