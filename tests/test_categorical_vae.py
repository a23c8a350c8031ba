"""A VAE of categories as a user meets it: fitted, kept, resumed, evaluated, sampled from, encoded."""

import itertools

import numpy as np
import pytest

from elbo_lab import compare, encode, evaluate, fit
from elbo_lab.comparison.reporting import command_of
from elbo_lab.distributions import FAMILIES, Categorical, CategoricalVector, IndependentBernoulli
from elbo_lab.errors import NotApplicable
from elbo_lab.evaluation import Fitted, measure_gap
from elbo_lab.evaluation.codes import codes_of
from elbo_lab.fitting.figures import figures_of
from elbo_lab.models import CategoricalVAE
from elbo_lab.posteriors import AmortisedPosterior
from elbo_lab.special import softmax

OPTIONS = {
    "latent": 2,
    "categories": 3,
    "hidden": (4,),
    "rows": 40,
    "batch": 20,
    "seed": 2,
    "progress": False,
}


@pytest.fixture(scope="module")
def small():
    """Return a model of two variables of three categories with parameters of no symmetry, and rows."""
    rng = np.random.default_rng(5)
    model = CategoricalVAE(6, 2, 3, (4,))
    theta = rng.normal(size=model.layout.size)
    return model, theta, (rng.random((5, 6)) < 0.5).astype(float)


def test_a_fit_goes_on_bit_for_bit_and_is_evaluated_sampled_and_encoded(tmp_path):
    path = tmp_path / "vae.npz"
    whole = fit("categorical-vae", "digits:binary", epochs=4, **OPTIONS)
    fit("categorical-vae", "digits:binary", epochs=2, checkpoint=path, **OPTIONS)
    resumed = fit(resume=path, epochs=4, progress=False)
    for name in ("theta", "phi"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(resumed, name))
    assert resumed.settings["categories"] == resumed.model.n_categories == 3
    assert resumed.model.family == CategoricalVector(2, 3)
    with pytest.raises(ValueError, match="categories: expected 3 as in the checkpoint, or nothing, got 4"):
        fit(resume=path, categories=4, progress=False)
    told = evaluate(path, importance_samples=20, rows=20, progress=False)
    (part,) = told.parts if hasattr(told, "parts") else (told,)
    assert part is not None
    drawn = resumed.generate(7, np.random.default_rng(0))
    assert np.isin(drawn, (0.0, 1.0)).all() and len(drawn) == 7
    codes = {way: encode(path, posterior=way, draws=3, rows=40, progress=False) for way in ("q", "exact")}
    for found in codes.values():
        assert found.mean.shape == found.std.shape == (40, 6)
        np.testing.assert_allclose(found.mean.reshape(40, 2, 3).sum(axis=2), 1.0, rtol=1e-12)
        assert found.draws.shape == (3, 40, 2) and found.draws.dtype.kind in "iu"
    names = dict(figures_of(resumed))
    assert "reconstructions" in names and "traversals" not in names


def test_the_exact_codes_are_probabilities_of_categories(small):
    model, theta, x = small
    found = codes_of(Fitted(model, theta), x, "exact", 4000, seed=0)
    expected = np.zeros((5, 2, 3))
    values = list(itertools.product(range(3), repeat=2))
    joint = np.stack([model.log_joint(theta, x, np.array(z)[None, None])[0] for z in values])
    for weights, z in zip(softmax(joint, axis=0), values, strict=True):
        for k in range(2):
            expected[:, k, z[k]] += weights
    np.testing.assert_allclose(found.mean, expected.reshape(5, 6), rtol=1e-10)
    np.testing.assert_allclose(found.std**2, (expected * (1 - expected)).reshape(5, 6), atol=1e-12)
    # 30 shares of 4,000 draws, limits of 5 standard errors of at most 0.0079: a false alarm once in 58,000.
    shares = model.family.one_hot(found.draws).mean(axis=0)
    np.testing.assert_allclose(shares, found.mean, atol=5.0 * 0.5 / np.sqrt(4000))


def test_exchanging_the_names_of_categories_moves_the_codes_alone(small):
    """The means of the numbers of categories, which mean nothing, would change their values."""
    model, theta, x = small
    order = np.array([2, 0, 1])
    views = {name: view.copy() for name, view in model.layout.views(theta).items()}
    views["logits"] = views["logits"][:, order]
    first = views["decoder.W1"].reshape(2, 3, -1)
    views["decoder.W1"] = first[:, order].reshape(6, -1)
    renamed = model.layout.pack(views)
    before, after = (codes_of(Fitted(model, t), x, "exact").mean.reshape(5, 2, 3) for t in (theta, renamed))
    np.testing.assert_allclose(after, before[:, :, order], rtol=1e-10)


def test_numbers_of_every_discrete_family_have_its_moments():
    for family in (Categorical(3), CategoricalVector(2, 3), IndependentBernoulli(3)):
        eta = np.random.default_rng(1).normal(size=(4, family.eta_size))
        values = family.values()
        z = np.repeat(values[:, None], 4, axis=1)
        p = np.exp(family.log_prob(eta, z))
        numbers = family.numbers(values)
        mean, std = family.moments(eta)
        np.testing.assert_allclose(p.T @ numbers, mean, rtol=1e-12)
        np.testing.assert_allclose(p.T @ numbers**2 - mean**2, std**2, atol=1e-12)
        # The planted fault: numbers of categories as if they were real numbers.
        if not family.has_slope:
            assert family.numbers(values).shape != values.astype(float).shape
    assert not any(kind.has_slope for kind in FAMILIES if kind.name.startswith("categorical"))


def test_a_code_is_decoded_from_numbers_or_shares(small):
    model, theta, x = small
    fitted = Fitted(model, theta)
    z = np.array([[0, 2], [1, 1]])
    np.testing.assert_array_equal(fitted.decode(z), fitted.decode(model.family.one_hot(z)))
    with pytest.raises(ValueError, match="z: expected categories from 0 to 2, got 3"):
        fitted.decode(np.array([[0, 3]]))
    posterior = AmortisedPosterior.for_data(model.family, x, (4,), "tanh")
    phi = posterior.initial(np.random.default_rng(0))
    q = Fitted(model, theta, posterior, phi)
    assert q.reconstruct(x).shape == x.shape and q.interpolate(x[0], x[1], 3).shape == (3, 6)
    with pytest.raises(NotApplicable, match="no range to go along"):
        q.traverse(x[0])
    gap = measure_gap(q.problem(x))
    assert (gap.kl >= -1e-12).all()


def test_categories_are_those_of_a_model_that_has_some():
    with pytest.raises(ValueError, match="categories: expected no value for ppca, whose z is no vector"):
        fit("ppca", "faithful", categories=3, progress=False)
    with pytest.raises(ValueError, match="categories: expected no value for ppca"):
        compare("ppca", categories=3)
    with pytest.raises(ValueError, match=r"categories: expected .* at least 2, got 1"):
        fit("categorical-vae", "digits:binary", categories=1, progress=False)
    with pytest.raises(
        ValueError, match="categories: expected no value, got 5 beside a finished model with 3"
    ):
        fit(CategoricalVAE(64, 2, 3), "digits:binary", categories=5, progress=False)


def test_a_comparison_takes_categories():
    options = {"targets": "elbo", "rows": 4, "repeats": 10, "threads": 1}
    found = compare("categorical-vae", latent=2, categories=2, **options)
    assert found.settings["categories"] == found.scenes[0].model.n_categories == 2
    assert "--categories 2" in command_of(found)
