"""Estimators of the evidence, of bounds and of their gradients: one named object each.

Estimators that differ by a line or two share a file, whose docstring states what they have in common.
`ESTIMATORS` below is the registry: tables, laws, the catalogue and the command line list its members in this
order, the exact answers last.
"""

from elbo_lab.estimators.base import LATENTS, NO_STATE, Estimator
from elbo_lab.estimators.discrete.arm import *
from elbo_lab.estimators.discrete.enumeration import *
from elbo_lab.estimators.discrete.rebar import *
from elbo_lab.estimators.discrete.rebar_learned import *
from elbo_lab.estimators.discrete.relax import *
from elbo_lab.estimators.discrete.relaxed import *
from elbo_lab.estimators.elbo import *
from elbo_lab.estimators.evidence import *
from elbo_lab.estimators.exact import Exact
from elbo_lab.estimators.iwae_gradients.of_bounds import *
from elbo_lab.estimators.iwae_gradients.of_bounds import BOUND_GRADIENTS
from elbo_lab.estimators.iwae_gradients.ovis import *
from elbo_lab.estimators.iwae_gradients.path import *
from elbo_lab.estimators.iwae_gradients.piwae import *
from elbo_lab.estimators.iwae_gradients.score import *
from elbo_lab.estimators.iwae_gradients.wake import *
from elbo_lab.estimators.iwae_values import *
from elbo_lab.estimators.measure_valued import *
from elbo_lab.estimators.pathwise import *
from elbo_lab.estimators.score.baselines import *
from elbo_lab.estimators.score.control_variates import *
from elbo_lab.estimators.score.learned import *
from elbo_lab.estimators.score.oracle import *
from elbo_lab.estimators.score.sets import *
from elbo_lab.estimators.stratified import *
from elbo_lab.estimators.targets import COUPLED, TARGETS
from elbo_lab.exact import Answer, Problem

ESTIMATORS: tuple[Estimator, ...] = (
    # log p(x), and its gradient in theta
    PriorMonteCarlo(),
    ImportanceSampling(),
    PriorMonteCarloScore(),
    PriorMonteCarloPathwise(),
    ImportanceWeighted(),
    # the ELBO, and its gradient in theta
    ElboReconstructionKL(),
    ElboJointEntropy(),
    ElboLogWeight(),
    ElboSampled(),
    ElboAnalyticKL(),
    # bounds of several draws
    ImportanceWeightedBound(),
    GroupedBound(),
    CombinedBound(),
    Jackknife(1),
    Jackknife(2),
    RenyiBound(),
    ChiSquareEstimate(),
    # the gradient of the ELBO in phi: by the score,
    ScoreFunction(),
    ScoreFunctionRunningMean(),
    ScoreFunctionLearnedBaseline(),
    ScoreFunctionLOO(),
    ScoreFunctionOptimalBaseline(),
    ScoreFunctionControlVariate(),
    ScoreFunctionDelta(),
    ScoreFunctionDeltaUnit(),
    ScoreFunctionTopCategories(),
    ScoreFunctionUnorderedSet(),
    ScoreFunctionOracleBaseline(),
    # by the path, by pairs of measures,
    Reparameterization(),
    ReparameterizationAnalyticKL(),
    StickingTheLanding(),
    StratifiedReparameterization(),
    MeasureValued(),
    MeasureValuedCoupled(),
    # and through discrete latents
    Enumeration(),
    Concrete(),
    StraightThrough(),
    StraightThroughGumbel(),
    Rebar(),
    RebarLearned(),
    Relax(),
    ARM(),
    DisARM(),
    # gradients of the importance-weighted bound, and of the other KL
    IwaeTheta(),
    PiwaeTheta(2),
    IwaeScoreFunction(),
    Vimco(),
    VimcoArithmetic(),
    OvisMonteCarlo(4),
    OvisTilde(0),
    OvisTilde(1),
    IwaeReparameterization(),
    PiwaePhi(2),
    StlIwae(),
    Dreg(),
    WakePhi(),
    WakePhiDreg(),
    # gradients of the bounds between the two
    *BOUND_GRADIENTS,
    # the exact answers
    *(Exact(target) for target in TARGETS),
)

__all__ = [
    "COUPLED",
    "ESTIMATORS",
    "LATENTS",
    "NO_STATE",
    "TARGETS",
    "Answer",
    "Estimator",
    "Exact",
    "Problem",
]
__all__ += sorted({type(estimator).__name__ for estimator in ESTIMATORS} - {"Exact"})
