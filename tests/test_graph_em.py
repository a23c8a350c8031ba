"""EM of graphs with missing cells: exact E-steps, the chain of inequalities, and what it converges to."""

from itertools import pairwise

import numpy as np
import pytest
from test_graph_evidence import CONDITIONAL, CURVED, DISCRETE, with_gaps
from test_graphs import CHAIN, random_theta, sprinkler

import elbo_lab.exact.graphs.posterior as graph_posterior
from elbo_lab.em import fit_em
from elbo_lab.em.base import EMRun, run_em
from elbo_lab.em.closed_form import fit_closed_form
from elbo_lab.em.graphs import GraphEM
from elbo_lab.em.mixture import MixtureEM
from elbo_lab.exact.graphs import log_evidence
from elbo_lab.fitting.methods import methods_of
from elbo_lab.models import GaussianMixture
from elbo_lab.models.graphs import BayesNet, GraphModel, Node

REGIMES = BayesNet(
    (Node("c", "table"), Node("u", "linear-gaussian"), Node("x", "conditional-gaussian", ("c", "u")))
)
GRAPHS = {"discrete": DISCRETE, "gaussian": CHAIN, "conditional": CONDITIONAL, "curved": CURVED}
# Rows of each: a grid takes longer than a sum.
ROWS = {"discrete": 40, "gaussian": 40, "conditional": 40, "curved": 8}


def run_of(name, n_iterations=8, share=0.3):
    """Return a run of some iterations from a random start, on data of another theta."""
    net = GRAPHS[name]
    table = with_gaps(net, random_theta(net, 5), ROWS[name], share)
    if name == "curved":  # one hidden real in a row: the grid of two is a plane
        table[:, net.places["k"]] = net.sample(random_theta(net, 7), len(table), np.random.default_rng(0))[
            "k"
        ]
    run = EMRun(
        GraphEM(GraphModel.of(net), table, floor=1e-3), random_theta(net, 6), max_iterations=n_iterations
    )
    while not run.finished:
        run.advance()
    return run


class TestAscent:
    @pytest.mark.parametrize("name", GRAPHS)
    def test_the_evidence_never_falls_and_the_bound_is_tight_after_each_e_step(self, name):
        rows = run_of(name, 3 if name == "curved" else 5).history
        for before, row in pairwise(rows):
            assert row["elbo_after_e"] == pytest.approx(before["log_likelihood"], rel=1e-9)
            assert row["elbo_after_m"] >= row["elbo_after_e"] - 1e-9
            assert row["log_likelihood"] >= row["elbo_after_m"] - 1e-7 * abs(row["elbo_after_m"])
        assert rows[-1]["log_likelihood"] > rows[0]["log_likelihood"] + 1.0

    def test_a_bound_that_forgets_the_spread_of_hidden_reals_is_caught(self, monkeypatch):
        monkeypatch.setattr(graph_posterior, "_covariance", lambda *_: None)
        rows = run_of("conditional").history
        tight = [
            row["elbo_after_e"] == pytest.approx(before["log_likelihood"], rel=1e-9)
            for before, row in pairwise(rows)
        ]
        assert not all(tight)

    @pytest.mark.parametrize("name", ["discrete", "gaussian", "conditional"])
    def test_it_ends_where_the_evidence_has_no_slope(self, name):
        net = GRAPHS[name]
        table = with_gaps(net, random_theta(net, 5), 50, 0.2)
        run = run_em(
            GraphEM(GraphModel.of(net), table), 0.2 * random_theta(net, 6), tolerance=1e-7, max_iterations=300
        )
        rng = np.random.default_rng(0)
        theta = np.where(run.theta < -12.0, -12.0, run.theta) if name == "discrete" else run.theta
        for _ in range(3):
            direction = rng.standard_normal(theta.size) / np.sqrt(theta.size)
            up, down = (log_evidence(net, theta + s * 1e-4 * direction, table).value.sum() for s in (1, -1))
            assert abs(up - down) / 2e-4 < 0.05

    def test_complete_rows_need_one_step_and_are_the_formulas(self):
        values = CHAIN.sample(random_theta(CHAIN), 50, np.random.default_rng(0))
        problem = GraphEM(GraphModel.of(CHAIN), CHAIN.table_of(values))
        start = random_theta(CHAIN, 1)
        once = problem.m_step(problem.e_step(start))
        np.testing.assert_allclose(once, CHAIN.fit_formulas(start, values), rtol=1e-12, atol=1e-12)


class TestKnownModels:
    def test_a_mixture_as_a_graph_has_the_evidence_and_the_m_step_of_the_mixture(self):
        rng = np.random.default_rng(0)
        model, net = (
            GaussianMixture(2, 2, "diagonal"),
            BayesNet((Node("k", "table"), Node("x", "conditional-gaussian", ("k",), size=2))),
        )
        x = np.concatenate([rng.standard_normal((30, 2)), 3.0 + 0.5 * rng.standard_normal((20, 2))])
        table = np.column_stack([np.full(len(x), np.nan), x])
        theta = random_theta(net, 3)
        problem, other = GraphEM(GraphModel.of(net), table), MixtureEM(model, x, floor=1e-9)

        def as_mixture(theta):
            t = net.described(theta)
            parts = {
                "log_sigma": np.log(t["x"]["sigma"]),
                "mean": t["x"]["b"],
                "logits": np.log(t["k"]["probabilities"]),
            }
            names = dict(model.layout.entries)
            return model.layout.pack({name: parts[name] for name in names})

        for _ in range(3):
            assert problem.log_likelihood(theta) == pytest.approx(
                other.log_likelihood(as_mixture(theta)), rel=1e-12
            )
            new = problem.m_step(problem.e_step(theta))
            np.testing.assert_allclose(
                as_mixture(new), other.m_step(other.e_step(as_mixture(theta))), rtol=1e-9, atol=1e-10
            )
            theta = new


