"""log p of rows with missing cells: every rung against brute force, and the rungs against each other."""

import numpy as np
import pytest
import scipy
from test_graphs import CHAIN, MIXED, random_theta, sprinkler

from elbo_lab.exact import evidence
from elbo_lab.exact.graphs import Pattern, check_possible, completions, log_evidence, patterns, sum_by_row
from elbo_lab.exact.graphs.completions import integrated_completions
from elbo_lab.exact.graphs.grid import grid_completions
from elbo_lab.exact.graphs.sampled import sampled_completions
from elbo_lab.models.graphs import BayesNet, GraphModel, Node
from elbo_lab.models.graphs.independence import all_values, gaussian_moments
from elbo_lab.special import log_sum_exp

# Categories, bits in a plate, and a softmax: everything can be listed.
DISCRETE = BayesNet(
    (
        Node("a", "table", states=3),
        Node("bits", "logistic", ("a",), size=2),
        Node("s", "softmax", ("bits", "a"), states=3),
        Node("t", "table", ("s", "a")),
        Node("leaf", "logistic", ("t",), size=2),
    )
)
# A category chooses among regressions; given it all is linear-Gaussian.
CONDITIONAL = BayesNet(
    (
        Node("c", "table"),
        Node("h", "conditional-gaussian", ("c",), size=2),
        Node("bit", "logistic", ("c",)),
        Node("x", "conditional-gaussian", ("c", "h"), size=2),
        Node("y", "linear-gaussian", ("x", "h", "c", "bit")),
    )
)
# A hidden real with a logistic and a network child, of which a category chooses the scale.
CURVED = BayesNet(
    (
        Node("c", "table"),
        Node("h", "conditional-gaussian", ("c",)),
        Node("k", "linear-gaussian", ("h",)),
        Node("bit", "logistic", ("h",), size=2),
        Node("x", "mlp-gaussian", ("h", "k"), hidden=(3,)),
    )
)


def with_gaps(net, theta, n_data, share=0.4, seed=0):
    """Return a table (N, D) drawn from the graph, a share of its cells nan."""
    rng = np.random.default_rng(seed)
    table = net.table_of(net.sample(theta, n_data, rng))
    return np.where(rng.random(table.shape) < share, np.nan, table)


def by_hand(net, theta, table):
    """Return log p of the observed cells (N,): the sum over all values that agree with them."""
    values = all_values(net)
    log_p, cells = net.log_joint(theta, values)[0], net.table_of(values)
    agree = [(np.isnan(row) | (cells == row)).all(axis=1) for row in table]
    return np.array([log_sum_exp(log_p[one], axis=None) for one in agree])


class TestListed:
    def test_discrete_graphs_are_brute_force(self):
        theta = 2.0 * random_theta(DISCRETE)
        table = with_gaps(DISCRETE, theta, 60)
        found = log_evidence(DISCRETE, theta, table)
        np.testing.assert_allclose(found.value, by_hand(DISCRETE, theta, table), rtol=1e-12, atol=1e-12)
        assert set(found.rung) == {"closed-form", "enumeration"}
        assert not found.error.any()

    def test_linear_gaussian_graphs_are_normal_densities(self):
        theta = random_theta(CHAIN)
        table = with_gaps(CHAIN, theta, 40)
        mean, covariance = gaussian_moments(CHAIN, theta)
        expected = np.zeros(len(table))
        for n, row in enumerate(table):
            seen = ~np.isnan(row)
            if seen.any():
                law = scipy.stats.multivariate_normal(mean[seen], covariance[np.ix_(seen, seen)])
                expected[n] = law.logpdf(row[seen])
        found = log_evidence(CHAIN, theta, table)
        np.testing.assert_allclose(found.value, expected, rtol=1e-11, atol=1e-11)
        assert set(found.rung) == {"closed-form"}

    def test_small_variances_keep_their_digits(self):
        # A tenth of a thousandth of the spread: squares of residuals about zero would be 1e8.
        net = BayesNet((Node("h", "linear-gaussian"), Node("x", "linear-gaussian", ("h",))))
        theta = net.theta(
            {"h": {"b": [3.0], "sigma": [1.0]}, "x": {"W": [[2.0]], "b": [0.0], "sigma": [1e-4]}}
        )
        x = np.array([5.0, 8.0])
        expected = scipy.stats.norm(6.0, np.sqrt(4.0 + 1e-8)).logpdf(x)
        found = log_evidence(net, theta, np.column_stack([[np.nan, np.nan], x]))
        np.testing.assert_allclose(found.value, expected, rtol=1e-13)

    def test_hidden_reals_have_the_means_and_covariances_of_the_normal(self):
        theta = random_theta(CHAIN)
        row = CHAIN.table_of(CHAIN.sample(theta, 1, np.random.default_rng(0)))
        hidden = np.array([False, True, True, True, False, False, False])
        row[0, hidden] = np.nan
        (part,) = completions(CHAIN, theta, row)
        mean, covariance = gaussian_moments(CHAIN, theta)
        gain = np.linalg.solve(covariance[np.ix_(~hidden, ~hidden)], covariance[np.ix_(~hidden, hidden)]).T
        expected = mean[hidden] + gain @ (row[0, ~hidden] - mean[~hidden])
        np.testing.assert_allclose(part.table[0, hidden], expected, rtol=1e-10)
        left = covariance[np.ix_(hidden, hidden)] - gain @ covariance[np.ix_(~hidden, hidden)]
        np.testing.assert_allclose(part.covariance[0], left, rtol=1e-9, atol=1e-12)

    def test_an_empty_row_has_probability_one(self):
        net, theta = sprinkler()
        assert log_evidence(net, theta, np.full((1, 4), np.nan)).value[0] == 0.0

    def test_what_no_observed_cell_depends_on_is_not_listed(self):
        pattern = Pattern(sprinkler()[0], (False, True, True, True))
        assert pattern.needed == ("cloudy",)
        assert pattern.hidden == ()

    def test_rows_with_equal_gaps_go_together_and_keep_their_order(self):
        net, theta = sprinkler()
        table = with_gaps(net, theta, 50)
        rows = [rows for _, rows in patterns(net, table)]
        assert sorted(np.concatenate(rows)) == list(range(50))
        together, alone = (
            log_evidence(net, theta, table),
            [log_evidence(net, theta, row[None]) for row in table],
        )
        np.testing.assert_array_equal(together.value, np.concatenate([one.value for one in alone]))


