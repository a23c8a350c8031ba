"""Let estimators that share their draws share the model's work on them.

Two estimators with equal noise form the same z, and the costly part of both is the same pass through
the decoder. `shared_model` returns a copy of a model whose `likelihood` remembers its last few passes and
recognises them by value; everything else of the model is its own. Results are bitwise those of the model
itself, and read-only, since several estimators see them.
"""

from collections import deque
from copy import copy

import numpy as np

# Draws from the prior and from q are alive at the same time; one more for estimators with own noise.
PASSES_KEPT = 3
PULLBACKS_KEPT = 3


def _same(stored, arrays):
    return all(a is b or np.array_equal(a, b) for a, b in zip(stored, arrays, strict=True))


def _remembered(memory, arrays, compute):
    """Return compute() or what it gave for equal arrays before; the results become read-only."""
    for stored, result in memory:
        if _same(stored, arrays):
            return result
    result = compute()
    for part in result:
        if isinstance(part, np.ndarray):
            part.flags.writeable = False
    memory.appendleft((arrays, result))
    return result


def shared_model(model):
    """Return a copy of a model that computes each likelihood and each pullback once.

    Parameters
    ----------
    model : Model

    Returns
    -------
    Model
        Of the same class; for one thread.
    """
    passes = deque(maxlen=PASSES_KEPT)

    def likelihood(theta, x, z):
        def compute():
            value, pullback = model.likelihood(theta, x, z)
            pullbacks = deque(maxlen=PULLBACKS_KEPT)

            def shared_pullback(cotangent):
                return _remembered(pullbacks, (cotangent,), lambda: pullback(cotangent))

            return value, shared_pullback

        return _remembered(passes, (theta, x, z), compute)

    shared = copy(model)
    # Past the immutability of the description: the copy is ours alone.
    object.__setattr__(shared, "likelihood", likelihood)
    return shared
