"""A mixture of Gaussians as q: its implicit path, its strata, and what a wrong one of either would do."""

import numpy as np
import pytest
import scipy.special
from checks import assert_close, exact_draws

from elbo_lab import Problem, exact
from elbo_lab.distributions import DiagonalGaussian, DiagonalGaussianMixture, draw_noise
from elbo_lab.estimators import Reparameterization, StickingTheLanding, StratifiedReparameterization
from elbo_lab.layout import Layout
from elbo_lab.models import PPCA, StandardNormalPrior
from elbo_lab.optimise import fit_eta
from elbo_lab.posteriors import FreePosterior
from elbo_lab.training import NaturalStep


def member(family, n_data=2, seed=0):
    eta = np.tile(family.start, (n_data, 1))
    return eta + 0.4 * np.random.default_rng([seed, family.size]).standard_normal(eta.shape)


def cost(z):
    """Return a function that couples all coordinates, and its slope."""
    k = np.arange(1, z.shape[-1] + 1)
    inner = (k * z).sum(axis=-1)
    value = np.sin(inner) + 0.3 * z[..., 0] * z[..., -1]
    slope = np.cos(inner)[..., None] * k
    slope[..., 0] += 0.3 * z[..., -1]
    slope[..., -1] += 0.3 * z[..., 0]
    return value, slope


def expected_slope(family, eta):
    """Return d E_q cost / d eta (N, E): central differences of integrals by an independent rule."""
    found = np.empty_like(eta)
    for i in range(family.eta_size):
        ends = []
        for step in (1e-5, -1e-5):
            moved = eta.copy()
            moved[:, i] += step
            z, weights = exact_draws(family, moved)
            ends.append((weights * cost(z)[0]).sum(axis=0))
        found[:, i] = (ends[0] - ends[1]) / 2e-5
    return found


def integrated(family, eta, pullback):
    """Return the sum over components of a pullback, each by a trapezoid rule over its noise."""
    axis = np.linspace(-8.5, 8.5, 545 if family.size == 1 else 103)
    nodes = np.stack(np.meshgrid(*[axis] * family.size, indexing="ij"), axis=-1).reshape(-1, family.size)
    density = np.exp(-0.5 * (nodes**2).sum(axis=-1))
    total = 0.0
    for share, noise in family.strata(eta, nodes[:, None, :]):
        weights = (density / density.sum())[:, None] * share
        value, slope = cost(family.sample(eta, noise))
        total = total + pullback(noise, weights * value, weights[..., None] * slope)
    return total


def by_path(family, eta):
    return integrated(family, eta, lambda noise, _, slope: family.sample_vjp(eta, noise, slope))


SMALL = [DiagonalGaussianMixture(1, 3), DiagonalGaussianMixture(2, 2)]
by_size = pytest.mark.parametrize("family", SMALL, ids=lambda family: f"K={family.size}")


@by_size
def test_the_implicit_path_is_unbiased_for_every_parameter_the_logits_too(family):
    eta = member(family)
    assert_close(by_path(family, eta), expected_slope(family, eta), 1e-7)


@by_size
def test_the_sum_over_components_has_the_same_gradient(family):
    eta = member(family)
    found = integrated(family, eta, lambda *parts: family.stratum_vjp(eta, *parts))
    assert_close(found, expected_slope(family, eta), 1e-7)


def test_in_three_dimensions_the_path_agrees_with_the_sum_over_components():
    """Alpha is 0.001 over all numbers, limits of Student t; a bias of 0.14 is found with power 0.99."""
    family = DiagonalGaussianMixture(3, 3)
    eta, rng, batches = member(family), np.random.default_rng(12), []
    for _ in range(40):
        z_noise = draw_noise(family.noise_spec(500, 2), rng)
        path = family.sample_vjp(eta, z_noise, cost(family.sample(eta, z_noise))[1] / 500.0)
        summed, noise = 0.0, draw_noise(family.stratum_spec(500, 2), rng)
        for share, own in family.strata(eta, noise):
            value, slope = cost(family.sample(eta, own))
            weights = share / 500.0
            summed = summed + family.stratum_vjp(
                eta, own, weights * value, np.asarray(weights)[..., None] * slope
            )
        batches.append(path - summed)
    difference = np.array(batches)
    error = difference.std(axis=0, ddof=1) / np.sqrt(len(difference))
    limit = -scipy.special.stdtrit(len(difference) - 1, 0.001 / 2 / difference[0].size)
    assert np.all(np.abs(difference.mean(axis=0)) < limit * error)
    assert (limit + 2.33) * error.max() < 0.14


