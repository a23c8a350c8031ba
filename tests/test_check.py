"""`check_unbiased`: every estimator is what it declares, and those that are not are found, by how much."""

import numpy as np
import pytest

from elbo_lab import check_unbiased
from elbo_lab.cli.main import main
from elbo_lab.estimators import ESTIMATORS, NO_STATE, Exact, Reparameterization, ScoreFunction

MEASURED = [estimator for estimator in ESTIMATORS if not isinstance(estimator, Exact)]


@pytest.mark.parametrize("estimator", MEASURED, ids=lambda estimator: estimator.name)
def test_every_estimator_is_what_it_declares(estimator):
    found = check_unbiased(estimator)
    assert found.passed and not found.broken, found.table()
    verdicts = {row["verdict"] for row in found.rows if row["method"] != "draws"}
    if estimator.unbiased:
        assert verdicts == {"ok"}
        assert max(row["bias_relative"] for row in found.rows if row["method"] != "draws") < 1e-10
    else:
        assert "biased" in verdicts


class TenPerCentLess(ScoreFunction):
    name = "score-function-ten-per-cent-less"

    def estimate(self, problem, noise, state=NO_STATE):
        gradient, state = super().estimate(problem, noise, state)
        return 0.9 * gradient, state


def test_a_gradient_that_is_ten_per_cent_too_small_shows_as_a_tenth():
    found = check_unbiased(TenPerCentLess())
    assert not found.passed
    assert [row["bias_relative"] for row in found.rows] == pytest.approx([0.1] * len(found.rows), abs=1e-12)
    assert "declared unbiased" in found.table() and "0.1000" in found.table() and "\n" not in repr(found)


class Clipped(Reparameterization):
    name = "reparameterization-clipped"

    def estimate(self, problem, noise, state=NO_STATE):
        return super().estimate(problem, np.clip(noise, -2.0, 2.0), state)


def test_a_fault_with_kinks_is_found_too():
    found = check_unbiased(Clipped())
    assert {row["verdict"] for row in found.rows} == {"FAIL"}
    assert {row["method"] for row in found.rows} == {"nodes", "bisection"}


def test_the_command_line_says_the_same(capsys):
    assert main(["check", "reparameterization"]) == 0
    assert main(["check", f"{__name__}:TenPerCentLess"]) == 1
    assert main(["check", "reparam"]) == 2
    out, err = capsys.readouterr()
    assert "passed: no bias" in out and "0.1000" in out and "did you mean 'reparameterization'" in err
