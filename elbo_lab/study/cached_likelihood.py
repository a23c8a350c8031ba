"""Let estimators that share their draws share the model's work on them.

Two estimators with equal noise form the same z, and the costly part of both is the same pass through
the decoder. `CachedLikelihood` stands for a model, remembers its last few passes and recognises them by
value. Results are bitwise those of the model itself, and read-only, since several estimators see them.
"""

from collections import deque
from collections.abc import Callable
from types import MethodType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elbo_lab.models import Model

# Draws from the prior and from q are alive at the same time; one more for estimators with own noise.
PASSES_KEPT = 3
PULLBACKS_KEPT = 3


class CachedLikelihood:
    """A model that computes each likelihood and each pullback once; for one thread.

    Its methods are those of the model, and run on this object, so that their calls of the likelihood are
    answered from memory too.

    Parameters
    ----------
    model : Model
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._passes: deque[tuple[tuple, tuple]] = deque(maxlen=PASSES_KEPT)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """The class of the model, for `isinstance` and `super`."""
        return type(self._model)

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._model, name)
        of_model = isinstance(attribute, MethodType) and attribute.__self__ is self._model
        return MethodType(attribute.__func__, self) if of_model else attribute

    def __eq__(self, other: object) -> bool:
        return bool(self._model == other)

    def __hash__(self) -> int:
        return hash(self._model)  # what was computed once for a model is found again

    def forget(self) -> None:
        """Free the passes: whoever keeps this object as a key would keep them alive."""
        self._passes.clear()

    def likelihood(self, theta: NDArray, x: NDArray, z: NDArray) -> tuple[NDArray, Callable]:
        """Return what the model's `likelihood` returns."""
        return _remembered(self._passes, (theta, x, z), lambda: self._pass(theta, x, z))

    def _pass(self, theta: NDArray, x: NDArray, z: NDArray) -> tuple[NDArray, Callable]:
        value, pullback = self._model.likelihood(theta, x, z)
        pullbacks: deque[tuple[tuple, tuple]] = deque(maxlen=PULLBACKS_KEPT)

        def cached_pullback(cotangent: NDArray) -> tuple:
            return _remembered(pullbacks, (cotangent,), lambda: pullback(cotangent))

        return value, cached_pullback


def _remembered(memory: deque, arrays: tuple, compute: Callable[[], tuple]) -> tuple:
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


def _same(stored: tuple, arrays: tuple) -> bool:
    return all(a is b or np.array_equal(a, b) for a, b in zip(stored, arrays, strict=True))
