"""Laws of every family: densities, scores, entropies, KL, sampling from noise; none needs luck."""

import itertools

import numpy as np
import pytest
import scipy.special
import scipy.stats
from cases import FAMILIES
from checks import assert_close, check_vjp, exact_draws, read_only, scale_matrices
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from elbo_lab.distributions import FAMILIES as REGISTERED
from elbo_lab.distributions import (
    Beta,
    Categorical,
    CouplingFlow,
    DiagonalGaussian,
    DiagonalGaussianMixture,
    FullGaussian,
    IndependentBernoulli,
    IndependentFamily,
    Laplace,
    Logistic,
    LowRankGaussian,
    NoiseSpec,
    draw_noise,
)
from elbo_lab.distributions.flows import Flow
from elbo_lab.errors import NotApplicable

N_DATA, N_DRAWS = 3, 4
CONTINUOUS = [family for family in FAMILIES if not family.discrete]
GAUSSIANS = [family for family in FAMILIES if isinstance(family, (DiagonalGaussian, FullGaussian))]
DIAGONALS = [family for family in FAMILIES if isinstance(family, DiagonalGaussian)]
# The path of a mixture is that of its law and not that of its noise (test_diagonal_gaussian_mixture.py).
WITH_FROZEN_NOISE = [family for family in CONTINUOUS if not isinstance(family, DiagonalGaussianMixture)]
WITH_KL = [family for family in FAMILIES if family.closed_kl]
WITHOUT_KL = [family for family in FAMILIES if family not in WITH_KL]
# Of a flow in three dimensions a rule that converges has too many nodes.
INTEGRATED = [family for family in FAMILIES if not isinstance(family, Flow) or family.size < 3]
CATEGORICALS = [family for family in FAMILIES if family.name == "categorical"]
BITS = [family for family in FAMILIES if family.name == "independent-bernoulli"]
CHAINS_OF_BITS = [family for family in FAMILIES if family.name == "bernoulli-chain"]
VECTORS = [family for family in FAMILIES if family.name == "categorical-vector"]
DISCRETE = CATEGORICALS + VECTORS + BITS + CHAINS_OF_BITS
# Those of bits are sums over their values.
WITH_ENTROPY = [family for family in FAMILIES if family.closed_entropy or family.discrete]


def family_id(family):
    order = f"-{family.order}" if hasattr(family, "order") else ""
    return f"{family.name}-{family.size}{order}"


every_family = pytest.mark.parametrize("family", FAMILIES, ids=family_id)
every_continuous = pytest.mark.parametrize("family", CONTINUOUS, ids=family_id)
every_with_entropy = pytest.mark.parametrize("family", WITH_ENTROPY, ids=family_id)
every_comparable = pytest.mark.parametrize("family", WITH_KL, ids=family_id)
every_smooth = pytest.mark.parametrize(
    "family", [family for family in WITH_KL if not isinstance(family, Laplace)], ids=family_id
)
every_gaussian = pytest.mark.parametrize("family", GAUSSIANS, ids=family_id)
every_diagonal = pytest.mark.parametrize("family", DIAGONALS, ids=family_id)
every_categorical = pytest.mark.parametrize("family", CATEGORICALS, ids=family_id)
every_bits = pytest.mark.parametrize("family", BITS, ids=family_id)
every_discrete = pytest.mark.parametrize("family", DISCRETE, ids=family_id)


def members(family, seed=0, n_data=N_DATA):
    """Return (eta, other, noise, z, rng): two rows of members and draws from the first."""
    rng = np.random.default_rng([seed, family.size])
    eta, other = rng.standard_normal((2, n_data, family.eta_size))
    if isinstance(family, IndependentFamily):
        # KL is exponential in these parameters; one far apart would be judged by its largest terms alone.
        eta, other = 0.4 * eta, 0.4 * other
    if isinstance(family, DiagonalGaussianMixture):
        # Components of very different widths need a grid of many nodes.
        eta, other = 0.3 * eta, 0.3 * other
    if isinstance(family, Flow):
        # Steep layers in a row are beyond central differences, and beyond a grid of few nodes.
        eta, other = 0.15 * eta, 0.15 * other
    if isinstance(family, Beta):
        # Shapes below one crowd draws at the last float below one, which has no digits of 1 - z.
        eta, other = np.abs(eta), np.abs(other)
    noise = draw_noise(family.noise_spec(N_DRAWS, n_data), rng)
    return eta, other, noise, family.sample(eta, noise), rng


