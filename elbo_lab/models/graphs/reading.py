"""Arrays of numbers in a description: shape and kind checked, with one line that says where."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.errors import bad_kind, bad_value, short


def numbers(described: Mapping[str, Any], key: str, shape: tuple[int, ...], where: str) -> Floats:
    """Return the array of a given shape under a key, or raise; `where` names the variable."""
    if 0 in shape and key not in described:  # weights of no inputs
        return np.zeros(shape)
    if key not in described:
        raise bad_value(where, f"{key!r} among its parameters", f"only {', '.join(described) or 'none'}")
    argument, expected = f"{where} {key}", f"numbers of shape {list(shape)}"
    try:
        array = np.asarray(described[key], dtype=np.float64)
    except TypeError:
        raise bad_kind(argument, expected, short(described[key])) from None
    except ValueError:
        raise bad_value(argument, expected, short(described[key])) from None
    if array.shape != shape:
        raise bad_value(argument, expected, f"shape {list(array.shape)}")
    if not np.isfinite(array).all():
        raise bad_value(argument, "finite numbers", f"{array[~np.isfinite(array)][0]}")
    return array


def log_of(sigma: Floats, where: str) -> Floats:
    """Return log sigma, or refuse a standard deviation that is not above zero."""
    if sigma.min(initial=np.inf) <= 0.0:
        raise bad_value(f"{where} sigma", "standard deviations above 0", f"{sigma.min():g}")
    return np.log(sigma)
