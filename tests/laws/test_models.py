"""Laws of every model: derivatives, axes, normalisation, sampling, and the exact answers."""

import itertools
import time
import tracemalloc

import numpy as np
import pytest
import scipy.stats
from cases import CASES as HIDDEN
from cases import CATEGORICAL, MODELS, OBSERVED, WITH_GAUSSIAN_X, model_id, over
from checks import assert_close, check_vjp, exact_draws, read_only

from elbo_lab.distributions import draw_noise
from elbo_lab.errors import NotApplicable
from elbo_lab.models import MODELS as MODEL_KINDS
from elbo_lab.models import (
    PPCA,
    ClosedForm,
    DeepBernoulli,
    DeepGaussianFixed,
    DeepGaussianFull,
    DeepGaussianLearned,
    FactorAnalysis,
    GaussianMixture,
    GaussianMLE,
    KernelDensity,
    SigmoidBelief,
)
from elbo_lab.models.bits import column_logits
from elbo_lab.special import LOG_2PI

N_DRAWS = 4
CASES = (*HIDDEN, *OBSERVED)
OF_BITS = ("deep-bernoulli", "sigmoid-belief")
VECTORS = [case for case in CASES if case.model.family.has_slope]
ROWS = [case for case in CASES if case.model.family.event_axes]
CLOSED_FORM = [case for case in CASES if isinstance(case.model, ClosedForm)]
LINEAR = [case for case in CLOSED_FORM if case.model.name in ("ppca", "factor-analysis")]


def generator(case):
    return np.random.default_rng([7, case.model.layout.size])


def draws(case, lead=(), n_data=None):
    """Return (z, cotangent, rng), z drawn from the free posterior of the case."""
    rng = generator(case)
    eta = case.free.eta(case.free_phi, case.x)[:n_data]
    noise = draw_noise(case.model.family.noise_spec(N_DRAWS, len(eta)), rng, lead)
    return case.model.family.sample(eta, noise), rng.standard_normal((*lead, N_DRAWS, 3)), rng


def dense_covariance(model, theta):
    """Return mean and D x D covariance of x, the way nobody should compute them for large D."""
    t = model.layout.views(theta)
    if model.name == "gaussian-mle":
        variance = np.exp(2 * t["log_tau"]) + np.exp(2 * t["log_s"])
        return t["mu"], variance * np.eye(model.n_columns)
    noise = np.exp(2.0 * np.broadcast_to(t["log_sigma"], (model.n_columns,)))
    return t["b"], t["W"] @ t["W"].T + np.diag(noise)


# -- derivatives ---------------------------------------------------------------------------------


@over(CASES)
@pytest.mark.parametrize("part", ["log_joint", "log_likelihood", "log_prior"])
def test_the_pullback_is_the_derivative_in_theta(case, part):
    z, _, rng = draws(case)
    x = () if part == "log_prior" else (case.x,)
    value, vjp = getattr(case.model, part), getattr(case.model, f"{part}_vjp")
    check_vjp(lambda theta: value(theta, *x, z), lambda theta, c: vjp(theta, *x, z, c)[0], case.theta, rng)


@over(VECTORS)
@pytest.mark.parametrize("part", ["log_joint", "log_likelihood", "log_prior"])
@pytest.mark.parametrize("shared", [False, True], ids=["own-z", "shared-z"])
def test_the_pullback_is_the_derivative_in_z(case, part, shared):
    z, _, rng = draws(case)
    z = z[:, :1] if shared else z
    x = () if part == "log_prior" else (case.x,)
    value, vjp = getattr(case.model, part), getattr(case.model, f"{part}_vjp")
    check_vjp(lambda z: value(case.theta, *x, z), lambda z, c: vjp(case.theta, *x, z, c)[1], z, rng)


@over(CATEGORICAL)
def test_a_category_has_no_derivative(case):
    z, cotangent, _ = draws(case)
    assert case.model.log_joint_vjp(case.theta, case.x, z, cotangent)[1] is None
    assert case.model.log_prior_vjp(case.theta, z, cotangent)[1] is None


@over(CASES)
def test_prior_eta_vjp_is_the_derivative_of_the_priors_eta(case):
    model = case.model
    check_vjp(lambda theta: model.prior_eta(theta)[0], model.prior_eta_vjp, case.theta, generator(case))
    cotangents = generator(case).standard_normal((2, 5, model.family.eta_size))
    together = model.prior_eta_vjp(case.theta, cotangents)
    alone = [[model.prior_eta_vjp(case.theta, c) for c in row] for row in cotangents]
    assert_close(together, alone)


# -- axes ----------------------------------------------------------------------------------------


