"""A mixture of Gaussians as q: its implicit path, its strata, and what a wrong one of either would do."""

import numpy as np
import pytest
import scipy.special
from checks import assert_close, exact_draws

from elbo_lab.distributions import DiagonalGaussian, DiagonalGaussianMixture, draw_noise


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
