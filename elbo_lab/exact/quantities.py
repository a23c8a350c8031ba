"""The exact quantities of a problem, by name: log p(x), the ELBO, their difference, and their gradients.

    log p(x) = ELBO(q) + KL(q || p(z | x))   for every q

(Jordan et al. 1999; Bishop 2006, eqs. 9.70 to 9.72.) Each takes a `Problem` and climbs the ladder: closed
form, enumeration, quadrature, and where none of these applies a long run with a standard error. Values come
for each datum, gradients are those of the mean over the data:

    log_p, elbo, gap = exact.log_evidence(problem), exact.elbo(problem), exact.kl(problem)
    log_p.value - elbo.value - gap.value      # (N,), zeros up to the errors
    log_p.rung, log_p.error                   # how it was computed, and how far off it may be

The KL is computed without the other two where the posterior has a formula or finitely many values. Elsewhere
it is their difference, whose error is the sum of both.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from elbo_lab.arrays import Floats
from elbo_lab.errors import NotApplicable, bad_kind, check_data, short
from elbo_lab.exact import closed_form, enumeration, ladder, long_run, quadrature
from elbo_lab.exact.answer import Answer, Bound, Evidence, Expectation
from elbo_lab.exact.entropies import entropy, entropy_and_gradient
from elbo_lab.exact.problem import Problem
from elbo_lab.models import Model
from elbo_lab.posteriors import Posterior
from elbo_lab.special import log_softmax

# From the top of the ladder down.
RUNGS = (closed_form.RUNG, enumeration.RUNG, quadrature.RUNG, long_run.RUNG)


class Gradients(NamedTuple):
    """Gradients of the mean over the data, each an `Answer`.

    Attributes
    ----------
    theta_log_evidence, theta_elbo : Answer (P_theta,)
        In nats per unit of theta.
    phi_elbo : Answer (P_phi,)
        In nats per unit of phi; that of log p(x) is zero.
    """

    theta_log_evidence: Answer
    theta_elbo: Answer
    phi_elbo: Answer


def log_evidence(problem: Problem, proposal: Floats | None = None) -> Answer:
    """Return log p(x_n) of each datum.

    Parameters
    ----------
    problem : Problem
        Without a posterior, if it has none.
    proposal : ndarray (N, E), optional
        Where a long run draws from, in the family of the prior; q if it is of this family, else the prior. It
        should be at least as wide as the posterior: the standard error says nothing of what is never drawn.

    Returns
    -------
    Answer (N,)
        In nats.
    """
    model, _, theta, _, x = problem = _checked(problem, with_q=False)
    answer, rung = ladder.climb(model, None, lambda rung: rung.log_evidence(model, theta, x))
    if answer is not None:
        return Answer(answer[0], answer[1], rung)
    found = ladder.sampled_evidence(model, theta, x, proposal_of(problem, proposal))
    return Answer(found.value, found.value_error, found.rung)


def elbo(problem: Problem) -> Answer:
    """Return the ELBO of each datum, E_q log p(x_n, z) + H(q).

    Parameters
    ----------
    problem : Problem

    Returns
    -------
    Answer (N,)
        In nats.
    """
    model, posterior, theta, phi, x = problem = _checked(problem)
    family, eta = posterior.family, posterior.eta(phi, x)
    answer, rung = ladder.climb(
        model, family, lambda rung: rung.expected_log_joint(model, theta, x, family, eta)
    )
    if answer is None:
        found = ladder.sampled_expectation(model, theta, x, family, eta)
        answer, rung = (found.value, found.value_error), found.rung
    value, error = answer
    own, own_error = entropy(family, eta)
    return Answer(value + own, error + own_error, rung)


def kl(problem: Problem, proposal: Floats | None = None) -> Answer:
    """Return KL(q || p(z | x_n)) of each datum, the gap between log p(x_n) and the ELBO.

    Parameters
    ----------
    problem : Problem
    proposal : ndarray (N, E), optional
        As in `log_evidence`.

    Returns
    -------
    Answer (N,)
        In nats. As the difference of two numbers it may come out below zero by its error.
    """
    model, posterior, theta, phi, x = problem = _checked(problem)
    family, eta = posterior.family, posterior.eta(phi, x)
    if enumeration.applies(model):
        z = enumeration.all_values(family, len(x))
        log_q, log_posterior = family.log_prob(eta, z), log_softmax(model.log_joint(theta, x, z), axis=0)
        value = (np.exp(log_q) * (log_q - log_posterior)).sum(axis=0)
        return Answer(value, np.zeros_like(value), enumeration.RUNG)
    try:
        value = family.kl_to(model.family, eta, model.posterior_eta(theta, x))
        return Answer(value, np.zeros_like(value), closed_form.RUNG)
    except NotApplicable:  # no formula for the posterior, or none for the KL
        pass
    evidence, bound = log_evidence(problem, proposal), elbo(problem)
    # The lower of the two rungs is that of the difference.
    rung = max(evidence.rung, bound.rung, key=RUNGS.index)
    return Answer(evidence.value - bound.value, evidence.error + bound.error, rung)


def gradients(problem: Problem, proposal: Floats | None = None) -> Gradients:
    """Return the gradients of log p(x) in theta and of the ELBO in theta and in phi.

    Parameters
    ----------
    problem : Problem
    proposal : ndarray (N, E), optional
        As in `log_evidence`.

    Returns
    -------
    Gradients
        Of the means over the data.
    """
    problem = _checked(problem)
    evidence = ladder.evidence(problem.model, problem.theta, problem.x, proposal_of(problem, proposal))
    bound = bound_at(problem)
    by_phi = gradient_in_phi(problem, bound.grad_eta, bound.grad_eta_error, bound.rung, bound.eta_batches)
    return Gradients(gradient_in_theta(evidence), gradient_in_theta(bound), by_phi)


# -- from the rungs to answers ---------------------------------------------------------------------


def bound_at(problem: Problem) -> Expectation:
    """Return the ELBO of each datum and its gradients in theta and eta, those of the mean over the data.

    The entropy of q is added to E_q log p(x, z).
    """
    model, posterior, theta, phi, x = problem
    family, eta = posterior.family, posterior.eta(phi, x)
    energy = ladder.expectation(model, theta, x, eta, family)
    own, own_error, by_eta, by_eta_error = entropy_and_gradient(family, eta)
    return replace(
        energy,
        value=energy.value + own,
        value_error=energy.value_error + own_error,
        grad_eta=energy.grad_eta + by_eta / len(x),
        grad_eta_error=energy.grad_eta_error + by_eta_error / len(x),
    )


def argued_bound(
    problem: Problem, bound: str, argument: float, n_draws: int | None, tolerance: float
) -> Expectation:
    """Return a bound with an argument, of each datum, and its gradients in theta and eta.

    Parameters
    ----------
    problem : Problem
    bound : {'ciwae', 'vr-iwae', 'renyi'}
        As in `bounds.coupled`, with its beta or its alpha as `argument`.
    n_draws : int or None
        Those in the bound; not of `renyi`, the bound of infinitely many draws.
    tolerance : float
        Of a quadrature.
    """
    model, posterior, theta, phi, x = problem
    place = model, theta, x, posterior.eta(phi, x)
    if bound == "ciwae":
        joined = ladder.importance_weighted_bound(*place, n_draws, posterior.family, tolerance)
        return _weighted_sum(argument, bound_at(problem), joined)
    n_draws, power = None if bound == "renyi" else n_draws, 1.0 - argument
    return ladder.importance_weighted_bound(*place, n_draws, posterior.family, tolerance, power)


def _weighted_sum(share: float, first: Expectation, second: Expectation) -> Expectation:
    """Return share times the first and 1 - share times the second, the errors added up."""
    parts = [
        share * getattr(first, name) + (1.0 - share) * getattr(second, name)
        for field in ("value", "grad_theta", "grad_eta")
        for name in (field, f"{field}_error")
    ]
    return Bound(max(first.rung, second.rung, key=RUNGS.index), *parts)


def gradient_in_theta(found: Evidence | Expectation) -> Answer:
    """Return the Answer in theta (P,)."""
    return Answer(found.grad_theta, found.grad_theta_error, found.rung, found.theta_batches)


def gradient_in_phi(
    problem: Problem, grad_eta: Floats, error: Floats, rung: str, batches: Floats | None = None
) -> Answer:
    """Return the Answer in phi (P,) for a gradient in eta (N, E), its errors, and its batches (B, N, E)."""
    _, posterior, _, phi, x = problem
    in_phi = None if batches is None else posterior.eta_vjp(phi, x, batches)
    value, error_in_phi = posterior.eta_vjp(phi, x, grad_eta), posterior.eta_error(phi, x, error)
    return Answer(value, error_in_phi, rung, in_phi)


# -- what goes in ----------------------------------------------------------------------------------


def _checked(problem: Problem, with_q: bool = True) -> Problem:
    """Return the problem in float64, whose digits exact answers need, or raise."""
    if not isinstance(problem, tuple) or len(problem) != len(Problem._fields):
        raise bad_kind("problem", "a Problem", short(problem), "make_problem returns one")
    model, posterior, theta, phi, x = problem
    if not isinstance(model, Model):
        raise bad_kind("model", "a Model", short(model))
    if not isinstance(posterior, Posterior) and (with_q or posterior is not None):
        raise bad_kind("posterior", "a Posterior", short(posterior))
    x = check_data(x, n_columns=model.n_columns)
    theta = model.check_theta(theta).astype(np.float64, copy=False)
    phi = phi if posterior is None else np.asarray(phi).astype(np.float64, copy=False)
    return Problem(model, posterior, theta, phi, x)


def proposal_of(problem: Problem, proposal: Floats | None) -> Floats | None:
    """Return where a long run of log p(x) draws from (see `log_evidence`), None standing for the prior."""
    model, posterior, _, phi, x = problem
    if proposal is None and posterior is not None and posterior.family == model.family:
        return posterior.eta(phi, x)
    return proposal
