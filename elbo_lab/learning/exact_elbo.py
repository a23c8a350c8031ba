"""The best q where the ELBO is exact although the posterior is not: L-BFGS without any noise.

For models of linear forms the ELBO of a Gaussian q and its gradient in eta are one-dimensional
integrals (`elbo_lab.exact.projected`), and a mean-field q over dozens of weights is fitted to rounding.
The start is the mode with the precision of each coordinate given the others, or, with a full
covariance, the inverse of the whole precision: the optimum itself if the posterior were Gaussian.
"""

import numpy as np

from elbo_lab.exact import expectation
from elbo_lab.exact.laplace import mode_and_precision
from elbo_lab.learning.ascent import ascend


def maximise_exact_elbo(model, theta, x, family=None, max_iterations=500):
    """Return the eta (N, E) of greatest ELBO in a family of Gaussians.

    Parameters
    ----------
    model : LinearPredictor
    theta : ndarray (P,)
    x : ndarray (N, D)
    family : DiagonalGaussian or FullGaussian, optional
        The model's own diagonal family if not given.
    max_iterations : int

    Returns
    -------
    ndarray (N, E)
    """
    family = model.family if family is None else family
    mode, precision = mode_and_precision(model, x)
    if family == model.family:
        start = family.join(mode, -0.5 * np.log(np.diagonal(precision, axis1=1, axis2=2)))
    else:
        start = family.from_factor(mode, np.linalg.cholesky(np.linalg.inv(precision)))

    def objective(vector):
        eta = vector.reshape(start.shape)
        found = expectation(model, theta, x, eta, family)
        value = found.value.mean() + family.entropy(eta).mean()
        return value, (found.grad_eta + family.entropy_grad(eta) / len(x)).ravel()

    return ascend(objective, start.ravel(), max_iterations, tolerance=1e-14).reshape(start.shape)
