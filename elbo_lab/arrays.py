"""What arrays hold, for annotations; their shapes stand in the docstrings, in brackets."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
"""Float arrays: parameters, log-densities, gradients, noise."""

Integers = NDArray[np.integer]
"""Integer arrays: counts, numbers of categories."""

Numbers = NDArray[np.number]
"""Either: z is float where it is continuous and integer where it is a category."""
