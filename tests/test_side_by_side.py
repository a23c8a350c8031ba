"""Several stored models on the same rows: paired differences, rows without density, refusals."""

import csv
import json

import numpy as np
import pytest

from elbo_lab import fit, load, load_fitted
from elbo_lab.cli.main import main
from elbo_lab.fitting import evaluate, evaluate_together

NAMES = ("kde", "gaussian", "gaussian-mixture", "histogram")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four densities of Old Faithful with the same held-out rows, and others."""
    place = tmp_path_factory.mktemp("fits")
    for name in NAMES:
        options = {"latent": 2, "restarts": 2} if name == "gaussian-mixture" else {}
        fit(name, "faithful", holdout=0.2, checkpoint=place / f"{name}.npz", **options)
    fit("kde", "faithful", checkpoint=place / "whole.npz")
    small = {"epochs": 1, "hidden": (5,), "latent": 1}
    fit("deep-gaussian:fixed", "faithful", holdout=0.2, checkpoint=place / "vae.npz", **small)
    fit("logistic-regression", "breast-cancer", epochs=1, checkpoint=place / "labels.npz")
    return place


def paths(folder, *names):
    return [folder / f"{name}.npz" for name in names]


def test_four_densities_stand_side_by_side_on_the_rows_that_all_held_out(folder):
    found = evaluate_together(paths(folder, *NAMES))
    x = load("faithful").split(0.2)[1].x
    assert found.log_p.shape == (4, 55) and found.settings["part"] == "held out"
    assert np.array_equal(load("faithful").x[found.rows], x)
    for path, values in zip(paths(folder, *NAMES), found.log_p, strict=True):
        assert np.array_equal(values, load_fitted(path).score_samples(x))
    standings = found.standings
    means = [one.log_p for one in standings]
    assert means == sorted(means, reverse=True) and standings[0].behind == 0.0
    assert standings[0].behind_error is None and standings[-1].model.startswith("histogram")
    for one in standings[1:-1]:
        values = found.log_p[NAMES.index(one.model.partition(":")[0])]
        best = found.log_p[NAMES.index(standings[0].model.partition(":")[0])]
        difference = values - best
        assert one.behind == pytest.approx(difference.mean()) and one.impossible == 0
        assert one.behind_error == pytest.approx(difference.std(ddof=1) / np.sqrt(55))
        assert one.error == pytest.approx(values.std(ddof=1) / np.sqrt(55))
        alone = evaluate(one.checkpoint).final["log_likelihood_per_datum"]
        assert one.log_p == pytest.approx(alone, rel=1e-12)


def test_a_density_with_impossible_rows_is_last_and_says_what_it_does_on_the_others(folder):
    found = evaluate_together(paths(folder, "histogram", "gaussian"))
    best, last = found.standings
    possible = found.log_p[0] > -np.inf
    assert (last.log_p, last.error, last.impossible) == (-np.inf, None, int((~possible).sum())) != (0, 0, 0)
    assert best.model == "gaussian:full"
    assert last.behind == pytest.approx((found.log_p[0] - found.log_p[1])[possible].mean())


def test_pairing_makes_the_error_of_a_difference_smaller(folder):
    first, second = evaluate_together(paths(folder, "kde", "gaussian-mixture")).standings
    assert second.behind_error < 0.6 * np.hypot(first.error, second.error)


def test_a_sampled_log_p_says_so_and_given_data_serve_all(folder):
    x = load("faithful").x[:9]
    found = evaluate_together(paths(folder, "gaussian", "vae", "whole"), x, importance_samples=50)
    assert {one.model: one.sampled for one in found.standings}["deep-gaussian:fixed"]
    assert found.log_p.shape == (3, 9) and found.settings["part"] == "given"


REFUSED = [
    (("kde",), "checkpoints: expected at least two, got 1"),
    (("kde", "whole"), "checkpoints: expected fits to the same training rows.*--data"),
    (("kde", "labels"), "logistic-regression is no density of rows; evaluate it alone"),
    (("kde", "none"), "checkpoint: expected an existing file"),
]


@pytest.mark.parametrize(("names", "message"), REFUSED)
def test_what_cannot_stand_side_by_side_is_refused_in_a_line(names, message, folder):
    with pytest.raises(ValueError, match=message) as refused:
        evaluate_together(paths(folder, *names))
    assert "\n" not in str(refused.value)


def test_the_command_takes_several_checkpoints(folder, tmp_path, capsys):
    files = {"--json": tmp_path / "out.json", "--scores": tmp_path / "rows.csv"}
    words = ["evaluate", *map(str, paths(folder, *NAMES))]
    assert main([*words, *(str(word) for pair in files.items() for word in pair)]) == 0
    text = capsys.readouterr().out
    assert "faithful, held out rows" in text and "behind the best" in text and "-inf" in text
    assert "log p(x) = -inf in 2 rows" in " ".join(text.split())
    record = json.loads(files["--json"].read_text())
    assert record["schema"] == "elbo_lab/evaluation/side-by-side/1" and len(record["models"]) == 4
    assert record["models"][-1]["log_p"] is None and record["models"][-1]["impossible"] == 2
    lines = list(csv.reader(files["--scores"].read_text().splitlines()))
    assert lines[0][:2] == ["row", "set"] and len(lines[0]) == 6 and len(lines) == 56
    # A second run replaces its own files, and one checkpoint is judged as before.
    assert main([*words, *(str(word) for pair in files.items() for word in pair)]) == 0
    assert main(words[:2]) == 0
    assert "leave-one-out, fitted to faithful" in capsys.readouterr().out
    assert main([*words, str(folder / "whole.npz")]) == 2
    assert "error: checkpoint: expected fits to the same training rows" in capsys.readouterr().err
