"""A training is kept on its way, and estimators are compared at every checkpoint of it."""

import numpy as np
import pytest

from elbo_lab import fit
from elbo_lab.fitting import load_fitted
from elbo_lab.fitting.kept import kept_files

TRAINING = {"latent": 1, "method": "vae", "hidden": (4,), "learning_rate": 0.05, "rows": 60}


def train(folder, epochs=4, every=2, **options):
    """Return the fit of a small training that is kept in a folder."""
    keep = {"keep": folder, "keep_every": every, "progress": False}
    return fit("ppca", "faithful", epochs=epochs, **TRAINING | keep | options)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Return the folder and the result of a training that is kept."""
    folder = tmp_path_factory.mktemp("training") / "kept"
    return folder, train(folder)


# -- checkpoints on the way ---------------------------------------------------------------------------


def test_the_start_every_second_epoch_and_the_end_are_kept(tmp_path):
    train(tmp_path / "kept", epochs=5)
    assert list(kept_files(tmp_path / "kept")) == [0, 2, 4, 5]


def test_a_kept_file_holds_the_parameters_of_its_epoch(kept):
    folder, result = kept
    shorter = fit("ppca", "faithful", epochs=2, progress=False, **TRAINING)
    files = kept_files(folder)
    for path, expected in ((files[2], shorter), (files[4], result)):
        stored = load_fitted(path)
        np.testing.assert_array_equal(stored.theta.astype(float), expected.theta)
        np.testing.assert_array_equal(stored.phi.astype(float), expected.phi)


def test_keeping_changes_nothing(kept):
    plain = fit("ppca", "faithful", epochs=4, progress=False, **TRAINING)
    np.testing.assert_array_equal(plain.theta, kept[1].theta)
    assert plain.history == kept[1].history


def test_a_resumed_fit_continues_the_series(tmp_path):
    folder, checkpoint = tmp_path / "kept", tmp_path / "state.npz"
    train(folder, epochs=2, every=1, checkpoint=checkpoint)
    before = kept_files(folder)[1].read_bytes()
    resumed = fit(resume=checkpoint, epochs=4, progress=False)
    assert list(kept_files(folder)) == [0, 1, 2, 3, 4]
    assert kept_files(folder)[1].read_bytes() == before
    last = load_fitted(kept_files(folder)[4])
    np.testing.assert_array_equal(last.theta.astype(float), resumed.theta)


def test_a_kept_file_is_resumed_into_a_file_of_its_own(tmp_path, kept):
    path = kept_files(kept[0])[2]
    with pytest.raises(ValueError, match=r"resume: .*epoch-0002.npz.* is a kept checkpoint"):
        fit(resume=path, progress=False)
    again = {"checkpoint": tmp_path / "new.npz", "keep": tmp_path / "kept", "progress": False}
    np.testing.assert_array_equal(fit(resume=path, epochs=4, **again).theta, kept[1].theta)


def test_no_kept_file_is_written_over(tmp_path, kept):
    folder, _ = kept
    with pytest.raises(ValueError, match=r"keep: .*holds epoch-0004.npz; name a new folder"):
        train(folder)
    with pytest.raises(ValueError, match=r"checkpoint: .*epoch-0007.npz' in the folder of kept ones"):
        train(tmp_path, checkpoint=tmp_path / "epoch-0007.npz")
    assert list(kept_files(folder)) == [0, 2, 4]


def test_a_resumed_fit_refuses_later_files_and_those_of_another_fit(tmp_path):
    train(tmp_path / "long", epochs=2, every=1)
    train(tmp_path / "other", epochs=1, every=1, seed=3)
    fit("ppca", "faithful", epochs=1, checkpoint=tmp_path / "state.npz", progress=False, **TRAINING)
    resumed = {"resume": tmp_path / "state.npz", "epochs": 2, "keep_every": 1, "progress": False}
    with pytest.raises(ValueError, match=r"keep: .*epoch-0002.npz, and the fit goes on after epoch 1"):
        fit(keep=tmp_path / "long", **resumed)
    with pytest.raises(ValueError, match=r"keep: .*epoch-0001.npz' of another fit"):
        fit(keep=tmp_path / "other", **resumed)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep": "kept"}, "keep: expected the epochs between two checkpoints beside it"),
        ({"keep_every": 2}, "keep_every: expected a folder beside it, got 2"),
        ({"keep": "kept", "keep_every": 0}, "keep_every: expected a whole number of at least 1, got 0"),
        ({"keep": "kept", "keep_every": 1, "method": "em"}, "keep_every: expected no value with method em"),
    ],
)
def test_wrong_wishes_are_refused_before_the_fit(tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        fit("gaussian-mixture:full", "faithful", progress=False, **options)
    assert not list(tmp_path.iterdir())
