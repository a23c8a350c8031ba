"""Rules for expectations over normal noise: nodes and weights of E f(eps), eps ~ N(0, I).

Gauss-Hermite first, the node count doubled. Where the integrand has poles close to the real line (a steep
decoder under a wide q) it converges slowly, and the sequence goes on with trapezoid grids of the same
noise, which converge faster than any power of the step (Trefethen and Weideman 2014).
"""

from functools import lru_cache

import numpy as np

HERMITE_NODES = (8, 16, 32, 64)
TRAPEZOID_STEPS = (0.25, 0.125, 0.0625)
NOISE_HALF_WIDTH = 8.5
# Nodes of the noise below this weight are lost in rounding and only cost time.
LEAST_WEIGHT = 1e-18


def _product_rule(nodes, weights, n_dims):
    """Return nodes (G, K) and weights (G,) of the product of a one-dimensional rule with itself."""
    grid = np.stack(np.meshgrid(*[nodes] * n_dims, indexing="ij"), axis=-1).reshape(-1, n_dims)
    product = weights
    for _ in range(n_dims - 1):
        product = np.multiply.outer(product, weights)
    keep = product.ravel() > LEAST_WEIGHT
    return grid[keep], product.ravel()[keep]


def hermite_rule(n_nodes, n_dims):
    """Return nodes (G, K) and weights (G,) of E f(eps), eps ~ N(0, I_K), by Gauss-Hermite."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(n_nodes)
    return _product_rule(nodes, weights / weights.sum(), n_dims)


def trapezoid_rule(step, n_dims):
    """Return nodes (G, K) and weights (G,) of E f(eps), eps ~ N(0, I_K), on an even grid."""
    nodes = step * np.arange(-round(NOISE_HALF_WIDTH / step), round(NOISE_HALF_WIDTH / step) + 1)
    density = np.exp(-0.5 * nodes**2)
    return _product_rule(nodes, density / density.sum(), n_dims)


@lru_cache
def noise_rules(n_dims):
    """Return the rules in the order in which they are tried, each finer than the one before."""
    hermite = [hermite_rule(n_nodes, n_dims) for n_nodes in HERMITE_NODES]
    return hermite + [trapezoid_rule(step, n_dims) for step in TRAPEZOID_STEPS]
