"""Discrete z: every moment is a sum over its values."""

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.bounds import log_weight
from elbo_lab.distributions import Family
from elbo_lab.exact.enumeration import all_values
from elbo_lab.models import Model
from elbo_lab.theory.score import DrawMoments, ScoreMoments


def draw_moments(model: Model, theta: Floats, x: Floats, family: Family, eta: Floats) -> DrawMoments:
    """Return the DrawMoments of q."""
    z = all_values(family, len(x))
    q = np.exp(family.log_prob(eta, z))[..., None]
    f = np.where(q > 0.0, log_weight(model, theta, x, family, eta, z)[..., None], 0.0)
    s, shift = family.score(eta, z), (q * f).sum(axis=0)
    d = f - shift
    parts = (d, d**2, d * s, d * s**2, d**2 * s**2, s**2)
    moments = ScoreMoments.from_shifted(shift, *((q * part).sum(axis=0) for part in parts))
    return DrawMoments(moments, {})
