"""A training by hand in pieces is, bit for bit, the training in one piece."""

import numpy as np
import pytest

from elbo_lab.datasets import load
from elbo_lab.fitting.checkpoints import train_in_pieces
from elbo_lab.fitting.jobs import TrainingJob
from elbo_lab.models import DeepBernoulli
from elbo_lab.posteriors import AmortisedPosterior
from elbo_lab.training import ImportanceWeightedObjective, Plan, Training

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
