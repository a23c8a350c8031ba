"""Gamma and related functions and their inverses, from SciPy, loaded at the first call.

`scipy.special` takes longer to load than all of this package, and from SciPy 1.18 on it loads `scipy.linalg`
as well; most studies need neither. SciPy loads a submodule at the first access, so every function here
accesses it only when called.
"""

import numpy as np
import scipy
from numpy.typing import ArrayLike


def psi(x: ArrayLike) -> np.ndarray:
    """Return the digamma function dlog Gamma / dx."""
    return scipy.special.psi(x)


def polygamma(n: int, x: ArrayLike) -> np.ndarray:
    """Return the n-th derivative of the digamma function."""
    return scipy.special.polygamma(n, x)


def gammaln(x: ArrayLike) -> np.ndarray:
    """Return log |Gamma(x)|."""
    return scipy.special.gammaln(x)


def gammaincinv(a: ArrayLike, p: ArrayLike) -> np.ndarray:
    """Return the x whose lower tail under a Gamma distribution of shape a is p."""
    return scipy.special.gammaincinv(a, p)


def gammainccinv(a: ArrayLike, p: ArrayLike) -> np.ndarray:
    """Return the x whose upper tail under a Gamma distribution of shape a is p."""
    return scipy.special.gammainccinv(a, p)


def betaln(a: ArrayLike, b: ArrayLike) -> np.ndarray:
    """Return log B(a, b)."""
    return scipy.special.betaln(a, b)


def betaincinv(a: ArrayLike, b: ArrayLike, p: ArrayLike) -> np.ndarray:
    """Return the x whose lower tail under a Beta distribution is p."""
    return scipy.special.betaincinv(a, b, p)


def betainccinv(a: ArrayLike, b: ArrayLike, p: ArrayLike) -> np.ndarray:
    """Return the x whose upper tail under a Beta distribution is p."""
    return scipy.special.betainccinv(a, b, p)


def ndtri(p: ArrayLike) -> np.ndarray:
    """Return the x whose lower tail under the standard normal distribution is p."""
    return scipy.special.ndtri(p)


def ndtr(x: ArrayLike) -> np.ndarray:
    """Return the lower tail of the standard normal distribution at x."""
    return scipy.special.ndtr(x)
