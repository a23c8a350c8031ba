"""Stochastic gradient ascent: objectives, optimisers, step-size schedules, trainer, checkpoints."""

from elbo_lab.training.beta import BetaObjective, BetaSchedule
from elbo_lab.training.bound_objectives import (
    CombinedObjective,
    GroupedObjective,
    RenyiObjective,
    TemperedObjective,
)
from elbo_lab.training.checkpoint import load_checkpoint, save_checkpoint
from elbo_lab.training.clipping import Clipping
from elbo_lab.training.monte_carlo_em import CHAINS, ColdMonteCarloEMObjective, MonteCarloEMObjective
from elbo_lab.training.natural import NaturalStep
from elbo_lab.training.objective_names import OBJECTIVES, find_objective
from elbo_lab.training.objectives import (
    ElboObjective,
    EvidenceObjective,
    GlobalElboObjective,
    ImportanceWeightedObjective,
    Objective,
    VariationalObjective,
)
from elbo_lab.training.optimizers import (
    OPTIMIZERS,
    SGD,
    Adagrad,
    Adam,
    AdamW,
    Optimizer,
    RMSprop,
    find_optimizer,
    parse_optimizer,
)
from elbo_lab.training.plan import PHI_STEPS, Minibatches, Plan
from elbo_lab.training.posterior_objective import PosteriorObjective
from elbo_lab.training.schedules import (
    SCHEDULES,
    Constant,
    Cosine,
    Exponential,
    RobbinsMonro,
    Schedule,
    parse_schedule,
)
from elbo_lab.training.stopping import StoppingRule
from elbo_lab.training.temperature import TemperatureSchedule
from elbo_lab.training.trainer import Training
from elbo_lab.training.wake_sleep import (
    BothReweightedObjective,
    InclusiveKLObjective,
    ReweightedWakeSleepObjective,
    SleepReweightedObjective,
    WakeSleepObjective,
)

__all__ = [
    "CHAINS",
    "OBJECTIVES",
    "OPTIMIZERS",
    "PHI_STEPS",
    "SCHEDULES",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "BetaObjective",
    "BetaSchedule",
    "BothReweightedObjective",
    "Clipping",
    "ColdMonteCarloEMObjective",
    "CombinedObjective",
    "Constant",
    "Cosine",
    "ElboObjective",
    "EvidenceObjective",
    "Exponential",
    "GlobalElboObjective",
    "GroupedObjective",
    "ImportanceWeightedObjective",
    "InclusiveKLObjective",
    "Minibatches",
    "MonteCarloEMObjective",
    "NaturalStep",
    "Objective",
    "Optimizer",
    "Plan",
    "PosteriorObjective",
    "RMSprop",
    "RenyiObjective",
    "ReweightedWakeSleepObjective",
    "RobbinsMonro",
    "Schedule",
    "SleepReweightedObjective",
    "StoppingRule",
    "TemperatureSchedule",
    "TemperedObjective",
    "Training",
    "VariationalObjective",
    "WakeSleepObjective",
    "find_objective",
    "find_optimizer",
    "load_checkpoint",
    "parse_optimizer",
    "parse_schedule",
    "save_checkpoint",
]