@over(CASES)
def test_the_joint_is_likelihood_times_prior(case):
    z = draws(case)[0]
    prior = case.model.family.log_prob(case.model.prior_eta(case.theta), z)
    likelihood = case.model.log_likelihood(case.theta, case.x, z)
    assert likelihood.shape == prior.shape == (N_DRAWS, 3)
    assert_close(case.model.log_joint(case.theta, case.x, z), likelihood + prior)


@over(CASES)
def test_leading_axes_of_repeats_equal_looped_calls(case):
    z, cotangent, _ = draws(case, lead=(2, 3))
    model, theta, x = case.model, case.theta, case.x
    value = model.log_joint(theta, x, z)
    grad_theta, grad_z = model.log_joint_vjp(theta, x, z, cotangent)
    assert grad_theta.shape == (2, 3, model.layout.size)
    for r in np.ndindex(2, 3):
        assert_close(value[r], model.log_joint(theta, x, z[r]))
        one_theta, one_z = model.log_joint_vjp(theta, x, z[r], cotangent[r])
        assert_close(grad_theta[r], one_theta)
        if grad_z is not None:
            assert_close(grad_z[r], one_z)


@over(VECTORS)
@pytest.mark.parametrize("lead", [(), (2,)])
@pytest.mark.parametrize("n_seen", [1, 3])
def test_a_slope_in_z_alone_is_that_beside_the_slope_in_theta(case, lead, n_seen):
    z, cotangent, _ = draws(case, lead)
    model, arguments = case.model, (case.theta, case.x, z[..., :n_seen, :], cotangent)
    assert_close(model.log_joint_grad_z(*arguments), model.log_joint_vjp(*arguments)[1])
    assert_close(model.log_likelihood_grad_z(*arguments), model.log_likelihood_vjp(*arguments)[1])


@over(ROWS)
@pytest.mark.parametrize("lead", [(), (2,)])
def test_a_draw_shared_by_all_data_equals_its_copies(case, lead):
    z, cotangent, _ = draws(case, lead)
    model, theta, x, shared = case.model, case.theta, case.x, z[..., :1, :]
    copies = np.repeat(shared, 3, axis=-2)
    assert_close(model.log_joint(theta, x, shared), model.log_joint(theta, x, copies))
    grad_theta, grad_z = model.log_joint_vjp(theta, x, shared, cotangent)
    by_theta, by_copies = model.log_joint_vjp(theta, x, copies, cotangent)
    assert_close(grad_theta, by_theta)
    if model.family.has_slope:
        assert grad_z.shape == shared.shape
        assert_close(grad_z, by_copies.sum(axis=-2, keepdims=True))


@over(CASES)
def test_order_of_draws_and_data_does_not_matter(case):
    z, cotangent, _ = draws(case)
    model, theta = case.model, case.theta
    by_draw, by_datum = [2, 0, 3, 1], [1, 2, 0]
    x, moved, c = case.x[by_datum], z[by_draw][:, by_datum], cotangent[by_draw][:, by_datum]
    value = model.log_joint(theta, case.x, z)
    assert_close(model.log_joint(theta, x, moved), value[by_draw][:, by_datum])
    grad_theta, grad_z = model.log_joint_vjp(theta, case.x, z, cotangent)
    moved_theta, moved_z = model.log_joint_vjp(theta, x, moved, c)
    assert_close(moved_theta, grad_theta)
    if grad_z is not None:
        assert_close(moved_z, grad_z[by_draw][:, by_datum])


@over(CASES)
def test_inputs_are_never_written_into(case):
    z, cotangent, rng = draws(case)
    z, cotangent, theta, x = read_only(z, cotangent, case.theta, case.x)
    model = case.model
    grads = model.log_joint_vjp(theta, x, z, cotangent)
    model.log_joint(theta, x, z)
    model.check_data(x)
    model.check_theta(theta)
    model.canonical(theta)
    model.initial_theta(x)
    model.sample_x(theta, z[0], rng)
    assert all(np.isfinite(g).all() for g in grads if g is not None)
    if isinstance(model, ClosedForm):
        eta, weights = read_only(case.free.eta(case.free_phi, x), np.ones(3))
        model.log_evidence(theta, x)
        model.log_evidence_grad(theta, x, weights)
        model.expected_log_joint(theta, x, eta)
        model.expected_log_joint_vjp(theta, x, eta, weights)
        model.posterior_eta(model.canonical(theta), x)


# -- normalisation and sampling ------------------------------------------------------------------

PLANAR = (
    GaussianMLE(2),
    GaussianMixture(2, 3, "spherical"),
    GaussianMixture(2, 2, "diagonal"),
    GaussianMixture(2, 2, "full"),
    PPCA(2, 1),
    FactorAnalysis(2, 2),
    DeepGaussianFixed(1, 1, (3,)),
    DeepGaussianFixed(2, 1, (3,), "relu"),
    DeepGaussianLearned(2, 2, (3,), min_log_variance=-2.0),
    DeepGaussianFull(2, 2, (3,), min_log_variance=-2.0),
)


