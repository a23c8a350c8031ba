"""The contract of an optimiser: parameters, gradients of blocks and a memory in; the parameters moved.

The gradient of a batch comes in the pieces that its blocks of rows gave, with their shares in the batch. An
optimiser may add them on its way (`Adam` does), so that the sum is never stored.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from elbo_lab.errors import bad_kind, bad_value, check_count, check_positive

SMALLEST_EPS = 1e-37


def weighted_sum(gradients, shares):
    """Return the sum of shares[b] gradients[b] (P,), added in their order."""
    total = gradients[0] * shares[0]
    for gradient, share in zip(gradients[1:], shares[1:], strict=True):
        total += gradient * share
    return total


@dataclass(frozen=True)
class Optimizer(ABC):
    """Contract of all optimisers; the objects are immutable, their memory is the `state` array.

    Attributes
    ----------
    name : str
        Registry name.
    summary : str
        One line for listings.
    n_slots : int
        Numbers of memory per coordinate.
    """

    name = ""
    summary = ""
    n_slots = 0

    def initial_state(self, size, dtype=np.float64):
        """Return the memory before the first step, zeros (n_slots, P)."""
        return np.zeros((self.n_slots, size), dtype)

    def step(self, params, gradient, state, count, rate):
        """Climb one step, in place.

        Parameters
        ----------
        params : ndarray (P,)
            Written to.
        gradient : ndarray (P,)
            Of the function that should rise; rounded to the dtype of `params`.
        state : ndarray (n_slots, P)
            Of the dtype of `params`; written to.
        count : int
            Number of this step; the first is 1.
        rate : float
            Step size.

        Raises
        ------
        ValueError
            If the shapes or the dtypes do not belong together.
        """
        self.step_of_sum(params, (gradient,), (1.0,), state, count, rate)

    def step_of_sum(self, params, gradients, shares, state, count, rate):
        """Climb one step along the sum of shares[b] gradients[b], added in their order; the rest as `step`.

        Parameters
        ----------
        gradients : sequence of ndarray (P,)
            Of the blocks of a batch.
        shares : sequence of float
            Of the blocks in the batch; they add up to one.
        """
        for gradient in gradients:
            if gradient.shape != params.shape:
                raise bad_value(
                    "gradient", f"shape {params.shape}, that of params", f"shape {gradient.shape}"
                )
        if state.shape != (self.n_slots, *params.shape) or state.dtype != params.dtype:
            wanted = f"{params.dtype} of shape {(self.n_slots, *params.shape)}"
            got = f"{state.dtype} of shape {state.shape}"
            raise bad_value("state", wanted, got, f"make it with {self.name}'s initial_state")
        count = check_count("count", count)
        # A run that diverges overflows on its way; whoever called looks at the parameters.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            gradients = [gradient.astype(params.dtype, copy=False) for gradient in gradients]
            if len(gradients) == 1:
                self._move(params, gradients[0], state, count, float(rate))
            else:
                self._move_along_sum(params, gradients, shares, state, count, float(rate))

    def _move_along_sum(self, params, gradients, shares, state, count, rate):
        self._move(params, weighted_sum(gradients, shares), state, count, rate)

    @abstractmethod
    def _move(self, params, gradient, state, count, rate):
        """Do the step; the arguments are checked and of one dtype."""


def keep_fraction(optimizer, name):
    """Store a parameter as a Python float from 0 to below 1, or raise."""
    value = getattr(optimizer, name)
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        raise bad_kind(name, "a number from 0 to below 1", repr(value))
    if not 0.0 <= value < 1.0:
        raise bad_value(name, "a number from 0 to below 1", value)
    object.__setattr__(optimizer, name, float(value))


def keep_eps(optimizer):
    """Store eps as a Python float that float32 can hold, or raise."""
    eps = check_positive("eps", optimizer.eps)
    if eps < SMALLEST_EPS:
        raise bad_value("eps", f"at least {SMALLEST_EPS:g}", eps, "float32 would round it to zero")
    object.__setattr__(optimizer, "eps", eps)
