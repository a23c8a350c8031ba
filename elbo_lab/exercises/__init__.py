"""Exercises that the lab grades: the contract (`base`), one file an exercise, and how a file is graded.

`running` calls the functions of a student's file in a process of its own, `grading` compares what came back
with the laws of the exercise, `diagnosis` says what is wrong. One more exercise is its file, its line here,
and a right answer in tests/solutions.
"""

from elbo_lab.exercises import (
    e_step,
    elbo_of_a_gaussian_vae,
    find_the_biased_estimator,
    gaussian_log_density,
    iwae_bound,
    iwae_gradient,
    kl_of_two_gaussians,
    leave_one_out,
    log_sum_exp,
    m_step,
    predict_then_run,
    reinforce,
    reparameterize,
    sticking_the_landing,
    straight_through,
    variance_or_standard_deviation,
)
from elbo_lab.exercises.base import Call, Exercise, Fault, Function, Law, Seeded

EXERCISES: dict[str, Exercise] = {
    module.EXERCISE.name: module.EXERCISE
    for module in (
        gaussian_log_density,
        kl_of_two_gaussians,
        log_sum_exp,
        e_step,
        m_step,
        elbo_of_a_gaussian_vae,
        reparameterize,
        reinforce,
        leave_one_out,
        iwae_bound,
        iwae_gradient,
        sticking_the_landing,
        straight_through,
        find_the_biased_estimator,
        predict_then_run,
        variance_or_standard_deviation,
    )
}
"""All exercises, in the order of the lessons."""

__all__ = ["EXERCISES", "Call", "Exercise", "Fault", "Function", "Law", "Seeded"]
