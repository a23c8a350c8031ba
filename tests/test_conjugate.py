"""The conjugate prior: mode, posterior and evidence against numerical answers, and where MAP meets MLE."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import minimize

from elbo_lab.datasets import load
from elbo_lab.em import NormalInverseGamma, fit_closed_form
from elbo_lab.errors import NotApplicable
from elbo_lab.models import GaussianMLE
from elbo_lab.priors import normal_inverse_gamma

FAITHFUL = load("faithful").x
PRIORS = (
    NormalInverseGamma([0.5], 0.7, 1.3, 0.4),
    NormalInverseGamma([3.0, 70.0], 2.0, 3.0, 50.0),
    NormalInverseGamma([0.0, 1.0, -2.0], 0.1, 0.6, 2.0),
)
over_priors = pytest.mark.parametrize("prior", PRIORS, ids=lambda prior: f"D{prior.n_columns}")


def data_for(prior, n_data=7, seed=0):
    rng = np.random.default_rng(seed)
    return prior.mean + 1.0 + 2.0 * rng.standard_normal((n_data, prior.n_columns))


def log_likelihood(x, mu, sigma2):
    model = GaussianMLE(x.shape[1])
    return model.log_evidence(model.theta_of(mu, sigma2), x).sum()


def points(prior, n_points=6, seed=1):
    """Return (mu, sigma2) here and there."""
    rng = np.random.default_rng(seed)
    return [
        (prior.mean + rng.standard_normal(prior.n_columns), float(np.exp(rng.normal())))
        for _ in range(n_points)
    ]


def check_mode(prior):
    start = np.append(prior.mean + 0.1, 0.0)

    def negative(v):
        return -prior.log_density(v[:-1], np.exp(v[-1]))

    options = {"xatol": 1e-9, "fatol": 1e-13, "maxiter": 20_000, "maxfev": 20_000}
    found = minimize(negative, start, method="Nelder-Mead", options=options).x
    mu, sigma2 = prior.mode()
    np.testing.assert_allclose(found[:-1], mu, atol=1e-5)
    assert np.exp(found[-1]) == pytest.approx(sigma2, rel=1e-5)


def check_posterior(prior):
    x = data_for(prior)
    posterior = prior.posterior(x)
    constants = [
        prior.log_density(*point) + log_likelihood(x, *point) - posterior.log_density(*point)
        for point in points(prior)
    ]
    np.testing.assert_allclose(constants, constants[0], rtol=1e-11)
    return constants[0], prior.log_evidence(x)


def check_evidence(prior):
    expected, found = check_posterior(prior)
    assert found == pytest.approx(expected, rel=1e-11)


@over_priors
def test_the_mode_is_where_a_numerical_search_ends(prior):
    check_mode(prior)
    check_mode(prior.posterior(data_for(prior)))


@over_priors
def test_the_posterior_is_prior_times_likelihood_up_to_a_constant_and_that_is_the_evidence(prior):
    check_evidence(prior)


@over_priors
def test_one_datum_after_another_gives_the_posterior_of_all(prior):
    x = data_for(prior, n_data=12)
    step = prior
    for row in x:
        step = step.posterior(row[None])
    batch = prior.posterior(x)
    np.testing.assert_allclose(step.mean, batch.mean, rtol=1e-12)
    for name in ("strength", "shape", "rate"):
        assert getattr(step, name) == pytest.approx(getattr(batch, name), rel=1e-12)


@over_priors
def test_the_evidence_of_all_is_the_product_of_one_step_predictions(prior):
    x = data_for(prior)
    parts = [prior.posterior(x[:n]).log_evidence(x[n:]) for n in (2, 5)]
    heads = [prior.log_evidence(x[:n]) for n in (2, 5)]
    np.testing.assert_allclose(np.add(parts, heads), prior.log_evidence(x), rtol=1e-12)


def test_the_density_integrates_to_one():
    prior = PRIORS[0]

    def over_mu(sigma2):
        width = 12.0 * np.sqrt(sigma2 / prior.strength)
        return quad(lambda mu: np.exp(prior.log_density([mu], sigma2)), 0.5 - width, 0.5 + width)[0]

    total = quad(lambda s: over_mu(np.exp(s)) * np.exp(s), -5.0, 12.0, limit=200)[0]
    # The tail of s2 beyond exp(12) is below (b / s2)^a / Gamma(a + 1) = 4e-8.
    assert total == pytest.approx(1.0, abs=1e-6)


def test_the_density_takes_many_points_at_once():
    prior = PRIORS[1]
    some = points(prior)
    together = prior.log_density(np.array([mu for mu, _ in some]), np.array([s for _, s in some]))
    np.testing.assert_allclose(together, [prior.log_density(*point) for point in some], rtol=1e-14)


# -- where MAP and MLE meet ------------------------------------------------------------------------


def test_the_map_of_the_flat_limit_is_the_maximum_likelihood():
    mu, sigma2 = NormalInverseGamma.flat(2).posterior(FAITHFUL).mode()
    model = GaussianMLE(2)
    fit = model.described(fit_closed_form(model, FAITHFUL).theta)
    np.testing.assert_allclose(mu, fit["mean"], rtol=1e-12)
    assert sigma2 == pytest.approx(fit["sigma2"], rel=1e-12)


def test_priors_on_the_way_to_the_flat_limit_come_nearer():
    def distance(t):
        prior = NormalInverseGamma(np.zeros(2), t, -2.0 + t, t)
        return abs(prior.posterior(FAITHFUL).mode()[1] - np.mean((FAITHFUL - FAITHFUL.mean(axis=0)) ** 2))

    far, near, nearest = distance(1.0), distance(1e-2), distance(1e-4)
    assert far > 10 * near > 100 * nearest > 0


def test_map_meets_maximum_likelihood_as_one_over_n():
    prior, gaps = PRIORS[1], []
    for copies in (1, 10, 100):
        x = np.tile(FAITHFUL, (copies, 1))
        mu, sigma2 = prior.posterior(x).mode()
        gaps.append([np.abs(mu - x.mean(axis=0)).max(), abs(sigma2 - np.mean((x - x.mean(axis=0)) ** 2))])
    ratios = np.array(gaps[:-1]) / np.array(gaps[1:])
    # The difference is of order 1/N: ten times the data, a tenth of it.
    assert np.all((ratios > 9.0) & (ratios < 11.0))


def test_a_map_lies_between_the_prior_and_the_data():
    prior = PRIORS[1]
    mu = prior.posterior(FAITHFUL[:5]).mode()[0]
    low, high = np.sort([prior.mean, FAITHFUL[:5].mean(axis=0)], axis=0)
    assert np.all((mu > low) & (mu < high))


@given(st.integers(1, 4), st.integers(2, 30), st.integers(0, 10_000))
def test_the_mode_of_a_posterior_is_never_beaten(n_columns, n_data, seed):
    rng = np.random.default_rng(seed)
    prior = NormalInverseGamma(rng.standard_normal(n_columns), *np.exp(rng.standard_normal(3)))
    posterior = prior.posterior(rng.standard_normal((n_data, n_columns)))
    mu, sigma2 = posterior.mode()
    best = posterior.log_density(mu, sigma2)
    for _ in range(5):
        other = mu + 0.1 * rng.standard_normal(n_columns), sigma2 * np.exp(0.1 * rng.normal())
        assert posterior.log_density(*other) <= best + 1e-12


# -- mistakes --------------------------------------------------------------------------------------


def test_an_improper_prior_has_no_density_and_no_evidence():
    flat = NormalInverseGamma.flat(2)
    assert not flat.proper and PRIORS[0].proper
    for call in (lambda: flat.log_density([0.0, 0.0], 1.0), lambda: flat.log_evidence(FAITHFUL)):
        with pytest.raises(NotApplicable, match="shape -2 and rate 0 is improper"):
            call()
    with pytest.raises(NotApplicable, match="no mode"):
        flat.mode()


def test_the_flat_limit_and_one_datum_have_no_mode():
    with pytest.raises(NotApplicable, match="take the posterior given data that vary"):
        NormalInverseGamma.flat(2).posterior(FAITHFUL[:1]).mode()


IMPOSSIBLE_SETTINGS = [
    (([0.0], -1.0, 1.0, 1.0), "strength: expected a finite number of at least 0, got -1.0"),
    (([0.0], 1.0, -1.6, 1.0), "shape: expected a finite number of at least -1.5, got -1.6"),
    (([0.0], 1.0, 1.0, np.inf), "rate: expected a finite number of at least 0, got inf"),
    (([np.nan], 1.0, 1.0, 1.0), "mean: expected finite numbers"),
]


@pytest.mark.parametrize(("settings", "message"), IMPOSSIBLE_SETTINGS)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        NormalInverseGamma(*settings)


def test_settings_of_the_wrong_kind_are_refused():
    with pytest.raises(TypeError, match="rate: expected a number, got 'much'"):
        NormalInverseGamma([0.0], 1.0, 1.0, "much")
    with pytest.raises(ValueError, match="2 columns, got 1 columns"):
        PRIORS[1].posterior(FAITHFUL[:, :1])


# -- the checks see a fault ------------------------------------------------------------------------


class WithoutDimension(NormalInverseGamma):
    """The mode of the marginal of s2 in place of the joint mode: D/2 forgotten."""

    def mode(self):
        return self.mean, self.rate / (self.shape + 1.0)


class OneDatumPerRow(NormalInverseGamma):
    """The shape grows by N/2 and not by N D / 2."""

    def posterior(self, x):
        right = super().posterior(x)
        return NormalInverseGamma(right.mean, right.strength, self.shape + 0.5 * len(x), right.rate)


class NoPullOfTheMean(NormalInverseGamma):
    """The rate without the distance between the data's mean and the prior's."""

    def posterior(self, x):
        right = super().posterior(x)
        within = 0.5 * ((x - x.mean(axis=0)) ** 2).sum()
        return NormalInverseGamma(right.mean, right.strength, right.shape, self.rate + within)


@pytest.mark.parametrize(
    ("fault", "check"),
    [(WithoutDimension, check_mode), (OneDatumPerRow, check_evidence), (NoPullOfTheMean, check_evidence)],
    ids=lambda item: item.__name__,
)
def test_a_planted_fault_is_caught(fault, check):
    right = PRIORS[1]
    with pytest.raises(AssertionError):
        check(fault(right.mean, right.strength, right.shape, right.rate))


def test_a_forgotten_constant_of_the_evidence_is_caught(monkeypatch):
    monkeypatch.setattr(normal_inverse_gamma, "LOG_2PI", 0.0)
    with pytest.raises(AssertionError):
        check_evidence(PRIORS[1])
