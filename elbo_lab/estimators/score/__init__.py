"""The score-function gradient in phi, and what makes it less noisy."""

from elbo_lab.estimators.score.score_function import ScoreFunction
from elbo_lab.estimators.score.score_function_loo import ScoreFunctionLOO
from elbo_lab.estimators.score.score_function_optimal_baseline import ScoreFunctionOptimalBaseline

ALL = (
    ScoreFunction(),
    ScoreFunctionLOO(),
    ScoreFunctionOptimalBaseline(),
)

__all__ = [
    "ScoreFunction",
    "ScoreFunctionLOO",
    "ScoreFunctionOptimalBaseline",
]