class TestZeros:
    def test_zeros_stay_zeros_without_nan(self):
        net, theta = sprinkler()
        table = with_gaps(net, theta, 200, 0.3)
        run = run_em(GraphEM(GraphModel.of(net), table), theta, max_iterations=30)
        assert not np.isnan(run.theta).any()
        assert net.described(run.theta)["wet"]["probabilities"][0, 0, 1] == 0.0
        assert all(np.isfinite(row["log_likelihood"]) for row in run.history)

    def test_a_probability_that_em_drives_to_zero_makes_no_nan(self):
        net = BayesNet((Node("h", "table", states=3), Node("x", "table", ("h",)), Node("y", "table", ("h",))))
        table = np.array([[np.nan, 1, 1]] * 5 + [[np.nan, 1, np.nan]])
        run = run_em(
            GraphEM(GraphModel.of(net), table), random_theta(net), tolerance=1e-12, max_iterations=200
        )
        assert not np.isnan(run.theta).any()
        assert (run.theta == -np.inf).any()
        assert run.log_likelihood == pytest.approx(0.0, abs=1e-10)

    def test_evidence_of_probability_zero_is_refused_in_one_line(self):
        net, theta = sprinkler()
        with pytest.raises(ValueError, match="possible under the graph, got probability 0 for 1 of them"):
            EMRun(GraphEM(GraphModel.of(net), np.array([[0.0, 0.0, 0.0, 1.0], [1, 1, 1, 1]])), theta)


class TestMissingAtRandom:
    def test_parameters_are_found_again_although_cells_are_missing(self):
        # Missing by the value of an observed cell, which ignoring those rows would bias. Standard errors of
        # the two probabilities are below 0.012: limits of four are wrongly passed once in 8000 runs.
        net, theta = sprinkler()
        rng = np.random.default_rng(2)
        table = net.table_of(net.sample(theta, 6000, rng))
        hide = (table[:, 3] == 1) & (rng.random(6000) < 0.7)
        table[hide, 2] = np.nan
        run = run_em(
            GraphEM(GraphModel.of(net), table), net.start(np.random.default_rng(0)), max_iterations=60
        )
        found = net.described(run.theta)["rain"]["probabilities"][:, 1]
        np.testing.assert_allclose(found, [0.2, 0.8], atol=0.048)
        seen = table[~hide & (table[:, 0] == 1), 2].mean()
        assert abs(seen - 0.8) > 0.1


class TestHeld:
    def test_a_held_conditional_keeps_its_numbers_and_the_others_rise(self):
        net, theta = sprinkler()
        table = with_gaps(net, theta, 100, 0.2)
        hold = {"rain.logits": np.log([[0.7, 0.3], [0.4, 0.6]])}
        found = fit_em(GraphModel.of(net), table, hold=hold)
        np.testing.assert_allclose(
            net.described(found.theta)["rain"]["probabilities"], [[0.7, 0.3], [0.4, 0.6]], rtol=1e-12
        )
        values = [row["log_likelihood"] for row in found.history]
        assert (np.diff(values) > -1e-9).all()
        assert values[-1] > values[0] + 1.0

    def test_a_part_of_a_conditional_is_refused(self):
        net, theta = sprinkler()
        table = with_gaps(net, theta, 20, 0.2)
        with pytest.raises(ValueError, match="holds the conditional of rain whole or not at all"):
            fit_em(GraphModel.of(net), table, hold={"rain.logits[0]": [0.0, 0.0]})


class TestCompleteRows:
    @pytest.mark.parametrize("net", [sprinkler()[0], CHAIN, REGIMES], ids=["tables", "normal", "both"])
    def test_the_formula_is_the_maximum_that_em_finds(self, net):
        theta = random_theta(net, 1)
        table = net.table_of(net.sample(theta, 80, np.random.default_rng(0)))
        model = GraphModel.of(net)
        formula, by_em = fit_closed_form(model, table), fit_em(model, table, floor=1e-9)
        assert formula.history[-1]["log_likelihood"] == pytest.approx(
            by_em.history[-1]["log_likelihood"], abs=1e-8
        )

    def test_counts_are_shares_and_a_row_that_no_datum_has_seen_is_uniform(self):
        net, _ = sprinkler()
        table = np.array([[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 1.0, 1.0]])
        model = GraphModel.of(net)
        p = model.described(fit_closed_form(model, table).theta)
        np.testing.assert_allclose(p["sprinkler.probabilities"], [[2 / 3, 1 / 3], [0.5, 0.5]])

    def test_a_missing_cell_is_refused_and_em_stays_the_usual_method(self):
        model = GraphModel.of(sprinkler()[0])
        assert methods_of(model)[0] == "em" and "closed-form" in methods_of(model)
        with pytest.raises(ValueError, match=r"got missing cells \(1\); use method em"):
            fit_closed_form(model, np.array([[0.0, np.nan, 1.0, 1.0], [1.0, 0.0, 0.0, 0.0]]))
