"""One step along a minibatch: the work of its blocks of rows, then the move along their gradient.

Blocks are worked on at the same time, each with random numbers of its own; when all are done, slices of the
parameter vectors move at the same time. Neither blocks nor slices depend on the number of threads, and the
gradients of the blocks are added in their order. So the result does not depend on it either.

This is the definition of a step, for any objective and optimiser; `compiled_step` repeats one kind of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from elbo_lab.arrays import Floats, Integers
from elbo_lab.training.optimizers import Optimizer, sgd_step

if TYPE_CHECKING:
    from elbo_lab.training.clipping import Clipping
    from elbo_lab.training.objectives import Gradients, Objective, Value

Vectors = dict[str, Floats]
"""Parameter vectors, gradients, or the states of estimators, by the names of the parameters."""

# With fewer rows the matrix products of a block lose their efficiency; with more blocks, adding their
# gradients costs more than it saves.
ROWS_PER_BLOCK = 50
MOST_BLOCKS = 8
# Most coordinates of one slice of a parameter vector.
SLICE = 1 << 18


@cache
def slices_of(size: int, count: int) -> tuple[slice, ...]:
    """Return `count` slices of nearly equal length that cover `size` rows or coordinates."""
    edges = np.linspace(0, size, count + 1).round().astype(int).tolist()
    return tuple(slice(a, b) for a, b in pairwise(edges))


def blocks_of(n_rows: int) -> tuple[slice, ...]:
    """Return the slices of the blocks of a batch: nearly equal, of about 50 rows, at most 8."""
    return slices_of(n_rows, max(1, min(MOST_BLOCKS, n_rows // ROWS_PER_BLOCK)))


def shares_of(blocks: list[Integers]) -> list[float]:
    """Return the share of each block of rows in their batch."""
    n_rows = sum(len(rows) for rows in blocks)
    return [len(rows) / n_rows for rows in blocks]


def generators(rng: np.random.Generator, count: int) -> list[np.random.Generator]:
    """Return a generator per block, seeded from `rng`; a single block draws from `rng` itself."""
    if count == 1:
        return [rng]
    return [np.random.default_rng(key) for key in rng.integers(0, 1 << 32, (count, 4), dtype=np.uint32)]


def weighted_sum(gradients: list[Floats], shares: list[float]) -> Floats:
    """Return the sum of shares[b] gradients[b] (P,), added in their order."""
    if len(gradients) == 1:
        return gradients[0]
    total = gradients[0] * shares[0]
    for gradient, share in zip(gradients[1:], shares[1:], strict=True):
        # A step of sgd adds a multiple of a vector, in one pass over memory.
        sgd_step(total, gradient, rate=share)
    return total


@dataclass(frozen=True, eq=False)
class Move:
    """A parameter vector (P,) and how it moves: optimiser, its slots, number of the step, rate."""

    params: Floats
    optimizer: Optimizer
    slots: Floats
    count: int
    rate: float

    def slices(self) -> tuple[slice, ...]:
        """Return slices of the vector that may move apart."""
        return slices_of(self.params.size, -(-self.params.size // SLICE))

    def along(self, coordinates: slice, gradients: list[Floats], shares: list[float]) -> None:
        """Move some coordinates along the sum of shares[b] gradients[b]."""
        self.take(coordinates, weighted_sum([gradient[coordinates] for gradient in gradients], shares))

    def take(self, coordinates: slice, gradient: Floats) -> None:
        """Move some coordinates along their gradient."""
        params, slots = self.params[coordinates], self.slots[:, coordinates]
        self.optimizer.step(params, gradient, slots, self.count, self.rate)


def ascend(
    objective: Objective,
    rows: Integers,
    params: Vectors,
    moves: dict[str, Move],
    rng: np.random.Generator,
    memory: Vectors,
    pool: Executor,
    clipping: Clipping | None = None,
) -> tuple[Value, Vectors]:
    """Take one step; return the mean value of the batch and what it hands on.

    Parameters
    ----------
    objective : Objective
    rows : ndarray (B,)
        Row numbers.
    params : dict of ndarray
        All parameter vectors.
    moves : dict of Move
        Of the vectors that move.
    rng : numpy.random.Generator
    memory : dict of ndarray
        What steps hand on, such as the states of estimators.
    pool : Executor
        As from `threads.thread_pool`.
    clipping : Clipping, optional
        A bound on the gradient of the whole step.

    Returns
    -------
    value : float or ndarray (1 + F,)
        Nats per datum; nothing has moved if it is not finite.
    memory : dict of ndarray
        The same after the step, as from `Objective.joined`.
    """
    blocks = objective.blocks(rows)
    shares = shares_of(blocks)

    def gradients_of(block: Integers, block_rng: np.random.Generator) -> Gradients:
        # An overflow shows in the value; a warning from a thread would not name the caller's line.
        with np.errstate(all="ignore"):
            return objective.gradients(params, objective.draw(block, block_rng), tuple(moves), memory)

    block_rngs = generators(rng, len(blocks))
    values, gradients, memories = zip(*_map(pool, gradients_of, blocks, block_rngs), strict=True)
    value = sum(share * value for share, value in zip(shares, values, strict=True))
    if np.isfinite(value).all():
        found = {name: [gradient[name] for gradient in gradients] for name in moves}
        if clipping is not None:
            with np.errstate(all="ignore"):
                clipped = clipping.apply({name: weighted_sum(found[name], shares) for name in moves})
            found, shares = {name: [gradient] for name, gradient in clipped.items()}, [1.0]
        slices = [(name, coordinates) for name in moves for coordinates in moves[name].slices()]

        def move(name: str, coordinates: slice) -> None:
            moves[name].along(coordinates, found[name], shares)

        list(_map(pool, move, *zip(*slices, strict=True)))
    return value, objective.joined(memory, blocks, list(memories))


def _map(pool: Executor, function: Callable[..., Any], *arguments: Sequence[Any]) -> Iterator[Any]:
    """Return the results of `function` in order; a single task runs in the calling thread."""
    return (pool.map if len(arguments[0]) > 1 else map)(function, *arguments)
