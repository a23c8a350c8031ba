"""An estimator for each hidden variable: unbiased by sums over all draws, each with its own noise."""

import itertools

import numpy as np
import pytest
from test_graphs import random_theta

from elbo_lab.errors import NotApplicable
from elbo_lab.estimators.per_node import METHODS, PerNode, noise_table
from elbo_lab.models import BayesNet, GraphModel, Node

NET = BayesNet(
    (
        Node("k", "table", states=3),
        Node("bits", "logistic", ("k",), size=2),
        Node("h", "conditional-gaussian", ("k", "bits")),
        Node("x", "mlp-gaussian", ("h", "bits"), size=2, hidden=(3,)),
        Node("y", "logistic", ("k", "h")),
    )
)
THETA = 0.6 * random_theta(NET)
N_DATA = 2
OBSERVED = {
    name: one for name, one in NET.sample(THETA, N_DATA, np.random.default_rng(0)).items() if name in "xy"
}
CHOICES = [
    {"k": k, "bits": b, "h": h}
    for k, b, h in itertools.product(
        METHODS[:3], METHODS[:3], ("score-function", "score-function-local", "pathwise")
    )
    if k == b or h == "pathwise"
]


def setting(estimators):
    """Return (the estimators, etas)."""
    per_node = PerNode(NET, estimators)
    return per_node, per_node.near(N_DATA, np.random.default_rng(1))


def slopes(per_node, etas, name, step=1e-5):
    """Return central differences of the exact ELBO in eta of a variable (N, E)."""
    found = np.zeros_like(etas[name])
    for i in range(found.shape[1]):
        move = np.zeros_like(found)
        move[:, i] = step
        up, down = (per_node.elbo(THETA, {**etas, name: etas[name] + s * move}, OBSERVED) for s in (1, -1))
        found[:, i] = (up - down) / (2 * step)
    return found


class TestUnbiased:
    @pytest.mark.parametrize("estimators", CHOICES, ids=lambda e: "-".join(e.values()))
    def test_the_mean_over_all_draws_is_the_slope_of_the_elbo(self, estimators):
        per_node, etas = setting(estimators)
        draws = per_node.all_draws(etas)
        found = per_node.gradients(THETA, etas, OBSERVED, draws)
        for name, gradient in found.items():
            mean = np.einsum("sn,sne->ne", draws.weights, gradient)
            np.testing.assert_allclose(mean, slopes(per_node, etas, name), atol=2e-8)

    def test_a_score_that_forgets_the_children_is_caught(self, monkeypatch):
        monkeypatch.setattr(PerNode, "_local", lambda _, name: (name,))
        per_node, etas = setting({"k": "score-function-local", "bits": "enumeration", "h": "pathwise"})
        draws = per_node.all_draws(etas)
        gradient = per_node.gradients(THETA, etas, OBSERVED, draws)["k"]
        mean = np.einsum("sn,sne->ne", draws.weights, gradient)
        assert np.abs(mean - slopes(per_node, etas, "k")).max() > 1e-3


class TestNoise:
    def test_draws_have_the_exact_noise(self):
        # 20 000 draws: a variance with a kurtosis up to 30 is known to 4 %; the limit is five times that.
        per_node, etas = setting({"k": "enumeration", "bits": "score-function", "h": "pathwise"})
        exact = per_node.noise(THETA, etas, OBSERVED)
        draws = per_node.draw(etas, 20_000, np.random.default_rng(3))
        for one, sampled in zip(exact, per_node.noise(THETA, etas, OBSERVED, draws), strict=True):
            assert sampled.variance == pytest.approx(one.variance, rel=0.2)
            assert (one.variable, one.estimator) == (sampled.variable, sampled.estimator)

    def test_summing_over_a_variable_has_less_noise_than_its_score(self):
        # The sum is the conditional mean of the local score given all other draws (Rao and Blackwell).
        local, etas = setting({"k": "score-function-local", "bits": "score-function-local", "h": "pathwise"})
        summed, _ = setting({"k": "enumeration", "bits": "enumeration", "h": "pathwise"})
        both = zip(local.noise(THETA, etas, OBSERVED), summed.noise(THETA, etas, OBSERVED), strict=True)
        for by_score, by_sum in both:
            assert by_sum.squared_norm == pytest.approx(by_score.squared_norm, rel=1e-8)
            if by_score.variable != "h":
                assert by_sum.variance < by_score.variance

    def test_the_only_hidden_variable_summed_over_has_no_noise(self):
        net = BayesNet((Node("k", "table", states=3), Node("x", "conditional-gaussian", ("k",))))
        per_node = PerNode(net, {"k": "enumeration"})
        (row,) = per_node.noise(random_theta(net), {"k": np.zeros((1, 3))}, {"x": np.array([[0.4]])})
        assert row.variance < 1e-28
        assert "enumeration" in noise_table([row])

    def test_at_the_posterior_the_elbo_is_log_p(self):
        net = BayesNet((Node("k", "table", states=3), Node("x", "conditional-gaussian", ("k",))))
        theta, x = random_theta(net), np.array([[0.4], [1.0]])
        model = GraphModel.of(net, latent=("k",))
        eta = model.posterior_eta(theta, x)
        elbo = PerNode(net, {"k": "enumeration"}).elbo(theta, {"k": eta}, {"x": x})
        from elbo_lab.exact import evidence

        np.testing.assert_allclose(elbo, evidence(model, theta, x).value, rtol=1e-12)


@pytest.mark.parametrize(
    ("estimators", "words"),
    [
        ({"k": "pathwise"}, "'k' is discrete"),
        ({"h": "enumeration"}, "real 'h' cannot be listed"),
        ({"h": "score"}, "estimator of 'h': expected one of score-function"),
        ({"fog": "pathwise"}, "'fog'"),
        ({}, "at least one hidden variable"),
    ],
)
def test_pairings_without_sense_are_refused(estimators, words):
    with pytest.raises((ValueError, NotApplicable), match=words):
        PerNode(NET, estimators)
