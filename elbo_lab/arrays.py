"""Types of arrays for annotations; docstrings give the shapes, in brackets."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
"""Float arrays: parameters, log-densities, gradients, noise."""

Integers = NDArray[np.integer]
"""Integer arrays: counts, numbers of categories."""

Draws = NDArray[np.floating | np.integer]
"""Floats, or whole numbers where the draws of z, or the columns of x, are categories."""
