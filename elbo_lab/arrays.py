"""What arrays hold, for annotations; their shapes stand in the docstrings, in brackets."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
"""Float arrays: parameters, log-densities, gradients, noise."""

Integers = NDArray[np.integer]
"""Integer arrays: counts, numbers of categories."""

Draws = NDArray[np.floating | np.integer]
"""Draws of z: floats, or whole numbers where z is a category."""

Numbers = Draws
"""Either."""
