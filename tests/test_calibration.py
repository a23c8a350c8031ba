"""Calibration by simulation: the exact posterior passes at the stated rate, and a wrong q is found."""

import itertools
import json
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pytest

from elbo_lab.cli.main import main
from elbo_lab.distributions import DiagonalGaussian
from elbo_lab.errors import NotApplicable
from elbo_lab.evaluation import simulation_calibration
from elbo_lab.evaluation.calibration import JOINT, judged
from elbo_lab.evaluation.ecdf_band import (
    counts_below,
    probability_within,
    simultaneous_band,
    symmetry_p,
    uniformity_p,
    walk_p,
)
from elbo_lab.models import PPCA, GaussianMixture, LogisticRegression, SigmoidBelief
from elbo_lab.plots import plot_calibration
from elbo_lab.posteriors import AmortisedPosterior, ExactPosterior, FreePosterior

X = np.random.default_rng(0).normal(size=(60, 5))
MODEL = PPCA(5, 2)
W = np.random.default_rng(1).normal(size=(5, 2))
THETA = MODEL.canonical(MODEL.layout.pack({"W": W, "b": np.zeros(5), "log_sigma": np.array(0.0)}))


@dataclass(frozen=True, eq=False)
class Off(ExactPosterior):
    """The exact posterior with a constant added to its eta: the planted fault."""

    added: tuple[float, ...] = ()

    def eta(self, phi, x):
        return super().eta(phi, x) + np.array(self.added)


def off(shift=(0.0, 0.0), scale=(1.0, 1.0)):
    return Off(MODEL, THETA, added=(*shift, *np.log(scale)))


def calibration(posterior, n=500, **more):
    return simulation_calibration(MODEL, THETA, posterior, n_simulations=n, **more)


# -- the two tests, without luck -------------------------------------------------------------------


def test_the_probability_of_a_band_is_that_of_all_ranks_counted():
    n, n_draws = 4, 3
    low, high = np.array([0, 1, 2]), np.array([2, 3, 4])
    every = np.array(list(itertools.product(range(n_draws + 1), repeat=n)))
    counts = np.array([counts_below(row, n_draws) for row in every])
    share = ((counts >= low) & (counts <= high)).all(axis=1).mean()
    assert probability_within(n, low, high) == pytest.approx(share, abs=1e-13)
    assert probability_within(n, np.zeros(3, int), np.full(3, n)) == pytest.approx(1.0, abs=1e-13)


def test_p_values_of_uniform_ranks_are_exact():
    """Each p-value is the probability of one that is as small or smaller, over all ranks there can be."""
    n, n_draws = 5, 2
    every = list(itertools.product(range(n_draws + 1), repeat=n))
    p = np.array([uniformity_p(np.array(row), n_draws) for row in every])
    for value in np.unique(p.round(12)):
        assert (p <= value + 1e-10).mean() == pytest.approx(value, abs=1e-10)


def test_the_walk_of_signs_is_counted():
    n = 7
    walks = np.array(list(itertools.product((-1, 1), repeat=n))).cumsum(axis=1)
    for most in range(1, n + 1):
        share = (np.abs(walks).max(axis=1) >= most).mean()
        assert walk_p(n, most) == pytest.approx(share, abs=1e-13)


def test_a_curve_leaves_the_band_if_and_only_if_the_test_rejects():
    rng, n, n_draws, alpha = np.random.default_rng(2), 60, 19, 0.2
    low, high = simultaneous_band(n, n_draws, alpha)
    assert probability_within(n, low, high) >= 1.0 - alpha
    outside, rejected = [], []
    for _ in range(100):
        ranks = rng.integers(0, n_draws + 1, n)
        counts = counts_below(ranks, n_draws)
        outside.append(bool(((counts < low) | (counts > high)).any()))
        rejected.append(uniformity_p(ranks, n_draws) <= alpha)
    assert outside == rejected and 5 < sum(outside) < 40


