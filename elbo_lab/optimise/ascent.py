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
        What is -inf in it, the log of a probability of zero, stays so: no slope leads away from it.
    max_iterations : int
    tolerance : float
        Stop when the value rises by less than this fraction of itself.

    Returns
    -------
    ndarray (P,)
    """
    from scipy.optimize import minimize  # heavy: loaded on use

    worst, free = 0.0, start > -np.inf

    def completed(part: Floats) -> Floats:
        vector = start.copy()
        vector[free] = part
        return vector

    def negative(part: Floats) -> tuple[float, Floats]:
        nonlocal worst
        vector = completed(part)
        try:
            with np.errstate(all="ignore"):
                value, gradient = objective(vector)
        except np.linalg.LinAlgError:
            value, gradient = np.nan, np.zeros_like(vector)
        if not (np.isfinite(value) and np.all(np.isfinite(gradient))):
            # A step that overflows is a rejected step, not an error. The line search interpolates between
            # values, so it comes back only from a high value that is not itself near overflow.
            return worst + 1e3 * (1.0 + abs(worst)), np.zeros_like(part)
        worst = max(worst, -value)
        return -value, -gradient[free]

    options = {"maxiter": max_iterations, "maxfun": 2 * max_iterations, "ftol": tolerance}
    options |= {"gtol": 1e-8, "maxcor": 20}
    return completed(minimize(negative, start[free], jac=True, method="L-BFGS-B", options=options).x)
