"""Nodes and weights: rules for normal and for uniform noise, and lattices that are refined where it matters.

**Normal noise**, E f(eps), eps ~ N(0, I): Gauss-Hermite first, the node count doubled. Where the integrand
has poles close to the real line (a steep decoder under a wide q) it converges slowly, and the sequence
continues with trapezoid grids of the same noise, which converge faster than any power of the step (Trefethen
and Weideman 2014).

**Uniform noise into both tails**, E f(u, 1 - u), u ~ U(0, 1): draws of a heavy-tailed family are steep
functions of u near 0 and 1, and a density may have a kink at the middle (Laplace). So each half has separate
nodes, u = exp(-t) / 2 with t from 0 to 229: the lower half keeps the digits of u and the upper half those
of 1 - u, down to 1e-100. The half-line of t is mapped to the whole line by the double exponential
t = exp(x - exp(-x)), where the trapezoid rule converges exponentially although f may be singular at both
ends (Takahasi and Mori 1974, "Double exponential formulas for numerical integration").

**Lattices**: a grid of step h is h times integer points (G, K) with coordinates in -limit..limit. Halving
the step doubles the integers; only the neighbourhoods of points that matter are kept.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from elbo_lab.arrays import Floats, Integers

Rule = tuple[Floats, Floats]
"""Nodes (G, K) and weights (G,) of E f(eps), eps ~ N(0, I_K)."""

Flags = NDArray[np.bool_]

HERMITE_NODES = (8, 16, 32, 64)
TRAPEZOID_STEPS = (0.25, 0.125, 0.0625)
NOISE_HALF_WIDTH = 8.5
# Nodes of the noise below this weight vanish in rounding and only cost time.
LEAST_WEIGHT = 1e-18
FIRST_OF_TAIL, LAST_OF_TAIL = -4.0, np.log(229.0)
NODES_PER_HALF = 120


def _product_rule(nodes: Floats, weights: Floats, n_dims: int) -> Rule:
    """Return nodes (G, K) and weights (G,) of the product of a one-dimensional rule with itself."""
    grid = np.stack(np.meshgrid(*[nodes] * n_dims, indexing="ij"), axis=-1).reshape(-1, n_dims)
    product = weights
    for _ in range(n_dims - 1):
        product = np.multiply.outer(product, weights)
    keep = product.ravel() > LEAST_WEIGHT
    return grid[keep], product.ravel()[keep]


def hermite_rule(n_nodes: int, n_dims: int) -> Rule:
    """Return nodes (G, K) and weights (G,) of E f(eps), eps ~ N(0, I_K), by Gauss-Hermite."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(n_nodes)
    return _product_rule(nodes, weights / weights.sum(), n_dims)


def trapezoid_rule(step: float, n_dims: int) -> Rule:
    """Return nodes (G, K) and weights (G,) of E f(eps), eps ~ N(0, I_K), on an even grid."""
    nodes = step * np.arange(-round(NOISE_HALF_WIDTH / step), round(NOISE_HALF_WIDTH / step) + 1)
    density = np.exp(-0.5 * nodes**2)
    return _product_rule(nodes, density / density.sum(), n_dims)


def panel_rule(ends: Floats, n_nodes: int) -> tuple[Floats, Floats]:
    """Return nodes and weights (G,) of Gauss-Legendre on every panel between neighbouring ends."""
    nodes, weights = np.polynomial.legendre.leggauss(n_nodes)
    half = 0.5 * np.diff(ends)[:, None]
    return (ends[:-1, None] + half * (nodes + 1.0)).ravel(), (half * weights).ravel()


@lru_cache
def noise_rules(n_dims: int) -> list[Rule]:
    """Return the rules in the order in which they are tried, each finer than the one before."""
    hermite = [hermite_rule(n_nodes, n_dims) for n_nodes in HERMITE_NODES]
    return hermite + [trapezoid_rule(step, n_dims) for step in TRAPEZOID_STEPS]


@lru_cache
def tail_rule(n_nodes: int = NODES_PER_HALF) -> tuple[Floats, Floats, Floats]:
    """Return (u, 1 - u, weights), each (2 n_nodes,), with sum weights f = E f(u, 1 - u).

    Parameters
    ----------
    n_nodes : int
        Nodes per half; for integrands that grow like a power of log u the relative error of 120 is 1e-13,
        and that of 60 about 1e-8.
    """
    x, step = np.linspace(FIRST_OF_TAIL, LAST_OF_TAIL, n_nodes, retstep=True)
    t = np.exp(x - np.exp(-x))
    tail = 0.5 * np.exp(-t)
    weights = tail * t * (1.0 + np.exp(-x)) * step
    rest = -0.5 * np.expm1(-t) + 0.5
    return np.concatenate([tail, rest]), np.concatenate([rest, tail]), np.tile(weights, 2)


def lattice(n_dims: int, limit: int) -> Integers:
    """Return all integer points (G, K) with coordinates in -limit..limit."""
    axes = np.meshgrid(*[np.arange(-limit, limit + 1)] * n_dims, indexing="ij")
    return np.stack(axes, axis=-1).reshape(-1, n_dims)


def children(index: Integers, limit: int) -> Integers:
    """Return the points of the halved grid within one new step of `index` (G, K) of the old one."""
    near = (2 * index[:, None, :] + lattice(index.shape[1], 1)).reshape(-1, index.shape[1])
    near = near[np.all(np.abs(near) <= limit, axis=1)]
    # One number per point, since sorting numbers takes far less time than sorting rows.
    width = 2 * limit + 1
    keys = (near + limit) @ width ** np.arange(index.shape[1])
    return near[np.unique(keys, return_index=True)[1]]


def boxes(nodes: Floats, matters: Flags, margin: float) -> tuple[Floats, Floats]:
    """Return corners (N, K) of the boxes around the nodes that matter to each datum, with a margin."""
    around = [nodes[column] for column in matters.T]
    low = np.array([box.min(axis=0) for box in around]) - margin
    return low, np.array([box.max(axis=0) for box in around]) + margin
