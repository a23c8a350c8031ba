"""Repeat estimators, stream their moments, compare them with exact answers."""

from elbo_lab.study.measure import run_batch, run_sample, seconds_per_estimate
from elbo_lab.study.moments import Moments
from elbo_lab.study.references import references
from elbo_lab.study.scene import PLACES, Scene, build_scene, make_problem

__all__ = [
    "PLACES",
    "Moments",
    "Scene",
    "build_scene",
    "make_problem",
    "references",
    "run_batch",
    "run_sample",
    "seconds_per_estimate",
]
