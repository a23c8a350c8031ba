"""The compiled step of a Bernoulli VAE (`kernels.vae_step`): when it applies, and its arguments.

It applies to the pathwise gradients (`ElboObjective.one_pass`) of the ELBO or of a `BetaObjective`, joint
or alternating, of a `DeepBernoulli` decoder and an encoder of a diagonal Gaussian under an optimiser of
this package: MLPs of any depth, width and activation, any number of draws, float32 or float64. Everything
else, clipping of gradients too, runs the definition, `batch.ascend`; so does a forked process whose parent
has used Numba's threads, which do not survive a fork. The two agree to rounding: 1e-5 relative in float32,
1e-12 in float64.
"""

from itertools import pairwise
from typing import cast

import numpy as np

from elbo_lab.arrays import Floats, Integers
from elbo_lab.distributions import DiagonalGaussian
from elbo_lab.kernels import contiguous_arrays, kernels_in_use
from elbo_lab.models import DeepBernoulli
from elbo_lab.networks import MLP
from elbo_lab.posteriors import AmortisedPosterior
from elbo_lab.threads import has_numba_threads, numba_threads
from elbo_lab.training.batch import Move, Vectors, blocks_of, generators
from elbo_lab.training.beta import BetaObjective
from elbo_lab.training.objectives import ElboObjective, Objective, Value
from elbo_lab.training.optimizers import OPTIMIZERS, Optimizer

# Numba recompiles for every length of a tuple of generators: two lengths suffice for all numbers of blocks.
FEW, MANY = 2, 8
# The most numbers that an optimiser has.
NUMBERS = 8


def is_compiled(objective: Objective, params: Vectors, optimizer: Optimizer) -> bool:
    """Tell whether `CompiledStep` can take the steps of an objective."""
    # `type is`: a subclass may override a formula.
    return (
        isinstance(objective, ElboObjective)
        and type(objective) in (ElboObjective, BetaObjective)
        and objective.one_pass
        and objective.source.independent
        and type(objective.model) is DeepBernoulli
        and type(objective.model.decoder) is MLP
        and type(objective.posterior) is AmortisedPosterior
        and type(objective.posterior.network) is MLP
        and type(objective.posterior.family) is DiagonalGaussian
        and objective.model.family == objective.posterior.family
        and type(optimizer) in OPTIMIZERS.values()
        and contiguous_arrays(*params.values())
        and all(vector.dtype == objective.dtype for vector in params.values())
        and kernels_in_use() == "numba"
        and has_numba_threads()
    )


class CompiledStep:
    """Steps on batches of one size, with buffers that successive steps reuse.

    Parameters
    ----------
    objective : ElboObjective
        One that `is_compiled`.
    n_rows : int
        B.
    threads : int
    """

    def __init__(self, objective: ElboObjective, n_rows: int, threads: int) -> None:
        from elbo_lab.kernels.vae_step import ACTIVATIONS, SLICES

        self.objective, self.threads = objective, threads
        dtype, n_draws = np.dtype(objective.dtype), objective.draws
        model = cast(DeepBernoulli, objective.model)
        self.posterior = cast(AmortisedPosterior, objective.posterior)
        encoder, decoder = self.posterior.network, model.decoder
        self.networks = {}
        for name, network, count in (("phi", encoder, n_rows), ("theta", decoder, n_draws * n_rows)):
            a, delta = np.empty((2, count * sum(network.sizes)), dtype)
            self.networks[name] = ACTIVATIONS[network.activation], np.array(network.sizes), a, delta
        self.edges = np.array([0, *(block.stop for block in blocks_of(n_rows))])
        self.values = np.empty((self.edges.size - 1, 2))
        self.buffers = (
            np.empty((n_rows, model.n_columns), dtype),
            np.empty((n_draws * n_rows, model.n_latent), dtype),
        )
        layers = [*pairwise(encoder.sizes), *pairwise(decoder.sizes)]
        largest = max((narrow // SLICES + 1) * wide for narrow, wide in layers)
        self.scratch = np.empty((threads, largest), dtype)

    def ascend(
        self,
        rows: Integers,
        params: Vectors,
        moves: dict[str, Move],
        rng: np.random.Generator,
        step: int = 0,
    ) -> Value:
        """Take one step as `batch.ascend` does; return the mean value of the batch in nats per datum.

        `step` counts the minibatches seen before this one.
        """
        from elbo_lab.kernels.gemm import gemm
        from elbo_lab.kernels.vae_step import vae_step

        dtype = self.scratch.dtype
        rngs = generators(rng, len(self.values))
        rngs += [rngs[-1]] * ((FEW if len(rngs) <= FEW else MANY) - len(rngs))
        fresh = self.objective.probabilities is not None
        data = fresh, self.objective.table, rows, *self.posterior.affine(dtype)
        now = self.objective.at(step)
        beta = now.beta if isinstance(now, BetaObjective) else 1.0
        with numba_threads(self.threads):
            elbo, kl = vae_step(
                gemm(dtype),
                tuple(rngs),
                data,
                self._network("phi", params),
                self._network("theta", params),
                self._update(moves.get("phi")),
                self._update(moves.get("theta")),
                self.edges,
                beta,
                self.buffers,
                self.values,
                self.scratch,
            )
        return now.values(elbo, kl) if isinstance(now, BetaObjective) else elbo

    def _network(self, name: str, params: Vectors) -> tuple[int, Integers, Floats, Floats, Floats]:
        """Return a network as the kernel takes it."""
        kind, sizes, a, delta = self.networks[name]
        return kind, sizes, params[name], a, delta

    def _update(self, move: Move | None) -> tuple[int, Floats, Floats]:
        """Return the update rule of some parameters, their slots, and the numbers of the rule."""
        from elbo_lab.kernels.optimizers import RULES
        from elbo_lab.kernels.vae_step import STILL

        numbers = np.zeros(NUMBERS, self.scratch.dtype)
        if move is None:
            return STILL, np.empty((0, 0), numbers.dtype), numbers
        values = list(move.optimizer.numbers(move.count, move.rate).values())
        with np.errstate(over="ignore"):  # what then diverges is told as that
            numbers[: len(values)] = values
        return RULES[move.optimizer.update.__name__], move.slots, numbers