def some_theta_and_z(model, n_draws):
    rng = np.random.default_rng(model.layout.size)
    theta = 0.4 * rng.standard_normal(model.layout.size)
    noise = draw_noise(model.family.noise_spec(n_draws, 1), rng)
    return theta, model.family.sample(model.prior_eta(theta), noise)


@pytest.mark.parametrize("model", PLANAR, ids=model_id)
def test_the_likelihood_integrates_to_one_over_x(model):
    theta, z = some_theta_and_z(model, 3)
    # Standard deviations are at least 0.3: a trapezoid step of 0.2 errs by 1e-19.
    axis = np.arange(-20.0, 20.0, 0.2)
    x = np.array(list(itertools.product(axis, repeat=model.n_columns)))
    z = np.repeat(z, len(x), axis=1) if model.family.discrete else z
    density = np.exp(model.log_likelihood(theta, x, z))
    assert_close(density.sum(axis=1) * 0.2**model.n_columns, np.ones(3), 1e-9)


@pytest.mark.parametrize("model", [m for m in MODELS if m.name in OF_BITS], ids=model_id)
def test_the_likelihood_sums_to_one_over_all_binary_x(model):
    theta, z = some_theta_and_z(model, 3)
    x = np.array(list(itertools.product([0.0, 1.0], repeat=model.n_columns)))
    assert_close(np.exp(model.log_likelihood(theta, x, z)).sum(axis=1), np.ones(3))


class GivenNoise:
    """Stands for a generator; hands out the noise that it was made with."""

    def __init__(self, noise):
        self.noise = noise

    def _take(self, shape):
        assert shape == self.noise.shape
        return self.noise

    standard_normal = random = _take


@over(WITH_GAUSSIAN_X)
def test_a_gaussian_sample_is_the_noise_coloured_by_the_density(case):
    # x = m + A e has log p(x | z) = log p(m | z) - |e|^2 / 2 for all e iff A A^T is the covariance.
    model = case.model
    z = draws(case)[0].reshape(-1, *draws(case)[0].shape[2:])
    e = generator(case).standard_normal((len(z), model.n_columns))

    def log_density(noise):
        x = model.sample_x(case.theta, z, GivenNoise(noise))
        return model.log_likelihood(case.theta, x, z[None])[0]

    at_mean = log_density(np.zeros_like(e))
    assert_close(log_density(e), at_mean - 0.5 * (e**2).sum(axis=1), 1e-10)


@over([case for case in CASES if case.model.name in OF_BITS])
def test_a_binary_sample_is_one_on_as_much_noise_as_its_probability(case):
    model, n_points = case.model, 10_000
    z = np.broadcast_to(draws(case)[0][0, :1], (n_points, model.latent_dim))
    u = (np.arange(n_points) + 0.5) / n_points
    x = model.sample_x(case.theta, z, GivenNoise(np.tile(u[:, None], model.n_columns)))
    all_x = np.array(list(itertools.product([0.0, 1.0], repeat=model.n_columns)))
    p = np.exp(model.log_likelihood(case.theta, all_x, z[None, :1])[0])
    assert np.abs(x.mean(axis=0) - p @ all_x).max() <= 1.01 / n_points


@over(CASES)
def test_samples_of_the_model_have_mean_score_zero(case):
    # E_{p(x, z)} d log p(x, z) / d theta = 0 ties the samples of z and x to their densities; without
    # parameters theta, d / dz does, whose expectation is zero too since p(x, z) vanishes at infinity. One
    # t-test per coordinate over 100 batches of 50, false alarm 1e-6 over all coordinates of all
    # models (Bonferroni); it catches a bias of 0.1 standard deviations of a single score.
    model, batches = case.model, []
    rng = generator(case)
    for _ in range(100):
        x, z = model.sample(case.theta, 50, rng)
        by_theta, by_z = model.log_joint_vjp(case.theta, x, z[None], np.ones((1, 50)))
        batches.append(by_theta if model.layout.size else by_z[0].sum(axis=0))
    batches = np.array(batches)
    spread = batches.std(axis=0, ddof=1)
    moves = spread > 1e-12
    t = batches.mean(axis=0)[moves] / (spread[moves] / 10.0)
    n_tests = sum(c.model.layout.size or c.model.latent_dim for c in CASES)
    assert np.abs(t).max() < scipy.stats.t.isf(0.5e-6 / n_tests, df=99)
    assert np.abs(batches[:, ~moves]).max(initial=0.0) < 1e-9


@over(CASES)
def test_a_sample_is_data_that_the_model_accepts(case):
    x, z = case.model.sample(case.theta, 6, generator(case))
    assert case.model.check_data(x).shape == (6, case.model.n_columns)
    assert case.model.log_joint(case.theta, x, z[None]).shape == (1, 6)
    again, _ = case.model.sample(case.theta, 6, generator(case))
    assert np.array_equal(x, again)


