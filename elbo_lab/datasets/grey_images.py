"""Grey images in five views, and the memory they take.

A likelihood decides which numbers it can have, so that one set of images is seen in several ways:

- `raw`: the grey values. Fine for a linear Gaussian model with one noise scale.
- `dequantised`: grey + u, u ~ U(0, 1). Some pixels are 0 in every image, and a Gaussian with a free
  variance per column would put infinite density there; uniform noise gives every column a spread, and
  the average log-density of the noisy data is a lower bound of the log-probability of the grey values
  (L. Theis, A. van den Oord, M. Bethge 2016, A note on the evaluation of generative models, section
  3.1).
- `unit`: (grey + u) / (greyest + 1), the same numbers on (0, 1), for a density on the unit interval.
- `binary`: 1 where a pixel is at least half grey, else 0; for a Bernoulli likelihood, the same for
  every seed.
- `dynamic`: a Bernoulli draw with probability grey / greyest, another one for every seed; it keeps the
  grey values in the mean, where a threshold loses them. The probabilities come along, so that a trainer
  can draw anew at every step (as Y. Burda, R. Grosse, R. Salakhutdinov 2016, Importance weighted
  autoencoders, do for MNIST).

Each view fills one float64 array (N, D) in place: 60,000 images of 28 x 28 pixels take 376 MB once,
and the grey values beside them, as bytes, 47 MB.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from elbo_lab.datasets.dataset import Dataset

Bytes = NDArray[np.uint8]
Seen = tuple[NDArray[np.float64], NDArray[np.float32] | None]
"""x (N, D), and the chances (N, D) from which a `dynamic` x was drawn."""
View = Callable[[Bytes, int, np.random.Generator], Seen]


def raw(grey: Bytes, _greyest: int, _rng: np.random.Generator) -> Seen:
    """Return the grey values (N, D) as they are."""
    return grey.astype(np.float64), None


def dequantised(grey: Bytes, _greyest: int, rng: np.random.Generator) -> Seen:
    """Return grey + u, with u ~ U(0, 1) of the same shape (N, D)."""
    x = rng.random(grey.shape)
    x += grey
    return x, None


def unit(grey: Bytes, greyest: int, rng: np.random.Generator) -> Seen:
    """Return (grey + u) / (greyest + 1) in (0, 1), with u ~ U(0, 1) of the same shape (N, D)."""
    x, _ = dequantised(grey, greyest, rng)
    x /= greyest + 1
    return x, None


def binary(grey: Bytes, greyest: int, _rng: np.random.Generator) -> Seen:
    """Return 1 where a pixel is at least half of `greyest`, else 0 (N, D)."""
    return (grey >= greyest / 2).astype(np.float64), None


def dynamic(grey: Bytes, greyest: int, rng: np.random.Generator) -> Seen:
    """Return a Bernoulli draw (N, D) by inversion of u ~ U(0, 1), and its P(1) = grey / greyest."""
    probabilities = np.divide(grey, greyest, dtype=np.float32)
    x = rng.random(grey.shape)
    # Exact in float64 against the float32 chances that are returned: x was drawn from them.
    np.less(x, probabilities, out=x)
    return x, probabilities


VIEWS: dict[str, View] = {view.__name__: view for view in (raw, dequantised, binary, dynamic, unit)}


def image_set(
    name: str,
    images: Bytes,
    labels: NDArray[np.int64],
    greyest: int,
    view: str,
    seed: int,
    key: tuple[int, ...],
    source: str,
    licence: str,
) -> Dataset:
    """Return one view of a set of grey images.

    Parameters
    ----------
    name : str
        Name of the set, without its view.
    images : ndarray of uint8, shape (N, height, width)
    labels : ndarray of int, shape (N,)
    greyest : int
        The grey value of probability 1.
    view : str
        One of `VIEWS`.
    seed : int
        Seed of the uniforms of `dequantised` and `dynamic`; the other two views ignore it.
    key : tuple of int
        Identifies the noise of the set. A child stream of its own: the same seed in another set, in `rows` or
        in a study must not meet these uniforms.
    source, licence : str
        As for `Dataset`.

    Returns
    -------
    Dataset
        x (N, D), row by row of each image, with D = height * width; where the view is `dynamic`, with the
        chances from which x was drawn.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
    n, height, width = images.shape
    x, probabilities = VIEWS[view](images.reshape(n, -1), greyest, rng)
    columns = tuple(f"pixel_{row}_{column}" for row in range(height) for column in range(width))
    return Dataset(
        f"{name}:{view}", x, columns, labels, source, licence, probabilities, image_shape=(height, width)
    )
