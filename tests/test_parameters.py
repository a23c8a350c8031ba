"""What a fit tells about its parameters: textbook names, one screen, the floor of a decoder's variance."""

import numpy as np
import pytest

from elbo_lab import fit, load
from elbo_lab.cli.main import main
from elbo_lab.report.parameters import MOST_ROWS, parameter_table

CSV = "height,weight,age,income,score"


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 5)) * [1.0, 2.0, 3.0, 4.0, 5.0] + 10.0 * rng.integers(0, 2, (80, 1))
    np.savetxt("mine.csv", x, delimiter=",", header=CSV, comments="")
    return "mine.csv"


def test_the_explained_share_is_that_of_the_eigenvalues(table):
    result = fit("ppca", table, latent=2)
    eigenvalues = np.linalg.eigvalsh(np.cov(result.train.x.T, bias=True))[::-1]
    share = result.parameters["explained_variance_ratio"]
    np.testing.assert_allclose(share, eigenvalues[:2] / eigenvalues.sum(), rtol=1e-10)
    assert result.parameters["sigma"] == pytest.approx(np.sqrt(result.parameters["sigma2"]))
    assert f"{100 * share.sum():.1f} %" in "\n".join(parameter_table(result.parameters).lines(80))


def test_uniquenesses_are_the_shares_of_noise(table):
    p = fit("factor-analysis", table, latent=1).parameters
    covariance = p["W"] @ p["W"].T + np.diag(p["sigma2"])
    np.testing.assert_allclose(p["uniquenesses"], p["sigma2"] / np.diag(covariance), rtol=1e-12)


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize(
    "options",
    [("gaussian-mixture", 6), ("ppca", 4), ("factor-analysis", 2), ("gaussian-mle", None)],
    ids=lambda options: options[0],
)
def test_columns_have_their_names_and_lines_fit(options, width, table):
    model, latent = options
    result = fit(model, table, latent=latent)
    lines = parameter_table(result.parameters, result.train.columns).lines(width)
    assert max(map(len, lines)) <= width and len(lines) <= 12
    for name in CSV.split(","):
        assert sum(line.startswith(name) for line in lines) == 1


def test_what_does_not_fit_is_counted():
    result = fit("ppca", "digits:raw", latent=30)
    lines = parameter_table(result.parameters, result.train.columns).lines(80)
    rows = [line for line in lines if line.startswith("pixel")]
    assert len(rows) == MOST_ROWS and f"{64 - MOST_ROWS} more rows and " in lines[-1]
    largest = np.argmax(np.sum(result.parameters["W"] ** 2, axis=1))
    assert rows[0].startswith(result.train.columns[largest])


def test_of_components_that_do_not_fit_the_heaviest_are_shown():
    weights = np.array([0.05, 0.01, 0.5, 0.04, 0.3, 0.1])
    p = {"weights": weights, "means": np.ones((6, 2)), "standard_deviations": np.full((6, 2), 0.25)}
    lines = parameter_table(p).lines(80)
    assert lines[1].split() == ["component", "2", "component", "4", "component", "5"]
    assert lines[2].split()[2:] == ["0.500", "0.300", "0.100"] and "3 more components" in lines[-1]
    wide = parameter_table(p).lines(140)
    assert wide[2].split()[2:] == ["0.0500", "0.0100", "0.500", "0.0400", "0.300", "0.100"]


def test_a_decoder_at_its_floor_is_told_and_the_floor_is_an_option(capsys):
    raw = load("digits:raw").rows(200, 0)
    options = {"hidden": (10,), "epochs": 60, "batch": 20, "learning_rate": 0.02}
    low = fit("deep-gaussian:learned", raw, floor=1e-3, **options)
    noise = low.final["decoder_noise"]
    assert noise["sd_floor"] == pytest.approx(np.sqrt(1e-3)) and noise["share_at_floor"] > 0.01
    assert any("at their floor, 0.001" in warning for warning in low.warnings)
    z = low.encode(raw.x)[0]
    assert low.model.log_variance(low.theta, z).min() >= np.log(1e-3)
    none = fit("deep-gaussian:learned", raw, floor=1e-30, hidden=(10,), epochs=1)
    assert none.final["decoder_noise"]["share_at_floor"] == 0.0 and not none.warnings
    assert main("fit deep-bernoulli --data digits --floor 1".split()) == 2
    assert "--floor" in capsys.readouterr().err


def test_names_that_a_model_of_a_user_has_in_part_are_no_mistake():
    lines = parameter_table({"weights": np.ones((3, 2)), "decoder.W1": np.ones((4, 4))}).lines(80)
    assert "weights (3 x 2)" in lines[0] and "decoder (16 numbers)" in lines[0]
