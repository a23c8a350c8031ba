"""Estimators of the evidence, of bounds and of their gradients: one named object each.

Every family of them has a room of its own, whose `__init__` names its classes and lists its objects in a
tuple; `ESTIMATORS` is all of them, the exact answers last.
"""

from elbo_lab.estimators import (
    discrete,
    elbo,
    evidence,
    measure,
    multi_sample,
    pathwise,
    score,
    several_draws,
)
from elbo_lab.estimators.base import NO_STATE, Estimator
from elbo_lab.estimators.discrete import *  # noqa: F403
from elbo_lab.estimators.elbo import *  # noqa: F403 - every room says in __all__ what it hands on
from elbo_lab.estimators.evidence import *  # noqa: F403
from elbo_lab.estimators.exact import Answer, Exact
from elbo_lab.estimators.measure import *  # noqa: F403
from elbo_lab.estimators.multi_sample import *  # noqa: F403
from elbo_lab.estimators.pathwise import *  # noqa: F403
from elbo_lab.estimators.problem import Problem
from elbo_lab.estimators.score import *  # noqa: F403
from elbo_lab.estimators.several_draws import *  # noqa: F403
from elbo_lab.estimators.targets import COUPLED, TARGETS

ROOMS = (evidence, elbo, several_draws, score, pathwise, measure, discrete, multi_sample)
_EXACT = tuple(Exact(target) for target in TARGETS)

ESTIMATORS = (*(estimator for room in ROOMS for estimator in room.ALL), *_EXACT)

__all__ = ["COUPLED", "ESTIMATORS", "NO_STATE", "TARGETS", "Answer", "Estimator", "Exact", "Problem"]
__all__ += [name for room in ROOMS for name in room.__all__]