class TestRungs:
    def test_a_grid_agrees_with_the_formula_where_both_apply(self):
        theta = random_theta(CONDITIONAL, 3)
        table = with_gaps(CONDITIONAL, theta, 60, share=0.5)
        compared = 0
        for pattern, rows in patterns(CONDITIONAL, table):
            if not 1 <= len(pattern.reals) <= 2:
                continue
            assert pattern.linear
            exact = sum_by_row(
                list(integrated_completions(CONDITIONAL, theta, pattern, table, rows)), len(table)
            )
            found, missed = grid_completions(CONDITIONAL, theta, pattern, table, rows)
            assert not len(missed)
            grid = sum_by_row(found, len(table))
            np.testing.assert_allclose(grid.value[rows], exact.value[rows], atol=1e-8)
            compared += len(rows)
        assert compared > 10

    def test_draws_agree_with_the_exact_rungs_within_their_error(self):
        # 24 rows with a limit of five standard errors: wrongly passed once in 70 000 runs.
        for net, seed in ((CONDITIONAL, 1), (CURVED, 2)):
            theta = 0.7 * random_theta(net, seed)
            table = with_gaps(net, theta, 12, share=0.5)
            exact = log_evidence(net, theta, table)
            for pattern, rows in patterns(net, table):
                drawn = sum_by_row(list(sampled_completions(net, theta, pattern, table, rows)), len(table))
                limit = 5 * drawn.error[rows] + 1e-7
                assert (np.abs(drawn.value - exact.value)[rows] < limit).all()
                assert (drawn.error[rows] < 0.05).all()

    def test_curved_graphs_are_integrated_and_the_row_says_so(self):
        theta = random_theta(CURVED, 2)
        nan = np.nan
        rows = [nan, nan, nan, 1, 0, 0.3], [0, nan, 0.1, 1, 1, 0.3], [nan, 0.2, nan, 1, 0, nan]
        table = np.array(rows)
        found = log_evidence(CURVED, theta, table)
        assert found.rung.tolist() == ["quadrature", "quadrature", "enumeration"]
        assert (found.error < 1e-8).all()
        # The first row by a plain sum over the category and a wide grid of the two reals.
        u = np.linspace(-8, 8, 401)
        h, k = (one.ravel() for one in np.meshgrid(u, u, indexing="ij"))
        total = []
        for c in (0, 1):
            own = CURVED.conditionals["h"].moments(theta[CURVED.parts["h"]], {"c": np.array([c])})
            real_h = own[0].item() + own[1].item() * h
            rows = np.column_stack(
                [np.full_like(h, c), real_h, 4.0 * k, *np.tile([[1.0], [0.0], [0.3]], len(h))]
            )
            log_p = CURVED.log_joint(theta, CURVED.values_of(rows))[0]
            total.append(
                log_sum_exp(log_p, axis=None) + 2 * np.log(u[1] - u[0]) + np.log(4.0 * own[1].item())
            )
        assert found.value[0] == pytest.approx(np.logaddexp(*total), abs=1e-8)

    def test_a_row_far_from_the_prior_keeps_its_tail(self):
        # The posterior of the noise lies about 12, where a grid about zero ends at 7.
        net = BayesNet(
            (
                Node("h", "standard-normal"),
                Node("x", "mlp-gaussian", ("h",), hidden=(1,), activation="softplus"),
            )
        )
        linear = BayesNet((Node("h", "standard-normal"), Node("x", "linear-gaussian", ("h",))))
        # softplus(h + 100) - 100 is h to 1e-40.
        theta = np.array([1.0, 100.0, 1.0, -100.0, np.log(0.3)])
        row = np.array([[np.nan, 13.0]])
        found = log_evidence(net, theta, row)
        exact = log_evidence(linear, np.array([1.0, 0.0, np.log(0.3)]), row)
        assert found.rung[0] == "quadrature"
        assert found.value[0] == pytest.approx(exact.value[0], abs=1e-8)

    def test_a_row_that_misses_the_tolerance_falls_alone(self):
        # The category of the second row makes its posterior narrower than the finest step.
        steep = BayesNet(
            (
                Node("c", "table"),
                Node("h", "standard-normal"),
                Node("x", "conditional-gaussian", ("c", "h")),
                Node("y", "mlp-gaussian", ("h",), hidden=(1,), activation="softplus"),
            )
        )
        theta = steep.theta(
            {
                "c": {"probabilities": [0.5, 0.5]},
                "x": {"W": [[[1.0]], [[1.0]]], "b": [[0.0], [0.0]], "sigma": [[0.5], [1e-6]]},
            },
            steep.start(np.random.default_rng(0)),
        )
        rows = np.array([[0, np.nan, 0.3, 0.2], [1, np.nan, 0.3, 0.2], [0, np.nan, -0.4, 0.1]])
        found = log_evidence(steep, theta, rows)
        assert found.rung.tolist() == ["quadrature", "long-run", "quadrature"]
        alone = [log_evidence(steep, theta, row[None]) for row in rows]
        np.testing.assert_allclose(found.value, [one.value[0] for one in alone], atol=1e-8)
        (of_second,) = [part for part in completions(steep, theta, rows) if part.rung[0] == "long-run"]
        assert set(of_second.rows.tolist()) == {1}

    def test_three_curved_reals_are_drawn(self):
        theta = random_theta(MIXED)
        table = MIXED.table_of(MIXED.sample(theta, 2, np.random.default_rng(0)))
        for name in ("g", "lin"):
            table[0, MIXED.places[name]] = np.nan
        found = log_evidence(MIXED, theta, table)
        assert found.rung.tolist() == ["long-run", "closed-form"]
        assert 0 < found.error[0] < 0.5


