"""A VAE that is given a label: the VAE of each class, exact log p(x | y), and data of a wanted class."""

import itertools

import numpy as np
import pytest

from elbo_lab import evaluate, exact, fit, load
from elbo_lab.distributions import DiagonalGaussian
from elbo_lab.errors import NotApplicable
from elbo_lab.evaluation import Fitted
from elbo_lab.exact import ladder
from elbo_lab.fitting import load_fitted
from elbo_lab.fitting.samples import write_samples
from elbo_lab.models import (
    ConditionalBernoulli,
    ConditionalGaussianFixed,
    ConditionalGaussianLearned,
    DeepBernoulli,
)
from elbo_lab.networks import ConditionedMLP
from elbo_lab.posteriors import AmortisedPosterior

KINDS = (ConditionalBernoulli, ConditionalGaussianFixed, ConditionalGaussianLearned)


def case(kind, n_columns=4, n_latent=2, n_classes=3, hidden=(5, 4), n_rows=9, activation="tanh"):
    """Return the model, theta and rows x (N, D + 1)."""
    rng = np.random.default_rng(n_columns)
    model = kind(n_columns, n_latent, n_classes, hidden, activation)
    theta = 0.6 * rng.standard_normal(model.layout.size)
    return model, theta, model.sample(theta, n_rows, rng)[0]