# -- closed forms --------------------------------------------------------------------------------


@over(CLOSED_FORM)
def test_the_evidence_is_the_dense_gaussian_density(case):
    mean, covariance = dense_covariance(case.model, case.theta)
    expected = scipy.stats.multivariate_normal(mean, covariance).logpdf(case.x)
    assert_close(case.model.log_evidence(case.theta, case.x), expected, 1e-9)


@over(CLOSED_FORM)
def test_the_evidence_gradient_is_the_derivative(case):
    value, grad, x = case.model.log_evidence, case.model.log_evidence_grad, case.x
    check_vjp(lambda theta: value(theta, x), lambda theta, w: grad(theta, x, w), case.theta, generator(case))


@over(CLOSED_FORM)
def test_the_expected_log_joint_is_the_gauss_hermite_sum(case):
    eta = case.free.eta(case.free_phi, case.x)
    z, weights = exact_draws(case.model.family, eta)
    expected = (weights * case.model.log_joint(case.theta, case.x, z)).sum(axis=0)
    assert_close(case.model.expected_log_joint(case.theta, case.x, eta), expected, 1e-11)


@over(CLOSED_FORM)
def test_the_expected_log_joint_gradients_are_the_derivatives(case):
    theta, x, eta, rng = case.theta, case.x, case.free.eta(case.free_phi, case.x), generator(case)
    value, vjp = case.model.expected_log_joint, case.model.expected_log_joint_vjp
    check_vjp(lambda theta: value(theta, x, eta), lambda theta, w: vjp(theta, x, eta, w)[0], theta, rng)
    check_vjp(lambda eta: value(theta, x, eta), lambda eta, w: vjp(theta, x, eta, w)[1], eta, rng)


@over(LINEAR)
def test_the_posterior_moments_condition_the_dense_joint_gaussian(case):
    model = case.model
    b, C = dense_covariance(model, case.theta)
    W = model.layout.views(case.theta)["W"]
    gain = W.T @ np.linalg.inv(C)
    mean, covariance = model.posterior_moments(case.theta, case.x)
    assert_close(mean, (case.x - b) @ gain.T, 1e-9)
    assert_close(covariance, np.eye(model.latent_dim) - gain @ W, 1e-9)


def test_the_posterior_of_gaussian_mle_is_the_precision_weighted_mean():
    case = CLOSED_FORM[0]
    t = case.model.layout.views(case.theta)
    prior, noise = np.exp(-2 * t["log_tau"]), np.exp(-2 * t["log_s"])
    mean, log_std = case.model.family.split(case.model.posterior_eta(case.theta, case.x))
    assert_close(mean, (prior * t["mu"] + noise * case.x) / (prior + noise))
    assert_close(np.exp(-2 * log_std), np.full_like(mean, prior + noise))


@over(CATEGORICAL)
def test_the_posterior_of_a_mixture_is_the_normalised_joint(case):
    model = case.model
    z, posterior = exact_draws(model.family, model.posterior_eta(case.theta, case.x))
    joint = np.exp(model.log_joint(case.theta, case.x, z))
    assert_close(posterior, joint / joint.sum(axis=0))
    assert_close(model.posterior_eta(case.theta, case.x).T, np.log(joint))


@over(LINEAR)
def test_canonical_keeps_the_evidence_and_makes_the_posterior_diagonal(case):
    model, canonical = case.model, case.model.canonical(case.theta)
    evidence = model.log_evidence(case.theta, case.x)
    assert_close(model.log_evidence(canonical, case.x), evidence, 1e-11)
    mean, covariance = model.posterior_moments(canonical, case.x)
    assert_close(covariance, np.diag(np.diag(covariance)))
    expected = model.family.join(mean, np.tile(0.5 * np.log(np.diag(covariance)), (3, 1)))
    assert_close(model.posterior_eta(canonical, case.x), expected)
    assert_close(model.canonical(canonical), canonical)


@over(LINEAR)
def test_a_correlated_posterior_is_refused_with_its_correlation(case):
    covariance = case.model.posterior_moments(case.theta, case.x)[1]
    correlation = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
    with pytest.raises(NotApplicable, match=rf"correlation {abs(correlation):.2g}.*canonical"):
        case.model.posterior_eta(case.theta, case.x)


@over([case for case in CASES if case.model.name.startswith("deep")])
def test_a_deep_model_has_no_posterior_in_closed_form(case):
    with pytest.raises(NotApplicable, match=f"posterior of {case.model.label} has no closed form"):
        case.model.posterior_eta(case.theta, case.x)
    assert case.model.canonical(case.theta) is case.theta


# -- mixtures ------------------------------------------------------------------------------------


