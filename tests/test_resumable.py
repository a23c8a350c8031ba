"""A training by hand in pieces is, bit for bit, the training in one piece."""

from dataclasses import replace

import numpy as np
import pytest

from elbo_lab import evaluate, fit
from elbo_lab.cli.main import main
from elbo_lab.datasets import load
from elbo_lab.distributions import FullGaussian, Laplace
from elbo_lab.estimators import ElboSampled, Reparameterization
from elbo_lab.fitting import load_fitted
from elbo_lab.fitting.checkpoints import train_in_pieces
from elbo_lab.fitting.jobs import TrainingJob
from elbo_lab.models import PPCA, DeepBernoulli
from elbo_lab.posteriors import AmortisedPosterior, FreePosterior, Posterior
from elbo_lab.priors import NetworkPrior
from elbo_lab.training import (
    ElboObjective,
    EvidenceObjective,
    ImportanceWeightedObjective,
    Plan,
    PosteriorObjective,
    ReweightedWakeSleepObjective,
    Training,
    WakeSleepObjective,
    load_checkpoint,
    save_checkpoint,
)

DIGITS = load("digits:binary").rows(40, 0).x[:, 18:30]
WORDS = {"draws": 3, "seed": 1}


def build(epochs=4):
    model = DeepBernoulli(12, 1, (6,))
    posterior = AmortisedPosterior.for_data(model.family, DIGITS, (6,))
    objective = ImportanceWeightedObjective(model, posterior, DIGITS, draws=3)
    return Training(objective, Plan(epochs=epochs, batch=20, rates={"theta": 0.02, "phi": 0.02}), seed=1)


def check_pieces(tmp_path):
    whole, lines, pieces = build(), [], 0
    whole.run()
    done = False
    while not done:
        part = build()
        done = train_in_pieces(part, tmp_path / "c.npz", WORDS, 0.0, lines.append)
        pieces += 1
    assert pieces == 8 and [line.split(":")[0] for line in lines] == [f"epoch {n} of 4" for n in range(1, 5)]
    assert lines[-1].endswith(f"iwae {whole.history[-1]['iwae']:.2f}")
    for name, vector in whole.params.items():
        np.testing.assert_array_equal(part.params[name], vector)
    assert part.history == whole.history


def test_pieces_of_one_minibatch_give_the_bits_of_the_whole(tmp_path):
    check_pieces(tmp_path)


def test_a_piece_that_forgets_its_noise_is_caught(tmp_path, monkeypatch):
    restore = TrainingJob.restore

    def forgetful(job, header, arrays):
        restore(job, header, arrays)
        job.training.noise_rng = np.random.default_rng(0)

    monkeypatch.setattr(TrainingJob, "restore", forgetful)
    with pytest.raises(AssertionError):
        check_pieces(tmp_path)


def test_more_epochs_go_on_from_fewer(tmp_path):
    path = tmp_path / "new" / "c.npz"
    assert train_in_pieces(build(2), path, WORDS)
    more, whole = build(4), build(4)
    assert train_in_pieces(more, path, WORDS)
    whole.run()
    np.testing.assert_array_equal(more.params["theta"], whole.params["theta"])


def test_the_file_of_another_training_is_refused(tmp_path):
    train_in_pieces(build(1), tmp_path / "c.npz", WORDS)
    with pytest.raises(ValueError, match=r"checkpoint: expected one of this training, got .* \(draws\)"):
        train_in_pieces(build(1), tmp_path / "c.npz", WORDS | {"draws": 5})


# -- the file as a fitted model --------------------------------------------------------------------


def check_loaded(objective, path, data=None):
    """The file of a training by hand gives back its model, its q and its parameters."""
    training = Training(objective, Plan(epochs=1, batch=40))
    train_in_pieces(training, path, WORDS, data=data)
    stored = load_fitted(path)
    assert stored.model == objective.model
    objective = getattr(objective, "inner", objective)
    posterior = getattr(objective, "posterior", None)
    if posterior is None:
        assert stored.posterior is None
    else:
        assert stored.posterior.family == posterior.family
        np.testing.assert_array_equal(stored.phi, training.params["phi"])
        eta = posterior.eta(training.params["phi"], objective.x)
        np.testing.assert_array_equal(stored.posterior.eta(stored.phi, objective.x), eta)
    np.testing.assert_array_equal(stored.theta, training.params["theta"])
    return stored