class NotUpdated(DiagonalGaussianMixture):
    def _log_weights_before(self, eta, log_terms):
        return scipy.special.log_softmax(self.split(eta)[0], axis=-1)[..., None] + 0.0 * log_terms


def test_responsibilities_that_no_earlier_coordinate_updates_are_a_bias():
    eta = member(SMALL[1])
    assert np.abs(by_path(NotUpdated(2, 2), eta) - expected_slope(SMALL[1], eta)).max() > 1e-2


def test_far_in_a_tail_the_path_keeps_its_digits():
    """Beyond eight standard deviations a plain difference of distribution functions is zero."""
    family = DiagonalGaussianMixture(1, 2)
    eta = family.join(np.zeros((1, 2)), np.array([[[-0.5], [0.5]]]), np.zeros((1, 2, 1)))
    for end in (-12.0, 12.0):
        z = 0.5 * np.sign(end) + end
        (_, noise), (_, other) = family.strata(eta, np.array([[[end]]]))
        own = other if end > 0.0 else noise
        found = family.sample_vjp(eta, own, np.ones((1, 1, 1)))[0, :2]
        # dz / dl = -pi_c (Phi_c - F) / q, both tails by their logarithms.
        log_tails = scipy.special.log_ndtr(-np.sign(end) * (z - np.array([-0.5, 0.5])))
        log_density = family.log_prob(eta, np.array([[[z]]]))[0, 0]
        tails = np.exp(log_tails - log_density)
        expected = np.sign(end) * 0.5 * (tails - tails.mean())
        assert_close(found, expected, 1e-9)


# -- one component, and exchanged components -------------------------------------------------------


def test_one_component_is_the_diagonal_gaussian():
    family, gaussian = DiagonalGaussianMixture(3, 1), DiagonalGaussian(3)
    rng = np.random.default_rng(2)
    own = rng.standard_normal((2, 6))
    eta, noise, grad_z = (
        np.pad(own, ((0, 0), (1, 0))),
        rng.standard_normal((5, 2, 4)),
        rng.standard_normal((5, 2, 3)),
    )
    z = gaussian.sample(own, noise[..., 1:])
    assert_close(family.sample(eta, noise), z)
    assert_close(family.log_prob(eta, z), gaussian.log_prob(own, z))
    assert_close(family.score(eta, z)[..., 1:], gaussian.score(own, z))
    assert_close(family.log_prob_grad_z(eta, z), gaussian.log_prob_grad_z(own, z))
    for vjp in (family.sample_vjp, lambda *parts: family.stratum_vjp(*parts[:2], grad_z[..., 0], parts[2])):
        found = vjp(eta, noise, grad_z)
        assert_close(found[:, 1:], gaussian.sample_vjp(own, noise[..., 1:], grad_z))
        assert_close(found[:, 0], np.zeros(2))
    for found, expected in zip(family.moments(eta), gaussian.moments(own), strict=True):
        assert_close(found, expected)
    step, slope = 0.7, rng.standard_normal((2, 6))
    found = family.natural_step(eta, np.pad(slope, ((0, 0), (1, 0))), step)
    assert_close(found[:, 1:], gaussian.natural_step(own, slope, step))


def test_exchanged_components_are_the_same_distribution():
    family = DiagonalGaussianMixture(2, 3)
    eta, order = member(family), [2, 0, 1]
    exchanged = family.join(*(part[:, order] for part in family.split(eta)))
    z = family.sample(eta, draw_noise(family.noise_spec(6, 2), np.random.default_rng(3)))
    assert_close(family.log_prob(exchanged, z), family.log_prob(eta, z))
    assert_close(family.log_prob_grad_z(exchanged, z), family.log_prob_grad_z(eta, z))
    assert_close(np.array(family.moments(exchanged)), np.array(family.moments(eta)))
    parts = [family.split(one) for one in (family.score(exchanged, z), family.score(eta, z))]
    for found, expected in zip(*parts, strict=True):
        assert_close(found, expected[..., order] if found.ndim == 3 else expected[..., order, :])


