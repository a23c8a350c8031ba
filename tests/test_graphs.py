"""Directed graphical models: each conditional, the graph of them, its description, what it refuses."""

import itertools
import json

import numpy as np
import pytest
from checks import check_vjp

from elbo_lab.errors import NotApplicable
from elbo_lab.models import DeepBernoulli, SigmoidBelief
from elbo_lab.models.graphs import BayesNet, Node
from elbo_lab.models.graphs.description import description, graph_of, read_graph
from elbo_lab.models.graphs.independence import (
    all_values,
    conditional_mutual_information,
    d_separated,
    gaussian_moments,
    partial_covariance,
)

SPRINKLER = {
    "variables": {
        "cloudy": {"kind": "table", "states": ["no", "yes"], "parameters": {"probabilities": [0.5, 0.5]}},
        "sprinkler": {
            "kind": "table",
            "parents": ["cloudy"],
            "parameters": {"probabilities": [[0.5, 0.5], [0.9, 0.1]]},
        },
        "rain": {
            "kind": "table",
            "parents": ["cloudy"],
            "parameters": {"probabilities": [[0.8, 0.2], [0.2, 0.8]]},
        },
        "wet": {
            "kind": "table",
            "parents": ["sprinkler", "rain"],
            "parameters": {"probabilities": [[[1.0, 0.0], [0.1, 0.9]], [[0.1, 0.9], [0.01, 0.99]]]},
        },
    }
}
# A node of every kind, with parents of every kind that it takes.
MIXED = BayesNet(
    (
        Node("c", "table", states=3),
        Node("t", "table", ("c",)),
        Node("g", "standard-normal", size=2),
        Node("bits", "logistic", ("c", "g"), size=2),
        Node("s", "softmax", ("bits", "t", "g"), states=3),
        Node("lin", "linear-gaussian", ("c", "g", "bits"), size=2),
        Node("mix", "conditional-gaussian", ("t", "g", "c"), size=2),
        Node("mb", "mlp-bernoulli", ("lin", "c"), size=3, hidden=(4,)),
        Node("mc", "mlp-categorical", ("mix", "bits"), states=3, hidden=(3, 2)),
        Node("mg", "mlp-gaussian", ("g", "mb"), size=2, hidden=(3,), activation="softplus"),
    )
)
CHAIN = BayesNet(
    (
        Node("a", "linear-gaussian"),
        Node("b", "linear-gaussian", ("a",), size=2),
        Node("c", "linear-gaussian", ("b",)),
        Node("d", "linear-gaussian", ("c", "a")),
        Node("e", "standard-normal"),
        Node("f", "linear-gaussian", ("e", "d")),
    )
)


def sprinkler():
    """Return the graph and its theta."""
    net, parameters = graph_of(SPRINKLER)
    return net, net.theta(parameters)


def random_theta(net, seed=0):
    """Return parameters (P,) that are all away from zero."""
    return 0.7 * np.random.default_rng(seed).standard_normal(net.layout.size)


def drawn(net, theta, n_draws, n_data, seed=0):
    """Return values (S, N, ...) of all variables."""
    flat = net.sample(theta, n_draws * n_data, np.random.default_rng(seed))
    return {name: one.reshape(n_draws, n_data, *one.shape[1:]) for name, one in flat.items()}


