"""Sticking the landing: one term less than the total derivative, and no noise at the exact posterior."""

import estimator_laws as laws
import numpy as np
import pytest
from cases import CASES, Case, over
from estimator_laws import BY_NAME, assert_same, noise_for
from noise_integrals import estimate, exact_variance

from elbo_lab.distributions import DiagonalGaussian
from elbo_lab.models import PPCA
from elbo_lab.posteriors import FreePosterior

STICKING, TOTAL = BY_NAME["sticking-the-landing"], BY_NAME["reparameterization"]
CONTINUOUS = [case for case in CASES if not case.model.family.discrete]
KNOWN_POSTERIOR = [case for case in CONTINUOUS if hasattr(case.model, "log_evidence")]


@over(CONTINUOUS)
def test_the_total_derivative_has_the_score_less(case):
    noise = noise_for(STICKING, case, 4, lead=(5,))
    for posterior, phi in case.posteriors():
        eta = posterior.eta(phi, case.x)
        score = posterior.family.score(eta, posterior.family.sample(eta, noise)).mean(axis=-3) / len(case.x)
        total = estimate(TOTAL, case, posterior, phi, noise)
        expected = total + posterior.eta_vjp(phi, case.x, score)
        assert_same(estimate(STICKING, case, posterior, phi, noise), expected, 1e-11)


@over(KNOWN_POSTERIOR)
def test_at_the_exact_posterior_every_single_draw_sticks_the_landing(case):
    case = laws.canonical(case)
    phi = case.free.phi_from_eta(case.model.posterior_eta(case.theta, case.x))
    noise = noise_for(STICKING, case, 1, lead=(100,))
    assert np.abs(estimate(STICKING, case, case.free, phi, noise)).max() <= 1e-11
    # The total derivative keeps the noise of the score there.
    assert (estimate(TOTAL, case, case.free, phi, noise).std(axis=0) > 0.01).any()


@pytest.mark.parametrize(("width", "less"), [(1.0, True), (0.9, True), (0.5, False), (0.2, False)])
def test_a_narrow_q_reverses_the_order(width, less):
    # PPCA with W = 0: the posterior is the prior, N(0, 1), and both variances are known. In the mean they
    # are (1/s - s)^2 and s^2; in log s the draws are (1 - s^2) eps^2 and 1 - s^2 eps^2 (q centred).
    model = PPCA(2, 1)
    case = Case(model, np.zeros(model.layout.size), np.zeros((1, 2)), None, None, None, None)
    q = FreePosterior(DiagonalGaussian(1), 1)
    phi = q.phi_from_eta(np.array([[0.0, np.log(width)]]))
    sticking, total = (exact_variance(e, case, q, phi, 1) for e in (STICKING, TOTAL))
    assert sticking == pytest.approx((1 / width - width) ** 2 + 2.0 * (1.0 - width**2) ** 2, abs=1e-9)
    assert total == pytest.approx(width**2 + 2.0 * width**4, abs=1e-9)
    assert (sticking < total) == less
