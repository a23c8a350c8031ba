"""Repeat estimators, stream their moments, hold them against exact answers."""

from elbo_lab.study.families import family_variances
from elbo_lab.study.measure import run_batch, run_sample, seconds_per_estimate
from elbo_lab.study.moments import Moments
from elbo_lab.study.references import references
from elbo_lab.study.registry import all_estimators, all_models, find_estimators, find_models
from elbo_lab.study.scene import PLACES, Scene, build_scene

__all__ = [
    "PLACES",
    "Moments",
    "Scene",
    "all_estimators",
    "all_models",
    "build_scene",
    "family_variances",
    "find_estimators",
    "find_models",
    "references",
    "run_batch",
    "run_sample",
    "seconds_per_estimate",
]