class TestConditionals:
    theta = random_theta(MIXED)

    @pytest.mark.parametrize("lead", [(), (2,)], ids=["draws", "repeats"])
    def test_the_gradients_are_those_of_differences(self, lead):
        rng = np.random.default_rng(1)
        values = drawn(MIXED, self.theta, 3, 4)
        values["g"] = rng.standard_normal((*lead, 3, 1, 2))  # shared by the data
        values["lin"] = values["lin"][0]  # observed
        reals = [name for name, one in MIXED.variables.items() if one.kind != "category"]

        def grad(theta, cotangent):
            return MIXED.joint(theta, values)[1](cotangent)[0].reshape(-1, theta.size).sum(axis=0)

        check_vjp(lambda theta: MIXED.log_joint(theta, values), grad, self.theta, rng)
        for name in reals:
            point = values[name]

            def joint(value, name=name):
                return MIXED.joint(self.theta, values | {name: value})

            def grad_value(value, cotangent, joint=joint, name=name):
                return joint(value)[1](cotangent, [name])[1][name].reshape(value.shape)

            if not (lead and name != "g"):
                check_vjp(lambda value, joint=joint: joint(value)[0], grad_value, point, rng, 3)

    def test_a_planted_fault_is_caught(self):
        values = drawn(MIXED, self.theta, 3, 4)

        def wrong(theta, cotangent):
            gradient = MIXED.joint(theta, values)[1](cotangent)[0]
            gradient[MIXED.parts["mix"]] *= 1.01
            return gradient

        with pytest.raises(AssertionError):
            check_vjp(
                lambda theta: MIXED.log_joint(theta, values), wrong, self.theta, np.random.default_rng(0)
            )

    def test_repeats_are_kept_apart(self):
        rng = np.random.default_rng(2)
        values = drawn(MIXED, self.theta, 3, 4)
        cotangent = rng.standard_normal((2, 3, 4))
        together, by_value = MIXED.joint(self.theta, values)[1](cotangent, ["g"])
        for r in range(2):
            alone, own = MIXED.joint(self.theta, values)[1](cotangent[r], ["g"])
            np.testing.assert_allclose(together[r], alone, rtol=1e-12, atol=1e-12)
            np.testing.assert_allclose(by_value["g"][r], own["g"], rtol=1e-12)

    def test_components_sum_to_the_whole(self):
        values = drawn(MIXED, self.theta, 3, 4)
        for name, conditional in MIXED.conditionals.items():
            part = self.theta[MIXED.parts[name]]
            whole = conditional.log_prob(part, values)[0]
            np.testing.assert_allclose(
                conditional.components(part, values).sum(axis=-1), whole, rtol=1e-12, atol=1e-12
            )

    def test_discrete_conditionals_sum_to_one(self):
        values = {name: one[:1, :1] for name, one in drawn(MIXED, self.theta, 1, 1).items()}
        for name, conditional in MIXED.conditionals.items():
            variable = MIXED.variables[name]
            if variable.kind == "real":
                continue
            n_states, n = (variable.size, 1) if variable.kind == "category" else (2, variable.size)
            every = np.array(list(itertools.product(range(n_states), repeat=n)), dtype=float)
            listed = values | {name: variable.of_columns(every)[:, None]}
            log_p = conditional.log_prob(self.theta[MIXED.parts[name]], listed)[0]
            assert np.exp(log_p).sum() == pytest.approx(1.0, abs=1e-12)

    def test_samples_have_the_probabilities_of_the_joint(self):
        # 40 000 draws of 16 cells: a limit of 4.5 standard errors is wrongly passed once in 10 000 runs, and
        # a cell that is off by 0.02 is caught with a power above 0.99.
        net, theta = sprinkler()
        n = 40_000
        table = net.table_of(net.sample(theta, n, np.random.default_rng(3)))
        values = all_values(net)
        p = np.exp(net.log_joint(theta, values)[0])
        cells = net.table_of(values)
        shares = np.array([(table == cell).all(axis=1).mean() for cell in cells])
        assert (np.abs(shares - p) <= 4.5 * np.sqrt(p * (1 - p) / n)).all()

    def test_gaussian_samples_have_the_moments_of_the_graph(self):
        # Standard errors of means at most 3 / 200 and of covariances below 0.1: limits of five of them.
        theta, n = random_theta(CHAIN), 40_000
        table = CHAIN.table_of(CHAIN.sample(theta, n, np.random.default_rng(4)))
        mean, covariance = gaussian_moments(CHAIN, theta)
        std = np.sqrt(np.diag(covariance))
        assert (np.abs(table.mean(axis=0) - mean) < 5 * std / np.sqrt(n)).all()
        limit = 5 * np.sqrt((np.outer(std, std) ** 2 + covariance**2) / n)
        assert (np.abs(np.cov(table.T) - covariance) < limit).all()


