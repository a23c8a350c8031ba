"""The step of a VAE for bits under Adam as compiled work of a crew: the interpreter draws and counts.

What a step needs lies where it lay in the step before (`kernels.vae_step` says what): rows and noise, the
numbers of Adam, the tapes of both networks. The leading member writes the new numbers there and calls; the
others are still in their compiled loop.
"""

from itertools import accumulate, pairwise

import numpy as np

from elbo_lab.crew import LOOKS, CompiledWork
from elbo_lab.kernels.signals import KIND
from elbo_lab.training.fresh_bits import WORD, numbers_in
from elbo_lab.training.tapes import kinds_of, row_edges

# Coordinates of a part that one member moves at a time, about: its gradient stays in the cache.
TILE = 1 << 16
# What a step of Adam takes beside its vectors.
NUMBERS = 7


def held_by(params, moves):
    """Return the arrays that are written to in a step, by the names of the parameters."""
    return {name: (params[name], moves[name].slots if name in moves else None) for name in params}


class CompiledStep(CompiledWork):
    """All steps of one kind: as many rows, the same parameters that move.

    Parameters
    ----------
    objective : ElboObjective
    blocks : sequence of ndarray
        Row numbers of the first of these steps.
    params : dict of ndarray
    moves : dict of Move
        Of those that move, by Adam.
    tapes : dict of Tape
    matmul : int
        As from `kernels.products.address_of_matmul`.
    size : int
        Members of the crew.
    """

    def __init__(self, objective, blocks, params, moves, tapes, matmul, size):
        from elbo_lab.kernels.waiting import address_of_yield

        self.held, self.size = held_by(params, moves), size
        self.offer_core = address_of_yield()
        dtype, n_rows = params["theta"].dtype, sum(len(block) for block in blocks)
        self.edges = np.array([0, *accumulate(len(block) for block in blocks)])
        self.rows, table = np.arange(n_rows), objective.table
        self.x, own, most = table, self.rows, 0
        if objective.probabilities is not None:
            # The table holds chances, and what the networks see are bits, row by row.
            self.x, own = np.empty((n_rows, table.shape[1]), dtype), np.arange(n_rows)
            most = max(len(block) for block in blocks) * table[0].nbytes
        words = np.empty((len(blocks), -(-most // WORD)), np.uint64)
        # Whether the bits of a block are drawn in compiled code, and the generators for that.
        self.drawn_there = np.zeros(len(blocks), np.bool_)
        self.states = np.empty((len(blocks), 4), np.uint64)
        self.noise = np.empty(objective.draws * n_rows * objective.model.n_latent, dtype)
        per_row = self.noise.size // n_rows
        # Where the rows and the noise of a block lie.
        self.places = [
            (slice(first, last), slice(per_row * first, per_row * last))
            for first, last in pairwise(self.edges.tolist())
        ]
        self.values = np.empty(len(blocks))
        self.numbers = {name: np.empty(NUMBERS, dtype) for name in params}
        networks = [self._network(name, tape, moves) for name, tape in tapes.items()]
        largest = max(np.diff(network[0]).max(initial=0) for network in networks)
        self.arguments = (
            matmul,
            (self.drawn_there, self.states, words, numbers_in(words, dtype), table, self.rows),
            self.x,
            own,
            self.noise,
            *objective.posterior.affine(dtype),
            kinds_of(tapes),
            *networks,
            self.edges,
            self.values,
            np.diff(self.edges) / n_rows,
            np.empty((size, largest), dtype),
        )

    def _network(self, name, tape, moves):
        """Return what the kernel is told of a network; without edges it stands still."""
        params, slots = self.held[name]
        edges = row_edges(tape.network.sizes, TILE) if name in moves else np.zeros(1, np.intp)
        slots = tape.layers if slots is None else slots
        return edges, tape.sizes, tape.inputs, tape.layers, params, slots, self.numbers[name]

    def fits(self, params, moves, size):
        """Whether these are the arrays that this step writes to, and the size of its crew."""
        held = held_by(params, moves)
        return size == self.size and all(
            a is b for name in held for a, b in zip(held[name], self.held[name], strict=True)
        )

    def prepare(self, blocks, drawn, moves):
        """Lay what the step needs where it is looked for.

        Parameters
        ----------
        blocks : sequence of ndarray (n,)
            Row numbers.
        drawn : tuple
            As from `Draws.next`.
        moves : dict of Move
        """
        for b, (block, noise, source, place) in enumerate(zip(blocks, *drawn, self.places, strict=True)):
            rows, own = place
            self.rows[rows], self.noise[own] = block, noise.reshape(-1)
            if source is not None:
                self.drawn_there[b] = source.ndim == 1
                if self.drawn_there[b]:
                    self.states[b] = source
                else:
                    self.x[rows] = source
        for name, move in moves.items():
            self.numbers[name][:] = list(move.optimizer.numbers(move.count, move.rate).values())

    def take_part(self, member, arrivals, size, orders, order, last):
        from elbo_lab.kernels.vae_step import take_part

        meeting = arrivals, size, self.offer_core
        return take_part(member, orders, order, last, orders[KIND], LOOKS, meeting, self.arguments)
