"""Keys: what the generators of the blocks of a batch are made from, one key of 128 bits per block and step.

Whoever can draw for several steps at once may look at the keys to come. Between two matrix products the code
of the interpreter is out of the caches, and drawing for one step takes five times as long as its share of
drawing for sixteen. What is only looked at is not taken: the state of the generator is that of the last key
taken, whenever it is asked for.
"""

import numpy as np


class Keys:
    """Keys from one generator.

    Parameters
    ----------
    rng : numpy.random.Generator
    """

    def __init__(self, rng):
        self._rng, self._before, self._seen, self._taken = rng, None, [], 0

    def take(self, count):
        """Return the keys (count, 4) uint32 of the blocks of a step; one block has the generator itself."""
        if count == 1:
            return [self.generator()]
        if self._taken == len(self._seen) or len(self._seen[self._taken]) != count:
            return self._draw(self.generator(), count)
        self._taken += 1
        return self._seen[self._taken - 1]

    def look_ahead(self, count, steps):
        """Return the keys of so many steps of `count` blocks, those that `take` is to return."""
        rng = self.generator()
        self._before = rng.bit_generator.state
        self._seen = [self._draw(rng, count) for _ in range(steps)]
        return self._seen

    def generator(self):
        """Return the generator where the keys that were taken have left it; what was seen is forgotten."""
        if self._seen:
            self._rng.bit_generator.state = self._before
            for keys in self._seen[: self._taken]:
                self._draw(self._rng, len(keys))
            self._seen, self._taken = [], 0
        return self._rng

    @staticmethod
    def _draw(rng, count):
        return rng.integers(0, 1 << 32, (count, 4), dtype=np.uint32)
