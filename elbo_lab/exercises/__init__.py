"""Exercises that the lab grades: the contract (`base`), and one file an exercise."""

from elbo_lab.exercises.base import Call, Exercise, Fault, Function, Law, Seeded

__all__ = ["Call", "Exercise", "Fault", "Function", "Law", "Seeded"]
