"""log p(x) and its gradient from weighted draws."""

from elbo_lab.estimators.evidence.importance_sampling import ImportanceSampling
from elbo_lab.estimators.evidence.importance_weighted import ImportanceWeighted
from elbo_lab.estimators.evidence.prior_monte_carlo import PriorMonteCarlo
from elbo_lab.estimators.evidence.prior_monte_carlo_pathwise import PriorMonteCarloPathwise
from elbo_lab.estimators.evidence.prior_monte_carlo_score import PriorMonteCarloScore

ALL = (
    PriorMonteCarlo(),
    ImportanceSampling(),
    PriorMonteCarloScore(),
    PriorMonteCarloPathwise(),
    ImportanceWeighted(),
)

__all__ = [
    "ImportanceSampling",
    "ImportanceWeighted",
    "PriorMonteCarlo",
    "PriorMonteCarloPathwise",
    "PriorMonteCarloScore",
]