@st.composite
def two_members(draw):
    """A family and two rows of its members: up to +-1e3 for logits, +-4 for Gaussians, +-1 for others.

    KL of the others is exponential in their parameters: at +-4 it leaves the floats.
    """
    family = draw(st.sampled_from(WITH_KL))
    size = 1e3 if family.discrete else 4.0 if family in GAUSSIANS else 1.0
    eta, other = (
        arrays(float, (2, family.eta_size), elements=st.floats(-size, size), fill=st.nothing())
        for _ in range(2)
    )
    return family, draw(eta), draw(other)


# -- densities -----------------------------------------------------------------------------------


@every_gaussian
def test_a_density_integrates_to_one(family):
    eta = members(family)[0]
    # A trapezoid sum with a step of half a standard deviation errs by 1e-30 for a Gaussian.
    axis = np.arange(-9.0, 9.5, 0.5)
    grid = np.stack(np.meshgrid(*[axis] * family.size), axis=-1).reshape(-1, 1, family.size)
    density = np.exp(family.log_prob(eta, family.sample(eta, grid)))
    cell = 0.5**family.size * np.linalg.det(scale_matrices(family, eta))
    assert_close(density.sum(axis=0) * cell, np.ones(N_DATA))


@every_discrete
def test_probabilities_sum_to_one(family):
    eta = 100.0 * members(family)[0]
    z, _ = exact_draws(family, eta)
    assert_close(np.exp(family.log_prob(eta, z)).sum(axis=0), np.ones(N_DATA))


@every_gaussian
def test_gaussian_log_density_agrees_with_scipy(family):
    eta, _, _, z, _ = members(family)
    scale = scale_matrices(family, eta)
    expected = [
        scipy.stats.multivariate_normal(mean, L @ L.T).logpdf(z[:, n])
        for n, (mean, L) in enumerate(zip(family.split(eta)[0], scale, strict=True))
    ]
    assert_close(family.log_prob(eta, z), np.transpose(expected), 1e-10)


@every_categorical
def test_categorical_log_probability_agrees_with_scipy(family):
    eta, _, _, z, _ = members(family)
    table = scipy.special.log_softmax(eta, axis=1)
    expected = [[table[n, z[s, n]] for n in range(N_DATA)] for s in range(N_DRAWS)]
    assert_close(family.log_prob(eta, z), expected)


@every_bits
def test_the_log_probability_of_bits_agrees_with_scipy(family):
    eta, _, _, z, _ = members(family)
    expected = scipy.stats.bernoulli(scipy.special.expit(eta)).logpmf(z).sum(axis=-1)
    assert_close(family.log_prob(eta, z), expected)


@every_discrete
def test_the_values_of_a_discrete_z_are_each_listed_once(family):
    eta = members(family)[0]
    values, (z, weights) = family.values(), exact_draws(family, eta)
    assert np.array_equal(values, z[:, 0])
    each = np.repeat(values[:, None], N_DATA, axis=1)
    assert_close(np.exp(family.log_prob(eta, each)), weights)


@every_discrete
def test_the_moments_are_those_of_the_values(family):
    eta = members(family)[0]
    z, weights = exact_draws(family, eta)
    z = z if family.has_slope else family.one_hot(z)
    mean = np.einsum("gn,gnk->nk", weights, z)
    variance = np.einsum("gn,gnk->nk", weights, (z - mean) ** 2)
    for found, expected in zip(family.moments(eta), (mean, np.sqrt(variance)), strict=True):
        assert_close(found, expected, 1e-10)


