"""eta of many data, in bounded memory."""

import numpy as np
from numpy.typing import NDArray

from elbo_lab.arrays import Floats
from elbo_lab.posteriors import Posterior

ROWS_PER_PASS = 1000


def encoded(posterior: Posterior, phi: Floats, x: Floats) -> NDArray[np.float64]:
    """Return eta (N, E) of all data in float64, whatever the dtype of phi.

    Parameters
    ----------
    posterior : Posterior
        A table of eta has no activations that need memory, and takes all its data at once.
    phi : ndarray (P,)
    x : ndarray (N, D)
    """
    step = len(x) if posterior.needs_all_rows else ROWS_PER_PASS
    passes = [posterior.eta(phi, x[start : start + step]) for start in range(0, len(x), step)]
    return np.concatenate(passes).astype(np.float64, copy=False)
