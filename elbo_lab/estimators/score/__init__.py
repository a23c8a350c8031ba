"""The score-function gradient in phi, and what makes it less noisy.

baselines           what is subtracted from log w: nothing, past values, the other draws
learned             a baseline that a small network learns from the datum
control_variates    multiples of what has a known mean: the score, log w linearised
sets                few values of a discrete z: the most probable exactly, or none twice
oracle              the best constant baseline, computed exactly: a reference
"""

from elbo_lab.estimators.score import baselines, control_variates, learned, oracle, sets
from elbo_lab.estimators.score.baselines import *
from elbo_lab.estimators.score.control_variates import *
from elbo_lab.estimators.score.learned import *
from elbo_lab.estimators.score.oracle import *
from elbo_lab.estimators.score.sets import *

__all__ = [
    *baselines.__all__,
    *control_variates.__all__,
    *learned.__all__,
    *oracle.__all__,
    *sets.__all__,
]
