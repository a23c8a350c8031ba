"""Bounds and corrections of the evidence that join several draws: values, not gradients."""

from elbo_lab.estimators.several_draws.chi_square import ChiSquareEstimate
from elbo_lab.estimators.several_draws.ciwae import CombinedBound
from elbo_lab.estimators.several_draws.iwae import ImportanceWeightedBound
from elbo_lab.estimators.several_draws.jackknife import Jackknife
from elbo_lab.estimators.several_draws.miwae import GroupedBound
from elbo_lab.estimators.several_draws.renyi import RenyiBound

ALL = (
    ImportanceWeightedBound(),
    GroupedBound(),
    CombinedBound(),
    Jackknife(1),
    Jackknife(2),
    RenyiBound(),
    ChiSquareEstimate(),
)

__all__ = [
    "ChiSquareEstimate",
    "CombinedBound",
    "GroupedBound",
    "ImportanceWeightedBound",
    "Jackknife",
    "RenyiBound",
]