def test_the_start_sets_the_components_apart():
    for size, components in ((1, 2), (2, 4), (5, 3)):
        family = DiagonalGaussianMixture(size, components)
        means = family.split(family.start)[1]
        gaps = np.linalg.norm(means[:, None] - means, axis=-1)
        assert gaps[~np.eye(components, dtype=bool)].min() > 0.05


# -- the density and its moments -------------------------------------------------------------------


def off_by(family, eta):
    """Return |integral of q - 1|, and the largest error of mean and variance by quadrature."""
    axis = np.linspace(-16.0, 16.0, 2001)
    mass = np.exp(family.log_prob(eta, axis[:, None, None])).sum(axis=0) * (axis[1] - axis[0])
    z, weights = exact_draws(family, eta)
    mean = (weights[..., None] * z).sum(axis=0)
    std = np.sqrt((weights[..., None] * (z - mean) ** 2).sum(axis=0))
    found = family.moments(eta)
    return np.abs(mass - 1.0).max(), max(np.abs(found[0] - mean).max(), np.abs(found[1] - std).max())


def test_the_density_integrates_to_one_and_has_its_moments():
    family = DiagonalGaussianMixture(1, 3)
    assert max(off_by(family, member(family))) < 1e-12


class WithoutWeights(DiagonalGaussianMixture):
    def _standardised(self, eta, z):
        u, log_terms = super()._standardised(eta, z)
        return u, log_terms - scipy.special.log_softmax(self.split(eta)[0], axis=-1)


def test_a_density_without_weights_does_not_integrate_to_one():
    family = WithoutWeights(1, 3)
    assert off_by(family, member(family))[0] > 1.0


def test_a_count_of_components_below_one_is_refused():
    with pytest.raises(ValueError, match=r"^components: expected a whole number of at least 1, got 0"):
        DiagonalGaussianMixture(2, 0)


# -- as q: a target with two modes -----------------------------------------------------------------

TARGET = DiagonalGaussianMixture(1, 2)
MODES = TARGET.join(np.zeros((1, 2)), np.array([[[-3.2], [3.2]]]), np.full((1, 2, 1), np.log(0.8)))
NOTHING_SEEN = np.zeros((1, 1))
NO_THETA = np.zeros(0)


class TwoModes(StandardNormalPrior):
    """z ~ N(0, 1) and a likelihood by which the posterior is a mixture of two, and log p(x) zero."""

    name = "two-modes"
    n_columns = 1
    modes = MODES
    family = DiagonalGaussian(1)
    layout = Layout(())

    @classmethod
    def for_data(cls, x, variant=None, latent=None):  # noqa: ARG003
        return cls()

    def likelihood(self, theta, x, z):  # noqa: ARG002
        at = (self.modes, z), (np.zeros((1, 2)), z)
        value = TARGET.log_prob(*at[0]) - self.family.log_prob(*at[1])
        slope = TARGET.log_prob_grad_z(*at[0]) - self.family.log_prob_grad_z(*at[1])
        return value, lambda cotangent: (np.zeros((*cotangent.shape[:-2], 0)), cotangent[..., None] * slope)

    def initial_theta(self, x):  # noqa: ARG002
        return NO_THETA

    def sample_x(self, theta, z, rng):  # noqa: ARG002
        return np.zeros((len(z), 1))


class NearModes(TwoModes):
    """Modes that overlap, so that quadrature of gradients, too, meets its tolerance."""

    name = "near-modes"
    modes = TARGET.join(np.zeros((1, 2)), np.array([[[-1.2], [1.2]]]), np.zeros((1, 2, 1)))


def problem_at(family, eta, model=None):
    posterior = FreePosterior(family, 1)
    return Problem(model or TwoModes(), posterior, NO_THETA, posterior.phi_from_eta(eta), NOTHING_SEEN)


def test_a_mixture_of_two_meets_a_target_of_two_modes_and_a_gaussian_is_off_by_log_two():
    # From within the modes: between them there is another maximum, of wide components.
    starts = ((TARGET, [[0.2, 0.0, -2.0, 2.2, -0.5, -0.5]]), (DiagonalGaussian(1), [[2.2, -0.5]]))
    gaps = []
    for family, start in starts:
        rng, start = np.random.default_rng(0), np.array(start)
        eta = fit_eta(TwoModes(), NO_THETA, NOTHING_SEEN, start, rng, 300, family)
        gaps.append(-exact.elbo(problem_at(family, eta)).value[0])
    assert abs(gaps[0]) < 1e-3 and abs(gaps[1] - np.log(2.0)) < 1e-3


