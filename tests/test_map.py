"""Priors over theta and MAP: densities, slopes, exact M-steps, the law that the posterior never falls."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import dirichlet, invgamma, invwishart, multivariate_normal

from elbo_lab.datasets import load
from elbo_lab.em import EMFit, LinearGaussianEM, MixtureEM, NormalInverseGamma, fit_closed_form, fit_em
from elbo_lab.errors import NotApplicable, UserMistake
from elbo_lab.exact import evidence
from elbo_lab.models import (
    PPCA,
    DeepBernoulli,
    DeepGaussianFixed,
    FactorAnalysis,
    GaussianMixture,
    GaussianMLE,
    LogisticRegression,
    SigmoidBelief,
)
from elbo_lab.optimise import maximise_evidence
from elbo_lab.priors import MixturePrior, NetworkPrior, find_prior

FAITHFUL = load("faithful").x
RNG = np.random.default_rng(0)
X4 = RNG.standard_normal((60, 2)) @ RNG.standard_normal((2, 4)) + RNG.standard_normal((60, 4))
MIXTURES = [GaussianMixture(2, 3, variant) for variant in GaussianMixture.variants]
LINEAR = [PPCA(4, 2), FactorAnalysis(4, 2)]
by_label = {"ids": lambda model: model.label}
PRIORED = [
    *((model, FAITHFUL) for model in [*MIXTURES, GaussianMLE(2)]),
    *((model, X4) for model in LINEAR),
    (SigmoidBelief(4, 2), (X4 > 0).astype(float)),
    (DeepBernoulli(4, 2, (3,)), (X4 > 0).astype(float)),
    (DeepGaussianFixed(4, 2, (3,)), X4),
]
over_models = pytest.mark.parametrize(("model", "x"), PRIORED, ids=[model.label for model, _ in PRIORED])


def somewhere(model, x, seed=0):
    rng = np.random.default_rng(seed)
    theta = model.random_theta(x, rng)
    return theta + 0.3 * rng.standard_normal(theta.shape)


def log_posterior(model, prior, theta, x):
    return float(evidence(model, theta, x).value.sum()) + prior.log_prior(model, theta)


# -- densities and slopes ------------------------------------------------------------------------


@over_models
def test_the_slope_of_a_prior_is_that_of_central_differences(model, x):
    prior, theta = find_prior("default", model, x), somewhere(model, x)
    slope, h = prior.log_prior_grad(model, theta), 1e-5
    for i in range(len(theta)):
        step = np.zeros_like(theta)
        step[i] = h
        measured = (prior.log_prior(model, theta + step) - prior.log_prior(model, theta - step)) / (2 * h)
        assert slope[i] == pytest.approx(measured, rel=1e-6, abs=1e-6), model.layout.name_of(i)


def test_the_density_of_a_full_mixture_is_that_of_scipy():
    model = MIXTURES[2]
    prior, theta = find_prior("dirichlet=1.5,nu=5,strength=0.7", model, FAITHFUL), somewhere(model, FAITHFUL)
    found, psi = model.described(theta), np.array(prior.scale).reshape(2, 2)
    value = dirichlet.logpdf(found["weights"], np.full(3, 1.5))
    for mean, covariance in zip(found["means"], found["covariances"], strict=True):
        value += invwishart.logpdf(covariance, df=5, scale=psi)
        value += multivariate_normal.logpdf(mean, prior.mean, covariance / 0.7)
    assert prior.log_prior(model, theta) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("model", MIXTURES[:2], **by_label)
def test_the_density_of_the_simpler_mixtures_is_that_of_scipy(model):
    prior, theta = find_prior("nu=5,strength=0.7", model, FAITHFUL), somewhere(model, FAITHFUL)
    found = model.described(theta)
    value = dirichlet.logpdf(found["weights"], np.full(3, 2.0))
    for mean, covariance in zip(found["means"], found["covariances"], strict=True):
        value += multivariate_normal.logpdf(mean, prior.mean, covariance / 0.7)
        variances = np.diag(covariance)[: len(prior.scale)]
        value += invgamma.logpdf(variances, 2.5, scale=0.5 * np.array(prior.scale)).sum()
    assert prior.log_prior(model, theta) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("model", LINEAR, **by_label)
def test_the_density_of_loadings_and_noise_is_that_of_scipy(model):
    prior, theta = find_prior("loadings=0.8,shape=1.7", model, X4), somewhere(model, X4)
    found = model.described(theta)
    noise, rate = np.ravel(found["sigma2"]), np.array(prior.rate)
    value = invgamma.logpdf(noise, 1.7, scale=rate).sum()
    deviations = np.sqrt(np.broadcast_to(noise, 4) / 0.8)[:, None]
    value += (-0.5 * (found["W"] / deviations) ** 2 - np.log(deviations) - 0.5 * np.log(2 * np.pi)).sum()
    assert prior.log_prior(model, theta) == pytest.approx(value, rel=1e-12)


# -- EM ------------------------------------------------------------------------------------------


EM_CASES = [*((model, FAITHFUL) for model in MIXTURES), *((model, X4) for model in LINEAR)]
over_em = pytest.mark.parametrize(("model", "x"), EM_CASES, ids=[model.label for model, _ in EM_CASES])


def problem_for(model, x, prior):
    kind = MixtureEM if isinstance(model, GaussianMixture) else LinearGaussianEM
    return kind(model, x, 1e-9, prior=prior)


@over_em
def test_the_m_step_of_map_is_where_the_bound_is_stationary(model, x):
    prior = find_prior("default", model, x)
    problem = problem_for(model, x, prior)
    q = problem.e_step(problem.prepared(somewhere(model, x)))
    best = problem.m_step(q)

    def bound(theta):
        return problem.elbo(theta, q) + prior.log_prior(model, theta)

    top = bound(best)
    for i in range(len(best)):
        if model.layout.name_of(i).startswith("b["):
            continue  # EM holds b at the mean, where log p(x) has its maximum in it
        h = 1e-4
        step = np.zeros_like(best)
        step[i] = h
        up, down = bound(best + step), bound(best - step)
        curvature = (2 * top - up - down) / h**2
        assert abs(up - down) / (2 * h) < 1e-6 * max(1.0, abs(curvature)), model.layout.name_of(i)
        assert curvature > -1e-6, "a maximum in every coordinate"


@over_em
def test_the_log_posterior_never_falls_and_the_bound_is_tight_after_an_e_step(model, x):
    fit = fit_em(model, x, prior="default", restarts=2, max_iterations=60, tolerance=1e-12)
    for before, row in zip(fit.history, fit.history[1:], strict=False):
        assert row["elbo_after_e"] == pytest.approx(before["log_posterior"], rel=1e-11)
        slack = 1e-11 * abs(row["log_posterior"])
        assert row["elbo_after_e"] <= row["elbo_after_m"] + slack
        assert row["elbo_after_m"] <= row["log_posterior"] + slack
        assert row["log_posterior"] == row["log_likelihood"] + row["log_prior"]
    assert fit.log_posterior == fit.history[-1]["log_posterior"]


@settings(max_examples=30)
@given(
    st.sampled_from(GaussianMixture.variants),
    st.integers(1, 4),
    st.integers(4, 30),
    st.floats(1.0, 20.0),
    st.floats(0.01, 50.0),
    st.integers(0, 1000),
)
def test_the_log_posterior_rises_on_any_data_under_any_prior(variant, n_components, n, a, strength, seed):
    x = np.random.default_rng(seed).standard_cauchy((n, 2))
    prior = f"dirichlet={a!r},strength={strength!r}"
    model = GaussianMixture(2, min(n_components, n), variant)
    run = EMFit(model, x, restarts=1, seed=seed, max_iterations=15, prior=prior)
    while run.advance() is not None:
        pass
    values = np.array([row["log_posterior"] for row in run.runs[0].history])
    assert (np.diff(values) >= -1e-9 * np.abs(values[1:])).all()


@over_em
def test_em_and_gradient_ascent_find_the_same_map(model, x):
    prior = find_prior("default", model, x)
    fit = fit_em(model, x, prior=prior, restarts=1, max_iterations=4000, tolerance=1e-13)
    climbed = maximise_evidence(model, x, prior=prior, start=fit.theta + 0.02, max_iterations=3000)
    assert log_posterior(model, prior, climbed, x) == pytest.approx(fit.log_posterior, abs=1e-4)
    for name, value in model.described(fit.theta).items():
        np.testing.assert_allclose(model.described(climbed)[name], value, rtol=5e-3, atol=5e-3)


@over_em
def test_under_a_flat_prior_em_is_maximum_likelihood(model, x):
    start = somewhere(model, x)
    plain = fit_em(model, x, start=start, max_iterations=40)
    flat = fit_em(model, x, start=start, max_iterations=40, prior="flat")
    np.testing.assert_allclose(flat.theta, plain.theta, rtol=1e-10, atol=1e-10)
    assert flat.log_posterior == pytest.approx(plain.log_likelihood, rel=1e-12)


@pytest.mark.parametrize("variant", GaussianMixture.variants)
def test_a_prior_keeps_a_component_from_collapsing_on_a_repeated_row(variant):
    x = np.concatenate([FAITHFUL, np.tile(FAITHFUL[7], (6, 1))])
    model = GaussianMixture(2, 3, variant)
    start = model.layout.pack(
        {"mean": [x[7], x[0], x[100]], **model.covariance.initial(np.array([[0.01, 0.01], [1, 13], [1, 13]]))}
    )
    floor = 1e-10
    plain = fit_em(model, x, start=start, floor=floor)
    assert 0 in plain.at_floor, "without a prior the density is unbounded there"
    kept = fit_em(model, x, start=start, floor=floor, prior="default")
    assert not kept.at_floor and not kept.warnings
    prior = find_prior("default", model, x)
    smallest = np.linalg.eigvalsh(model.described(kept.theta)["covariances"]).min()
    # Sigma is at least Psi over all degrees of freedom.
    scale = (
        np.linalg.eigvalsh(prior.of_components(model).scale).min() if variant == "full" else min(prior.scale)
    )
    assert smallest > scale / (prior.nu + 4 + 2 * len(x))


def test_a_factor_analysis_with_a_prior_has_no_heywood_case():
    # Two columns that are one and the same: a single factor explains both whole.
    x = np.column_stack([X4, X4[:, 0]])
    model = FactorAnalysis(5, 2)
    assert min(model.described(fit_em(model, x, max_iterations=3000).theta)["uniquenesses"]) < 0.005
    prior = find_prior("default", model, x)
    fit = fit_em(model, x, prior=prior)
    least = 2 * np.array(prior.rate) / (len(x) + model.n_latent + 2 * (prior.shape + 1))
    assert not fit.at_floor and (model.described(fit.theta)["sigma2"] > least).all()


@pytest.mark.parametrize("cut", [0, 3, 17])
def test_a_map_fit_that_was_cut_goes_on_bit_for_bit(cut):
    model, options = MIXTURES[2], {"restarts": 2, "max_iterations": 12, "prior": "dirichlet=3"}
    whole = EMFit(model, FAITHFUL, **options)
    while whole.advance() is not None:
        pass
    begun = EMFit(model, FAITHFUL, **options)
    for _ in range(cut):
        begun.advance()
    resumed = EMFit(model, FAITHFUL, **options)
    resumed.restore(*begun.state())
    while resumed.advance() is not None:
        pass
    assert resumed.result().theta.tobytes() == whole.result().theta.tobytes()
    assert resumed.result().history == whole.result().history


# -- formulas ------------------------------------------------------------------------------------


ONE = [GaussianMixture(2, 1, variant) for variant in GaussianMixture.variants]


@pytest.mark.parametrize("model", [*ONE, GaussianMLE(2)], **by_label)
def test_the_closed_form_of_map_is_a_stationary_point(model):
    prior = find_prior("default", model, FAITHFUL)
    fit = fit_closed_form(model, FAITHFUL, prior)
    slope = len(FAITHFUL) * evidence(model, fit.theta, FAITHFUL).grad_theta
    slope = slope + prior.log_prior_grad(model, fit.theta)
    assert np.abs(slope).max() < 1e-8
    assert fit.history[0]["log_posterior"] == pytest.approx(log_posterior(model, prior, fit.theta, FAITHFUL))


@pytest.mark.parametrize("model", [*ONE, GaussianMLE(2)], **by_label)
def test_the_closed_form_under_a_flat_prior_is_maximum_likelihood(model):
    flat, plain = (fit_closed_form(model, FAITHFUL, prior).theta for prior in ("flat", None))
    np.testing.assert_allclose(flat, plain, rtol=1e-10, atol=1e-10)


def test_the_mode_moves_with_the_coordinates():
    # Of one law of s2, over s2, over s and over log s: three modes, each where a fine grid has its maximum.
    law = NormalInverseGamma([1.0], 2.0, 3.0, 4.0)
    s2 = np.exp(np.linspace(-1.5, 1.5, 300_001))
    density = law.log_density(np.ones((len(s2), 1)), s2)
    over = {"s2": density, "s": density + 0.5 * np.log(s2), "log s": density + np.log(s2)}
    modes = {name: s2[values.argmax()] for name, values in over.items()}
    assert modes["s2"] == pytest.approx(law.mode()[1], rel=1e-4)
    assert modes["log s"] == pytest.approx(law.mode_in_log_scale()[1], rel=1e-4)
    assert modes["s"] == pytest.approx(law.rate / (law.shape + 1.0), rel=1e-4)
    assert modes["s2"] < 0.95 * modes["s"] < 0.9 * modes["log s"]


def test_the_most_evident_strength_maximises_the_evidence():
    x = RNG.standard_normal((12, 2)) + np.array([1.0, 0.5])
    law = NormalInverseGamma([0.0, 0.0], 1.0, 2.0, 1.5)
    best = law.most_evident_strength(x)

    def value(strength):
        return NormalInverseGamma(law.mean, strength, law.shape, law.rate).log_evidence(x)

    assert 0 < best < np.inf
    assert value(best) > max(value(best * 1.01), value(best / 1.01))
    assert value(best * 1e-4) < value(best) > value(best * 1e4)


def test_where_the_mean_is_not_told_from_the_prior_mean_the_strength_is_infinite():
    x = RNG.standard_normal((12, 2))
    law = NormalInverseGamma(x.mean(axis=0) + 0.01, 1.0, 2.0, 1.5)
    assert law.most_evident_strength(x) == np.inf
    values = [NormalInverseGamma(law.mean, k, 2.0, 1.5).log_evidence(x) for k in (0.1, 1, 10, 100, 1e4, 1e6)]
    assert (np.diff(values) > 0).all()


# -- how a prior is written ------------------------------------------------------------------------


@over_models
def test_a_prior_reads_back_from_its_text_to_the_last_bit(model, x):
    prior, theta = find_prior("default", model, x), somewhere(model, x)
    again = find_prior(prior.spec, model, x)
    assert again.spec == prior.spec
    assert again.log_prior(model, theta) == prior.log_prior(model, theta)


WRONG = {
    "much": "prior: expected 'default', 'flat' or NAME=NUMBER",
    "dirichle=2": "did you mean 'dirichlet'",
    "dirichlet=two": "prior: expected numbers for dirichlet",
    "dirichlet=2,dirichlet=3": "prior: expected dirichlet once, got dirichlet twice",
    "dirichlet=0": "prior dirichlet: expected a finite number above 0",
    "dirichlet=2/3": "prior dirichlet: expected a number",
    "dirichlet=nan": "prior dirichlet: expected a finite number above 0, got nan",
    "strength=-1": "prior strength: expected a finite number of at least 0",
    "nu=-9": "prior nu: expected a finite number of at least -4",
    "mean=1/2/3": "prior mean: expected 2 numbers, one a column, got 3",
    "mean=1/inf": "prior mean: expected finite numbers, got inf",
    "scale=1/2/3": "prior scale: expected 1 or 2 or 4 numbers",
    "scale=1/3/3/1": "prior scale: expected a positive definite scale",
    "scale=1/0/1/2": "prior scale: expected a symmetric matrix",
    "": "prior: expected 'default'",
}


@pytest.mark.parametrize(("text", "words"), WRONG.items(), ids=list(WRONG))
def test_a_wrong_prior_is_told_in_one_line(text, words):
    with pytest.raises(UserMistake) as caught:
        find_prior(text, MIXTURES[2], FAITHFUL)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_dirichlet_below_one_has_no_map():
    with pytest.raises(NotApplicable, match=r"dirichlet: expected at least 1, got 0\.5.*variational-bayes"):
        fit_em(MIXTURES[2], FAITHFUL, prior="dirichlet=0.5")


def test_priors_are_of_the_kind_of_the_model():
    with pytest.raises(TypeError, match="expected a MixturePrior for gaussian-mixture:full"):
        find_prior(NetworkPrior(1.0), MIXTURES[2], FAITHFUL)
    with pytest.raises(NotApplicable, match="its coefficients are latents with a prior already"):
        find_prior("default", LogisticRegression(5, (0.0, 0.0), (1.0, 1.0)), FAITHFUL)
    with pytest.raises(NotApplicable, match="has no width"):
        find_prior("flat", PRIORED[-1][0], X4)
    with pytest.raises(ValueError, match="rate: expected 1 or 4 numbers"):
        find_prior("rate=1/2", LINEAR[1], X4)
    with pytest.raises(ValueError, match="sd: expected a finite number above 0"):
        NetworkPrior(0.0)
    with pytest.raises(NotApplicable, match="MAP of ppca has no closed form; use method em"):
        fit_closed_form(LINEAR[0], X4, "default")


# -- planted faults --------------------------------------------------------------------------------


class ModeOfTheCovarianceAlone(MixturePrior):
    """Divides by nu + R + D + 1: the mode without the density of mu."""

    def mode_after(self, model, total, mean, moment):
        weights, means, variances = super().mode_after(model, total, mean, moment)
        count = self.nu + total + model.n_columns + 2
        return weights, means, variances * (count / (count - 1))[:, None, None]


class WithJacobian(MixturePrior):
    """Takes the slope of the density over log standard deviations."""

    def log_prior_grad(self, model, theta):
        jacobian = model.layout.pack({"log_diagonal": np.ones((model.n_components, model.n_columns))})
        return super().log_prior_grad(model, theta) + jacobian


def test_a_mode_of_another_density_is_caught():
    model, good = MIXTURES[2], find_prior("default", MIXTURES[2], FAITHFUL)
    fields = (good.dirichlet, good.strength, good.nu, good.mean, good.scale)
    for x_test, wrong in (
        (test_the_m_step_of_map_is_where_the_bound_is_stationary, ModeOfTheCovarianceAlone(*fields)),
        (test_the_slope_of_a_prior_is_that_of_central_differences, WithJacobian(*fields)),
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(globals(), "find_prior", lambda *_, wrong=wrong: wrong)
            with pytest.raises(AssertionError):
                x_test(model, FAITHFUL)