@every_bits
def test_a_draw_that_all_data_share_is_scored_as_its_copies(family):
    eta, _, _, _, rng = members(family)
    shared = family.values()[:, None]
    copies = np.repeat(shared, N_DATA, axis=1)
    cotangent = rng.standard_normal((2, len(shared), N_DATA))
    assert_close(family.log_prob(eta, shared), family.log_prob(eta, copies))
    assert_close(
        family.log_prob_vjp(eta, shared, cotangent),
        family.log_prob_vjp(eta, np.stack([copies] * 2), cotangent),
    )


def test_more_bits_than_can_be_listed_are_refused():
    assert len(IndependentBernoulli(16).values()) == 2**16
    with pytest.raises(NotApplicable, match=r"^2\^17 values are too many to list: at most 16 bits$"):
        IndependentBernoulli(17).values()


@every_categorical
def test_a_constant_added_to_all_logits_changes_nothing(family):
    eta, other, _, z, _ = members(family)
    shifted = eta + 1e3
    assert_close(family.log_prob(shifted, z), family.log_prob(eta, z), 1e-11)
    assert_close(family.entropy(shifted), family.entropy(eta), 1e-11)
    assert_close(family.kl(shifted, other), family.kl(eta, other), 1e-11)


@every_family
def test_one_member_for_all_data_equals_its_copies(family):
    eta, other, _, z, _ = members(family)
    one, copies = eta[:1], np.repeat(eta[:1], N_DATA, axis=0)
    assert np.array_equal(family.log_prob(one, z), family.log_prob(copies, z))
    assert np.array_equal(family.score(one, z), family.score(copies, z))
    if family in WITH_KL:
        one, copies = other[:1], np.repeat(other[:1], N_DATA, axis=0)
        assert np.array_equal(family.kl(eta, one), family.kl(eta, copies))


# -- derivatives ---------------------------------------------------------------------------------


@every_family
def test_the_score_is_the_derivative_of_log_prob_in_eta(family):
    eta, _, _, z, rng = members(family)
    check_vjp(lambda eta: family.log_prob(eta, z), lambda eta, c: family.log_prob_vjp(eta, z, c), eta, rng)


@every_family
def test_the_log_prob_pullback_is_the_score_summed_over_draws(family):
    eta, _, _, z, rng = members(family)
    cotangent = rng.standard_normal((N_DRAWS, N_DATA))
    expected = np.einsum("sn,sne->ne", cotangent, family.score(eta, z))
    assert_close(family.log_prob_vjp(eta, z, cotangent), expected)


@every_family
@pytest.mark.parametrize("lead", [(), (2, 3)])
def test_a_draw_is_sample_log_prob_and_its_pullback(family, lead):
    eta, _, _, _, rng = members(family)
    noise = draw_noise(family.noise_spec(N_DRAWS, N_DATA), rng, lead=lead)
    cotangent = rng.standard_normal((*lead, N_DRAWS, N_DATA))
    z, log_q, pullback = family.draw(eta, noise)
    assert np.array_equal(z, family.sample(eta, noise))
    assert_close(log_q, family.log_prob(eta, z))
    assert_close(pullback(cotangent), family.log_prob_vjp(eta, z, cotangent))


@pytest.mark.parametrize("family", CONTINUOUS + BITS, ids=family_id)
def test_both_pullbacks_of_log_prob_are_those_of_eta_and_of_z(family):
    eta, _, _, z, rng = members(family)
    cotangent = rng.standard_normal((N_DRAWS, N_DATA))
    by_eta, by_z = family.log_prob_vjps(eta, z, cotangent)
    assert_close(by_eta, family.log_prob_vjp(eta, z, cotangent))
    assert_close(by_z, cotangent[..., None] * family.log_prob_grad_z(eta, z))