MODEL = DeepBernoulli(12, 1, (6,))
ENCODER = AmortisedPosterior.for_data(MODEL.family, DIGITS, (6,))
SAMPLED = {"theta_estimator": ElboSampled(), "phi_estimator": Reparameterization()}
OBJECTIVES = {
    "importance-weighted": ImportanceWeightedObjective(MODEL, ENCODER, DIGITS, draws=3),
    "elbo in float32": ElboObjective(MODEL, ENCODER, DIGITS, dtype=np.float32),
    "a free table": ElboObjective(MODEL, FreePosterior(MODEL.family, 40), DIGITS),
    "full covariance": ElboObjective(MODEL, FreePosterior(FullGaussian(MODEL.latent_dim), 40), DIGITS),
    "another family": ElboObjective(MODEL, replace(ENCODER, family=Laplace(1)), DIGITS, **SAMPLED),
    "wake-sleep": WakeSleepObjective(MODEL, ENCODER, DIGITS),
    "reweighted wake-sleep": ReweightedWakeSleepObjective(MODEL, ENCODER, DIGITS, draws=3),
    "elbo with a prior": PosteriorObjective(ElboObjective(MODEL, ENCODER, DIGITS), MODEL, NetworkPrior(1.0)),
    "evidence": EvidenceObjective(PPCA(12, 2), DIGITS),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_file_of_a_training_by_hand_is_evaluated_and_sampled(name, tmp_path, capsys):
    objective, path = OBJECTIVES[name], tmp_path / "c.npz"
    stored = check_loaded(objective, path)
    final = evaluate(path, DIGITS, importance_samples=50).final
    assert {"elbo_per_datum", "log_likelihood"} & set(final) and final["rows"] == 40
    if stored.posterior is not None:
        assert final["nll_per_datum"] < -final["elbo_per_datum"]
    np.save(tmp_path / "x.npy", DIGITS)
    main(["evaluate", str(path), "--data", str(tmp_path / "x.npy"), "--importance-samples", "20"])
    main(["sample", str(path), "--out", str(tmp_path / "out"), "--count", "7"])
    assert np.load(tmp_path / "out" / "samples.npz")["x"].shape == (7, 12)
    assert objective.model.name in capsys.readouterr().out


def test_a_data_set_gives_its_name_and_the_shape_of_its_images(tmp_path):
    digits = load("digits:binary").rows(40, 0)
    model = DeepBernoulli(64, 1, (6,))
    posterior = AmortisedPosterior.for_pixels(model.family, digits.x, (6,))
    stored = check_loaded(ImportanceWeightedObjective(model, posterior, digits.x), tmp_path / "c.npz", digits)
    assert stored.image_shape == (8, 8) and stored.settings["data"] == digits.name


def test_what_a_file_cannot_describe_is_trained_and_said(tmp_path):
    class Own(FreePosterior):
        to_dict = Posterior.to_dict

    objective, path = ElboObjective(MODEL, Own(MODEL.family, 40), DIGITS), tmp_path / "c.npz"
    training = Training(objective, Plan(epochs=1, batch=40))
    assert train_in_pieces(training, path, WORDS)
    with pytest.raises(ValueError, match="expected a model and a q that a file can describe"):
        load_fitted(path)


def test_a_fit_does_not_go_on_from_a_training_by_hand(tmp_path):
    train_in_pieces(build(1), tmp_path / "c.npz", WORDS)
    with pytest.raises(ValueError, match=r"resume: expected a checkpoint of a fit, .* train_in_pieces"):
        fit(resume=tmp_path / "c.npz", data=DIGITS)


def test_a_file_of_before_that_has_words_alone_is_continued(tmp_path):
    path = tmp_path / "c.npz"
    train_in_pieces(build(2), path, WORDS)
    header, arrays = load_checkpoint(path)
    save_checkpoint(path, {"settings": header["words"], "job": header["job"]}, dict(arrays))
    more, whole = build(4), build(4)
    assert train_in_pieces(more, path, WORDS)
    whole.run()
    np.testing.assert_array_equal(more.params["theta"], whole.params["theta"])
