"""Teach an encoder a table of eta by least squares."""

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.optimise.ascent import ascend
from elbo_lab.posteriors import AmortisedPosterior


def fit_encoder(
    posterior: AmortisedPosterior, x: Floats, eta: Floats, rng: np.random.Generator, max_iterations: int = 500
) -> Floats:
    """Return phi of an amortised posterior whose eta at x is closest to a given table.

    Parameters
    ----------
    posterior : AmortisedPosterior
    x : ndarray (N, D)
    eta : ndarray (N, E)
    rng : numpy.random.Generator
        For the initial weights.
    max_iterations : int

    Returns
    -------
    ndarray (P,)
    """

    def objective(phi: Floats) -> tuple[float, Floats]:
        residual = eta - posterior.eta(phi, x)
        return -0.5 * float(np.mean(residual**2)), posterior.eta_vjp(phi, x, residual / residual.size)

    start = np.zeros(posterior.layout.size)
    posterior.weights(start)[...] = posterior.network.initial(rng)
    return ascend(objective, start, max_iterations)