def test_at_the_posterior_every_stratum_has_the_same_log_weight():
    problem = problem_at(TARGET, MODES)
    found = exact.elbo(problem)
    assert found.rung == "quadrature" and abs(found.value[0]) < 1e-7
    assert np.abs(exact.gradients(problem).phi_elbo.value).max() < 1e-6


# -- as q: the estimators --------------------------------------------------------------------------

NODES = np.linspace(-8.5, 8.5, 545)
WEIGHTS = np.exp(-0.5 * NODES**2) / np.exp(-0.5 * NODES**2).sum()
OVERLAPPING = TARGET.join(np.array([[0.4, -0.3]]), np.array([[[-1.2], [1.6]]]), np.array([[[0.1], [-0.4]]]))


def expected_estimate(estimator, problem, n_parts):
    """Return the expectation of an estimate that is a sum over parts of the noise, by a rule for each."""
    noise = np.repeat(NODES[:, None, None, None], n_parts, axis=-1)
    return WEIGHTS @ estimator.estimate(problem, noise)[0]


def expected_by_components(estimator, problem):
    total = 0.0
    for share, own in TARGET.strata(OVERLAPPING, NODES[:, None, None, None]):
        total = total + share * (WEIGHTS @ estimator.estimate(problem, own)[0])
    return total


def differences_of_the_elbo(problem):
    found = np.empty(len(problem.phi))
    for i in range(len(found)):
        step = 1e-4 * np.eye(len(found))[i]
        up, down = (exact.elbo(problem._replace(phi=problem.phi + way * step)).value[0] for way in (1, -1))
        found[i] = (up - down) / 2e-4
    return found


def test_stratified_implicit_and_exact_gradients_are_the_slope_of_the_elbo():
    problem = problem_at(TARGET, OVERLAPPING, NearModes())
    expected, found = differences_of_the_elbo(problem), exact.gradients(problem).phi_elbo
    assert found.rung == "quadrature"
    assert_close(found.value, expected, 1e-6)
    assert_close(expected_estimate(StratifiedReparameterization(), problem, 2), expected, 1e-6)
    for estimator in (Reparameterization(), StickingTheLanding()):
        assert_close(expected_by_components(estimator, problem), expected, 1e-6)


class EqualShares(DiagonalGaussianMixture):
    def stratum(self, eta, noise, number):
        return np.full(len(eta), 1.0 / self.components), super().stratum(eta, noise, number)[1]


class OwnDensity(DiagonalGaussianMixture):
    """log q of the nearest component in place of the mixture's."""

    def _standardised(self, eta, z):
        u, log_terms = super()._standardised(eta, z)
        own = log_terms - scipy.special.log_softmax(self.split(eta)[0], axis=-1)
        return u, np.where(own == own.max(axis=-1, keepdims=True), own, -np.inf)


@pytest.mark.parametrize("kind", [EqualShares, OwnDensity])
def test_a_planted_fault_biases_the_stratified_gradient(kind):
    right, wrong = (problem_at(family, OVERLAPPING, NearModes()) for family in (TARGET, kind(1, 2)))
    found = expected_estimate(StratifiedReparameterization(), wrong, 2)
    assert np.abs(found - differences_of_the_elbo(right)).max() > 0.02


def drawn(problem, number):
    """Return the estimate (G, E) of the same form where this component was drawn, and its probability."""
    family, eta = TARGET, OVERLAPPING
    share, own = family.stratum(eta, NODES[:, None, None, None], number)
    z = family.sample(eta, own)
    log_w = problem.model.log_joint(NO_THETA, NOTHING_SEEN, z) - family.log_prob(eta, z)
    slope = problem.model.log_joint_grad_z(NO_THETA, NOTHING_SEEN, z, np.ones(z.shape[:-1]))
    slope = slope - family.log_prob_grad_z(eta, z)
    through = family.log_prob_vjp(eta, z, np.ones(z.shape[:-1]))
    return (family.stratum_vjp(eta, own, log_w, slope) - through)[:, 0], share[0]


