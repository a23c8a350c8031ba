"""Measure-valued gradients in phi: differences of log w under pairs of measures."""

from elbo_lab.estimators.measure.measure_valued import MeasureValued
from elbo_lab.estimators.measure.measure_valued_coupled import MeasureValuedCoupled

ALL = (
    MeasureValued(),
    MeasureValuedCoupled(),
)

__all__ = [
    "MeasureValued",
    "MeasureValuedCoupled",
]
