"""Estimators of the evidence, the ELBO and their gradients: one named object each."""

from elbo_lab.estimators.base import NO_STATE, TARGETS, Estimator
from elbo_lab.estimators.elbo_analytic_kl import ElboAnalyticKL
from elbo_lab.estimators.elbo_joint_entropy import ElboJointEntropy
from elbo_lab.estimators.elbo_log_weight import ElboLogWeight
from elbo_lab.estimators.elbo_reconstruction_kl import ElboReconstructionKL
from elbo_lab.estimators.elbo_sampled import ElboSampled
from elbo_lab.estimators.exact import Answer, Exact
from elbo_lab.estimators.importance_sampling import ImportanceSampling
from elbo_lab.estimators.importance_weighted import ImportanceWeighted
from elbo_lab.estimators.prior_monte_carlo import PriorMonteCarlo
from elbo_lab.estimators.prior_monte_carlo_pathwise import PriorMonteCarloPathwise
from elbo_lab.estimators.prior_monte_carlo_score import PriorMonteCarloScore
from elbo_lab.estimators.reparameterization import Reparameterization
from elbo_lab.estimators.reparameterization_analytic_kl import ReparameterizationAnalyticKL
from elbo_lab.estimators.score_function import ScoreFunction
from elbo_lab.estimators.score_function_loo import ScoreFunctionLOO
from elbo_lab.estimators.score_function_optimal_baseline import ScoreFunctionOptimalBaseline

ESTIMATORS = (
    PriorMonteCarlo(),
    ImportanceSampling(),
    Exact("log-evidence"),
    ElboReconstructionKL(),
    ElboJointEntropy(),
    ElboLogWeight(),
    Exact("elbo"),
    PriorMonteCarloScore(),
    PriorMonteCarloPathwise(),
    ImportanceWeighted(),
    Exact("grad-theta-log-evidence"),
    ElboSampled(),
    ElboAnalyticKL(),
    Exact("grad-theta-elbo"),
    ScoreFunction(),
    ScoreFunctionLOO(),
    ScoreFunctionOptimalBaseline(),
    Reparameterization(),
    ReparameterizationAnalyticKL(),
    Exact("grad-phi-elbo"),
)

__all__ = [
    "ESTIMATORS",
    "NO_STATE",
    "TARGETS",
    "Answer",
    "ElboAnalyticKL",
    "ElboJointEntropy",
    "ElboLogWeight",
    "ElboReconstructionKL",
    "ElboSampled",
    "Estimator",
    "Exact",
    "ImportanceSampling",
    "ImportanceWeighted",
    "PriorMonteCarlo",
    "PriorMonteCarloPathwise",
    "PriorMonteCarloScore",
    "Reparameterization",
    "ReparameterizationAnalyticKL",
    "ScoreFunction",
    "ScoreFunctionLOO",
    "ScoreFunctionOptimalBaseline",
]
