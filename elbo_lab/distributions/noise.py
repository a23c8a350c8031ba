"""Base noise: the only random step of the package.

Everything else is a deterministic function of the noise. Two estimators with the same `NoiseSpec` can
therefore be compared on common random numbers, a gradient can be checked with the noise frozen, and a draw
can be reproduced.
"""

from dataclasses import dataclass

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.errors import BadValue, bad_value

FloatDType = type[np.float64] | type[np.float32] | np.dtype[np.float64] | np.dtype[np.float32]


@dataclass(frozen=True)
class NoiseSpec:
    """Kind ('normal' N(0, 1) or 'uniform' U(0, 1)) and shape of the noise of one estimate."""

    kind: str
    shape: tuple[int, ...]


def draw_noise(
    spec: NoiseSpec, rng: np.random.Generator, lead: tuple[int, ...] = (), dtype: FloatDType = np.float64
) -> Floats:
    """Return fresh noise.

    Parameters
    ----------
    spec : NoiseSpec
    rng : numpy.random.Generator
    lead : tuple of int, optional
        Leading axes, such as (R,) for R repeats at once.
    dtype : {float64, float32}
        A float32 draw differs from a float64 draw; it is not that draw rounded.

    Returns
    -------
    ndarray (*lead, *spec.shape)

    Raises
    ------
    ValueError
        If the kind is unknown.
    """
    shape = tuple(lead) + spec.shape
    if spec.kind == "normal":
        return rng.standard_normal(shape, dtype=dtype)
    if spec.kind == "uniform":
        return rng.random(shape, dtype=dtype)
    raise unknown_kind(spec.kind)


def unknown_kind(kind: str) -> BadValue:
    """Build the error for an unknown kind of noise."""
    return bad_value("kind", "'normal' or 'uniform'", repr(kind))
