"""Gradient ascent says whether it has arrived, and which variances have vanished."""

import numpy as np
import pytest

from elbo_lab import fit
from elbo_lab.cli.main import main
from elbo_lab.datasets import load
from elbo_lab.em import fit_closed_form, fit_em
from elbo_lab.em.verdict import vanished
from elbo_lab.fitting.methods.gradient import ARRIVED, still_to_gain
from elbo_lab.models import PPCA, FactorAnalysis, GaussianMixture, GaussianMLE
from elbo_lab.models.factor_analysis import most_factors

FAITHFUL = load("faithful").x
# Six columns that three factors explain well.
RNG = np.random.default_rng(0)
WIDE = RNG.normal(size=(200, 3)) @ RNG.normal(size=(3, 6)) + 0.5 * RNG.normal(size=(200, 6))


@pytest.mark.parametrize("model", [GaussianMLE(2), PPCA(2, 1), GaussianMixture(2, 1, "full")])
def test_nothing_is_left_to_gain_at_an_exact_maximum(model):
    theta = fit_closed_form(model, FAITHFUL).theta
    assert still_to_gain(model, theta, FAITHFUL) < 1e-9
    assert still_to_gain(model, theta + 0.1, FAITHFUL) > ARRIVED


def test_nothing_is_left_to_gain_where_em_converged():
    found = fit_em(GaussianMixture(2, 2, "full"), FAITHFUL, restarts=1, tolerance=1e-12)
    assert still_to_gain(found.model, found.theta, FAITHFUL) < 1e-8


@pytest.mark.parametrize(("epochs", "arrived"), [(10, False), (200, True)])
def test_an_ascent_that_has_not_arrived_says_so(epochs, arrived):
    options = {"learning_rate": 0.3, "batch": len(FAITHFUL), "schedule": f"cosine:{epochs}"}
    result = fit("gaussian-mixture:full", FAITHFUL, latent=1, method="gradient", epochs=epochs, **options)
    assert result.converged is result.final["converged"] is arrived
    assert (result.final["still_to_gain"] < ARRIVED) is arrived
    assert [("has not arrived" in warning) for warning in result.warnings] == ([] if arrived else [True])


def test_a_step_size_that_fell_to_nothing_is_not_taken_for_a_maximum():
    options = {"epochs": 60, "batch": 200, "schedule": "cosine:20", "learning_rate": 1e-3}
    result = fit("factor-analysis", WIDE, latent=1, method="gradient", **options)
    values = [row["log_likelihood"] for row in result.history]
    assert abs(values[-1] - values[-10]) < 1e-9 and not result.converged


def test_the_command_line_shows_it(capsys):
    command = "fit gaussian-mle --data faithful --method gradient --epochs 3".split()
    assert main(command) == 0
    assert "warning: gradient ascent has not arrived" in capsys.readouterr().out


# -- variances that vanish -----------------------------------------------------------------------


def test_a_vanished_variance_is_named_and_a_small_one_is_not():
    mixture = GaussianMixture(2, 3, "diagonal")
    small = np.exp(2 * np.array([[0.0, 0.0], [-9.0, 0.0], [-3.0, 0.0]]))
    entries = {"logits": np.zeros(3), "mean": np.zeros((3, 2)), **mixture.covariance.stored(small)}
    (warning,) = vanished(mixture, FAITHFUL, mixture.layout.pack(entries))
    assert "component 1 is below" in warning and "method em keeps a floor" in warning

    factors = FactorAnalysis(6, 1)
    entries = {"W": np.ones((6, 1)), "b": np.zeros(6), "log_sigma": np.array([0.0, -20.0, 0, 0, 0, 0])}
    (warning,) = vanished(factors, WIDE, factors.layout.pack(entries), tuple("abcdef"))
    assert "the noise of column b is below" in warning and "Heywood" in warning
    assert list(vanished(GaussianMLE(2), FAITHFUL, np.zeros(3))) == []


def test_an_ascent_onto_spikes_is_named_and_has_not_converged():
    """Ten full components on twenty rows: nothing keeps those on two rows from a variance of zero."""
    options = {"epochs": 150, "batch": 20, "learning_rate": 0.1, "schedule": "cosine:150"}
    result = fit("gaussian-mixture:full", FAITHFUL[:20], latent=10, method="gradient", **options)
    assert "the density is unbounded there" in result.warnings[0] and not result.converged


# -- Ledermann -----------------------------------------------------------------------------------


def test_the_bound_is_ledermanns():
    for d in range(1, 60):
        assert most_factors(d) == max(0, int(np.floor((2 * d + 1 - np.sqrt(8 * d + 1)) / 2 + 1e-9)))
    assert [most_factors(d) for d in (1, 2, 3, 6, 10, 64)] == [0, 0, 1, 3, 6, 53]


@pytest.mark.parametrize("method", ["em", "gradient"])
@pytest.mark.parametrize(("latent", "told"), [(3, False), (4, True)])
def test_more_factors_than_the_data_can_tell_apart_are_warned_of(method, latent, told):
    result = fit("factor-analysis", WIDE, latent=latent, method=method, epochs=5)
    assert any("K = 4 with 6 columns is above the Ledermann bound" in w for w in result.warnings) is told


def test_beyond_the_bound_other_parameters_give_the_same_density():
    """A null direction of the Jacobian of the covariance that is no rotation of the factors."""

    def spare(k, d=6):
        W, noise = np.random.default_rng(1).normal(size=(d, k)), np.full(d, 0.5)
        at = np.concatenate([W.ravel(), noise])

        def covariance(v):
            return (v[: d * k].reshape(d, k) @ v[: d * k].reshape(d, k).T + np.diag(v[d * k :]))[
                np.tril_indices(d)
            ]

        steps = 1e-6 * np.eye(len(at))
        jacobian = np.array([(covariance(at + s) - covariance(at - s)) / 2e-6 for s in steps]).T
        return len(at) - np.linalg.matrix_rank(jacobian, tol=1e-6) - k * (k - 1) // 2

    assert spare(3) == 0 < spare(4)
