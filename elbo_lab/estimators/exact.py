"""The exact answer: another estimator with the same call, so that a table simply gains a row.

It ignores the noise and climbs the ladder of exactness (`elbo_lab.exact`): closed form, enumeration,
quadrature, or, where none of these applies, a long run whose standard error it reports.
"""

from dataclasses import dataclass

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions.base import Family
from elbo_lab.errors import check_count, unknown_name
from elbo_lab.estimators.base import NO_STATE, Estimate, Estimator
from elbo_lab.estimators.problem import Problem
from elbo_lab.estimators.targets import COUPLED, TARGETS
from elbo_lab.exact import (
    Evidence,
    Expectation,
    coupled,
    evidence,
    expectation,
    importance_weighted_bound,
    inclusive_gradient,
)


@dataclass(frozen=True)
class Answer:
    """An exact value (P,), its error bound or standard error (P,), and the rung that gave it.

    `batches` (B, P) are the values of the batches of a long run, whose spread is the error.
    """

    value: Floats
    error: Floats
    rung: str
    batches: Floats | None = None

    def error_along(self, direction: Floats) -> float:
        """Return the error of the projection on a unit vector (P,).

        From the batches of a long run; for other rungs the sum of |u_j| error_j, which no dependence between
        the coordinates exceeds.
        """
        if self.batches is None:
            return float(np.abs(direction) @ self.error)
        along = self.batches @ direction
        return float(along.std(ddof=1) / np.sqrt(len(along)))


@dataclass(frozen=True, eq=False)
class Exact(Estimator):
    """The exact value of a target.

    Parameters
    ----------
    target : str
        One of `TARGETS`.
    proposal : ndarray (N, E), optional
        Where a long run of the evidence draws from; the prior if not given.
    tolerance : float
        Of the quadrature of a bound of several draws.
    """

    target: str
    proposal: Floats | None = None
    tolerance: float = coupled.TOLERANCE
    name = "exact"
    summary = "closed form, enumeration, quadrature or a long run"
    is_reference = True

    def __post_init__(self) -> None:
        if self.target not in TARGETS:
            raise unknown_name("target", self.target, TARGETS)

    def evaluations(self, n_draws: int, family: Family) -> int:  # noqa: ARG002
        return 0  # it has no draws

    @property
    def draws_from(self) -> str | None:
        """None for the evidence, which has no q; the posterior for everything about the ELBO."""
        return None if self.target.endswith("log-evidence") else "posterior"

    def answer(self, problem: Problem, n_draws: int | None = None) -> Answer:
        """Return the Answer for the mean over the rows of x.

        `n_draws` is the number of draws of a bound of several draws; other targets ignore it.
        """
        if self.target.endswith("log-evidence"):
            exact_evidence = evidence(problem.model, problem.theta, problem.x, self.proposal)
            return evidence_answers(exact_evidence)[self.target]
        return answers_under_q(self.target, problem, n_draws, self.tolerance)[self.target]

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        n_draws = None
        if self.target in COUPLED:
            spec = self.noise_spec(problem.posterior.family, 1, len(problem.x))
            n_draws = noise.shape[noise.ndim - len(spec.shape)]
        return self.answer(problem, n_draws).value, state


def _mean_answer(value: Floats, error: Floats, rung: str) -> Answer:
    """Return the Answer for the mean over rows (1,), the errors of the rows being independent."""
    mean_error = np.sqrt((error**2).sum()) / len(error)
    return Answer(value.mean(keepdims=True), np.array([mean_error]), rung)


def _phi_answer(
    problem: Problem, grad_eta: Floats, error: Floats, rung: str, batches: Floats | None = None
) -> Answer:
    """Return the Answer in phi for a gradient in eta (N, E), its errors, and its batches (B, N, E)."""
    _, posterior, _, phi, x = problem
    in_phi = None if batches is None else posterior.eta_vjp(phi, x, batches)
    value, error_in_phi = posterior.eta_vjp(phi, x, grad_eta), posterior.eta_error(phi, x, error)
    return Answer(value, error_in_phi, rung, in_phi)


def evidence_answers(exact: Evidence) -> dict[str, Answer]:
    """Return {target: Answer} for the targets that one `exact.Evidence` answers."""
    return {
        "log-evidence": _mean_answer(exact.value, exact.value_error, exact.rung),
        "grad-theta-log-evidence": Answer(
            exact.grad_theta, exact.grad_theta_error, exact.rung, exact.theta_batches
        ),
    }


def answers_under_q(
    target: str, problem: Problem, n_draws: int | None = None, tolerance: float = coupled.TOLERANCE
) -> dict[str, Answer]:
    """Return {target: Answer} for a target that needs q, and for those that the same computation answers.

    The ELBO is E_q log p(x, z) + H(q): the entropy is always in closed form.
    """
    model, posterior, theta, phi, x = problem
    family, eta = posterior.family, posterior.eta(phi, x)
    if target == "grad-phi-inclusive-kl":
        return {target: _phi_answer(problem, *inclusive_gradient(model, theta, x, family, eta))}
    if target in COUPLED:
        exact: Expectation = importance_weighted_bound(
            model, theta, x, eta, check_count("n_draws", n_draws), family, tolerance
        )
        bound = "iwae"
        value, grad_eta = exact.value, exact.grad_eta
    else:
        exact = expectation(model, theta, x, eta, family)
        bound = "elbo"
        value = exact.value + family.entropy(eta)
        grad_eta = exact.grad_eta + family.entropy_grad(eta) / len(x)
    return {
        bound: _mean_answer(value, exact.value_error, exact.rung),
        f"grad-theta-{bound}": Answer(
            exact.grad_theta, exact.grad_theta_error, exact.rung, exact.theta_batches
        ),
        f"grad-phi-{bound}": _phi_answer(
            problem, grad_eta, exact.grad_eta_error, exact.rung, exact.eta_batches
        ),
    }
