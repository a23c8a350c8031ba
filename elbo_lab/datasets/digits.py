"""Handwritten digits: 1797 images of 8 x 8 pixels with grey values 0 to 16, and four views of them.

A likelihood decides which numbers it can have, so that one set of images is seen in several ways:

- `raw`: the grey values. Fine for a linear Gaussian model with one noise scale.
- `dequantised`: grey + u, u ~ U(0, 1). Three pixels are 0 in every image, and a Gaussian with a
  free variance per column would put infinite density there; uniform noise gives every column a
  spread, and the average log-density of the noisy data is a lower bound of the log-probability of
  the grey values (L. Theis, A. van den Oord, M. Bethge 2016, A note on the evaluation of
  generative models, section 3.1).
- `binary`: 1 where grey >= 8, else 0; for a Bernoulli likelihood, the same for every seed.
- `dynamic`: a Bernoulli draw with probability grey / 16, another one for every seed; it keeps the
  grey values in the mean, where a threshold loses them.

Source: E. Alpaydin and C. Kaynak (1998), UCI Machine Learning Repository, DOI 10.24432/C50P49.
"""

import numpy as np

from elbo_lab.datasets.comma_separated import read_comma_separated
from elbo_lab.datasets.dataset import FILES, BuiltIn, Dataset

SOURCE = (
    "E. Alpaydin and C. Kaynak (1998), Optical Recognition of Handwritten Digits, "
    "UCI Machine Learning Repository, DOI 10.24432/C50P49"
)
LICENCE = "CC BY 4.0"
SIDE = 8
GREYEST = 16
COLUMNS = tuple(f"pixel_{row}_{column}" for row in range(SIDE) for column in range(SIDE))

# A child stream of its own: the same seed in `rows` or in a study must not meet these uniforms.
NOISE_KEY = (1797, 64)


def raw(grey, _u):
    """Return the grey values (N, 64) as they are."""
    return grey


def dequantised(grey, u):
    """Return grey + u, with u ~ U(0, 1) of the same shape (N, 64)."""
    return grey + u


def binary(grey, _u):
    """Return 1 where a pixel is at least half grey, else 0 (N, 64)."""
    return (grey >= GREYEST / 2).astype(np.float64)


def dynamic(grey, u):
    """Return a Bernoulli draw (N, 64) with P(1) = grey / 16, by inversion of u ~ U(0, 1)."""
    return (u < grey / GREYEST).astype(np.float64)


VIEWS = {view.__name__: view for view in (raw, dequantised, binary, dynamic)}


def read_digits(view, seed):
    """Return one view of the digits.

    Parameters
    ----------
    view : str
        One of `VIEWS`.
    seed : int
        Seed of the uniforms of `dequantised` and `dynamic`; the other two views ignore it.

    Returns
    -------
    Dataset
        x (1797, 64), row by row of each image, and labels (1797,) in 0..9.
    """
    table, _ = read_comma_separated(FILES / "digits.csv.gz")
    grey, labels = table[:, :-1], table[:, -1].astype(np.int64)
    u = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=NOISE_KEY)).random(grey.shape)
    x = np.ascontiguousarray(VIEWS[view](grey, u))
    return Dataset(f"digits:{view}", x, COLUMNS, labels, SOURCE, LICENCE)


DIGITS = BuiltIn(
    "digits",
    "UCI handwritten digits: 1797 images x 64 pixels, grey values 0 to 16, with labels",
    tuple(VIEWS),
    read_digits,
)
