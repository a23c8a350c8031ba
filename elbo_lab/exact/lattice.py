"""Integer lattices: the points of a grid that is halved where it matters.

A grid of step h is h times integer points (G, K) with coordinates in -limit..limit. Halving the step
doubles the integers; only the neighbourhoods of points that matter are kept.
"""

import numpy as np


def lattice(n_dims, limit):
    """Return all integer points (G, K) with coordinates in -limit..limit."""
    axes = np.meshgrid(*[np.arange(-limit, limit + 1)] * n_dims, indexing="ij")
    return np.stack(axes, axis=-1).reshape(-1, n_dims)


def children(index, limit):
    """Return the points of the halved grid within one new step of `index` (G, K) of the old one."""
    near = (2 * index[:, None, :] + lattice(index.shape[1], 1)).reshape(-1, index.shape[1])
    near = near[np.all(np.abs(near) <= limit, axis=1)]
    # One number per point, since sorting numbers is far cheaper than sorting rows.
    width = 2 * limit + 1
    keys = (near + limit) @ width ** np.arange(index.shape[1])
    return near[np.unique(keys, return_index=True)[1]]


def boxes(nodes, matters, margin):
    """Return corners (N, K) of the boxes around the nodes that matter to each datum, with a margin."""
    around = [nodes[column] for column in matters.T]
    low = np.array([box.min(axis=0) for box in around]) - margin
    return low, np.array([box.max(axis=0) for box in around]) + margin