def without_label_weights(model, theta):
    """Return theta with the rows of the first layer that see the label at zero."""
    theta = theta.copy()
    model.layout.views(theta)["decoder.W1"][model.n_latent :] = 0.0
    return theta


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hidden", [(), (5,), (40, 20)])
def test_a_label_without_weights_is_ignored_bit_for_bit(kind, hidden):
    model, theta, x = case(kind, hidden=hidden, n_rows=30)
    theta = without_label_weights(model, theta)
    plain, own = model.of_class(theta, 1)
    rng = np.random.default_rng(0)
    z, cotangent = rng.standard_normal((6, 30, 2)), rng.standard_normal((6, 30))
    assert np.array_equal(model.log_joint(theta, x, z), plain.log_joint(own, x[:, :-1], z))
    # Gradients, and draws that data share, pass other products, and agree to rounding.
    by_theta, by_z = model.log_likelihood_vjp(theta, x, z, cotangent)
    of_plain, plain_z = plain.log_likelihood_vjp(own, x[:, :-1], z, cotangent)
    np.testing.assert_allclose(by_z, plain_z, atol=1e-12)
    blocks, expected = model.layout.views(by_theta), plain.layout.views(of_plain)
    blocks["decoder.W1"] = blocks["decoder.W1"][:2]
    for name, block in expected.items():
        np.testing.assert_allclose(blocks[name], block, atol=1e-11, err_msg=name)
    shared = z[:, :1]
    found = model.log_likelihood(theta, x, shared)
    np.testing.assert_allclose(found, plain.log_likelihood(own, x[:, :-1], shared), rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_a_class_have_the_density_of_the_vae_of_that_class(kind):
    model, theta, x = case(kind)
    z = np.random.default_rng(0).standard_normal((4, len(x), 2))
    found = model.log_likelihood(theta, x, z)
    for c in range(3):
        rows = x[:, -1] == c
        plain, own = model.of_class(theta, c)
        expected = plain.log_likelihood(own, x[rows, :-1], z[:, rows])
        np.testing.assert_allclose(found[:, rows], expected, rtol=1e-12)
    apart = [model.of_class(theta, c)[0].decode(model.of_class(theta, c)[1], z) for c in (0, 1)]
    assert np.abs(apart[0] - apart[1]).max() > 0.1


@pytest.mark.parametrize("n_latent", [1, 2])
def test_the_exact_probabilities_of_all_x_sum_to_one_in_every_class(n_latent):
    model, theta, _ = case(ConditionalBernoulli, 3, n_latent, 2, (4,))
    bits = np.array(list(itertools.product([0.0, 1.0], repeat=3)))
    totals = []
    for c in range(2):
        rows = np.column_stack([bits, np.full(8, c)])
        log_p, _, rung = ladder.log_evidence(model, theta, rows)
        assert rung == "quadrature"
        np.testing.assert_allclose(log_p, ladder.log_evidence(*model.of_class(theta, c), bits)[0], atol=1e-9)
        totals.append(np.exp(log_p))
    np.testing.assert_allclose(np.sum(totals, axis=1), 1.0, atol=1e-8)
    assert np.abs(totals[0] - totals[1]).max() > 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_the_elbo_stays_below_the_exact_log_p_of_x_given_y(kind):
    model, theta, x = case(kind, n_latent=1, activation="softplus")
    log_p = ladder.log_evidence(model, theta, x)[0]
    eta = 0.5 * np.random.default_rng(1).standard_normal((len(x), 2))
    family = DiagonalGaussian(1)
    elbo = exact.expectation(model, theta, x, eta).value + family.entropy(eta)
    assert np.all(elbo < log_p)


def test_the_encoder_sees_the_indicators_of_the_label():
    x = np.column_stack([np.random.default_rng(0).standard_normal((6, 2)), [0, 1, 2, 0, 1, 2]])
    encoder = AmortisedPosterior.for_data(DiagonalGaussian(1), x, (4,), n_classes=3)
    assert encoder.network.sizes == (5, 4, 2) and len(encoder.shift) == 2
    assert AmortisedPosterior.from_dict(encoder.family, encoder.to_dict()) == encoder
    phi = np.random.default_rng(1).standard_normal(encoder.layout.size)
    other = x.copy()
    other[:, -1] = (x[:, -1] + 1) % 3
    assert np.abs(encoder.eta(phi, x) - encoder.eta(phi, other)).min() > 1e-6
    views = encoder.network.layout.views(phi)
    plain = AmortisedPosterior.for_data(encoder.family, x[:, :-1], (4,))
    own = plain.network.layout.pack(dict(views) | {"W1": views["W1"][:2]})
    views["W1"][2:] = 0.0
    np.testing.assert_allclose(encoder.eta(phi, x), plain.eta(own, x[:, :-1]), rtol=1e-12)


def test_a_conditioned_network_is_an_ordinary_one_for_each_label():
    network = ConditionedMLP((5, 4, 2), "tanh", 3)
    rng = np.random.default_rng(0)
    params, inputs = rng.standard_normal(network.layout.size), rng.standard_normal((7, 2))
    for c in range(3):
        rows = np.column_stack([inputs, np.eye(3)[np.full(7, c)]])
        own, of_label = network.at(params, c)
        np.testing.assert_allclose(
            network.forward(params, rows)[0], own.forward(of_label, inputs)[0], rtol=1e-13
        )
    with pytest.raises(ValueError, match="more inputs than 5 classes"):
        ConditionedMLP((5, 2), "tanh", 5)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The folder of a small conditional VAE of digits."""
    folder = tmp_path_factory.mktemp("conditional")
    small = {"hidden": (20,), "epochs": 8, "batch": 50, "learning_rate": 0.01}
    fit("conditional-vae", load("digits:binary").rows(500, 0), checkpoint=folder / "c.npz", **small)
    return folder


def test_a_fit_learns_from_labels_and_draws_the_wanted_class(kept):
    stored, rng = load_fitted(kept / "c.npz"), np.random.default_rng(0)
    assert stored.classes == tuple("0123456789") and stored.image_shape == (8, 8)
    data = load("digits:binary")
    centres = np.array([data.x[data.labels == c].mean(axis=0) for c in range(10)])
    for c in (0, 6):
        mean = stored.of_class(c).generate(400, rng).mean(axis=0)
        assert np.argmin(((centres - mean) ** 2).sum(axis=1)) == c
    rows = np.column_stack([data.x, data.labels])[:5]
    assert stored.reconstruct(rows).shape == (5, 64)
    found = evaluate(kept / "c.npz", data.rows(60, 1), importance_samples=50).final
    assert found["elbo_per_datum"] < -found["nll_per_datum"] < 0


def test_samples_of_a_class_and_of_all_go_to_files(kept, tmp_path):
    stored = load_fitted(kept / "c.npz")
    write_samples(stored, tmp_path / "three", 30, label="3")
    with np.load(tmp_path / "three" / "samples.npz") as found:
        assert found.files == ["x"] and found["x"].shape == (30, 64)
    assert write_samples(stored, tmp_path / "all", 30) == ["samples"]
    with np.load(tmp_path / "all" / "samples.npz") as found:
        assert found["x"].shape == (30, 64) and set(found["labels"].tolist()) <= set(range(10))
    with pytest.raises(ValueError, match=r"label: expected one of the classes of the fit, 0, 1, .*got 'ten'"):
        write_samples(stored, tmp_path / "none", 3, label="ten")
    assert not (tmp_path / "none").exists()


def test_a_model_without_labels_has_no_data_of_a_class():
    model = DeepBernoulli(4, 1, (3,))
    with pytest.raises(NotApplicable, match="deep-bernoulli is given no label"):
        Fitted(model, np.zeros(model.layout.size)).of_class(0)


REFUSED = {
    "grey values": (
        "digits:raw",
        "zeros and ones for conditional-vae:bernoulli, .*fit conditional-vae:learned",
    ),
    "no labels": ("faithful", "rows with labels for conditional-vae, got no labels with faithful"),
    "dynamic": ("digits:dynamic", "view: expected rows that stay the same for conditional-vae"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_data_that_it_cannot_explain_are_refused(name):
    data, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        fit("conditional-vae", data)


def test_a_class_that_is_none_is_refused():
    model, theta, x = case(ConditionalBernoulli)
    with pytest.raises(ValueError, match="label: expected a class from 0 to 2, got 3"):
        model.of_class(theta, 3)
    x[2, -1] = 3.0
    with pytest.raises(ValueError, match=r"labels from 0 to 2 .*got 3 at row 2"):
        model.check_data(x)
