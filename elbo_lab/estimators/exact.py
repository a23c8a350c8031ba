"""The exact answer: another estimator with the same call, so that a table simply gains a row.

It ignores the noise and climbs the ladder of exactness (`elbo_lab.exact`): closed form, enumeration,
quadrature, or, where none of these applies, a long run whose standard error it reports.
"""

from dataclasses import dataclass

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.distributions.base import Family
from elbo_lab.errors import check_count, check_positive, unknown_name
from elbo_lab.estimators.base import NO_STATE, Estimate, Estimator
from elbo_lab.estimators.targets import COUPLED, TARGETS, bound_and_argument, is_known, joins_draws
from elbo_lab.exact import (
    Answer,
    Evidence,
    Expectation,
    coupled,
    evidence,
    importance_weighted_bound,
    inclusive_gradient,
)
from elbo_lab.exact.problem import Problem
from elbo_lab.exact.quantities import argued_bound, bound_at, gradient_in_phi, gradient_in_theta, proposal_of


@dataclass(frozen=True, eq=False)
class Exact(Estimator):
    """The exact value of a target.

    Helps: as the standard that all others are compared with. Fails: where only a long run is left, whose
    standard error is then part of every verdict.

    Parameters
    ----------
    target : str
        One of `TARGETS`.
    proposal : ndarray (N, E), optional
        Where a long run of the evidence draws from; q if it is of the prior's family, else the prior.
    tolerance : float
        Of the quadrature of a bound of several draws.
    """

    target: str
    proposal: Floats | None = None
    tolerance: float = coupled.TOLERANCE
    name = "exact"
    title = "exact"
    summary = "closed form, enumeration, quadrature or a long run"
    is_reference = True

    def __post_init__(self) -> None:
        if not is_known(self.target):
            raise unknown_name("target", self.target, TARGETS)
        check_positive("tolerance", self.tolerance)

    @property
    def needs_log_q_at_foreign_z(self) -> bool:
        """Whether it does: an expectation under the posterior is taken at the posterior's z."""
        return self.target == "grad-phi-inclusive-kl"

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
            proposal = proposal_of(problem, self.proposal)
            exact_evidence = evidence(problem.model, problem.theta, problem.x, proposal)
            return evidence_answers(exact_evidence)[self.target]
        return answers_under_q(self.target, problem, n_draws, self.tolerance)[self.target]

    def estimate(self, problem: Problem, noise: Floats, state: Floats = NO_STATE) -> Estimate:
        n_draws = None
        if joins_draws(self.target):
            spec = self.noise_spec(problem.posterior.family, 1, len(problem.x))
            n_draws = noise.shape[noise.ndim - len(spec.shape)]
        return self.answer(problem, n_draws).value, state


def _mean_answer(value: Floats, error: Floats, rung: str) -> Answer:
    """Return the Answer for the mean over rows (1,), the errors of the rows being independent."""
    mean_error = np.sqrt((error**2).sum()) / len(error)
    return Answer(value.mean(keepdims=True), np.array([mean_error]), rung)


def evidence_answers(exact: Evidence) -> dict[str, Answer]:
    """Return {target: Answer} for the targets that one `exact.Evidence` answers."""
    return {
        "log-evidence": _mean_answer(exact.value, exact.value_error, exact.rung),
        "grad-theta-log-evidence": gradient_in_theta(exact),
    }


def answers_under_q(
    target: str, problem: Problem, n_draws: int | None = None, tolerance: float = coupled.TOLERANCE
) -> dict[str, Answer]:
    """Return {target: Answer} for a target that needs q, and for those that the same computation answers.

    The ELBO is E_q log p(x, z) + H(q): without a formula the entropy is integrated as well.
    """
    model, posterior, theta, phi, x = problem
    family, eta = posterior.family, posterior.eta(phi, x)
    if target == "grad-phi-inclusive-kl":
        return {target: gradient_in_phi(problem, *inclusive_gradient(model, theta, x, family, eta))}
    argued = bound_and_argument(target)[0]
    if target in COUPLED:
        name = "iwae"
        exact: Expectation = importance_weighted_bound(
            model, theta, x, eta, check_count("n_draws", n_draws), family, tolerance
        )
    elif argued:
        name = target.removeprefix("grad-theta-").removeprefix("grad-phi-")
        exact = argued_bound(problem, *bound_and_argument(target), n_draws, tolerance)
    else:
        name, exact = "elbo", bound_at(problem)
    return {
        name: _mean_answer(exact.value, exact.value_error, exact.rung),
        f"grad-theta-{name}": gradient_in_theta(exact),
        f"grad-phi-{name}": gradient_in_phi(
            problem, exact.grad_eta, exact.grad_eta_error, exact.rung, exact.eta_batches
        ),
    }
