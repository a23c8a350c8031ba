"""`fit gplvm` from end to end: both methods, resume, evaluation of new rows, samples, and what is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest

from elbo_lab import fit
from elbo_lab.cli.main import main
from elbo_lab.datasets import Dataset
from elbo_lab.errors import Stopped
from elbo_lab.fitting import evaluate, load_fitted
from elbo_lab.fitting.figures import figures_of
from elbo_lab.models import GPLVM
from elbo_lab.models.gplvm import GPLVMRows


def curve(n_rows=50, seed=0):
    """Return rows on a curve in four columns, with labels by the half of the curve, as a CSV would give."""
    rng = np.random.default_rng(seed)
    t = np.linspace(-2.0, 2.0, n_rows)
    x = np.stack([t, t**2, np.sin(2 * t), np.cos(t)], axis=1) + 0.05 * rng.standard_normal((n_rows, 4))
    return Dataset("curve", x, labels=(t > 0).astype(int))


QUICK = {"latent": 2, "epochs": 150, "n_inducing": 10, "threads": 1}


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Return the path of a checkpoint, and the fit that wrote it."""
    path = tmp_path_factory.mktemp("gplvm") / "curve.npz"
    return path, fit("gplvm", curve(), holdout=0.2, checkpoint=path, **QUICK)


def test_a_fit_ends_in_the_model_of_a_row_with_a_q_for_each(kept):
    _, result = kept
    assert isinstance(result.model, GPLVMRows) and result.model.latent_dim == 2
    mean, std = result.encode(result.train.x)
    assert mean.shape == std.shape == (40, 2)
    assert result.final["reconstruction_error"] < 0.15
    assert result.final["elbo_per_datum"] == result.history[-1]["elbo_exact"]
    assert result.generate(7, np.random.default_rng(0)).shape == (7, 4)
    assert set(result.parameters) == {"amplitude", "relevance", "sigma"}


def test_held_out_rows_get_a_q_and_hidden_cells_are_told_from_the_others(kept):
    unseen = kept[1].final["held_out"]
    assert unseen["rows"] == 10
    # Importance samples are above the ELBO, by its gap; cells are told much better than by their mean.
    assert 0.0 <= -unseen["nll_per_datum"] - unseen["elbo_per_datum"] < 0.5
    assert unseen["hidden_cells_error"] < 0.5 * curve().x.std()


def test_an_interrupted_fit_resumes_bit_for_bit(kept, tmp_path):
    path = tmp_path / "parts.npz"
    with pytest.raises(Stopped):
        fit("gplvm", curve(), holdout=0.2, checkpoint=path, progress=lambda *_: True, **QUICK)
    result = fit(data=curve(), resume=path)
    assert result.settings == kept[1].settings
    assert np.array_equal(result.theta, kept[1].theta) and np.array_equal(result.phi, kept[1].phi)
    assert result.history == kept[1].history


def test_a_stored_fit_is_evaluated_on_its_held_out_rows_and_on_others(kept):
    path, result = kept
    found = evaluate(path, result.held_out)
    # Other importance samples: five standard errors of their difference.
    before, now = result.final["held_out"], found.final
    error = np.hypot(before["nll_standard_error"], now["nll_standard_error"])
    assert abs(now["nll_per_datum"] - before["nll_per_datum"]) < 5.0 * error + 0.02
    stored = load_fitted(path)
    assert stored.model == result.model and np.array_equal(stored.theta, result.theta)


@pytest.mark.parametrize("variant", ["rbf", "matern52"])
def test_the_mode_is_fitted_too(variant):
    result = fit(f"gplvm:{variant}", curve(20), method="gplvm-map", latent=1, epochs=60, threads=1)
    values = [row["log_joint"] for row in result.history]
    assert values == sorted(values) and result.model.n_points == 20


def test_rows_are_the_first_of_a_fixed_permutation():
    few = fit("gplvm", curve(), rows=12, latent=1, epochs=1, n_inducing=3)
    assert np.array_equal(few.train.x, curve().rows(12, seed=0).x)
    assert few.settings["rows"] == 12


def test_figures_and_record_are_written(tmp_path, capsys):
    file = tmp_path / "curve.csv"
    np.savetxt(file, curve(25).x, delimiter=",", header="a,b,c,d", comments="")
    arguments = ["fit", "gplvm", "--data", str(file), "--latent", "2", "--epochs", "20", "--n-inducing", "6"]
    written = ["--json", str(tmp_path / "out.json"), "--out", str(tmp_path / "figures")]
    assert main([*arguments, *written]) == 0
    assert "ELBO per datum" in capsys.readouterr().out
    record = json.loads((tmp_path / "out.json").read_text())
    assert record["settings"]["n_inducing"] == 6 and record["settings"]["latent"] == 2
    for name in ("latent-plane", "relevances"):
        assert (tmp_path / "figures" / f"{name}.png").exists()


REFUSED = {
    "K larger than N": ({"rows": 3, "latent": 4}, "latent: expected at most the 3 rows of the data, got 4"),
    "K larger than D": ({"latent": 5}, "latent: expected at most the 4 columns of the data, got 5"),
    "inducing": ({"n_inducing": 51}, "n_inducing: expected at most the 50 rows of the data, got 51"),
    "rows": ({"rows": 51}, "rows: expected at most the 50 rows of curve, got 51"),
    "matern": (
        {"model": "gplvm:matern32", "method": "gplvm-variational"},
        "method: expected one of gplvm-map",
    ),
    "svi": (
        {"method": "svi"},
        "method: expected one of gplvm-variational, gplvm-map for gplvm:rbf, got 'svi'",
    ),
}


@pytest.mark.parametrize(("options", "message"), REFUSED.values(), ids=REFUSED)
def test_what_no_fit_can_use_is_refused_in_one_line(options, message):
    with pytest.raises(ValueError, match=message) as caught:
        fit(**({"model": "gplvm", "data": curve(), "epochs": 1} | options))
    assert "\n" not in str(caught.value)


def test_a_constant_table_is_refused():
    with pytest.raises(ValueError, match=r"columns? that var"):
        fit("gplvm", np.full((8, 3), 0.1), latent=1, epochs=1, n_inducing=2)


def test_the_default_of_the_linear_function_is_as_many_inducing_inputs_as_latents():
    result = fit("gplvm:linear", curve(20), latent=2, epochs=5)
    assert result.settings["n_inducing"] == 2
    assert isinstance(GPLVM.for_data(curve(20).x, "linear", 2), GPLVM)


def test_hidden_cells_of_pictures_are_drawn_where_they_were_hidden():
    pictures = replace(curve(20), image_shape=(2, 2))
    result = fit("gplvm", pictures, holdout=0.2, latent=1, epochs=20, n_inducing=4)
    drawn = dict(figures_of(result))
    assert "hidden-cells" in drawn and "relevances" not in drawn
    sheet = np.asarray(drawn["hidden-cells"].axes[0].images[0].get_array(), dtype=float)
    # Four pictures of 2 x 2 cells in three lines; one cell of each is grey in the second.
    limits = result.train.x.min(), result.train.x.max()
    assert np.isclose(sheet, np.mean(limits)).sum() == 4
