"""Starts for mixtures: k-means++ on standardised columns, then Lloyd's iteration.

k-means++ takes the first centre at random and every further one with a probability in proportion to the
squared distance to the nearest centre so far (Arthur and Vassilvitskii 2007, algorithm 1): centres spread
over the data, and differ from seed to seed. Lloyd's iteration moves each centre to the mean of its data
until no datum changes its cluster. Columns are standardised for the distances, since minutes and
millimetres cannot be compared; the means and covariances of the start are in the data's own units.
"""

import numpy as np
from numpy.typing import NDArray

from elbo_lab.arrays import Floats
from elbo_lab.em.scatter import SCATTERS
from elbo_lab.models import GaussianMixture

LLOYD_ITERATIONS = 100


def _squared_distances(x: Floats, centres: Floats) -> Floats:
    """Return |x_n - centre_c|^2 (N, C), one centre at a time: no (N, C, D) in memory."""
    out = np.empty((len(x), len(centres)))
    for c, centre in enumerate(centres):
        difference = x - centre
        out[:, c] = np.einsum("nd,nd->n", difference, difference)
    return out


def plus_plus(x: Floats, n_clusters: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return the row numbers (C,) that k-means++ takes as centres; all differ.

    Parameters
    ----------
    x : ndarray (N, D)
    n_clusters : int
        C, at most N.
    rng : numpy.random.Generator
    """
    chosen = [int(rng.integers(len(x)))]
    nearest = _squared_distances(x, x[chosen])[:, 0]
    while len(chosen) < n_clusters:
        weights = nearest.copy()
        if not weights.any():
            # Fewer different rows than centres: equal rows must share.
            weights[:] = 1.0
            weights[chosen] = 0.0
        cumulated = np.cumsum(weights)
        row = int(np.searchsorted(cumulated, rng.random() * cumulated[-1], side="right"))
        chosen.append(min(row, len(x) - 1))
        nearest = np.minimum(nearest, _squared_distances(x, x[chosen[-1:]])[:, 0])
    return np.array(chosen)


def cluster(x: Floats, n_clusters: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return the cluster (N,) of every row of x; no cluster is empty.

    Parameters
    ----------
    x : ndarray (N, D)
    n_clusters : int
    rng : numpy.random.Generator
    """
    spread = x.std(axis=0)
    scaled = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    centres = scaled[plus_plus(scaled, n_clusters, rng)]
    labels = np.full(len(x), -1)
    for _ in range(LLOYD_ITERATIONS):
        distances = _squared_distances(scaled, centres)
        nearest = distances.argmin(axis=1)
        _fill_empty(nearest, distances, n_clusters)
        if np.array_equal(nearest, labels):
            break
        labels = nearest
        centres = np.array([scaled[labels == c].mean(axis=0) for c in range(n_clusters)])
    return labels


def _fill_empty(labels: NDArray[np.intp], distances: Floats, n_clusters: int) -> None:
    """Give each empty cluster the datum that is farthest from its centre, in a cluster that has others."""
    counts = np.bincount(labels, minlength=n_clusters)
    own = distances[np.arange(len(labels)), labels]
    for c in np.flatnonzero(counts == 0):
        spare = np.where(counts[labels] > 1, own, -1.0)
        row = int(spare.argmax())
        counts[labels[row]] -= 1
        labels[row], counts[c], own[row] = c, 1, 0.0


def mixture_start(model: GaussianMixture, x: Floats, rng: np.random.Generator, floor: float) -> Floats:
    """Return a theta (P,): weights and means of the clusters, one pooled within-cluster covariance.

    Parameters
    ----------
    model : GaussianMixture
    x : ndarray (N, D)
    rng : numpy.random.Generator
    floor : float
        Least eigenvalue of the covariance.
    """
    labels = cluster(x, model.n_components, rng)
    counts = np.bincount(labels, minlength=model.n_components)
    means = np.array([x[labels == c].mean(axis=0) for c in range(model.n_components)])
    scatter = SCATTERS[model.variant]
    pooled = scatter.second_moment(np.full(len(x), 1.0 / len(x)), x - means[labels])
    pooled = scatter.clip(np.array([pooled] * model.n_components), floor)
    parts = {"logits": np.log(counts / len(x)), "mean": means, **model.covariance.stored(pooled)}
    return model.layout.pack(parts)
