"""One step along a minibatch: the work of its blocks of rows, then the move along their gradient.

Blocks are worked on at the same time, each with random numbers of its own; when all are done, slices of the
parameter vectors move at the same time. Neither blocks nor slices depend on the number of threads, and the
gradients of the blocks are added in their order. So the result does not depend on it either.

This is the definition of a step, for any objective and optimiser; `compiled_step` repeats one kind of it.
"""

from __future__ import annotations

import math
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
    from elbo_lab.training.objectives import Gradients, Objective

Vectors = dict[str, Floats]
"""Parameter vectors, gradients, or what estimators remember, by the names of the parameters."""

# Fewer rows and the matrix products of a block lose their efficiency; more blocks and adding their
# gradients costs more than it brings.
ROWS_PER_BLOCK = 50
MOST_BLOCKS = 8
# Coordinates of one slice of a parameter vector, at most.
SLICE = 1 << 18


@cache
def slices_of(size: int, count: int) -> tuple[slice, ...]:
    """Return `count` slices, as equal as can be, of so many rows or coordinates."""
    edges = np.linspace(0, size, count + 1).round().astype(int).tolist()
    return tuple(slice(a, b) for a, b in pairwise(edges))


def blocks_of(n_rows: int) -> tuple[slice, ...]:
    """Return the slices into which a batch is cut: equal parts of about 50 rows, at most 8."""
    return slices_of(n_rows, max(1, min(MOST_BLOCKS, n_rows // ROWS_PER_BLOCK)))


def shares_of(blocks: list[Integers]) -> list[float]:
    """Return the share of each block of rows in their batch."""
    n_rows = sum(len(rows) for rows in blocks)
    return [len(rows) / n_rows for rows in blocks]


def generators(rng: np.random.Generator, count: int) -> list[np.random.Generator]:
    """Return a generator per block, from one key each of `rng`; a single block draws from `rng` itself."""
    if count == 1:
        return [rng]
    return [np.random.default_rng(key) for key in rng.integers(0, 1 << 32, (count, 4), dtype=np.uint32)]


def weighted_sum(gradients: list[Floats], shares: list[float]) -> Floats:
    """Return the sum of shares[b] gradients[b] (P,), added in their order."""
    if len(gradients) == 1:
        return gradients[0]
    total = gradients[0] * shares[0]
    for gradient, share in zip(gradients[1:], shares[1:], strict=True):
        # A step of sgd is what adds a multiple of a vector, in one pass.
        sgd_step(total, gradient, rate=share)
    return total


@dataclass(frozen=True, eq=False)
class Move:
    """A parameter vector (P,) and how it moves in this step: optimiser, memory, number of the step, rate."""

    params: Floats
    optimizer: Optimizer
    slots: Floats
    count: int
    rate: float

    def along(self, part: slice, gradients: list[Floats], shares: list[float]) -> None:
        """Move a slice along the sum of shares[b] gradients[b]."""
        gradient = weighted_sum([gradient[part] for gradient in gradients], shares)
        self.optimizer.step(self.params[part], gradient, self.slots[:, part], self.count, self.rate)


def ascend(
    objective: Objective,
    rows: Integers,
    params: Vectors,
    moves: dict[str, Move],
    rng: np.random.Generator,
    memory: Vectors,
    pool: Executor,
) -> tuple[float, Vectors]:
    """Do one step, and return the mean value of the batch and what the estimators remember.

    Parameters
    ----------
    objective : Objective
    rows : ndarray (B,)
        Row numbers.
    params : dict of ndarray
        All parameter vectors.
    moves : dict of Move
        Of those that move.
    rng : numpy.random.Generator
    memory : dict of ndarray
        What the estimators remember.
    pool : Executor
        As from `threads.pool_of_pieces`.

    Returns
    -------
    value : float
        Nats per datum; nothing has moved if it is not finite.
    memory : dict of ndarray
        A batch of several blocks leaves it as it was.
    """
    blocks = objective.blocks(rows)
    shares = shares_of(blocks)

    def work(block: Integers, own: np.random.Generator) -> Gradients:
        # Overflow on the way is found in the value; a warning from a thread would only hide the line.
        with np.errstate(all="ignore"):
            return objective.gradients(params, objective.draw(block, own), tuple(moves), memory)

    values, gradients, memories = zip(*_map(pool, work, blocks, generators(rng, len(blocks))), strict=True)
    value = sum(share * value for share, value in zip(shares, values, strict=True))
    if math.isfinite(value):
        parts = [(name, part) for name in moves for part in _parts(params[name].size)]

        def move(name: str, part: slice) -> None:
            moves[name].along(part, [gradient[name] for gradient in gradients], shares)

        list(_map(pool, move, *zip(*parts, strict=True)))
    return value, memories[0] if len(blocks) == 1 else memory


def _parts(size: int) -> tuple[slice, ...]:
    return slices_of(size, -(-size // SLICE))


def _map(pool: Executor, work: Callable[..., Any], *arguments: Sequence[Any]) -> Iterator[Any]:
    """Return what `work` gives for each of the arguments; a single piece is not worth another thread."""
    return (pool.map if len(arguments[0]) > 1 else map)(work, *arguments)