@every_categorical
@pytest.mark.parametrize("lead", [(), (2, 3)])
@pytest.mark.parametrize("n_seen", [1, N_DATA])
def test_cotangents_by_category_are_sums_over_indicators(family, lead, n_seen):
    rng = np.random.default_rng(0)
    z = rng.integers(family.size, size=(*lead, N_DRAWS, n_seen))
    cotangent = rng.standard_normal((*lead, N_DRAWS, N_DATA))
    expected = (family.one_hot(z) * cotangent[..., None]).sum(axis=-3)
    assert_close(family.by_category(z, cotangent), expected)


@pytest.mark.parametrize("family", CONTINUOUS + BITS, ids=family_id)
def test_log_prob_grad_z_is_the_derivative_in_z(family):
    eta, _, _, z, rng = members(family)
    # In relative steps, since a small z above zero has no room for others.
    slope = z * family.log_prob_grad_z(eta, z)
    check_vjp(
        lambda times: family.log_prob(eta, z * times),
        lambda _, c: c[..., None] * slope,
        np.ones(z.shape),
        rng,
    )


@pytest.mark.parametrize("family", WITH_FROZEN_NOISE, ids=family_id)
def test_sample_vjp_is_the_derivative_of_sampling_with_frozen_noise(family):
    eta, _, noise, _, rng = members(family)
    check_vjp(
        lambda eta: family.sample(eta, noise), lambda eta, c: family.sample_vjp(eta, noise, c), eta, rng
    )


@every_with_entropy
def test_entropy_grad_is_the_derivative_of_the_entropy(family):
    eta, _, _, _, rng = members(family)
    check_vjp(family.entropy, lambda eta, c: c[:, None] * family.entropy_grad(eta), eta, rng)


@every_comparable
@pytest.mark.parametrize("argument", [0, 1])
def test_kl_grad_is_the_derivative_of_kl_in_either_argument(family, argument):
    pair, rng = list(members(family)[:2]), members(family)[-1]

    def replaced(eta):
        return [eta if i == argument else pair[i] for i in (0, 1)]

    check_vjp(
        lambda eta: family.kl(*replaced(eta)),
        lambda eta, c: c[:, None] * family.kl_grad(*replaced(eta))[argument],
        pair[argument],
        rng,
    )


@pytest.mark.parametrize("n_data", [1, 2, 3])
@pytest.mark.parametrize("shared", [False, True], ids=["own draws", "shared draws"])
@pytest.mark.parametrize("family", BITS, ids=family_id)
def test_bits_have_the_same_formulas_for_any_number_of_rows(family, n_data, shared):
    rng = np.random.default_rng(n_data)
    eta = rng.standard_normal((n_data, family.size))
    z = (rng.random((N_DRAWS, 1 if shared else n_data, family.size)) < 0.5).astype(float)
    cotangent = rng.standard_normal((N_DRAWS, n_data))
    p = 1.0 / (1.0 + np.exp(-eta))
    assert_close(family.log_prob(eta, z), (z * np.log(p) + (1.0 - z) * np.log1p(-p)).sum(axis=-1), 1e-12)
    assert_close(family.log_prob_vjp(eta, z, cotangent), (cotangent[..., None] * (z - p)).sum(axis=0), 1e-12)


# -- expectations, without noise -----------------------------------------------------------------


@pytest.mark.parametrize("family", INTEGRATED, ids=family_id)
def test_the_expected_score_is_zero(family):
    eta = members(family)[0]
    z, weights = exact_draws(family, eta)
    mean_score = np.einsum("gn,gne->ne", weights, family.score(eta, z))
    assert np.abs(mean_score).max() < 1e-12


@every_with_entropy
def test_the_entropy_is_minus_the_expected_log_prob(family):
    eta = members(family)[0]
    z, weights = exact_draws(family, eta)
    assert_close(family.entropy(eta), -(weights * family.log_prob(eta, z)).sum(axis=0), 1e-10)


