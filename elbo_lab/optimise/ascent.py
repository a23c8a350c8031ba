"""L-BFGS ascent of a function on one flat vector (SciPy's implementation)."""

from collections.abc import Callable

import numpy as np

from elbo_lab.arrays import Floats

# Vector (P,) -> (value, gradient (P,)).
Objective = Callable[[Floats], tuple[float, Floats]]


def ascend(objective: Objective, start: Floats, max_iterations: int, tolerance: float = 1e-10) -> Floats:
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

    worst = 0.0

    def negative(vector: Floats) -> tuple[float, Floats]:
        nonlocal worst
        try:
            with np.errstate(all="ignore"):
                value, gradient = objective(vector)
        except np.linalg.LinAlgError:
            value, gradient = np.nan, np.zeros_like(vector)
        if not (np.isfinite(value) and np.all(np.isfinite(gradient))):
            # A step that overflows is a rejected step, not an error. The line search interpolates between
            # values, so it comes back only from a high value that is not itself near overflow.
            return worst + 1e3 * (1.0 + abs(worst)), np.zeros_like(vector)
        worst = max(worst, -value)
        return -value, -gradient

    options = {"maxiter": max_iterations, "maxfun": 2 * max_iterations, "ftol": tolerance}
    options |= {"gtol": 1e-8, "maxcor": 20}
    return minimize(negative, start, jac=True, method="L-BFGS-B", options=options).x