class TestLearning:
    def test_tables_are_shares_and_a_row_never_seen_is_kept(self):
        net, theta = sprinkler()
        values = net.sample(theta, 200, np.random.default_rng(0))
        values["cloudy"][:] = 1
        fitted = net.described(net.fit_formulas(theta, values))
        share = values["rain"].mean()
        expected = [[0.8, 0.2], [1 - share, share]]
        np.testing.assert_allclose(fitted["rain"]["probabilities"], expected, rtol=1e-12)
        np.testing.assert_array_equal(fitted["cloudy"]["probabilities"], [0.0, 1.0])

    def test_least_squares_is_that_of_numpy(self):
        theta = random_theta(CHAIN)
        values = CHAIN.sample(theta, 50, np.random.default_rng(0))
        fitted = CHAIN.described(CHAIN.fit_formulas(theta, values))["d"]
        inputs = np.column_stack([values["c"], values["a"], np.ones(50)])
        solution, squares, *_ = np.linalg.lstsq(inputs, values["d"], rcond=None)
        np.testing.assert_allclose(np.append(fitted["W"], fitted["b"]), solution[:, 0], rtol=1e-9)
        assert fitted["sigma"][0] == pytest.approx(np.sqrt(squares[0] / 50), rel=1e-10)

    def test_formulas_are_maxima(self):
        net = BayesNet(
            (
                Node("t", "table"),
                Node("a", "linear-gaussian"),
                Node("m", "conditional-gaussian", ("t", "a"), size=2),
            )
        )
        values = net.sample(random_theta(net), 30, np.random.default_rng(0))
        weights = np.random.default_rng(1).random(30)
        theta = net.fit_formulas(np.zeros(net.layout.size), values, weights)
        gradient, _ = net.joint(theta, values)[1](weights[None])
        np.testing.assert_allclose(gradient, 0.0, atol=1e-12)

    def test_a_column_that_its_parents_determine_is_refused_and_a_floor_helps(self):
        net = BayesNet((Node("a", "linear-gaussian"), Node("b", "linear-gaussian", ("a",))))
        a = np.array([[0.0], [1.0], [3.0]])
        with pytest.raises(ValueError, match="'b' that vary about what its parents predict"):
            net.fit_formulas(np.zeros(5), {"a": a, "b": 0 * a})
        fitted = net.described(net.fit_formulas(np.zeros(5), {"a": a, "b": 0 * a}, floor=0.01))
        assert fitted["b"]["sigma"] == pytest.approx(0.1)


class TestZeroProbabilities:
    def test_an_impossible_value_is_minus_infinity_and_nothing_is_nan(self):
        net, theta = sprinkler()
        dry = {"cloudy": [1, 1], "sprinkler": [0, 0], "rain": [0, 0], "wet": [1, 0]}
        values = {name: np.array(one) for name, one in dry.items()}
        value, pullback = net.joint(theta, values)
        gradient, _ = pullback(np.ones((1, 2)))
        assert value[0, 0] == -np.inf
        assert np.isfinite(value[0, 1])
        assert np.isfinite(gradient).all()

    def test_zeros_are_read_drawn_and_written_as_zeros(self):
        net, theta = sprinkler()
        values = net.sample(theta, 5000, np.random.default_rng(0))
        never = (values["sprinkler"] == 0) & (values["rain"] == 0) & (values["wet"] == 1)
        assert not never.any()
        assert net.described(theta)["wet"]["probabilities"][0, 0, 1] == 0.0


class TestPackageModels:
    rng = np.random.default_rng(7)

    @pytest.mark.parametrize("n_data", [1, 2, 50])
    @pytest.mark.parametrize("shared", [False, True])
    def test_a_sigmoid_belief_net_as_a_graph_has_the_same_log_joint_bit_for_bit(self, n_data, shared):
        model = SigmoidBelief(7, 3)
        net = BayesNet((Node("z", "logistic", size=3), Node("x", "logistic", ("z",), size=7)))
        theta = self.rng.standard_normal(model.layout.size)
        x, _ = model.sample(theta, n_data, self.rng)
        z = self.rng.integers(0, 2, (5, 1 if shared else n_data, 3)).astype(float)
        np.testing.assert_array_equal(net.log_joint(theta, {"z": z, "x": x}), model.log_joint(theta, x, z))

    @pytest.mark.parametrize("n_data", [1, 2, 50])
    @pytest.mark.parametrize("shared", [False, True])
    def test_a_vae_as_a_graph_has_the_same_log_joint_bit_for_bit(self, n_data, shared):
        model = DeepBernoulli(7, 2, (6, 4))
        net = BayesNet(
            (Node("z", "standard-normal", size=2), Node("x", "mlp-bernoulli", ("z",), size=7, hidden=(6, 4)))
        )
        theta = self.rng.standard_normal(model.layout.size)
        x, _ = model.sample(theta, n_data, self.rng)
        z = self.rng.standard_normal((5, 1 if shared else n_data, 2))
        np.testing.assert_array_equal(net.log_joint(theta, {"z": z, "x": x}), model.log_joint(theta, x, z))


