"""The information gap is an integral that stands; a rotated twin has the same ELBO and another gap."""

from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
import scipy
from cases import make_case
from checks import assert_close
from hypothesis import given
from hypothesis import strategies as st

from elbo_lab import evaluate, fit
from elbo_lab.datasets import load
from elbo_lab.distributions import Laplace
from elbo_lab.errors import NotApplicable
from elbo_lab.evaluation import (
    Fitted,
    decompose,
    disentangling,
    information_gap,
    mutual_information_gap,
    rotated,
)
from elbo_lab.models import PPCA, DeepBernoulli, FactorAnalysis, GaussianMixture
from elbo_lab.posteriors import FreePosterior

SHAPES = load("shapes")


def rotation_of(size, seed=0):
    turned = np.linalg.qr(np.random.default_rng(seed).standard_normal((size, size)))[0]
    turned[:, 0] *= np.linalg.det(turned)  # no reflection, which in a plane is its own inverse
    return turned


# -- the data set ------------------------------------------------------------------------------------


def test_every_combination_of_factors_is_one_image_and_all_differ():
    assert SHAPES.x.shape == (324, 144) and set(np.unique(SHAPES.x)) == {0.0, 1.0}
    assert len(np.unique(SHAPES.x, axis=0)) == 324
    numbers = set(zip(*(codes.tolist() for codes in SHAPES.factors.values()), strict=True))
    assert numbers == set(product(range(3), range(3), range(6), range(6)))
    np.testing.assert_array_equal(SHAPES.labels, SHAPES.factors["shape"])


def test_an_image_is_what_its_factors_say():
    """By other means: bounding boxes, and counts of pixels."""
    pictures = SHAPES.x.reshape(-1, 12, 12)
    pixels = {0: lambda s: (2 * s + 1) ** 2, 1: lambda s: 8 * s, 2: lambda s: 4 * s + 1}
    for picture, shape, size, row, column in zip(pictures, *SHAPES.factors.values(), strict=True):
        rows, columns = np.nonzero(picture)
        half = size + 1
        assert (rows.min(), rows.max()) == (row + 3 - half, row + 3 + half)
        assert (columns.min(), columns.max()) == (column + 3 - half, column + 3 + half)
        assert picture.sum() == pixels[shape](half)


def test_rows_of_a_part_keep_their_factors():
    part = SHAPES.rows(50, 1)
    train, held = SHAPES.split(0.2)
    for some in (part, train, held):
        for x, *four in zip(some.x, *some.factors.values(), strict=True):
            (n,) = np.flatnonzero((SHAPES.x == x).all(axis=1))
            assert four == [codes[n] for codes in SHAPES.factors.values()]


# -- the integrals ---------------------------------------------------------------------------------


def by_entropies(mean, deviation, codes):
    """H(z) - H(z | v) by another rule: SciPy's adaptive quadrature between marked points."""

    def entropy(m, s):
        def integrand(z):
            p = scipy.stats.norm.pdf(z, m, s).mean()
            return -scipy.special.xlogy(p, p)

        ends = np.unique(np.concatenate([m - 9 * s, m + 9 * s, m]))
        parts = [scipy.integrate.quad(integrand, a, b, epsabs=1e-12)[0] for a, b in pairwise(ends)]
        return sum(parts)

    shares = [(codes == v).mean() for v in np.unique(codes)]
    parts = [entropy(mean[codes == v], deviation[codes == v]) for v in np.unique(codes)]
    return entropy(mean, deviation) - np.dot(shares, parts)


