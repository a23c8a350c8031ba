"""Rules for expectations over uniform noise of estimators that are smooth in it but for steps.

A bit turns where its uniform passes p = sigmoid(logit), its antithetic partner where it passes 1 - p: a
Gauss-Legendre rule on each piece between. A relaxation at temperature 1/2 is a rational function of u there,
so that the rule converges geometrically. A Gumbel relaxation of a category has a logarithm at both ends of
u = exp(-e^t): in t the trapezoid rule converges geometrically instead.
"""

import numpy as np

NODES = 16


def panels(edges, n):
    """Return Gauss-Legendre nodes and weights of n nodes on every piece between 0, the edges and 1."""
    x, w = np.polynomial.legendre.leggauss(n)
    ends = np.unique([0.0, *edges, 1.0])
    size = np.diff(ends)[:, None]
    return (ends[:-1, None] + size * 0.5 * (x + 1.0)).ravel(), (0.5 * size * w).ravel()


def tensor(rules):
    """Return nodes (G, dimensions) and weights (G,) of the product of rules [(nodes, weights), ...]."""
    axes = np.meshgrid(*[nodes for nodes, _ in rules], indexing="ij")
    product = np.ones(1)
    for _, weights in rules:
        product = np.multiply.outer(product, weights).ravel()
    return np.stack([axis.ravel() for axis in axes], axis=-1), product


def one_uniform_per_bit(logits, n=NODES):
    """Return nodes (G, 1, K) and weights (G,) of one draw."""
    p = 1.0 / (1.0 + np.exp(-logits))
    nodes, weights = tensor([panels((a, 1.0 - a), n) for a in p])
    return nodes[:, None], weights


def two_uniforms_per_bit(logits, n=NODES):
    """Return nodes (G, 1, K, 2) and weights (G,) of one draw: steps in the first of each pair only."""
    p = 1.0 / (1.0 + np.exp(-logits))
    rules = [rule for a in p for rule in (panels((a,), n), panels((), n))]
    nodes, weights = tensor(rules)
    return nodes.reshape(-1, 1, len(p), 2), weights


def one_uniform_per_category(n_categories, step):
    """Return nodes (G, 1, C) and weights (G,) of one draw, u = exp(-e^t) with t on a grid."""
    t = np.arange(-36.0, 3.7, step)
    weights = step * np.exp(t - np.exp(t))
    nodes, weights = tensor([(np.exp(-np.exp(t)), weights / weights.sum())] * n_categories)
    kept = weights > 1e-16
    return nodes[kept][:, None], weights[kept] / weights[kept].sum()
