"""What is random in the compiled steps of a training, drawn for several steps at once.

That is the noise of every block, and where bits are drawn anew the state of the generator from which compiled
code draws them. The numbers are those of `ElboObjective.draw`, each block with a generator of its own.
"""

from collections import deque
from itertools import pairwise

import numpy as np

from elbo_lab.distributions import draw_noise
from elbo_lab.training.fresh_bits import fresh_bits, taken_state

# Steps that are drawn at once, at most; fewer at first, and when they were drawn in vain.
MOST_STEPS = 16


class Draws:
    """The draws of all steps with as many rows.

    Parameters
    ----------
    objective : ElboObjective
        Of which one pass serves both gradients, so that there is one kind of noise.
    edges : sequence of int
        Of the blocks in their batch, from 0 to B.
    """

    def __init__(self, objective, edges):
        self.objective, self._queue, self._steps = objective, deque(), 1
        counts = [last - first for first, last in pairwise(edges)]
        self._specs = [objective.noise_specs(count)[0] for count in counts]
        # A state can be taken for any rows, bits themselves only for those of a step.
        self._any_rows = [np.arange(count) for count in counts]
        found = [self._source(rows, np.random.default_rng(0)) for rows in self._any_rows]
        self._looks_ahead = len(counts) > 1 and all(source is None or source.ndim == 1 for source in found)

    def next(self, keys, blocks):
        """Take the keys of a step and return what is drawn with them.

        Parameters
        ----------
        keys : Keys
        blocks : sequence of ndarray (n,)
            Row numbers.

        Returns
        -------
        noise : list of ndarray (S, n, K)
        sources : list of ndarray
            Per block the state (4,) of a generator for `kernels.fresh_bits`, or the bits (n, D); None where
            the data are given.
        """
        own = keys.take(len(blocks))
        while self._queue and self._queue[0][0] is not own:
            # Somebody else has taken keys in between.
            self._queue.popleft()
            self._steps = 1
        if not self._queue:
            self._queue.append((own, self._drawn(own, blocks)))
            if self._looks_ahead:
                ahead = keys.look_ahead(len(own), self._steps)
                self._queue.extend((each, self._drawn(each, self._any_rows)) for each in ahead)
                self._steps = min(2 * self._steps, MOST_STEPS)
        return self._queue.popleft()[1]

    def _drawn(self, keys, blocks):
        noise, sources = [], []
        for key, rows, spec in zip(keys, blocks, self._specs, strict=True):
            rng = np.random.default_rng(key)
            sources.append(self._source(rows, rng))
            noise.append(draw_noise(spec, rng, dtype=self.objective.dtype))
        return noise, sources

    def _source(self, rows, rng):
        if self.objective.probabilities is None:
            return None
        state = taken_state(self.objective.table, rows, rng)
        return fresh_bits(self.objective.table, rows, rng) if state is None else state