def check_information(found_by=mutual_information_gap):
    rng = np.random.default_rng(0)
    means, deviations = rng.standard_normal((12, 2)), np.exp(rng.normal(-1.0, 0.5, (12, 2)))
    factors = {"a": np.arange(12) % 2, "b": np.arange(12) // 4}
    found = found_by(means, deviations, factors)
    assert found.error.max() <= disentangling.TOLERANCE
    for k, (j, codes) in product(range(2), enumerate(factors.values())):
        expected = by_entropies(means[:, k], deviations[:, k], codes)
        assert abs(found.information[k, j] - expected) < 1e-8
    assert_close(found.entropy, np.log([2.0, 3.0]), 1e-12)
    ordered = np.sort(found.information, axis=0)
    assert found.mig == pytest.approx(np.mean((ordered[1] - ordered[0]) / np.log([2, 3])))


def test_information_is_the_difference_of_two_entropies():
    check_information()


@pytest.mark.parametrize("fault", ["variance for deviation", "factors in another order", "mean of q alone"])
def test_another_information_is_caught(fault):
    def faulty(means, deviations, factors):
        if fault == "variance for deviation":
            return mutual_information_gap(means, deviations**2, factors)
        if fault == "mean of q alone":
            return mutual_information_gap(means, np.full_like(deviations, 0.1), factors)
        return mutual_information_gap(means, deviations, {"a": factors["b"], "b": factors["a"]})

    with pytest.raises(AssertionError):
        check_information(faulty)


def test_a_latent_of_its_own_for_each_factor_has_a_gap_of_one_and_a_shared_one_of_zero():
    v = {"a": np.repeat([0, 1, 2], 4), "b": np.tile([0, 1, 2, 3], 3)}
    apart = np.column_stack([10.0 * v["a"], 10.0 * v["b"], np.zeros(12)])
    found = mutual_information_gap(apart, np.full((12, 3), 0.3), v)
    assert_close(found.information, [[np.log(3), 0], [0, np.log(4)], [0, 0]], 1e-8)
    assert found.mig == pytest.approx(1.0, abs=1e-8)
    shared = np.column_stack([apart[:, :2].sum(axis=1)] * 2)
    assert mutual_information_gap(shared, np.full((12, 2), 0.3), v).mig == pytest.approx(0.0, abs=1e-12)
    nothing = mutual_information_gap(np.zeros((12, 2)), np.ones((12, 2)), v)
    assert np.abs(nothing.information).max() < 1e-12


@given(st.integers(0, 1000))
def test_information_lies_between_zero_and_the_entropy_of_the_factor(seed):
    rng = np.random.default_rng(seed)
    means, deviations = 3 * rng.standard_normal((8, 2)), np.exp(rng.uniform(-2, 1, (8, 2)))
    found = mutual_information_gap(means, deviations, {"v": np.arange(8) % 3, "w": np.arange(8) % 2})
    assert (found.information > -1e-12).all() and (found.information < found.entropy + 1e-9).all()
    assert 0.0 <= found.mig <= 1.0


def test_scale_and_sign_of_a_latent_change_nothing():
    rng = np.random.default_rng(3)
    means, deviations = rng.standard_normal((10, 2)), np.exp(rng.normal(-1, 0.3, (10, 2)))
    factors = {"v": np.arange(10) % 2}
    found = mutual_information_gap(means, deviations, factors)
    other = mutual_information_gap(means * [-5.0, 0.01] + [3.0, -1.0], deviations * [5.0, 0.01], factors)
    assert_close(other.information, found.information, 1e-8)


# -- the rotated twin ------------------------------------------------------------------------------


def check_twin(case, seed=0, turn=rotated):
    model = case.model
    eta = case.free.eta(case.free_phi, case.x)
    rotation = rotation_of(model.latent_dim, seed)
    theta, family, twin = turn(model, case.theta, eta, rotation)
    first = decompose(model, case.theta, case.x, eta)
    second = decompose(model, theta, case.x, twin, family)
    for name in ("log_p", "kl_to_prior", "reconstruction", "elbo"):
        assert_close(getattr(second, name), getattr(first, name), 1e-7)
    assert_close(second.kl_to_prior, first.kl_to_prior, 1e-12)
    spread = np.einsum("kl,nl->nk", rotation**2, np.exp(2 * case.free.family.split(eta)[1]))
    assert_close(family.moments(twin)[1] ** 2, spread, 1e-12)
    assert_close(family.moments(twin)[0], case.free.family.moments(eta)[0] @ rotation.T, 1e-12)


TURNED = (PPCA(4, 2), FactorAnalysis(4, 3), DeepBernoulli(4, 2, (3,)), DeepBernoulli(3, 2, ()))


@pytest.mark.parametrize("model", TURNED, ids=lambda m: f"{m.label}-{m.latent_dim}")
def test_a_rotated_twin_has_the_same_elbo_term_by_term(model):
    check_twin(make_case(model))


@pytest.mark.parametrize("fault", ["decoder not turned", "the other way", "diagonal q"])
def test_a_twin_that_is_not_one_is_caught(fault):
    def faulty(model, theta, eta, rotation):
        turned, family, twin = rotated(model, theta, eta, rotation)
        if fault == "decoder not turned":
            return theta, family, twin
        if fault == "the other way":
            return rotated(model, theta, eta, rotation.T)[0], family, twin
        mean, deviation = family.moments(twin)
        return turned, model.family, model.family.join(mean, np.log(deviation))

    with pytest.raises(AssertionError):
        check_twin(make_case(DeepBernoulli(4, 2, (3,))), turn=faulty)


def test_the_twin_of_a_vae_of_shapes_has_another_gap():
    result = fit("deep-bernoulli", SHAPES, latent=4, hidden=(32,), epochs=40, seed=0, threads=1)
    found = information_gap(result.fitted, SHAPES.x, SHAPES.factors)
    eta = result.posterior.eta(result.phi, SHAPES.x)
    _, family, twin = rotated(result.model, result.theta, eta, rotation_of(4))
    other = mutual_information_gap(*family.moments(twin), SHAPES.factors)
    assert abs(other.mig - found.mig) > 10 * (other.mig_error + found.mig_error)
    # Turned by an exchange of axes it is the same.
    _, family, twin = rotated(result.model, result.theta, eta, np.eye(4)[[2, 0, 3, 1]])
    same = mutual_information_gap(*family.moments(twin), SHAPES.factors)
    assert abs(same.mig - found.mig) < 1e-8


# -- traversals ------------------------------------------------------------------------------------


def test_along_a_traversal_one_latent_moves_and_the_others_stay_at_the_code():
    case = make_case(PPCA(4, 2))
    fitted = Fitted(case.model, case.theta)
    pictures, values = fitted.traverse(case.x[0], n=5, reach=3.0)
    assert pictures.shape == (2, 5, 4) and values.tolist() == [-3.0, -1.5, 0.0, 1.5, 3.0]
    (code,) = fitted.encode(case.x[:1])[0]
    for k, j in product(range(2), range(5)):
        z = code.copy()
        z[k] = values[j]
        assert_close(pictures[k, j], case.model.expected_x(case.theta, z[None])[0], 1e-12)


def test_categories_have_no_range_and_few_values_are_refused():
    mixture = make_case(GaussianMixture(2, 2, "full"))
    with pytest.raises(NotApplicable, match="has no range"):
        Fitted(mixture.model, mixture.theta).traverse(mixture.x[0])
    linear = make_case(PPCA(4, 2))
    for options in ({"n": 1}, {"reach": 0.0}):
        with pytest.raises(ValueError, match=next(iter(options))):
            Fitted(linear.model, linear.theta).traverse(linear.x[0], **options)


# -- evaluate --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    path = tmp_path_factory.mktemp("gap") / "shapes.npz"
    fit("deep-bernoulli", "shapes", latent=3, hidden=(8,), epochs=2, seed=0, threads=1, checkpoint=path)
    return path


def test_an_evaluation_reports_the_gap_where_factors_are_known(stored):
    final = evaluate(stored, "shapes", importance_samples=20).final
    assert final["mig_factors"] == list(SHAPES.factors)
    assert final["mig"] == pytest.approx(np.mean(final["mig_by_factor"])) and 0.0 <= final["mig"] <= 1.0
    assert final["mig_error"] < 1e-7
    without = evaluate(stored, replace(SHAPES, factors=None), importance_samples=20).final
    assert "mig" not in without


# -- mistakes --------------------------------------------------------------------------------------

OK = np.arange(6.0).reshape(3, 2)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((OK, OK + 1, {}), "factors: expected the values of at least one factor, got none; such as"),
        ((OK, OK + 1, None), "factors: expected"),
        ((OK[:, :1], OK[:, :1] + 1, {"v": [0, 1, 1]}), "means: expected at least two latents"),
        ((OK, OK + 1, {"v": [0, 1]}), r"factors\['v'\]: expected a value for each of 3 rows"),
        ((OK, OK + 1, {"v": [1, 1, 1]}), r"factors\['v'\]: expected at least two different values"),
        ((OK, OK, {"v": [0, 1, 1]}), "deviations: expected positive"),
        ((OK, OK[:2] + 1, {"v": [0, 1, 1]}), "deviations: expected"),
    ],
)
def test_what_has_no_gap_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        mutual_information_gap(*arguments)


def test_widths_that_no_grid_covers_are_refused():
    with pytest.raises(NotApplicable, match="differ too much in width"):
        mutual_information_gap(OK, np.where(OK > 2, 1e-7, 1.0), {"v": [0, 1, 1]})


def test_other_families_and_models_are_refused():
    model = DeepBernoulli(3, 2, (3,))
    q = FreePosterior(Laplace(2), 3)
    fitted = Fitted(model, np.zeros(model.layout.size), q, np.zeros(q.layout.size))
    with pytest.raises(NotApplicable, match="needs a Gaussian q, not a laplace one"):
        information_gap(fitted, np.zeros((3, 3)), {"v": [0, 1, 1]})
    mixture = GaussianMixture(2, 2, "full")
    with pytest.raises(NotApplicable, match="does not take its latents through one matrix"):
        rotated(mixture, np.zeros(mixture.layout.size), np.zeros((3, 2)), np.eye(mixture.latent_dim))
    with pytest.raises(ValueError, match="rotation: expected an orthogonal matrix"):
        rotated(model, np.zeros(model.layout.size), np.zeros((3, 4)), np.ones((2, 2)))