def test_symmetric_ranks_that_are_not_uniform_pass_the_test_of_symmetry_alone():
    """The test of VSBC: both ends, and the same on both sides."""
    rng, n_draws = np.random.default_rng(3), 19
    ends = np.where(rng.random(400) < 0.5, 1, 18)
    assert uniformity_p(ends, n_draws) < 1e-10
    assert symmetry_p(ends, n_draws, rng) > 0.01
    assert symmetry_p(np.full(400, 12), n_draws, rng) < 1e-10
    assert symmetry_p(np.where(rng.random(400) < 0.5, 9, 10), n_draws, rng) > 0.01


# -- an exact q, a wrong q --------------------------------------------------------------------------


@pytest.mark.slow
def test_an_exact_posterior_fails_at_the_stated_rate():
    """200 seeds at 10 %: a count of 9 to 35 has a probability of 0.998 if the rate is the stated one."""
    runs = [calibration(off(), 100, false_alarm=0.1, seed=seed) for seed in range(200)]
    for name in ("uniform", "symmetric"):
        assert sum(not getattr(run, name) for run in runs) <= 35
    for t in range(3):  # of one quantity the level is exact, but for the steps of a p-value
        for values in ("uniformity", "symmetry"):
            count = sum(getattr(run, values)[t] <= 0.1 for run in runs)
            assert 7 <= count <= 35


def test_the_exact_posterior_passes():
    found = calibration(ExactPosterior(MODEL, THETA))
    assert found.uniform and found.symmetric and set(found.verdicts) == {"passes"}
    assert found.names == ("z[0]", "z[1]", JOINT) and found.ranks.shape == (500, 3)


@pytest.mark.parametrize(
    ("posterior", "verdict", "latents"),
    [
        (off(scale=(0.7, 1.0)), "fails: q is too narrow", (0,)),
        (off(scale=(0.7, 0.7)), "fails: q is too narrow", (0, 1)),
        (off(scale=(1.0, 1.5)), "fails: q is too wide", (1,)),
        (off(shift=(0.3, 0.0)), "fails: q lies too high", (0,)),
        (off(shift=(-0.3, -0.3)), "fails: q lies too low", (0, 1)),
    ],
)
def test_a_wrong_q_is_found_and_where(posterior, verdict, latents):
    found = calibration(posterior, 800)
    for k in range(2):
        assert found.verdicts[k] == (verdict if k in latents else "passes")


def test_a_variance_in_place_of_a_standard_deviation_is_found():
    """The planted fault: eta holds log s, and s^2 is taken for it."""

    class Variance(ExactPosterior):
        def eta(self, phi, x):
            mean, log_std = np.split(super().eta(phi, x), 2, axis=-1)
            return np.concatenate([mean, 2 * log_std], axis=-1)

    assert not simulation_calibration(MODEL, THETA, Variance(MODEL, THETA), n_simulations=800).uniform


def test_q_that_is_the_prior_passes_in_every_coordinate_and_fails_by_the_joint_density():
    class Prior(ExactPosterior):
        def eta(self, phi, x):  # noqa: ARG002
            return np.zeros((len(x), 4))

    found = simulation_calibration(MODEL, THETA, Prior(MODEL, THETA))
    assert found.verdicts == ("passes", "passes", "fails: draws of q are less probable than z")


def test_a_factorised_q_of_a_posterior_with_dependent_coordinates_is_too_narrow():
    """In place of a table each simulated row gets its best q, as in Yao et al. 2018."""
    theta = MODEL.layout.pack({"W": np.array([[2.0, 1.6]] * 5), "b": np.zeros(5), "log_sigma": np.array(0.0)})
    free = FreePosterior(DiagonalGaussian(2), 7)
    found = simulation_calibration(MODEL, theta, free, n_simulations=200)
    assert found.verdicts[:2] == ("fails: q is too narrow",) * 2
    assert found.symmetric


# -- latents of all kinds ---------------------------------------------------------------------------


