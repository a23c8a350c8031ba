"""Encoder and decoder: widths and convolutions of one network or of both, kept by checkpoints."""

import numpy as np
import pytest

from elbo_lab.datasets import Dataset
from elbo_lab.errors import BadKind, BadValue, NotApplicable
from elbo_lab.fitting import fit, load_fitted
from elbo_lab.networks import MLP, ConvDecoder, ConvEncoder

BITS = (np.random.default_rng(0).random((12, 4)) < 0.4).astype(np.float64)
SMALL = {"latent": 1, "epochs": 2, "threads": 1, "progress": False}


def sizes(fitted):
    return fitted.posterior.network.sizes, fitted.model.decoder.sizes


@pytest.mark.parametrize(
    ("options", "encoder", "decoder"),
    [
        ({"hidden": (5, 3)}, (4, 5, 3, 2), (1, 3, 5, 4)),
        ({"hidden": (5,), "encoder_hidden": (3, 2)}, (4, 3, 2, 2), (1, 5, 4)),
        ({"hidden": (5,), "decoder_hidden": (3, 2)}, (4, 5, 2), (1, 2, 3, 4)),
        ({"encoder_hidden": (6,), "decoder_hidden": ()}, (4, 6, 2), (1, 4)),
    ],
)
def test_a_network_has_its_own_widths_or_those_of_both(options, encoder, decoder):
    assert sizes(fit("deep-bernoulli", BITS, **SMALL, **options)) == (encoder, decoder)


def test_own_widths_are_resumed_bit_for_bit(tmp_path):
    options = SMALL | {"encoder_hidden": (5,), "decoder_hidden": (3,)}
    whole, path = fit("deep-bernoulli", BITS, **options | {"epochs": 4}), tmp_path / "fit.npz"
    fit("deep-bernoulli", BITS, **options, checkpoint=path)
    assert sizes(load_fitted(path)) == ((4, 5, 2), (1, 3, 4))
    resumed = fit(data=BITS, resume=path, epochs=4, threads=1, progress=False)
    assert np.array_equal(resumed.theta, whole.theta) and np.array_equal(resumed.phi, whole.phi)
    with pytest.raises(BadValue, match=r"^decoder_hidden: expected \[3\] as in the checkpoint"):
        fit(data=BITS, resume=path, epochs=5, decoder_hidden=(4,), progress=False)


@pytest.mark.parametrize(
    ("model", "options", "error", "line"),
    [
        ("deep-bernoulli", {"decoder_hidden": 5}, (TypeError, BadKind), "^decoder_hidden: expected"),
        ("deep-bernoulli", {"encoder_hidden": (0,)}, BadValue, "^encoder_hidden: .* 0"),
        (
            "sigmoid-belief",
            {"method": "vae", "decoder_hidden": (3,)},
            BadValue,
            "^decoder_hidden: expected no",
        ),
        (
            "deep-bernoulli",
            {"posterior": "free", "encoder_hidden": (3,)},
            BadValue,
            "^encoder_hidden: .*free",
        ),
    ],
)
def test_widths_without_a_network_are_refused(model, options, error, line):
    with pytest.raises(error, match=line):
        fit(model, BITS, **SMALL | options)


IMAGES = Dataset("array", (np.random.default_rng(1).random((12, 36)) < 0.4).astype(float), image_shape=(6, 6))
CONV = SMALL | {"hidden": (3,), "channels": (2, 2)}


@pytest.mark.parametrize(
    ("options", "encoder", "decoder"),
    [
        ({"network": "conv"}, ConvEncoder, ConvDecoder),
        ({"encoder_network": "conv"}, ConvEncoder, MLP),
        ({"decoder_network": "conv"}, MLP, ConvDecoder),
        ({"network": "conv", "encoder_network": "mlp"}, MLP, ConvDecoder),
    ],
)
def test_convolutions_are_trained_kept_and_resumed(tmp_path, options, encoder, decoder):
    path, options = tmp_path / "fit.npz", CONV | options
    whole = fit("deep-bernoulli", IMAGES, **options | {"epochs": 3})
    assert type(whole.posterior.network) is encoder and type(whole.model.decoder) is decoder
    fit("deep-bernoulli", IMAGES, **options, checkpoint=path)
    stored = load_fitted(path)
    assert stored.model == whole.model and stored.posterior == whole.posterior
    resumed = fit(data=IMAGES, resume=path, epochs=3, threads=1, progress=False)
    assert np.array_equal(resumed.theta, whole.theta) and np.array_equal(resumed.phi, whole.phi)


@pytest.mark.parametrize(
    ("model", "data", "options", "error", "line"),
    [
        (
            "deep-bernoulli",
            BITS,
            {"network": "conv"},
            BadValue,
            "^network: expected mlp, for data that are no",
        ),
        ("deep-bernoulli", IMAGES, {"channels": (2,)}, BadValue, "^channels: .* without a network conv"),
        ("deep-bernoulli", IMAGES, {"network": "cnn"}, ValueError, "^network: .*'cnn'"),
        (
            "deep-bernoulli",
            IMAGES,
            {"network": "conv", "channels": (2,) * 4},
            ValueError,
            "^channels: .*1 x 1",
        ),
        ("deep-gaussian:full", IMAGES, {"network": "conv"}, NotApplicable, "belongs to no pixel"),
    ],
)
def test_convolutions_without_images_are_refused(model, data, options, error, line):
    with pytest.raises(error, match=line):
        fit(model, data, **SMALL | options)
