"""Checkers that the laws share; `test_checks.py` shows that each catches a planted fault."""

import numpy as np


def central_difference(function, point, direction, step=1e-5):
    """Return the directional derivative of `function` (vector -> array) at `point`."""
    return (function(point + step * direction) - function(point - step * direction)) / (2 * step)


def check_vjp(function, vjp, point, rng, n_directions=5, tolerance=1e-6):
    """Hold a vector-Jacobian product against central differences with random cotangents.

    Parameters
    ----------
    function : callable
        vector (P,) -> array of any shape.
    vjp : callable
        (vector, cotangent of that shape) -> gradient (P,).
    point : ndarray (P,)
    rng : numpy.random.Generator
    n_directions : int
        Independent cotangents and directions; a wrong coordinate escapes with probability zero.
    tolerance : float
        Relative to 1 + |derivative|; central differences err by about step^2 = 1e-10.
    """
    shape = np.shape(function(point))
    for _ in range(n_directions):
        cotangent, direction = rng.standard_normal(shape), rng.standard_normal(point.shape)
        expected = (cotangent * central_difference(function, point, direction)).sum()
        found = vjp(point, cotangent) @ direction
        assert abs(found - expected) <= tolerance * (1 + abs(expected)), (found, expected)
