"""Handwritten digits: 1797 images of 8 x 8 pixels with grey values 0 to 16, and five views of them.

The views are those of `grey_images`: `raw`, `dequantised` (three pixels are 0 in every image), `binary`
(1 where grey >= 8), `dynamic` (P(1) = grey / 16) and `unit` (dequantised, divided by 17).

Source: E. Alpaydin and C. Kaynak (1998), UCI Machine Learning Repository, DOI 10.24432/C50P49.
"""

import numpy as np

from elbo_lab.datasets.comma_separated import read_comma_separated
from elbo_lab.datasets.dataset import FILES, BuiltIn, Dataset
from elbo_lab.datasets.grey_images import VIEWS, image_set

SOURCE = (
    "E. Alpaydin and C. Kaynak (1998), Optical Recognition of Handwritten Digits, "
    "UCI Machine Learning Repository, DOI 10.24432/C50P49"
)
LICENCE = "CC BY 4.0"
GREYEST = 16
NOISE_KEY = (1797, 64)


def read_digits(view: str, seed: int, _data_dir: object = None) -> Dataset:
    """Return one view of the digits.

    Parameters
    ----------
    view : str
        One of `grey_images.VIEWS`.
    seed : int
        Seed of the uniforms of `dequantised` and `dynamic`; the other two views ignore it.

    Returns
    -------
    Dataset
        x (1797, 64), row by row of each image, and labels (1797,) in 0..9.
    """
    table, _ = read_comma_separated(FILES / "digits.csv.gz")
    images, labels = table[:, :-1].astype(np.uint8).reshape(-1, 8, 8), table[:, -1].astype(np.int64)
    return image_set("digits", images, labels, GREYEST, view, seed, NOISE_KEY, SOURCE, LICENCE)


DIGITS = BuiltIn(
    "digits",
    "UCI handwritten digits: 1797 images x 64 pixels, grey values 0 to 16, with labels",
    tuple(VIEWS),
    read_digits,
    title="handwritten digits",
    synonyms=("optdigits",),
)
