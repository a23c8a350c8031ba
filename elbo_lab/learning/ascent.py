"""L-BFGS ascent of a function on one flat vector (SciPy's implementation)."""

import numpy as np


def ascend(objective, start, max_iterations, tolerance=1e-10):
    """Return the vector at which L-BFGS stopped.

    Parameters
    ----------
    objective : callable
        vector (P,) -> (value, gradient (P,)); deterministic.
    start : ndarray (P,)
    max_iterations : int
    tolerance : float
        Stop when the value rises by less than this fraction of itself.

    Returns
    -------
    ndarray (P,)
    """
    from scipy.optimize import minimize  # heavy: loaded on use

    def negative(vector):
        # A step that overflows is a rejected step, not an error: the line search comes back.
        with np.errstate(all="ignore"):
            value, gradient = objective(vector)
        if not (np.isfinite(value) and np.all(np.isfinite(gradient))):
            return np.finfo(float).max, np.zeros_like(vector)
        return -value, -gradient

    options = {"maxiter": max_iterations, "maxfun": 2 * max_iterations, "ftol": tolerance}
    options |= {"gtol": 1e-8, "maxcor": 20}
    return minimize(negative, start, jac=True, method="L-BFGS-B", options=options).x