@every_smooth
def test_kl_is_the_expected_difference_of_log_probs(family):
    eta, other = members(family)[:2]
    z, weights = exact_draws(family, eta)
    difference = family.log_prob(eta, z) - family.log_prob(other, z)
    assert_close(family.kl(eta, other), (weights * difference).sum(axis=0), 1e-10)


def kl_between_kinks(eta, other):
    """Return KL of two Laplace distributions (N,), integrated from kink to kink."""
    family, expected = Laplace(1), []
    for ours, theirs in zip(eta, other, strict=True):
        kinks = sorted([ours[0], theirs[0]])
        edges = [kinks[0] - 60.0 * np.exp(ours[1]), *kinks, kinks[1] + 60.0 * np.exp(ours[1])]
        x, w = np.polynomial.legendre.leggauss(200)
        total = 0.0
        for low, high in itertools.pairwise(edges):
            z = (low + 0.5 * (high - low) * (1.0 + x))[:, None, None]
            log_q, log_other = family.log_prob(ours[None], z), family.log_prob(theirs[None], z)
            total += 0.5 * (high - low) * w @ (np.exp(log_q) * (log_q - log_other))[:, 0]
        expected.append(total)
    return np.array(expected)


def test_kl_of_laplace_is_an_integral_between_its_kinks():
    eta, other = members(Laplace(1))[:2]
    assert_close(Laplace(1).kl(eta, other), kl_between_kinks(eta, other), 1e-10)


# -- KL of a pair of families ----------------------------------------------------------------------

# One coordinate of every kind (four categories, two of a coupling flow), and three of the Gaussians.
SIZES = {Categorical: 4, CouplingFlow: 2}
PAIRED = [kind.of_size(SIZES.get(kind, 1)) for kind in REGISTERED]
PAIRED += [DiagonalGaussian(3), FullGaussian(3)]


def check_pair(family, other_family):
    """KL has a formula if and only if the pair says so, and then it is the expected difference of log q."""
    eta, other = members(family)[0], members(other_family, seed=1)[0]
    if not family.has_kl_to(other_family):
        for refused in (family.kl_to, family.kl_grad_to):
            with pytest.raises(NotApplicable, match=r"^KL from \S+ to \S+ has no closed form; .+ draws$"):
                refused(other_family, eta, other)
        return
    if isinstance(family, Laplace):
        expected = kl_between_kinks(eta, other)
    else:
        z, weights = exact_draws(family, eta)
        expected = (weights * (family.log_prob(eta, z) - other_family.log_prob(other, z))).sum(axis=0)
    assert_close(family.kl_to(other_family, eta, other), expected, 1e-9)
    one = family.kl_to(other_family, eta, other[:1])
    assert_close(one, family.kl_to(other_family, eta, np.repeat(other[:1], len(eta), axis=0)), 1e-13)


@pytest.mark.parametrize("family", PAIRED, ids=family_id)
def test_a_pair_has_a_kl_exactly_if_it_says_so(family):
    for other_family in PAIRED:
        check_pair(family, other_family)


def test_the_pairs_with_a_kl_are_those_of_one_family_and_those_of_gaussians():
    closed = [(q, p) for q in PAIRED for p in PAIRED if q.has_kl_to(p)]
    same = [(q, q) for q in PAIRED if q.closed_kl]
    gaussian = [(q, p) for q in GAUSSIANS for p in GAUSSIANS if q.size == p.size and q != p]
    gaussian += [(q, p) for q, p in itertools.permutations([DiagonalGaussian(1), LowRankGaussian(1)])]
    assert set(closed) == set(same + gaussian) and len(same) == len(PAIRED) - 7


@pytest.mark.parametrize("fault", ["a KL of the wrong pair", "a KL that is not there"])
def test_a_pair_that_says_too_much_is_caught(fault, monkeypatch):
    if fault == "a KL of the wrong pair":
        monkeypatch.setattr(Beta, "holds", lambda self, family: True)  # noqa: ARG005
        with pytest.raises(AssertionError):
            check_pair(Beta(1), DiagonalGaussian(1))
    else:
        monkeypatch.setattr(Logistic, "closed_kl", True)
        with pytest.raises(NotApplicable):
            check_pair(Logistic(1), Logistic(1))