def test_summing_over_the_component_never_has_more_variance_than_drawing_it():
    problem = problem_at(TARGET, OVERLAPPING)
    first = second = 0.0
    for number in (0, 1):
        one, share = drawn(problem, number)
        first, second = first + share * (WEIGHTS @ one), second + share * (WEIGHTS @ one**2)
    with_draws, summed = second - first**2, 0.0
    for number in (0, 1):
        noise = np.zeros((len(NODES), 1, 1, 2))
        noise[:, 0, 0, number] = NODES  # the other component's part is a constant
        part = StratifiedReparameterization().estimate(problem, noise)[0]
        summed = summed + WEIGHTS @ part**2 - (WEIGHTS @ part) ** 2
    assert np.all(summed <= with_draws) and summed.sum() < 0.6 * with_draws.sum()


# -- the natural step ------------------------------------------------------------------------------


def test_with_one_component_one_natural_step_on_a_conjugate_target_is_the_posterior():
    x = np.random.default_rng(0).standard_normal((3, 4))
    model, posterior = PPCA(4, 1), FreePosterior(DiagonalGaussianMixture(1, 1), 3)
    theta = model.random_theta(x, np.random.default_rng(1))
    phi = 0.7 * np.random.default_rng(2).standard_normal(posterior.layout.size)
    problem = Problem(model, posterior, theta, phi, x)
    NaturalStep(posterior, 3).move(phi, exact.gradients(problem).phi_elbo.value, 1.0)
    assert_close(exact.elbo(problem).value, exact.log_evidence(problem).value, 1e-7)


def test_natural_steps_climb_a_target_of_two_modes():
    problem = problem_at(TARGET, OVERLAPPING, NearModes())
    phi, values = problem.phi, [exact.elbo(problem).value[0]]
    for _ in range(8):
        NaturalStep(problem.posterior, 1).move(phi, exact.gradients(problem).phi_elbo.value, 0.3)
        values.append(exact.elbo(problem).value[0])
    assert np.all(np.diff(values) > 0.0) and values[-1] > -0.02


def check_joint_fisher(family):
    """The step, to first order, solves F step = gradient, F the Fisher matrix of component and draw."""
    eta = member(family, 1)
    nodes, one = np.polynomial.hermite_e.hermegauss(6)
    fisher = 0.0
    for share, own in family.strata(eta, nodes[:, None, None]):
        zeros, ones = np.zeros((6, 1)), np.ones((6, 1))
        u = own[..., 1:]
        # d log q(c, z): that of the weights, and that of the own Gaussian.
        of_weights = family.stratum_vjp(eta, own[:, None], ones[..., None], np.zeros((6, 1, 1, 1)))
        pick = family.stratum_vjp(eta, own[:, None], zeros[..., None], np.ones((6, 1, 1, 1)))
        _, chosen, _ = family.split(pick)
        stds = np.exp(family.split(eta)[2])
        gaussian = family.join(
            np.zeros((6, 1, 2)), chosen * u[..., None] / stds, chosen * (u**2 - 1.0)[..., None]
        )
        score = (of_weights + gaussian)[:, 0]
        fisher = fisher + share * np.einsum("s,si,sj->ij", one / one.sum(), score, score)
    gradient = np.random.default_rng(5).standard_normal((1, family.eta_size))
    gradient[:, 1] = -gradient[:, 0]  # a constant added to both logits changes nothing
    step = (family.natural_step(eta, gradient, 1e-7) - eta) / 1e-7
    assert_close(fisher @ step[0], gradient[0], 1e-5)


class FisherOfTheGaussianAlone(DiagonalGaussianMixture):
    def natural_step(self, eta, gradient, rate):
        weights = self.weights(eta)[..., None, None]
        by_logits, by_means, by_log_stds = self.split(gradient)
        scaled = self.join(by_logits, by_means * weights[..., 0], by_log_stds * weights[..., 0])
        return super().natural_step(eta, scaled, rate)


def test_the_natural_step_is_by_the_fisher_matrix_of_component_and_draw():
    check_joint_fisher(DiagonalGaussianMixture(1, 2))
    with pytest.raises(AssertionError):
        check_joint_fisher(FisherOfTheGaussianAlone(1, 2))
