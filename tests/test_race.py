"""A race: fair, reproducible, zero at the optimum, and last for who has more noise."""

import json
from dataclasses import dataclass

import numpy as np
import pytest

from elbo_lab import race
from elbo_lab.cli.main import main
from elbo_lab.comparison.optimum import distance, optimum
from elbo_lab.comparison.race import COMMON, OWN, RaceResult, seeds_of, t_interval
from elbo_lab.estimators.pathwise import Reparameterization
from elbo_lab.models import PPCA, FactorAnalysis, GaussianMixture
from elbo_lab.report.race import race_answer

RNG = np.random.default_rng(3)
TABLE = RNG.normal(size=(12, 1)) @ RNG.normal(size=(1, 3)) + 0.5 * RNG.normal(size=(12, 3))
SMALL = {"data": TABLE, "latent": 1, "steps": 50, "repeats": 4, "rates": [0.03, 0.1], "threads": 1}
PAIR = ["reparameterization", "score-function"]


@dataclass(frozen=True)
class Noisy(Reparameterization):
    """The planted fault: the gradient of its base with noise of mean zero added to it."""

    name = "noisy-reparameterization"

    def estimate(self, problem, noise, state):
        gradient, state = super().estimate(problem, noise, state)
        return gradient + 100.0 * np.resize(noise, gradient.shape), state


def without_seconds(found: RaceResult) -> str:
    rows = [{k: v for k, v in row.items() if not k.startswith("seconds")} for row in found.rows]
    return json.dumps([found.settings, rows, found.tuning, found.curves])


@pytest.fixture(scope="module")
def found():
    return race(PPCA(3, 1), **{**SMALL, "latent": None}, estimators=PAIR)


def test_a_race_is_the_same_again(found):
    again = race(PPCA(3, 1), **{**SMALL, "latent": None}, estimators=PAIR)
    assert without_seconds(again) == without_seconds(found)
    other = race(PPCA(3, 1), **{**SMALL, "latent": None}, estimators=PAIR, seed=1)
    assert without_seconds(other) != without_seconds(found)


@pytest.mark.slow
def test_workers_change_nothing(found):
    again = race(PPCA(3, 1), **{**SMALL, "latent": None, "threads": 2}, estimators=PAIR)
    assert without_seconds(again) == without_seconds(found)


def test_all_start_at_the_same_point(found):
    assert len({curve["mean"][0] for curve in found.curves}) == 1


def test_a_noisier_copy_comes_last():
    racers = [Reparameterization(), Noisy()]
    found = race(PPCA(3, 1), **{**SMALL, "latent": None, "repeats": 6}, estimators=racers)
    calm, noisy = (row for row in found.rows if row["at"] == OWN)
    assert noisy["variance"] > 10 * calm["variance"]
    assert noisy["distance"] > calm["distance"]
    (pair,) = found.settings["pairs"]
    assert (pair["near"], pair["far"], pair["agrees"]) == ("reparameterization", Noisy.name, True)
    assert race_answer(found.settings, found.rows).startswith("yes")


@pytest.mark.parametrize(
    "model", [PPCA(3, 1), FactorAnalysis(3, 1), GaussianMixture(3, 2, "spherical")], ids=str
)
def test_the_distance_at_the_optimum_is_zero(model):
    rng = np.random.default_rng(0)
    best = optimum(model, TABLE, model.random_theta(TABLE, rng))
    assert distance(model, best.theta, TABLE, best) == pytest.approx(0.0, abs=1e-10)
    for _ in range(20):  # and nothing nearby is above it
        moved = best.theta + 1e-3 * rng.normal(size=best.theta.size)
        assert distance(model, moved, TABLE, best) > -1e-9


def test_rotated_loadings_are_at_no_distance():
    model = PPCA(3, 2)
    best = optimum(model, TABLE, model.initial_theta(TABLE))
    turned = best.theta.copy()
    W = model.layout.views(turned)["W"]
    W[...] = W @ np.array([[0.6, 0.8], [-0.8, 0.6]])
    assert not np.allclose(turned, best.theta)
    assert distance(model, turned, TABLE, best) == pytest.approx(0.0, abs=1e-10)


def test_no_seed_of_the_tuning_is_in_the_race():
    tuning, raced = seeds_of(0, 500)
    assert not set(tuning) & set(raced)
    assert len(set(raced)) == 500
    assert seeds_of(0, 5)[1] == raced[:5]


def test_the_interval_covers_a_skewed_mean():
    # 4000 races of 12 seeds with gamma distances of skewness 1: at least 92 % must hold the mean of 4.
    draws = np.random.default_rng(1).gamma(4.0, size=(4000, 12))
    ends = np.array([t_interval(row) for row in draws])
    covered = ((ends[:, 0] <= 4.0) & (ends[:, 1] >= 4.0)).mean()
    assert 0.92 < covered < 0.965
    # An interval that takes the error of a mean for that of a single value is far too wide.
    assert (ends[:, 1] - ends[:, 0]).mean() < 0.5 * 2 * 2.2 * draws.std()


def test_a_rate_that_diverges_is_a_row():
    found = race(
        PPCA(3, 1), **{**SMALL, "latent": None, "rates": [0.03, 50.0]}, estimators=PAIR, optimizer="sgd"
    )
    lost = [row for row in found.tuning if row["diverged"]]
    assert {row["rate"] for row in lost} == {50.0}
    assert all(row["distance"] is None for row in lost)
    assert found.settings["common_rate"] == 0.03
    assert "Diverged in the tuning" in found.table()


def test_rows_curves_and_marks(found):
    assert [row["at"] for row in found.rows] == [OWN, OWN, COMMON, COMMON]
    assert all(row["edge"] for row in found.rows), "a grid of two has only edges"
    assert "edge of the grid" in found.table()
    for row in found.rows:
        assert row["distance_low"] < row["distance"] < row["distance_high"]
        assert row["evaluations_per_step"] == 4
    lines = found.lines(100)
    assert len(lines) <= 45
    assert max(len(str(line)) for line in lines) <= 100
    assert found.plot().axes[0].get_title(loc="left") == "steps"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ppca", "--estimators", "nonsense,reparameterization"], "nonsense"),
        (["ppca", "--estimators", "reparameterization"], "at least two estimators"),
        (["deep-bernoulli", "--latent", "2"], "no formula and no sum"),
        (["logistic-regression"], "no theta to train"),
        (["ppca", "--objective", "wake-sleep"], "climb one function"),
        (["ppca", "--rates", "0.1,-1"], "--rates"),
        (["ppca", "--posterior", "exact"], "--posterior"),
        (["ppca", "--theta-estimator", "dreg"], "--theta-estimator"),
    ],
)
def test_mistakes_are_one_line(arguments, words, capsys):
    assert main(["race", *arguments]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert words in line


def test_the_command_writes_what_it_shows(tmp_path, capsys):
    np.savetxt(tmp_path / "t.csv", TABLE, delimiter=",")
    options = f"--data {tmp_path}/t.csv --latent 1 --steps 25 --repeats 2 --rates 0.1 --threads 1".split()
    files = ["--json", str(tmp_path / "race.json"), "--out", str(tmp_path / "figures")]
    assert main(["race", "ppca", "--estimators", ",".join(PAIR), *options, *files]) == 0
    kept = json.loads((tmp_path / "race.json").read_text())
    assert kept["schema"] == "elbo_lab/race/1"
    assert len(kept["rows"]) == 4
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == ["race.png", "race.svg"]
    assert "Does less variance train faster?" in capsys.readouterr().out