@pytest.mark.parametrize("argument", [0, 1])
@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("kinds", [*itertools.product((DiagonalGaussian, FullGaussian), repeat=2)])
def test_the_gradient_of_a_kl_of_two_gaussians_is_its_derivative(kinds, size, argument):
    family, other_family = (kind(size) for kind in kinds)
    pair = [members(family)[0], members(other_family, seed=1)[0]]

    def replaced(eta):
        return [eta if i == argument else pair[i] for i in (0, 1)]

    check_vjp(
        lambda eta: family.kl_to(other_family, *replaced(eta)),
        lambda eta, c: c[:, None] * family.kl_grad_to(other_family, *replaced(eta))[argument],
        pair[argument],
        members(family)[-1],
    )


@pytest.mark.parametrize("family", WITHOUT_KL, ids=family_id)
def test_a_kl_without_closed_form_is_refused_with_a_way_out(family):
    eta, other = members(family)[:2]
    for refused in (family.kl, family.kl_grad):
        with pytest.raises(NotApplicable, match=f"{family.name} has no closed-form KL .* from draws"):
            refused(eta, other)


@given(two_members())
def test_kl_is_never_negative_and_zero_at_itself(drawn):
    family, eta, other = drawn
    assert np.all(family.kl(eta, other) >= -1e-12)
    assert np.all(np.abs(family.kl(other, other)) <= 1e-15)
    assert np.all(np.isfinite(family.kl(eta, other)))


@given(two_members())
def test_the_gradient_of_kl_vanishes_at_itself(drawn):
    family, _, other = drawn
    for gradient in family.kl_grad(other, other):
        assert np.abs(gradient).max() <= 1e-15


def test_kl_between_nearly_equal_gaussians_keeps_its_digits():
    family, step = DiagonalGaussian(1), 1e-6
    eta = np.array([[0.3, -0.2]])
    # KL = step^2 (1 + 2 step / 3 + ...) for a change of log s by step.
    assert family.kl(eta + np.array([0.0, step]), eta) == pytest.approx(step**2, rel=1e-4)
    assert family.kl(eta + np.array([step, 0.0]), eta) == pytest.approx(0.5 * step**2 * np.exp(0.4), rel=1e-8)


@pytest.mark.parametrize("size", [1e3, -1e3])
@pytest.mark.parametrize("family", [Categorical(3), IndependentBernoulli(2)], ids=family_id)
def test_answers_about_a_discrete_z_stay_finite_at_extreme_logits(family, size):
    eta, other = np.array([[size, 0.5, 1.0]]), np.array([[-size, 2.0, 0.0]])
    eta, other, z = eta[:, : family.size], other[:, : family.size], family.values()[:, None]
    everything = [
        family.log_prob(eta, z),
        family.score(eta, z),
        *family.moments(eta),
        family.entropy(eta),
        family.entropy_grad(eta),
        family.kl(eta, other),
        *family.kl_grad(eta, other),
        family.near(eta),
    ]
    assert all(np.isfinite(answer).all() for answer in everything)
    assert family.log_prob(eta, z).min() <= -998.0 and family.kl(eta, other) > 998.0


# -- sampling ------------------------------------------------------------------------------------


@every_gaussian
def test_standardising_a_draw_returns_the_noise(family):
    eta, _, noise, z, _ = members(family)
    assert_close(family.standardise(eta, z), noise)


@every_categorical
def test_each_category_owns_an_interval_of_noise_as_long_as_its_probability(family):
    eta = members(family)[0]
    n_points = 100_000
    u = np.broadcast_to((np.arange(n_points) + 0.5)[:, None] / n_points, (n_points, N_DATA))
    z = family.sample(eta, u)
    assert np.all(np.diff(z, axis=0) >= 0)
    share = np.stack([(z == k).mean(axis=0) for k in range(family.size)], axis=1)
    assert np.abs(share - scipy.special.softmax(eta, axis=1)).max() <= 1.01 / n_points