def triples(names):
    """Yield (a, b, given) over all pairs of names and all sets of others."""
    for a, b in itertools.combinations(names, 2):
        others = [one for one in names if one not in (a, b)]
        for size in range(len(others) + 1):
            for given in itertools.combinations(others, size):
                yield a, b, given


class TestIndependence:
    def test_d_separated_tables_have_no_conditional_mutual_information_and_others_have(self):
        net = BayesNet(
            (
                Node("a", "table"),
                Node("b", "table", ("a",)),
                Node("c", "table", ("a",), states=3),
                Node("d", "table", ("b", "c")),
                Node("e", "softmax", ("d",)),
            )
        )
        theta = 2.0 * random_theta(net)
        found = {
            t: (d_separated(net, *t), conditional_mutual_information(net, theta, *t))
            for t in triples("abcde")
        }
        assert {separated for separated, _ in found.values()} == {True, False}
        for separated, nats in found.values():
            assert abs(nats) < 1e-14 if separated else nats > 1e-9

    def test_d_separated_gaussians_have_no_partial_covariance_and_others_have(self):
        theta = random_theta(CHAIN)
        both = set()
        for a, b, given in triples(list(CHAIN.parents)):
            largest = np.abs(partial_covariance(CHAIN, theta, a, b, given)).max()
            separated = d_separated(CHAIN, a, b, given)
            both.add(separated)
            assert largest < 1e-13 if separated else largest > 1e-6
        assert both == {True, False}

    def test_a_deterministic_table_gives_a_finite_information(self):
        net, theta = sprinkler()
        assert conditional_mutual_information(net, theta, "rain", "sprinkler", "cloudy") == pytest.approx(
            0.0, abs=1e-15
        )
        assert conditional_mutual_information(net, theta, "rain", "sprinkler", ["cloudy", "wet"]) > 0.05

    def test_what_cannot_be_listed_or_is_not_linear_is_refused(self):
        with pytest.raises(NotApplicable, match="'g' is real"):
            conditional_mutual_information(MIXED, random_theta(MIXED), "c", "t")
        with pytest.raises(NotApplicable, match="'c' is not linear-Gaussian"):
            partial_covariance(MIXED, random_theta(MIXED), "g", "lin")
        with pytest.raises(ValueError, match="'rain' in two of them"):
            d_separated(sprinkler()[0], "rain", "rain")
        with pytest.raises(ValueError, match="did you mean 'rain'"):
            d_separated(sprinkler()[0], "rian", "cloudy")


