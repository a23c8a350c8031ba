"""The score-function gradient in phi, and what makes it less noisy."""

from elbo_lab.estimators.score.score_function import ScoreFunction
from elbo_lab.estimators.score.score_function_control_variate import ScoreFunctionControlVariate
from elbo_lab.estimators.score.score_function_delta import ScoreFunctionDelta
from elbo_lab.estimators.score.score_function_delta_unit import ScoreFunctionDeltaUnit
from elbo_lab.estimators.score.score_function_learned_baseline import ScoreFunctionLearnedBaseline
from elbo_lab.estimators.score.score_function_loo import ScoreFunctionLOO
from elbo_lab.estimators.score.score_function_optimal_baseline import ScoreFunctionOptimalBaseline
from elbo_lab.estimators.score.score_function_oracle_baseline import ScoreFunctionOracleBaseline
from elbo_lab.estimators.score.score_function_running_mean import ScoreFunctionRunningMean
from elbo_lab.estimators.score.score_function_top_categories import ScoreFunctionTopCategories
from elbo_lab.estimators.score.score_function_unordered_set import ScoreFunctionUnorderedSet

ALL = (
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
)

__all__ = [
    "ScoreFunction",
    "ScoreFunctionControlVariate",
    "ScoreFunctionDelta",
    "ScoreFunctionDeltaUnit",
    "ScoreFunctionLOO",
    "ScoreFunctionLearnedBaseline",
    "ScoreFunctionOptimalBaseline",
    "ScoreFunctionOracleBaseline",
    "ScoreFunctionRunningMean",
    "ScoreFunctionTopCategories",
    "ScoreFunctionUnorderedSet",
]