@given(arrays(float, (1, 4), elements=st.floats(-5.0, 5.0)), st.integers(0, 2))
def test_the_ends_of_the_intervals_are_the_cumulated_probabilities(eta, k):
    end = np.cumsum(scipy.special.softmax(eta, axis=1), axis=1)[0, k]
    around = np.array([[end - 1e-9], [end + 1e-9]])
    below, above = Categorical(4).sample(eta, around)[:, 0]
    assert below <= k < above


LARGEST = np.nextafter(1.0, 0.0)


@given(arrays(float, (1, 3), elements=st.floats(-8.0, 8.0)))
def test_a_bit_is_one_where_its_uniform_is_below_its_probability(eta):
    p, family = scipy.special.expit(eta), IndependentBernoulli(3)
    assert np.all(family.sample(eta, np.stack([p - 1e-12, 0.0 * p])) == 1.0)
    assert np.all(family.sample(eta, np.stack([p + 1e-12, 0.0 * p + LARGEST])) == 0.0)


def test_no_noise_however_close_to_its_ends_draws_an_impossible_bit():
    family, eta = IndependentBernoulli(2), np.array([[1e3, -1e3]])
    z = family.sample(eta, np.array([[[0.0, 0.0]], [[LARGEST, LARGEST]]]))
    assert np.array_equal(z, [[[1.0, 0.0]]] * 2)


@given(arrays(float, (1, 11), elements=st.sampled_from([-1e3, 0.0, 1.0, 1e3]), fill=st.nothing()))
def test_no_noise_however_close_to_its_ends_draws_an_impossible_category(eta):
    z = Categorical(11).sample(eta, np.array([[0.0], [0.5], [LARGEST]]))
    assert np.all((z >= 0) & (z <= 10))
    assert np.all(Categorical(11).log_prob(eta, z) > -900.0)


def test_rounding_of_the_cumulated_sum_draws_no_impossible_category():
    # Ten tenths add up to one minus 1e-16 in floating point; the noise can be exactly that.
    eta = np.array([[0.0] * 10 + [-1e3]])
    assert Categorical(11).sample(eta, np.array([[LARGEST]])) == 9


@every_family
def test_leading_axes_of_repeats_equal_looped_calls(family):
    eta, _, _, _, rng = members(family)
    noise = draw_noise(family.noise_spec(N_DRAWS, N_DATA), rng, lead=(2, 3))
    z = family.sample(eta, noise)
    cotangent = rng.standard_normal((2, 3, N_DRAWS, N_DATA))
    grad_z = rng.standard_normal(z.shape)
    together = [z, family.log_prob(eta, z), family.score(eta, z), family.log_prob_vjp(eta, z, cotangent)]
    if not family.discrete:
        together += [family.sample_vjp(eta, noise, grad_z), family.log_prob_grad_z(eta, z)]
    for r in np.ndindex(2, 3):
        alone = [
            family.sample(eta, noise[r]),
            family.log_prob(eta, z[r]),
            family.score(eta, z[r]),
            family.log_prob_vjp(eta, z[r], cotangent[r]),
        ]
        if not family.discrete:
            alone += [family.sample_vjp(eta, noise[r], grad_z[r]), family.log_prob_grad_z(eta, z[r])]
        for many, one in zip(together, alone, strict=True):
            assert_close(many[r], one)


@every_family
def test_draws_and_data_are_exchangeable(family):
    eta, _, noise, z, _ = members(family)
    draws, data = [2, 0, 3, 1], [1, 2, 0]
    assert np.array_equal(family.sample(eta[data], noise[draws][:, data]), z[draws][:, data])
    expected = family.log_prob(eta, z)[draws][:, data]
    assert np.array_equal(family.log_prob(eta[data], z[draws][:, data]), expected)