class TestDescription:
    def test_a_written_graph_is_read_again(self, tmp_path):
        theta = random_theta(MIXED)
        path = tmp_path / "graph.json"
        path.write_text(json.dumps(description(MIXED, theta)))
        net, parameters = read_graph(path)
        assert net == MIXED
        values = drawn(MIXED, theta, 2, 3)
        np.testing.assert_allclose(
            net.log_joint(net.theta(parameters), values), MIXED.log_joint(theta, values)
        )

    def test_a_table_of_data_keeps_the_values(self):
        values = MIXED.sample(random_theta(MIXED), 5, np.random.default_rng(0))
        table = MIXED.check_table(MIXED.table_of(values))
        assert table.shape == (5, len(MIXED.columns))
        assert MIXED.columns[:5] == ("c", "t", "g[0]", "g[1]", "bits[0]")
        for name, value in MIXED.values_of(table).items():
            np.testing.assert_array_equal(value, values[name])

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"cloudy": {"kind": "table", "parents": ["wet"]}}, "no cycle, got cloudy -> .*wet -> cloudy"),
            (
                {"rain": {"kind": "table", "parents": ["clody"]}},
                "parents of 'rain'.*'clody'; did you mean 'cloudy'",
            ),
            ({"rain": {"kind": "tabel"}}, "kind of 'rain'.*did you mean 'table'"),
            ({"rain": {"kind": "table", "size": 2}}, r"fields of 'rain' \(table\).*'size'"),
            (
                {"rain": {"kind": "table", "states": "two"}},
                "states of 'rain': expected a number, or a list of names",
            ),
            ({"rain": {"kind": "table", "states": ["yes", "yes"]}}, "'yes' twice"),
            ({"rain": {"kind": "table", "parents": ["cloudy", "cloudy"]}}, "'cloudy' twice"),
            ({"rain": {}}, "variable 'rain': expected a 'kind', got None"),
            (
                {"rain": {"kind": "table", "parameters": {"probabilites": [0.5, 0.5]}}},
                "parameters of 'rain'.*'probabilites'; did you mean 'probabilities'",
            ),
            (
                {"x": {"kind": "linear-gaussian", "parameters": {"b": [0.0], "sigma": [1.0], "tau": [1.0]}}},
                "parameters of 'x': expected one of .*'tau'",
            ),
            (
                {"x": {"kind": "standard-normal", "parameters": {"b": [0.0]}}},
                "'x': expected no parameters of a standard-normal, got b",
            ),
            ({"x": {"kind": "mlp-gaussian"}}, "at least one parent.*linear-gaussian"),
            (
                {"x": {"kind": "standard-normal", "parents": ["rain"]}},
                "no parents of the standard normal 'x'",
            ),
            (
                {"x": {"kind": "linear-gaussian"}, "y": {"kind": "table", "parents": ["x"]}},
                "categories as parents of the table of 'y', got 'x', which is real",
            ),
        ],
    )
    def test_a_wrong_graph_is_told_in_one_line(self, change, words):
        with pytest.raises((ValueError, TypeError), match=words) as caught:
            graph_of({"variables": SPRINKLER["variables"] | change})
        assert "\n" not in str(caught.value)

    def test_a_key_beside_the_variables_is_refused(self):
        with pytest.raises(ValueError, match=r"keys of the graph: expected one of variables, got 'variable'"):
            graph_of(SPRINKLER | {"variable": {}})

    @pytest.mark.parametrize(
        ("probabilities", "words"),
        [
            (
                [[0.8, 0.3], [0.2, 0.8]],
                "'rain': expected probabilities that sum to one, got 1.1 for cloudy = no",
            ),
            ([[1.2, -0.2], [0.2, 0.8]], "probabilities of at least 0, got -0.2"),
            ([0.2, 0.8], r"'rain' probabilities: expected numbers of shape \[2, 2\], got shape \[2\]"),
            ([["a", "b"], [0.2, 0.8]], "'rain' probabilities: expected numbers"),
        ],
    )
    def test_a_wrong_table_is_told_in_one_line(self, probabilities, words):
        rain = {"kind": "table", "parents": ["cloudy"], "parameters": {"probabilities": probabilities}}
        with pytest.raises((ValueError, TypeError), match=words):
            graph_of({"variables": SPRINKLER["variables"] | {"rain": rain}})

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("{", "expected JSON, got .*line 1"),
            ('{"variables": {"a": {"kind": "table"}, "a": {"kind": "table"}}}', "'a' twice"),
            ("[]", r"expected a JSON object \{...\}, got \[\]"),
            ("{}", "an object with 'variables'"),
            ('{"variables": {}}', "at least one variable, got none"),
        ],
    )
    def test_a_wrong_file_is_told_in_one_line(self, tmp_path, text, words):
        path = tmp_path / "graph.json"
        path.write_text(text)
        with pytest.raises((ValueError, TypeError), match=words):
            read_graph(path)
        with pytest.raises(ValueError, match="No such file"):
            read_graph(tmp_path / "none.json")

    def test_a_table_with_another_state_is_refused_by_its_column(self):
        net, _ = sprinkler()
        with pytest.raises(ValueError, match="states 0 to 1 of 'rain', got 2 at row 1, column 2"):
            net.check_table(np.array([[0, 0, 0, 0], [0, 0, 2, 0]]))
        assert np.isnan(net.check_table(np.array([[0.0, np.nan, 0.0, 1.0]]))[0, 1])
