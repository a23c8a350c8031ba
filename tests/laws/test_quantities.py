"""Exact quantities by name: log p(x) - ELBO = KL, and the gradients of the exact estimator."""

import numpy as np
import pytest
from cases import CASES, DISCRETE, make_case, over
from checks import assert_close
from estimator_laws import canonical

from elbo_lab import Exact, Problem, exact
from elbo_lab.distributions import FullGaussian, Gumbel
from elbo_lab.distributions.flows import PlanarFlow
from elbo_lab.errors import BadValue
from elbo_lab.exact import long_run, quantities
from elbo_lab.models import PPCA, DeepBernoulli
from elbo_lab.posteriors import ExactPosterior, FreePosterior


def evidence_less_bound_is_divergence(problem):
    """log p(x) - ELBO = KL for each datum, within the stated errors."""
    log_p, bound, gap = exact.log_evidence(problem), exact.elbo(problem), exact.kl(problem)
    assert log_p.value.shape == bound.value.shape == gap.value.shape == (len(problem.x),)
    allowed = log_p.error + bound.error + gap.error + 1e-12 * (1.0 + np.abs(log_p.value))
    assert (np.abs(log_p.value - bound.value - gap.value) <= allowed).all()
    assert (gap.value >= -allowed).all()
    return gap


@over(CASES)
def test_log_evidence_less_elbo_is_the_divergence_of_each_datum(case):
    for posterior, phi in case.posteriors():
        evidence_less_bound_is_divergence(case.problem(posterior, phi))


@over([canonical(case) for case in CASES if case in DISCRETE or isinstance(case.model, PPCA)])
def test_the_divergence_is_computed_without_the_other_two(case, monkeypatch):
    gap = evidence_less_bound_is_divergence(case.problem())
    monkeypatch.setattr(quantities, "log_evidence", None)
    monkeypatch.setattr(quantities, "elbo", None)
    discrete = case.model.family.discrete
    assert gap.rung == ("enumeration" if discrete else "closed-form") and not gap.error.any()
    np.testing.assert_array_equal(exact.kl(case.problem()).value, gap.value)
    if not (discrete and case.model.family.event_axes):  # bits are dependent given x
        at_posterior = Problem(
            case.model, ExactPosterior(case.model, case.theta), case.theta, np.zeros(0), case.x
        )
        assert_close(exact.kl(at_posterior).value, np.zeros(len(case.x)), 1e-12)


@pytest.mark.parametrize(
    "family", [FullGaussian(1), Gumbel(1), PlanarFlow(1)], ids=lambda family: family.name
)
def test_a_q_of_another_family_than_the_prior(family):
    case, rng = canonical(make_case(PPCA(3, 1))), np.random.default_rng(0)
    posterior = FreePosterior(family, len(case.x))
    problem = case.problem(posterior, 0.3 * rng.standard_normal(posterior.layout.size))
    gap = evidence_less_bound_is_divergence(problem)
    assert gap.rung == ("closed-form" if family.has_covariance else "quadrature")


@over(CASES)
def test_gradients_are_those_of_the_exact_estimator(case):
    problem = case.problem(*case.posteriors()[1])
    found = exact.gradients(problem)
    for name, target in zip(found._fields, ("log-evidence", "elbo", "elbo"), strict=True):
        expected = Exact(f"grad-{name.split('_')[0]}-{target}").answer(problem)
        np.testing.assert_array_equal(getattr(found, name).value, expected.value)
        np.testing.assert_array_equal(getattr(found, name).error, expected.error)
        assert getattr(found, name).rung == expected.rung


def test_beyond_two_latents_a_long_run_says_so_and_states_its_error(monkeypatch):
    monkeypatch.setattr(long_run, "DRAWS_PER_BATCH", 500)
    case = make_case(DeepBernoulli(3, 3, (2,)))
    problem = case.problem()
    gap = evidence_less_bound_is_divergence(problem)
    log_p, found = exact.log_evidence(problem), exact.gradients(problem)
    assert log_p.rung == gap.rung == found.phi_elbo.rung == "long-run"
    assert (log_p.error > 0.0).all() and (gap.error > log_p.error).all()
    # Two proposals agree within their errors: the q of the problem, and the prior.
    prior = np.broadcast_to(case.model.prior_eta(case.theta), (len(case.x), 6))
    other = exact.log_evidence(problem, proposal=prior)
    assert not np.array_equal(log_p.value, other.value)
    assert (np.abs(log_p.value - other.value) <= 6.0 * np.hypot(log_p.error, other.error)).all()
    without_q = Problem(case.model, None, case.theta, None, case.x)
    np.testing.assert_array_equal(exact.log_evidence(without_q).value, other.value)


def test_single_precision_has_the_digits_of_double():
    case = canonical(make_case(PPCA(3, 1)))
    single = [np.asarray(part, dtype=np.float32) for part in (case.theta, case.free_phi)]
    problem = Problem(case.model, case.free, *single, case.x)
    assert exact.elbo(problem).value.dtype == np.float64
    evidence_less_bound_is_divergence(problem)


def test_data_of_the_wrong_width_are_refused():
    problem = make_case(PPCA(3, 1)).problem()
    with pytest.raises(BadValue, match="3 columns"):
        exact.elbo(problem._replace(x=np.zeros((2, 4))))
