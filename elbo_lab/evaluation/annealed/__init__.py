"""Annealed importance sampling, forwards and backwards: log p(x) between two sampled bounds."""

from elbo_lab.evaluation.annealed.path import AnnealedPath
from elbo_lab.evaluation.annealed.sampling import (
    AnnealedRun,
    annealed_weights,
    pilot_steps,
    reverse_annealed_weights,
)
from elbo_lab.evaluation.annealed.sandwich import Sandwich, bidirectional
from elbo_lab.evaluation.annealed.schedules import linear_schedule, sigmoidal_schedule
from elbo_lab.evaluation.annealed.transitions import HamiltonianMonteCarlo, RandomWalk

__all__ = [
    "AnnealedPath",
    "AnnealedRun",
    "HamiltonianMonteCarlo",
    "RandomWalk",
    "Sandwich",
    "annealed_weights",
    "bidirectional",
    "linear_schedule",
    "pilot_steps",
    "reverse_annealed_weights",
    "sigmoidal_schedule",
]
