"""What all likelihoods of bits share: the refusal of grey values, and logits fitted without latents."""

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.errors import bad_value


def refuse_grey(x: Floats, argument: str, name: str, other: str = "deep-gaussian") -> Floats:
    """Return x (N, D) if it is all zeros and ones, or raise ValueError with the first other entry.

    `name` is the model that takes bits, `other` one for real numbers.
    """
    grey = np.argwhere((x != 0.0) & (x != 1.0))
    if len(grey):
        n, d = grey[0]
        got = f"{x[n, d]:g} at row {n}, column {d}"
        remedy = f"binarise it (for digits: digits:binary; rows count from 0), or fit {other} to real numbers"
        raise bad_value(argument, f"zeros and ones for {name}", got, remedy)
    return x


def column_logits(x: Floats) -> Floats:
    """Return the logits (D,) of the column means of x (N, D), half a count added to each side."""
    ones = x.sum(axis=0)
    return np.log((ones + 0.5) / (len(x) - ones + 0.5))
