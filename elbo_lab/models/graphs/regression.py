"""Weighted least squares for a linear-Gaussian conditional, also where inputs or values are uncertain.

With means and covariances under the weights r_i (which sum to R),

    W = C_xu C_uu^-1,   b = mean x - W mean u,   s^2 = diag(C_xx - W C_ux)

where each C is the weighted covariance of the rows plus the mean of their own covariances, E[u u^T] being
what EM asks for when some of the inputs are hidden (Bishop 2006, eqs. 3.15, 3.21, 12.56 and 12.57). A
direction in which the inputs do not vary gets the weight zero (the solution of least norm).
"""

import numpy as np

from elbo_lab.arrays import Floats


def regression(
    inputs: Floats, x: Floats, weights: Floats, covariance: Floats | None
) -> tuple[Floats, Floats, Floats]:
    """Return W (n, I), b (n,) and the residual variances (n,).

    Parameters
    ----------
    inputs : ndarray (R, I)
    x : ndarray (R, n)
    weights : ndarray (R,)
        Not negative, with a sum above zero.
    covariance : ndarray (R, I + n, I + n) or None
        Of (inputs, x) within each row.
    """
    shares = weights / weights.sum()
    rows = np.concatenate([inputs, x], axis=-1)
    mean = shares @ rows
    centred = rows - mean
    total = (shares[:, None] * centred).T @ centred
    if covariance is not None:
        total = total + np.einsum("r,rij->ij", shares, covariance)
    n_in = inputs.shape[-1]
    uu, ux = total[:n_in, :n_in], total[:n_in, n_in:]
    W = np.linalg.lstsq(uu, ux, rcond=None)[0].T if n_in else np.zeros((x.shape[-1], 0))
    b = mean[n_in:] - W @ mean[:n_in]
    # As a quadratic form the residual variance cannot become negative.
    both = np.concatenate([-W, np.eye(len(b))], axis=1)
    return W, b, np.einsum("ni,ij,nj->n", both, total, both)