def test_mixture_variants_agree_where_they_describe_the_same_covariance():
    rng = np.random.default_rng(0)
    shared = {"logits": rng.standard_normal(3), "mean": rng.standard_normal((3, 2))}
    log_sigma, lower = rng.standard_normal(3), np.zeros((3, 1))
    scales = {
        "spherical": {"log_sigma": log_sigma},
        "diagonal": {"log_sigma": np.tile(log_sigma[:, None], 2)},
        "full": {"log_diagonal": np.tile(log_sigma[:, None], 2), "lower": lower},
    }
    x, z, cotangent = rng.standard_normal((5, 2)), rng.integers(0, 3, (4, 5)), rng.random((4, 5))
    answers = []
    for variant, scale in scales.items():
        model = GaussianMixture(2, 3, variant)
        theta = model.layout.pack({**shared, **scale})
        grads = model.layout.views(model.log_joint_vjp(theta, x, z, cotangent)[0])
        by_scale = grads["log_diagonal" if variant == "full" else "log_sigma"].reshape(3, -1)
        answers.append(
            [
                model.log_joint(theta, x, z),
                grads["logits"],
                grads["mean"],
                by_scale.sum(axis=1),
                model.posterior_eta(theta, x),
            ]
        )
    for other in answers[1:]:
        for found, expected in zip(other, answers[0], strict=True):
            assert_close(found, expected, 1e-11)


def test_each_full_component_is_scipys_gaussian():
    model, rng = GaussianMixture(3, 2, "full"), np.random.default_rng(1)
    theta, x = rng.standard_normal(model.layout.size), rng.standard_normal((4, 3))
    t = model.layout.views(theta)
    table, _ = model.likelihood_table(theta, x)
    for c, L in enumerate(model.covariance.factor(t)):
        assert np.all(np.triu(L, 1) == 0.0) and np.all(np.diag(L) > 0.0)
        expected = scipy.stats.multivariate_normal(t["mean"][c], L @ L.T).logpdf(x)
        assert_close(table[:, c], expected, 1e-9)


# -- starts --------------------------------------------------------------------------------------


def correlated_data(n_data=60, n_columns=4):
    rng = np.random.default_rng(5)
    latent = rng.standard_normal((n_data, 2)) @ rng.standard_normal((2, n_columns))
    return 3.0 + 2.0 * latent + rng.standard_normal((n_data, n_columns))


@pytest.mark.parametrize("model", [GaussianMLE(4), PPCA(4, 2), PPCA(4, 1)], ids=model_id)
def test_the_start_is_the_maximum_where_the_maximum_is_known(model):
    x, weights = correlated_data(), np.full(60, 1.0 / 60)
    theta = model.initial_theta(x)
    assert np.abs(model.log_evidence_grad(theta, x, weights)).max() < 1e-10
    best, rng = model.log_evidence(theta, x).mean(), np.random.default_rng(0)
    for size in (1e-3, 1e-2, 0.1, 1.0):
        for direction in rng.standard_normal((10, model.layout.size)):
            assert model.log_evidence(theta + size * direction, x).mean() < best


def test_gaussian_mle_reports_the_pooled_variance_and_starts_in_the_middle():
    x, model = correlated_data(), GaussianMLE(4)
    t = model.layout.views(model.initial_theta(x))
    assert model.sigma2(model.initial_theta(x)) == pytest.approx(x.var(axis=0).mean(), rel=1e-12)
    assert t["log_tau"] == t["log_s"]


@over(CASES)
@pytest.mark.parametrize("n_data", [1, 3])
def test_the_start_is_finite_and_the_same_every_time(case, n_data):
    if case.model.name == "gaussian-mixture":
        n_data = max(n_data, case.model.family.size)
    x = case.x[:n_data]
    theta = case.model.check_theta(case.model.initial_theta(x))
    assert np.isfinite(theta).all()
    assert np.array_equal(theta, case.model.initial_theta(x))


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_the_start_stays_finite_on_equal_rows(kind):
    x = np.ones((5, 3))
    if kind.labelled:
        x[:, -1] = [0, 1, 0, 1, 0]
    for variant in kind.variants:
        model = kind.for_data(x, variant)
        assert np.isfinite(model.initial_theta(model.as_data(x))).all()


def test_a_mixture_starts_at_parts_along_the_main_direction():
    x = np.concatenate([np.full((6, 2), -5.0), np.full((6, 2), 5.0)])
    x = x + np.random.default_rng(0).standard_normal(x.shape)
    model = GaussianMixture.for_data(x, "diagonal", 2)
    means = model.layout.views(model.initial_theta(x))["mean"]
    assert sorted(np.sign(means[:, 0])) == [-1.0, 1.0]


