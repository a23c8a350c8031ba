"""Gradients in phi through discrete latents: sums, relaxations, control variates, antithetic pairs.

enumeration    the exact sum over every value
relaxed        the path or the slope of something continuous near z: biased, quiet
rebar, relax   a relaxation as control variate of the score function: unbiased
arm            antithetic pairs of noise
"""

from elbo_lab.estimators.discrete import arm, enumeration, rebar, relax, relaxed
from elbo_lab.estimators.discrete.arm import *
from elbo_lab.estimators.discrete.enumeration import *
from elbo_lab.estimators.discrete.rebar import *
from elbo_lab.estimators.discrete.relax import *
from elbo_lab.estimators.discrete.relaxed import *

__all__ = [
    *arm.__all__,
    *enumeration.__all__,
    *rebar.__all__,
    *relax.__all__,
    *relaxed.__all__,
]
