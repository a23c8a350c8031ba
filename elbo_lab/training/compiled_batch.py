"""The step of a VAE for bits in compiled code: the work on a block, or a whole step.

It is made for the pathwise gradients (`ElboObjective.one_pass`), joint or alternating, of a `DeepBernoulli`
decoder and an encoder of a diagonal Gaussian: any depth, width, activation and number of draws, float32 or
float64. Under Adam a whole step is one call for every member of the crew (`compiled_step`); under another
optimiser the blocks are compiled and the parts of their gradient (`tapes`) handed to it. Everything else
(another likelihood, family or estimator, a free table, a NumPy whose loops are not found, the switch on
"numpy") takes the definition: `Batch` with `pathwise_pass`. The two agree to rounding: 1e-5 relative in
float32, 1e-12 in float64.
"""

from itertools import accumulate, pairwise

import numpy as np

from elbo_lab.distributions import DiagonalGaussian
from elbo_lab.kernels import kernels_in_use
from elbo_lab.models import DeepBernoulli
from elbo_lab.posteriors import AmortisedPosterior
from elbo_lab.threads import address_of_matmul
from elbo_lab.training import batch
from elbo_lab.training.adam import Adam
from elbo_lab.training.batch import Batch
from elbo_lab.training.compiled_step import CompiledStep
from elbo_lab.training.draws import Draws
from elbo_lab.training.tapes import kinds_of, row_edges, tapes_of


def is_compiled(objective, params):
    """Whether `CompiledBatch` takes the steps of an ElboObjective with one pass."""
    # `type is`: a subclass may change a formula.
    model, posterior = objective.model, objective.posterior
    return (
        kernels_in_use() == "numba"
        and type(model) is DeepBernoulli
        and type(posterior) is AmortisedPosterior
        and type(posterior.family) is DiagonalGaussian
        and all(_is_plain(params[name], objective.dtype) for name in ("theta", "phi"))
        and address_of_matmul(params["theta"].dtype) != 0
    )


def _is_plain(vector, dtype):
    flags = vector.flags
    return type(vector) is np.ndarray and vector.dtype == dtype and flags.c_contiguous and flags.writeable


class CompiledBatch(Batch):
    """The step of an ElboObjective that `is_compiled`, under any optimiser."""

    def __init__(self, objective, rows, names, params, workspace):
        super().__init__(objective, rows, names, params, workspace)
        if workspace.get("objective") is not objective:
            workspace.clear()
            workspace["objective"] = objective
        self.workspace, self.kind = workspace, (len(rows), names)
        if len(rows) not in workspace:
            edges = [0, *accumulate(len(block) for block in self.blocks)]
            tapes = tapes_of(objective, len(rows), params["theta"].dtype)
            workspace[len(rows)] = tapes, Draws(objective, edges)
        self.tapes, self.draws = workspace[len(rows)]
        self.matmul = address_of_matmul(params["theta"].dtype)

    def ascend(self, crew, keys, memory, moves):
        if any(type(move.optimizer) is not Adam for move in moves.values()):
            return super().ascend(crew, keys, memory, moves)
        step = self.workspace.get(self.kind)
        if step is None or not step.fits(self.params, moves, crew.size):
            where = self.params, moves, self.tapes, self.matmul, crew.size
            step = self.workspace[self.kind] = CompiledStep(self.objective, self.blocks, *where)
        step.prepare(self.blocks, self.draws.next(keys, self.blocks), moves)
        self.memory = memory
        crew.lead(step)
        self.values = step.values.tolist()

    def work(self, number, rng, memory):
        from elbo_lab.kernels.bernoulli_vae import bernoulli_vae

        x, drawn = self.objective.draw(self.blocks[number], rng)
        (noise,) = drawn.values()
        theta, phi = self.params["theta"], self.params["phi"]
        down, up = self.tapes.values()
        first = sum(len(block) for block in self.blocks[:number])
        value = bernoulli_vae(
            self.matmul,
            x,
            np.arange(len(x)),
            noise.reshape(-1, noise.shape[-1]),
            *self.objective.posterior.affine(theta.dtype),
            theta,
            phi,
            down.sizes,
            up.sizes,
            kinds_of(self.tapes),
            first,
            up.inputs,
            down.inputs,
            down.layers,
            up.layers,
        )
        return value, memory

    def parts(self, name):
        edges = row_edges(self.tapes[name].network.sizes, batch.SLICE).tolist()
        return [slice(a, b) for a, b in pairwise(edges)]

    def pieces(self, name, part):
        return [self.tapes[name].gradient(part)], [1.0]