def test_bits_start_at_the_logits_of_the_column_means_with_half_a_count_on_each_side():
    x = np.array([[0.0, 1.0, 1.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    np.testing.assert_allclose(column_logits(x), np.log([0.5 / 4.5, 4.5 / 0.5, 1.5 / 3.5]), rtol=1e-14)


def test_ppca_starts_with_at_least_a_millionth_of_the_mean_variance_as_noise():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((50, 1)) * [3.0, 1.0, -2.0]  # on a line: nothing remains beside one latent
    model = PPCA(3, 1)
    log_sigma = model.layout.view(model.initial_theta(x), "log_sigma")
    assert_close(np.exp(2.0 * log_sigma), 1e-6 * x.var(axis=0).mean())


def test_factor_analysis_starts_with_half_of_the_variance_of_a_column_as_noise():
    x = np.random.default_rng(0).standard_normal((50, 3)) * [0.1, 1.0, 20.0]
    model = FactorAnalysis(3, 1)
    start = model.layout.views(model.initial_theta(x))
    np.testing.assert_allclose(np.exp(2.0 * start["log_sigma"]), 0.5 * x.var(axis=0), rtol=1e-12)


# -- size ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [PPCA, FactorAnalysis])
def test_two_thousand_columns_need_no_dense_covariance(kind):
    model, rng = kind(2000, 3), np.random.default_rng(0)
    theta, x = rng.standard_normal(model.layout.size), rng.standard_normal((5, 2000))
    eta, weights = 0.1 * rng.standard_normal((5, 6)), np.ones(5)
    tracemalloc.start()
    try:
        started = time.perf_counter()
        model.log_evidence(theta, x)
        model.log_evidence_grad(theta, x, weights)
        model.posterior_eta(model.canonical(theta), x)
        model.expected_log_joint_vjp(theta, x, eta, weights)
        model.initial_theta(x)
        seconds, peak = time.perf_counter() - started, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # A D x D matrix alone would take 32 MB.
    assert peak < 4e6 and seconds < 2.0


# -- the floor of the learned variance -----------------------------------------------------------


@pytest.mark.parametrize("raw", [-1e3, -7.0, -6.0, 0.0, 1e3])
def test_the_learned_variance_never_falls_below_its_floor(raw):
    model = DeepGaussianLearned(2, 1, (3,), min_log_variance=-6.0)
    _, log_variance, slope = model.split_outputs(np.full((1, 4), raw))
    assert np.all(log_variance >= -6.0) and np.all((slope >= 0.0) & (slope <= 1.0))
    if abs(raw) == 1e3:
        assert_close(log_variance, np.full((1, 2), max(raw, -6.0)))


def test_the_learned_density_stays_bounded_when_the_decoder_asks_for_no_variance():
    model = DeepGaussianLearned(2, 1, (3,), min_log_variance=-6.0)
    weights = model.decoder.layout.pack({"b2": np.array([1.0, 2.0, -1e3, -1e3])})
    x, z = np.array([[1.0, 2.0]]), np.zeros((1, 1, 1))
    highest = -0.5 * 2 * (np.log(2 * np.pi) - 6.0)
    assert model.log_likelihood(weights, x, z) == pytest.approx(highest, abs=1e-12)
    grad_theta, grad_z = model.log_likelihood_vjp(weights, x + 1.0, z, np.ones((1, 1)))
    assert np.isfinite(grad_theta).all() and np.isfinite(grad_z).all()


# -- the full covariance of a decoder --------------------------------------------------------------


def full_case(n_columns=4, shared=False):
    """Return a full decoder, theta, data x (5, D) and draws z (3, 5 or 1, 2)."""
    rng = np.random.default_rng(n_columns)
    model = DeepGaussianFull(n_columns, 2, (3,), min_log_variance=-4.0)
    theta = 0.6 * rng.standard_normal(model.layout.size)
    return model, theta, rng.standard_normal((5, n_columns)), rng.standard_normal((3, 1 if shared else 5, 2))


@pytest.mark.parametrize("shared", [False, True], ids=["own draws", "shared draws"])
def test_the_full_density_is_that_of_scipy(shared):
    model, theta, x, z = full_case(shared=shared)
    mean, covariance = model.expected_x(theta, z), model.covariance(theta, z)
    assert np.abs(covariance - covariance * np.eye(4)).max() > 0.1
    expected = np.empty((3, 5))
    for s, row in itertools.product(range(3), range(5)):
        at = s, 0 if shared else row
        expected[s, row] = scipy.stats.multivariate_normal(mean[at], covariance[at]).logpdf(x[row])
    assert_close(model.log_likelihood(theta, x, z), expected, 1e-12)
    assert_close(model.log_variance(theta, z), np.log(np.diagonal(covariance, axis1=-2, axis2=-1)), 1e-12)


def test_the_full_observation_without_off_diagonals_is_the_learned_one_bit_for_bit():
    full, theta, x, _ = full_case()
    learned = DeepGaussianLearned(4, 2, (3,), min_log_variance=-4.0)
    outputs = np.random.default_rng(1).standard_normal((3, 5, full.n_outputs))
    outputs[..., learned.n_outputs :] = 0.0
    of_full = full.observe(theta[:0], outputs, x)
    of_learned = learned.observe(theta[:0], outputs[..., : learned.n_outputs], x)
    assert np.array_equal(of_full[0], of_learned[0])
    assert np.array_equal(of_full[1]()[..., : learned.n_outputs], of_learned[1]())


def test_a_full_decoder_starts_as_the_learned_one():
    x = correlated_data()
    full, learned = (kind.for_data(x, latent=2) for kind in (DeepGaussianFull, DeepGaussianLearned))
    theta, z = full.initial_theta(x), np.random.default_rng(0).standard_normal((2, len(x), 2))
    covariance = full.covariance(theta, z)
    assert np.array_equal(covariance, covariance * np.eye(x.shape[1]))
    by_name, start = full.layout.views(theta), learned.initial_theta(x)
    for name, block in learned.layout.views(start).items():
        block[...] = by_name[name][..., : block.shape[-1]]
    assert_close(full.log_likelihood(theta, x, z), learned.log_likelihood(start, x, z), 1e-12)


def test_the_units_of_the_data_move_the_full_density_by_a_constant():
    model, theta, x, z = full_case()
    unit = np.array([1.0, 10.0, 0.1, 3.0])
    outputs = model.decode(theta, z)
    outputs[..., 4:8] = np.abs(outputs[..., 4:8]) + 40.0  # far above the floor: v is the raw output
    scaled = outputs.copy()
    scaled[..., :4] *= unit
    scaled[..., 4:8] += 2.0 * np.log(unit)
    apart = model.observe(theta[:0], outputs, x)[0] - model.observe(theta[:0], scaled, unit * x)[0]
    assert_close(apart, np.full((3, 5), np.log(unit).sum()), 1e-12)


def test_samples_of_a_full_decoder_have_its_covariance():
    model, theta, _, z = full_case(3)
    rng = np.random.default_rng(0)
    drawn = model.sample_x(theta, np.repeat(z[0, :1], 20_000, axis=0), rng)
    covariance = model.covariance(theta, z[0, :1])[0]
    # Of n draws a covariance has the standard error sqrt((s_ii s_jj + s_ij^2) / n). Six limits of five
    # standard errors raise a false alarm once in 300,000 seeds.
    s = np.diag(covariance)
    error = np.sqrt((np.outer(s, s) + covariance**2) / len(drawn))
    assert np.all(np.abs(np.cov(drawn.T) - covariance) < 5.0 * error)
    assert np.abs(covariance - np.diag(s)).max() > 10.0 * error.max()  # what a lost C would change


def test_the_full_density_is_bounded_by_its_floor():
    model, theta, x, _ = full_case()
    outputs = np.random.default_rng(2).standard_normal((1, 5, model.n_outputs))
    outputs[..., 4:8] = -1e3
    outputs[..., :4] = x
    assert_close(model.observe(theta[:0], outputs, x)[0], np.full((1, 5), -2.0 * (LOG_2PI - 4.0)), 1e-12)


def test_a_full_covariance_of_wide_data_is_refused_with_its_size():
    with pytest.raises(ValueError, match=r"at most 128 columns .*here 307720\), got 784 columns"):
        DeepGaussianFull(784, 2)


def test_the_floor_is_relative_to_the_data():
    x = correlated_data()
    floor = DeepGaussianLearned.for_data(x).min_log_variance
    assert DeepGaussianLearned.for_data(100.0 * x).min_log_variance - floor == pytest.approx(
        2.0 * np.log(100.0)
    )
    assert np.exp(floor) < 1e-3 * x.var(axis=0).min()


@pytest.mark.parametrize("activation", ["tanh", "relu", "softplus"])
def test_bernoulli_answers_stay_finite_at_extreme_logits(activation):
    model = DeepBernoulli(2, 1, (3,), activation)
    theta = model.decoder.layout.pack({"b2": np.array([1e3, -1e3])})
    x, z = np.array([[1.0, 0.0], [0.0, 1.0]]), np.zeros((1, 2, 1))
    assert model.log_likelihood(theta, x, z).tolist() == [[0.0, -2e3]]
    grad_theta, _ = model.log_likelihood_vjp(theta, x, z, np.ones((1, 2)))
    assert np.isfinite(grad_theta).all()


# -- refusals ------------------------------------------------------------------------------------


@over(CASES)
def test_another_number_of_columns_is_refused(case):
    columns = case.model.n_columns
    wrong = np.ones((3, columns + 1))
    with pytest.raises(ValueError, match=f"data: expected {columns} columns, got {columns + 1} col"):
        case.model.check_data(wrong)


@over(CASES)
def test_a_theta_of_another_size_is_refused(case):
    size = case.model.layout.size
    with pytest.raises(ValueError, match=rf"theta: expected shape \({size},\), got shape \({size + 1},"):
        case.model.check_theta(np.zeros(size + 1))


@pytest.mark.parametrize("value", [0.5, 2.0, -1.0])
def test_grey_values_are_refused_for_bits_with_value_and_place(value):
    x = np.zeros((4, 3))
    x[2, 1] = value
    with pytest.raises(ValueError, match=rf"--data: .*zeros and ones.*got {value:g} at row 2, column 1"):
        DeepBernoulli(3, 1).check_data(x, "--data")
    with pytest.raises(ValueError, match=rf"--data: .*zeros and ones.*got {value:g} at row 2, column 1"):
        SigmoidBelief(3, 1).check_data(x, "--data")


def test_the_posterior_of_hidden_bits_does_not_factorise():
    case = next(case for case in CASES if case.model.name == "sigmoid-belief")
    with pytest.raises(NotApplicable, match=r"posterior of sigmoid-belief couples its bits"):
        case.model.posterior_eta(case.theta, case.x)


def test_the_start_of_a_belief_network_tells_its_units_apart():
    x = (correlated_data() > 0.0).astype(float)
    model = SigmoidBelief(4, 2)
    W = model.layout.views(model.initial_theta(x))["W"]
    assert np.abs(W[:, 0] - W[:, 1]).min() > 0.01


def test_a_constant_column_is_refused_for_factor_analysis_only():
    x = correlated_data()
    x[:, 2] = 7.0
    with pytest.raises(ValueError, match=r"columns that vary.*got constant column 2; drop it"):
        FactorAnalysis(4, 2).check_data(x)
    assert np.array_equal(PPCA(4, 2).check_data(x), x)


def test_more_components_than_points_are_refused():
    with pytest.raises(ValueError, match=r"latent: expected at most .* the 3 data, got 4"):
        GaussianMixture.for_data(np.zeros((3, 2)), latent=4)
    assert GaussianMixture.for_data(np.zeros((3, 2)), latent=3).latent_dim == 3


@pytest.mark.parametrize("kind", [PPCA, FactorAnalysis])
def test_more_latents_than_columns_are_refused(kind):
    with pytest.raises(ValueError, match=r"latent: expected at most the 4 columns .*, got 5"):
        kind(4, 5)


# The size of z of the others follows from the data, or is one.
@pytest.mark.parametrize("kind", [k for k in MODEL_KINDS if k.default_latent is not None])
@pytest.mark.parametrize("latent", [0, -1])
def test_a_latent_dimension_below_one_is_refused(kind, latent):
    with pytest.raises(ValueError, match=f"latent: .*at least 1, got {latent}"):
        kind.for_data(np.zeros((5, 3)), latent=latent)


def test_an_unknown_mixture_variant_suggests_the_nearest():
    with pytest.raises(ValueError, match=r"variant: .*'diagnal'; did you mean 'diagonal'"):
        GaussianMixture(2, 2, "diagnal")


@pytest.mark.parametrize("hidden", [(0,), (3, -1)])
def test_a_hidden_width_below_one_is_refused_when_the_model_is_built(hidden):
    with pytest.raises(ValueError, match=f"sizes: .*got {hidden[-1]}"):
        DeepBernoulli(3, 1, hidden)


def test_an_unknown_activation_is_refused_when_the_model_is_built():
    with pytest.raises(ValueError, match=r"activation: .*'sine'"):
        DeepGaussianFixed(3, 1, (3,), "sine")


# -- registry ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_every_kind_of_model_builds_itself_for_data(kind):
    x = correlated_data()[:, :3]  # the most columns of a histogram
    for variant in kind.variants:
        model = kind.for_data(x, variant)
        assert model.label == (f"{kind.name}:{variant}" if variant else kind.name)
        most = len(x) if kind is KernelDensity else 4
        assert model.n_columns == model.as_data(x).shape[1]
        assert model.latent_option == kind.default_layers or 1 <= model.latent_option <= most
        assert len(model.as_data(x)) == (1 if model.global_latents else len(x))
        assert model.summary and model.default_data
        assert model == kind.for_data(x, variant) and hash(model) == hash(kind.for_data(x, variant))


@over(CASES)
def test_every_coordinate_of_theta_has_a_name(case):
    layout = case.model.layout
    names = {layout.name_of(i) for i in range(layout.size)}
    assert len(names) == layout.size == len(case.theta)


def test_bits_start_at_the_logits_of_their_columns_with_half_a_count_on_each_side():
    x = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    model = DeepBernoulli(2, 1, hidden=(3,))
    bias = model.layout.views(model.initial_theta(x))["decoder.b2"]
    assert_close(bias, np.log([3.5 / 0.5, 1.5 / 2.5]))