@pytest.mark.parametrize("model", [GaussianMixture(2, 3), SigmoidBelief(6, 1)], ids=lambda model: model.name)
def test_ties_of_discrete_latents_are_broken_by_lot(model):
    """Categories and bits: the exact posterior passes, one with other odds fails."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(80, 2)) if model.n_columns == 2 else rng.integers(0, 2, (80, 6)).astype(float)
    theta = model.random_theta(x, rng) + 0.7 * rng.normal(size=model.layout.size)

    class Odds(ExactPosterior):
        def eta(self, phi, x):
            if model.family.event_axes:
                ones, zeros = (model.log_joint(theta, x, np.full((1, len(x), 1), b))[0] for b in (1.0, 0.0))
                eta = (ones - zeros)[:, None]
            else:
                eta = super().eta(phi, x)
            return eta + self.added * (np.arange(eta.shape[1]) == 0)

        @cached_property
        def added(self):
            return 0.0

    right, wrong = Odds(model, theta), Odds(model, theta)
    wrong.__dict__["added"] = 1.5
    assert simulation_calibration(model, theta, right, n_simulations=600).uniform
    assert not simulation_calibration(model, theta, wrong, n_simulations=600).uniform


def test_what_has_no_q_for_a_simulated_row_is_refused():
    regression = LogisticRegression.for_data(np.column_stack([X, X[:, 0] > 0]))
    with pytest.raises(NotApplicable, match="explains a whole table"):
        free = FreePosterior(regression.family, 1)
        simulation_calibration(regression, np.zeros(regression.layout.size), free, np.zeros(free.layout.size))
    bits = SigmoidBelief(6, 2)
    with pytest.raises(NotApplicable, match="fit an encoder"):
        simulation_calibration(bits, np.zeros(bits.layout.size), FreePosterior(bits.family, 3))
    with pytest.raises(ValueError, match="false_alarm: expected a probability below 1, got 2"):
        calibration(off(), 10, false_alarm=2.0)
    with pytest.raises(ValueError, match="phi: expected 0 numbers, got 3"):
        simulation_calibration(MODEL, THETA, off(), np.zeros(3))


def test_the_same_seed_gives_the_same_ranks():
    encoder = AmortisedPosterior.for_data(MODEL.family, X, (4,))
    phi = encoder.initial(np.random.default_rng(0))
    one, two = (simulation_calibration(MODEL, THETA, encoder, phi, n_simulations=150) for _ in range(2))
    assert np.array_equal(one.ranks, two.ranks) and not one.uniform


# -- where it is met --------------------------------------------------------------------------------


def test_the_figure_has_a_curve_for_each_quantity_and_its_band():
    ranks = np.random.default_rng(5).integers(0, 20, (90, 2))
    ax = plot_calibration(judged(("z[0]", JOINT), ranks, 19, 0.05, np.random.default_rng(0)), title="ranks")
    curves = [line for line in ax.lines if len(line.get_xdata()) == 19]
    assert len(curves) == 2
    assert np.allclose(curves[0].get_ydata(), counts_below(ranks[:, 0], 19) / 90 - np.arange(1, 20) / 20)


def test_evaluate_prints_a_verdict_for_each_latent(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savetxt("rows.csv", X, delimiter=",")
    assert main("fit ppca --data rows.csv --latent 2 --method vae --epochs 2 --checkpoint c.npz".split()) == 0
    capsys.readouterr()
    asked = "evaluate c.npz --importance-samples 5 --calibration 200 --out figures --json e.json"
    assert main(asked.split()) == 0
    said = capsys.readouterr().out
    assert "calibration: 200 simulations, 99 draws of q each" in said and "z[1] " in said
    record = json.loads((tmp_path / "e.json").read_text())["final"]["calibration"]
    assert [one["quantity"] for one in record["quantities"]] == ["z[0]", "z[1]", JOINT]
    assert (tmp_path / "figures" / "calibration.svg").exists()
    assert main("evaluate c.npz --out figures".split()) == 2
    assert "add --calibration 1000" in capsys.readouterr().err
    assert main("evaluate c.npz c.npz --calibration 9".split()) == 2
    assert main("evaluate c.npz --calibration 1".split()) == 2