@every_family
def test_inputs_are_never_written_into(family):
    eta, other, noise, z, rng = members(family)
    eta, other, noise, z = read_only(eta, other, noise, z)
    cotangent = read_only(rng.standard_normal((N_DRAWS, N_DATA)))
    family.sample(eta, noise)
    family.log_prob(eta, z)
    family.log_prob_vjp(eta, z, cotangent)
    family.draw(eta, noise)[2](cotangent)
    if family in WITH_ENTROPY:
        family.entropy(eta)
        family.entropy_grad(eta)
    family.near(eta)
    if family in WITH_KL:
        family.kl(eta, other)
        family.kl_grad(eta, other)
    if family.has_slope:
        family.log_prob_grad_z(eta, z)
        family.log_prob_vjps(eta, z, cotangent)
    if not family.discrete:
        family.sample_vjp(eta, noise, z)


# -- near ----------------------------------------------------------------------------------------


@every_comparable
def test_near_is_a_member_that_is_close_and_yet_off(family):
    eta = members(family)[0]
    near = family.near(eta)
    assert near.shape == eta.shape and np.isfinite(near).all()
    if family.size > 1 or not family.discrete:
        z, weights = exact_draws(family, near)
        kl = (weights * (family.log_prob(near, z) - family.log_prob(eta, z))).sum(axis=0)
        assert np.all((kl > 0.0) & (kl < family.size))


@every_diagonal
def test_near_moves_a_gaussian_by_half_its_width_and_narrows_it(family):
    eta = members(family)[0]
    (mean, log_std), (near_mean, near_log_std) = family.split(eta), family.split(family.near(eta))
    assert_close((near_mean - mean) / np.exp(log_std), np.full_like(mean, 0.5))
    assert_close(np.exp(near_log_std - log_std), np.full_like(mean, 0.8))


@every_categorical
def test_near_halves_the_log_odds(family):
    eta = members(family)[0]
    assert_close(np.diff(family.near(eta)), 0.5 * np.diff(eta))


@every_bits
def test_near_halves_the_log_odds_of_every_bit(family):
    eta = members(family)[0]
    assert_close(family.near(eta), 0.5 * eta)


# -- shapes and noise ----------------------------------------------------------------------------


@every_family
def test_the_layout_of_eta_covers_one_member(family):
    assert family.eta_layout.size == family.eta_size == members(family)[0].shape[1]


@every_family
def test_noise_has_the_shape_of_its_spec_and_is_replayed_by_the_seed(family):
    spec = family.noise_spec(N_DRAWS, N_DATA)
    first = draw_noise(spec, np.random.default_rng(1), lead=(2,))
    assert first.shape == (2, *spec.shape)
    assert np.array_equal(first, draw_noise(spec, np.random.default_rng(1), lead=(2,)))
    assert (first.min() >= 0.0) == (spec.kind == "uniform")


def test_families_of_one_size_ask_for_equal_noise():
    assert DiagonalGaussian(2).noise_spec(5, 3) == NoiseSpec("normal", (5, 3, 2))
    assert Categorical(2).noise_spec(5, 3) == Categorical(7).noise_spec(5, 3)


def test_an_unknown_kind_of_noise_is_refused():
    with pytest.raises(ValueError, match="kind: expected 'normal' or 'uniform', got 'cauchy'"):
        draw_noise(NoiseSpec("cauchy", (2,)), np.random.default_rng(0))


@pytest.mark.parametrize("n_data", (1, 2, 3))
def test_the_score_of_bits_belongs_to_its_datum_for_any_number_of_data(n_data):
    # Draws of each datum and draws that all data share differ in one axis, which may also have length two.
    family, rng = IndependentBernoulli(2), np.random.default_rng(n_data)
    eta, weights = rng.standard_normal((n_data, 2)), rng.standard_normal((N_DRAWS, n_data))
    z = (rng.random((N_DRAWS, n_data, 2)) < 0.5).astype(float)
    expected = np.einsum("sn,snk->nk", weights, family.score(eta, z))
    assert_close(family.log_prob_vjp(eta, z, weights), expected)
