"""Teach an encoder a table of eta by least squares."""

import numpy as np

from elbo_lab.optimise.ascent import ascend


def fit_encoder(posterior, x, eta, rng, max_iterations=500):
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

    def objective(phi):
        residual = eta - posterior.eta(phi, x)
        return -0.5 * np.mean(residual**2), posterior.eta_vjp(phi, x, residual / residual.size)

    return ascend(objective, posterior.network.initial(rng), max_iterations)
