"""Shapes: every image that four factors can make, so that what a code knows about each can be computed.

    shape    square, frame, cross
    size     half-widths 1, 2, 3 pixels
    row      six places of the middle, 3 to 8
    column   the same

3 x 3 x 6 x 6 = 324 binary images of 12 x 12 pixels, one row for each combination: the factors are independent
and uniform, and expectations over them are sums. (In the manner of dSprites, Matthey et al. 2017, and small
enough for an exact answer.)
"""

from itertools import product

import numpy as np

from elbo_lab.datasets.dataset import BuiltIn, Dataset

SIDE = 12
KINDS = ("square", "frame", "cross")
SIZES = (1, 2, 3)
PLACES = (3, 4, 5, 6, 7, 8)
SOURCE = "drawn by this package"
LICENCE = "made by a formula; no rights reserved"


def picture(shape: int, size: int, row: int, column: int) -> np.ndarray:
    """Return the image (12, 12) of the numbers of four factors: 1 inside the shape."""
    down, across = np.abs(np.arange(SIDE) - PLACES[row])[:, None], np.abs(np.arange(SIDE) - PLACES[column])
    half, outermost = SIZES[size], np.maximum(down, across)
    if KINDS[shape] == "square":
        inside = outermost <= half
    elif KINDS[shape] == "frame":
        inside = outermost == half
    else:
        inside = (np.minimum(down, across) == 0) & (outermost <= half)
    return inside.astype(np.float64)


def read_shapes(_view: str | None, _seed: int, _data_dir: object = None) -> Dataset:
    """Return all images, x (324, 144), with labels (324,) of the shape and the four factors."""
    counts = {"shape": len(KINDS), "size": len(SIZES), "row": len(PLACES), "column": len(PLACES)}
    numbers = np.array(list(product(*map(range, counts.values()))))
    x = np.array([picture(*four).ravel() for four in numbers])
    factors = dict(zip(counts, numbers.T.copy(), strict=True))
    return Dataset(
        "shapes",
        x,
        labels=factors["shape"],
        source=SOURCE,
        licence=LICENCE,
        image_shape=(SIDE, SIDE),
        factors=factors,
    )


SHAPES = BuiltIn(
    "shapes",
    "every combination of shape, size, row and column: 324 binary images x 144 pixels, with their factors",
    (),
    read_shapes,
    title="shapes of four factors",
)
