"""The step of a VAE for bits in compiled calls, two per thread: a block, then a part of the gradient.

    grad W_l = a_{l-1}^T delta_l,   a_{l-1} (B, H'), delta_l (B, H)   over all rows of the batch

A block leaves its rows of a and delta; once all rows are there, every part of the gradient is one product,
formed by the thread that moves those parameters at once, while the part is in its cache. Nothing is added up,
and the interpreter is asked for twice per thread and step.

It is made for the pathwise gradients (`ElboObjective.one_pass`), joint or alternating, of a `DeepBernoulli`
decoder and an encoder of a diagonal Gaussian: any depth, width, activation and number of draws, float32 or
float64. Everything else (another likelihood, family or estimator, a free table, a NumPy whose loops are not
found, the switch on "numpy") takes the definition: `Batch` with `pathwise_pass`. The two agree to rounding:
1e-5 relative in float32, 1e-12 in float64.
"""

from functools import cache
from itertools import accumulate, pairwise

import numpy as np

from elbo_lab.distributions import DiagonalGaussian
from elbo_lab.kernels import kernels_in_use
from elbo_lab.learning.training import batch
from elbo_lab.learning.training.batch import Batch, edges_of
from elbo_lab.models import DeepBernoulli
from elbo_lab.posteriors import AmortisedPosterior


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
        and _matmul(params["theta"].dtype) != 0
    )


def _is_plain(vector, dtype):
    flags = vector.flags
    return type(vector) is np.ndarray and vector.dtype == dtype and flags.c_contiguous and flags.writeable


def _matmul(dtype):
    # Here and not above: the first kernel that runs imports Numba.
    from elbo_lab.kernels.products import address_of_matmul

    return address_of_matmul(dtype)


@cache
def parts_of(sizes, most):
    """Return the slices of a network's parameters, of about `most` coordinates, that `weight_gradient` takes.

    Parameters
    ----------
    sizes : tuple of int
        Widths of the layers.
    most : int
    """
    rows, start = [], 0
    for narrow, wide in pairwise(sizes):
        rows += [*range(start, start + (narrow + 1) * wide, wide)]
        start += (narrow + 1) * wide
    # A bias is one row more of its weights.
    rows = np.array([*rows, start])
    edges = rows[np.searchsorted(rows, edges_of(start, most))].tolist()
    return [slice(a, b) for a, b in pairwise(edges) if a < b]


class Tape:
    """What a network leaves of a forward and backward pass over the rows of a batch.

    It serves step after step: memory that is given back and asked for anew comes in fresh pages.

    Parameters
    ----------
    network : MLP
    n_rows : int
    dtype : dtype

    Attributes
    ----------
    inputs : ndarray (n_rows, sizes[0])
    layers : ndarray (2, n_rows W)
        Deltas and activations of all layers, as in `kernels.mlp`.
    """

    def __init__(self, network, n_rows, dtype):
        self.sizes = np.array(network.sizes, np.intp)
        self.inputs = np.empty((n_rows, network.sizes[0]), dtype)
        self.layers = np.empty((2, n_rows * sum(network.sizes[1:])), dtype)
        self.parts = {}

    def gradient(self, part):
        """Return the coordinates of a slice of the gradient, between two edges; good until the next step."""
        from elbo_lab.kernels.mlp import weight_gradient

        if part.start not in self.parts:
            self.parts[part.start] = np.empty(part.stop - part.start, self.inputs.dtype)
        out = self.parts[part.start]
        weight_gradient(_matmul(out.dtype), self.sizes, self.inputs, *self.layers, part.start, out)
        return out


class CompiledBatch(Batch):
    """The step of an ElboObjective that `is_compiled`."""

    def __init__(self, objective, rows, names, params, workspace):
        super().__init__(objective, rows, names, params, workspace)
        self.networks = {"theta": objective.model.decoder, "phi": objective.posterior.network}
        counts, dtype = {"theta": objective.draws * len(rows), "phi": len(rows)}, params["theta"].dtype
        for name, network in self.networks.items():
            if (name, counts[name]) not in workspace:
                workspace[name, counts[name]] = Tape(network, counts[name], dtype)
        self.tapes = {name: workspace[name, count] for name, count in counts.items()}
        self.starts = [0, *accumulate(len(block) for block in self.blocks)]

    def work(self, number, rng, memory):
        from elbo_lab.kernels.bernoulli_vae import bernoulli_vae
        from elbo_lab.kernels.mlp import ACTIVATIONS

        x, noise = self.objective.draw(self.blocks[number], rng)
        theta, phi = self.params["theta"], self.params["phi"]
        down, up = self.tapes["theta"], self.tapes["phi"]
        value = bernoulli_vae(
            _matmul(theta.dtype),
            x,
            *noise.values(),
            *self.objective.posterior.affine(theta.dtype),
            theta,
            phi,
            down.sizes,
            up.sizes,
            tuple(ACTIVATIONS[network.activation] for network in self.networks.values()),
            self.starts[number],
            up.inputs,
            down.inputs,
            down.layers,
            up.layers,
        )
        return value, memory

    def parts(self, name):
        return parts_of(self.networks[name].sizes, batch.SLICE)

    def pieces(self, name, part):
        return [self.tapes[name].gradient(part)], [1.0]
