"""How well a code separates classes: accuracy of its nearest neighbours.

The model never sees the labels. A held-out row gets the most frequent class among the k training rows whose
codes are closest; scores on the first principal components, which need no training, are the baseline.
"""

import numpy as np
from numpy.typing import NDArray

from elbo_lab.arrays import Floats
from elbo_lab.errors import bad_value, check_count


def neighbour_accuracy(
    codes: Floats,
    held_out: Floats,
    labels: NDArray[np.integer],
    held_out_labels: NDArray[np.integer],
    k: int = 5,
) -> float:
    """Return the share of held-out rows whose class the k nearest training codes predict.

    Parameters
    ----------
    codes : ndarray (N, K)
    held_out : ndarray (M, K)
    labels : ndarray (N,)
        Whole numbers from 0.
    held_out_labels : ndarray (M,)
    k : int
        Neighbours that vote; a tie goes to the lowest class.

    Returns
    -------
    float
    """
    from scipy.spatial import cKDTree  # heavy: loaded on use

    check_count("k", k)
    if k > len(codes):
        raise bad_value("k", f"at most the {len(codes)} training rows", k)
    near = cKDTree(codes).query(held_out, k=k)[1].reshape(len(held_out), k)
    votes = labels[near]
    counts = (votes[:, :, None] == np.arange(labels.max() + 1)).sum(axis=1)
    return float((counts.argmax(axis=1) == held_out_labels).mean())


def principal_scores(x: Floats, held_out: Floats, n_components: int) -> tuple[Floats, Floats]:
    """Return the scores (N, K) and (M, K) on the first principal directions of x.

    Parameters
    ----------
    x : ndarray (N, D)
    held_out : ndarray (M, D)
    n_components : int
    """
    mean = x.mean(axis=0)
    directions = np.linalg.svd(x - mean, full_matrices=False)[2][:n_components]
    return (x - mean) @ directions.T, (held_out - mean) @ directions.T
