"""A bare cost as a model: the estimators of the lab are those of the papers' toys, shown without luck."""

import dataclasses

import numpy as np
import pytest

from elbo_lab import Problem
from elbo_lab import estimators as lab
from elbo_lab.bounds import log_weight
from elbo_lab.distributions import DiagonalGaussian, IndependentBernoulli
from elbo_lab.errors import NotApplicable
from elbo_lab.exact.rules import hermite_rule
from elbo_lab.posteriors import FreePosterior
from elbo_lab.theory import COSTS, Cost, cost_variances
from elbo_lab.theory.cost_model import NO_DATA, CostModel

ETA = np.array([0.7, -0.3])
LINES = {"score-function": lab.ScoreFunction(), "reparameterization": lab.ReparameterizationAnalyticKL()}


def moments(estimator, cost):
    """Return mean and variance (2,) of one draw, by quadrature over the noise."""
    family = DiagonalGaussian(1)
    nodes, weights = hermite_rule(40, 1)
    posterior, model = FreePosterior(family, 1), CostModel(family, cost)
    g, _ = estimator.estimate(Problem(model, posterior, ETA, ETA, NO_DATA), nodes[:, None, None, :])
    mean = weights @ g
    return mean, weights @ (g - mean) ** 2


@pytest.mark.parametrize("cost", [COSTS["quadratic"](-1.5), COSTS["wave"](0.8)], ids=lambda cost: cost.name)
@pytest.mark.parametrize("name", LINES)
def test_an_estimator_has_the_moments_of_the_bare_cost(name, cost):
    exact = cost_variances(cost, ETA[0], np.exp(ETA[1]))
    found = moments(LINES[name], cost)
    for i, parameter in enumerate(("mu", "log_sigma")):
        expected = exact[name, parameter]
        np.testing.assert_allclose([part[i] for part in found], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("cost", [COSTS["quadratic"](-1.5), COSTS["wave"](0.8)], ids=lambda cost: cost.name)
@pytest.mark.parametrize("n_draws", [2, 3])
def test_leave_one_out_has_the_moments_of_all_its_draws(cost, n_draws):
    family = DiagonalGaussian(1)
    nodes, weights = hermite_rule(20, n_draws)
    problem = Problem(CostModel(family, cost), FreePosterior(family, 1), ETA, ETA, NO_DATA)
    g, _ = lab.ScoreFunctionLOO().estimate(problem, nodes[:, :, None, None])
    mean = weights @ g
    exact = cost_variances(cost, ETA[0], np.exp(ETA[1]), n_draws)
    for i, parameter in enumerate(("mu", "log_sigma")):
        expected = exact["score-function-loo", parameter]
        found = mean[i], weights @ (g[:, i] - mean[i]) ** 2
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_plain_reparameterization_has_the_same_mean_and_the_noise_of_the_score_besides():
    cost = COSTS["quadratic"](-1.5)
    path, plain = (moments(one, cost) for one in (LINES["reparameterization"], lab.Reparameterization()))
    np.testing.assert_allclose(plain[0], path[0], rtol=1e-10)
    assert np.abs(plain[1] / path[1] - 1.0).min() > 1e-3


def test_a_wrong_slope_is_seen():
    cost = COSTS["quadratic"](-1.5)
    wrong = dataclasses.replace(cost, slope=lambda z: 1.01 * cost.slope(z))
    right = moments(LINES["score-function"], cost)[0]
    assert np.abs(moments(LINES["reparameterization"], wrong)[0] - right).max() > 1e-3


def test_terms_of_several_bits_are_summed_and_the_prior_adds_nothing():
    family, targets = IndependentBernoulli(3), np.array([0.6, 0.51, 0.48])
    model = CostModel(family, Cost("bits", lambda z: (z - targets) ** 2, lambda z: 2.0 * (z - targets)))
    eta, z = np.array([0.3, -1.0, 2.0]), family.values()[:, None, :]
    f = log_weight(model, eta, NO_DATA, family, eta[None], z)
    np.testing.assert_allclose(f[:, 0], ((z[:, 0] - targets) ** 2).sum(axis=-1), rtol=1e-14)


def test_what_only_a_density_has_is_refused():
    model = CostModel(DiagonalGaussian(1), COSTS["wave"](1.0))
    with pytest.raises(NotApplicable, match="no density"):
        model.sample(ETA, 2, np.random.default_rng(0))
    with pytest.raises(NotApplicable, match="no start"):
        model.initial_theta(NO_DATA)
