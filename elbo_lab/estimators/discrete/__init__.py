"""Gradients in phi through discrete latents: sums, relaxations, control variates, antithetic pairs."""

from elbo_lab.estimators.discrete.arm import ARM
from elbo_lab.estimators.discrete.concrete import Concrete
from elbo_lab.estimators.discrete.disarm import DisARM
from elbo_lab.estimators.discrete.enumeration import Enumeration
from elbo_lab.estimators.discrete.rebar import Rebar
from elbo_lab.estimators.discrete.relax import Relax
from elbo_lab.estimators.discrete.straight_through import StraightThrough
from elbo_lab.estimators.discrete.straight_through_gumbel import StraightThroughGumbel

ALL = (
    Enumeration(),
    Concrete(),
    StraightThrough(),
    StraightThroughGumbel(),
    Rebar(),
    Relax(),
    ARM(),
    DisARM(),
)

__all__ = [
    "ARM",
    "Concrete",
    "DisARM",
    "Enumeration",
    "Rebar",
    "Relax",
    "StraightThrough",
    "StraightThroughGumbel",
]
