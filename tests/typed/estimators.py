"""Read by the type check alone: a right estimator passes, and what is wrong with the others is an error.

Every `type: ignore` stands for an error that must be there, since the check reports one that is not needed.
"""

import numpy as np

from elbo_lab import Exact, Problem
from elbo_lab.arrays import Floats
from elbo_lab.estimators import NO_STATE, Estimator
from elbo_lab.models import Model
from elbo_lab.posteriors import Posterior


class Right(Estimator):
    name = "right"
    target = "grad-phi-elbo"
    summary = "REINFORCE, written by a user"

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> tuple[Floats, Floats]:
        model, posterior, theta, phi, x = problem
        z, log_q, pull_q = posterior.family.draw(posterior.eta(phi, x), noise)
        f = model.log_joint(theta, x, z) - log_q
        return posterior.eta_vjp(phi, x, pull_q(f) / f[0].size), state


class NamedByAnOption(Right):
    def __init__(self, option: int):
        self.option = option

    @property
    def minimum_draws(self) -> int:
        return self.option


class OldForm(Estimator):
    name = "old-form"
    target = "grad-phi-elbo"

    def estimate(  # type: ignore[override]
        self,
        model: Model,
        posterior: Posterior,
        theta: Floats,
        phi: Floats,
        x: Floats,
        noise: Floats,
        state: Floats = NO_STATE,
    ) -> tuple[Floats, Floats]:
        eta = posterior.eta(phi, x)
        z = posterior.family.sample(eta, noise)
        return model.log_joint(theta, x, z).mean(axis=-1), state


class WithoutState(Right):
    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Floats:  # type: ignore[override]
        return super().estimate(problem, noise, state)[0]


class OtherOrder(Right):
    def estimate(self, noise: Floats, problem: Problem, state: Floats = NO_STATE) -> tuple[Floats, Floats]:  # type: ignore[override]
        return super().estimate(problem, noise, state)


class NamesItsTarget(Right):
    unbiased = "grad-phi-elbo"  # type: ignore[assignment]


class CountsInText(Right):
    minimum_draws = "two"  # type: ignore[assignment]


def five_arguments(problem: Problem) -> Floats:
    model, posterior, theta, phi, x = problem
    return Exact("elbo").answer(model, posterior, theta, phi, x).value  # type: ignore[call-arg, arg-type]


def a_tuple_is_no_problem(problem: Problem) -> Floats:
    return Exact("elbo").answer(tuple(problem)).value  # type: ignore[arg-type]


def a_problem_lacks_its_data(problem: Problem) -> Problem:
    return Problem(problem.model, problem.posterior, np.zeros(1), np.zeros(1))  # type: ignore[call-arg]