class TestImpossible:
    def test_a_row_of_probability_zero_is_minus_infinity_and_refused_in_one_line(self):
        net, theta = sprinkler()
        table = np.array([[np.nan, 0.0, 0.0, 1.0], [np.nan, np.nan, 0.0, 1.0]])
        found = log_evidence(net, theta, table)
        assert found.value[0] == -np.inf
        assert np.isfinite(found.value[1])
        with pytest.raises(ValueError, match="probability 0 for 1 of them, first row 0"):
            check_possible(net, table, found.value)

    def test_impossible_values_of_a_category_are_left_out_of_grids(self):
        theta = random_theta(CURVED, 2)
        theta[CURVED.parts["c"]] = [0.0, -np.inf]
        row = np.array([[np.nan, np.nan, 0.1, 1, 1, 0.3]])
        known = row.copy()
        known[0, 0] = 0.0
        both = [log_evidence(CURVED, theta, one) for one in (row, known)]
        assert both[0].rung[0] == "quadrature"
        assert both[0].value[0] == pytest.approx(both[1].value[0], abs=1e-9)


class TestGradient:
    @pytest.mark.parametrize(
        "net", [DISCRETE, CHAIN, CONDITIONAL, CURVED], ids=["sums", "normal", "both", "grid"]
    )
    def test_the_gradient_of_the_evidence_is_that_of_differences(self, net):
        theta, rng = random_theta(net, 1), np.random.default_rng(0)
        table = with_gaps(net, theta, 4, 0.4)
        if net is CURVED:
            table[:, net.places["k"]] = 0.3
        model = GraphModel.of(net)
        found = evidence(model, theta, table)
        for _ in range(3):
            direction = rng.standard_normal(theta.size)
            up, down = (log_evidence(net, theta + s * 1e-5 * direction, table).value.mean() for s in (1, -1))
            assert found.grad_theta @ direction == pytest.approx((up - down) / 2e-5, abs=2e-6, rel=1e-6)

    def test_the_row_of_the_lowest_rung_names_the_rung(self):
        model, theta = GraphModel.of(CURVED), random_theta(CURVED, 2)
        table = np.array([[0, 0.1, 0.2, 1, 1, 0.3], [np.nan, np.nan, 0.1, 1, 1, 0.3]])
        assert evidence(model, theta, table[:1]).rung == "closed-form"
        assert evidence(model, theta, table).rung == "quadrature"
