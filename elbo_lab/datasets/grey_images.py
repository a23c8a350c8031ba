"""Grey images in four views, and the memory they take.

A likelihood decides which numbers it can have, so that one set of images is seen in several ways:

- `raw`: the grey values. Fine for a linear Gaussian model with one noise scale.
- `dequantised`: grey + u, u ~ U(0, 1). Some pixels are 0 in every image, and a Gaussian with a free
  variance per column would put infinite density there; uniform noise gives every column a spread, and
  the average log-density of the noisy data is a lower bound of the log-probability of the grey values
  (L. Theis, A. van den Oord, M. Bethge 2016, A note on the evaluation of generative models, section
  3.1).
- `binary`: 1 where a pixel is at least half grey, else 0; for a Bernoulli likelihood, the same for
  every seed.
- `dynamic`: a Bernoulli draw with probability grey / greyest, another one for every seed; it keeps the
  grey values in the mean, where a threshold loses them. The probabilities come along, so that a trainer
  can draw anew at every step (as Y. Burda, R. Grosse, R. Salakhutdinov 2016, Importance weighted
  autoencoders, do for MNIST).

Each view fills one float64 array (N, D) in place: 60,000 images of 28 x 28 pixels take 376 MB once,
and the grey values beside them, as bytes, 47 MB.
"""

import numpy as np


def raw(grey, _greyest, _rng):
    """Return the grey values (N, D) as they are."""
    return grey.astype(np.float64), None


def dequantised(grey, _greyest, rng):
    """Return grey + u, with u ~ U(0, 1) of the same shape (N, D)."""
    x = rng.random(grey.shape)
    x += grey
    return x, None


def binary(grey, greyest, _rng):
    """Return 1 where a pixel is at least half of `greyest`, else 0 (N, D)."""
    return (grey >= greyest / 2).astype(np.float64), None


def dynamic(grey, greyest, rng):
    """Return a Bernoulli draw (N, D) by inversion of u ~ U(0, 1), and its P(1) = grey / greyest."""
    probabilities = grey / np.float32(greyest)
    x = rng.random(grey.shape)
    # Exact in float64 against the float32 chances that are handed out: they are what x was drawn from.
    np.less(x, probabilities, out=x)
    return x, probabilities


VIEWS = {view.__name__: view for view in (raw, dequantised, binary, dynamic)}


def see(grey, greyest, view, seed, key):
    """Return one view of grey images.

    Parameters
    ----------
    grey : ndarray of uint8, shape (N, D)
    greyest : int
        The grey value that stands for probability 1.
    view : str
        One of `VIEWS`.
    seed : int
        Seed of the uniforms of `dequantised` and `dynamic`; the other two views ignore it.
    key : tuple of int
        Names the set. A child stream of its own: the same seed in another set, in `rows` or in a
        study must not meet these uniforms.

    Returns
    -------
    x : ndarray of float64, shape (N, D)
    probabilities : ndarray of float32, shape (N, D), or None
        The chances from which a `dynamic` x was drawn.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
    return VIEWS[view](grey, greyest, rng)


def pixel_names(image_shape):
    """Return the names of the columns, row by row of the image."""
    rows, columns = image_shape
    return tuple(f"pixel_{row}_{column}" for row in range(rows) for column in range(columns))
