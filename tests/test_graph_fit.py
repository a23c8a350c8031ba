"""A graph as JSON and a CSV with missing cells: what fit, evaluate and sample make of them."""

import csv
import json

import numpy as np
import pytest
from test_graphs import SPRINKLER, sprinkler

from elbo_lab import compare, fit
from elbo_lab.cli.main import main
from elbo_lab.datasets import EXAMPLE_GRAPHS
from elbo_lab.errors import NotApplicable
from elbo_lab.exact.graphs import log_evidence
from elbo_lab.fitting import evaluate
from elbo_lab.fitting.checkpoints import load_fitted
from elbo_lab.models import BayesNet, GraphModel, Node
from elbo_lab.models.graphs.description import description
from elbo_lab.plots.graph import layers_of, plot_graph


def write_graph(folder, net=None, theta=None, parameters=False):
    """Write the sprinkler graph, without parameters unless asked for; return the path."""
    described = description(sprinkler()[0] if net is None else net, theta)
    if parameters:
        described = SPRINKLER
    path = folder / "graph.json"
    path.write_text(json.dumps(described))
    return path


def write_cells(folder, n_data=120, share=0.3, seed=0):
    """Write rows with gaps, states by name, columns in another order; return the path and the table."""
    net, theta = sprinkler()
    rng = np.random.default_rng(seed)
    table = net.table_of(net.sample(theta, n_data, rng))
    table[rng.random(table.shape) < share] = np.nan
    path = folder / "cells.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["wet", "cloudy", "rain", "sprinkler"])
        for row in table:
            cells = ["" if np.isnan(v) else str(int(v)) for v in row]
            cells[0] = {"0": "no", "1": "yes"}.get(cells[0], "NA")
            writer.writerow([cells[3], cells[0], cells[2], cells[1]])
    return path, table


class TestFit:
    def test_a_csv_with_missing_cells_is_fitted_by_em_and_judged_exactly(self, tmp_path):
        path, table = write_cells(tmp_path)
        result = fit("bayes-net", path, graph=write_graph(tmp_path))
        assert result.settings["method"] == "em"
        assert result.converged
        np.testing.assert_array_equal(result.train.x, table)
        exact = log_evidence(result.model.net, result.theta, table)
        assert result.final["log_likelihood"] == pytest.approx(exact.value.sum(), rel=1e-12)
        assert sum(result.final["rungs"].values()) == 120
        values = [row["log_likelihood"] for row in result.history]
        assert (np.diff(values) > -1e-9).all()
        assert result.parameters["wet.probabilities"].shape == (2, 2, 2)

    def test_an_interrupted_fit_goes_on_bit_for_bit(self, tmp_path):
        path, _ = write_cells(tmp_path)
        graph, kept = write_graph(tmp_path), tmp_path / "kept.npz"
        whole = fit("bayes-net", path, graph=graph, epochs=6, tolerance=1e-14)
        fit("bayes-net", path, graph=graph, epochs=3, tolerance=1e-14, checkpoint=kept)
        graph.unlink()  # the checkpoint holds the graph
        resumed = fit(resume=kept, epochs=6)
        np.testing.assert_array_equal(resumed.theta, whole.theta)
        assert resumed.history == whole.history

    def test_a_checkpoint_is_evaluated_and_sampled(self, tmp_path, capsys):
        path, table = write_cells(tmp_path)
        kept = tmp_path / "kept.npz"
        result = fit("bayes-net", path, graph=write_graph(tmp_path), holdout=0.25, checkpoint=kept)
        found = evaluate(kept)
        assert found.final["log_likelihood"] == result.final["held_out"]["log_likelihood"]
        again = evaluate(kept, table)
        assert again.final["rows"] == 120
        stored = load_fitted(kept)
        drawn = stored.generate(50, np.random.default_rng(0))
        assert drawn.shape == (50, 4)
        assert not np.isnan(drawn).any()
        assert main(["sample", str(kept), "--out", str(tmp_path / "drawn")]) == 0
        assert "1000 rows x 4" in capsys.readouterr().out

    def test_minibatch_steps_reach_what_em_reaches(self, tmp_path):
        path, _ = write_cells(tmp_path)
        graph = write_graph(tmp_path)
        by_em = fit("bayes-net", path, graph=graph)
        by_steps = fit(
            "bayes-net", path, graph=graph, method="gradient", epochs=25, batch=30, learning_rate=0.1
        )
        assert by_steps.final["log_likelihood"] > by_em.final["log_likelihood"] - 1.0

    def test_steps_keep_a_probability_of_zero(self, tmp_path):
        path, _ = write_cells(tmp_path)
        graph = write_graph(tmp_path, parameters=True)
        found = fit("bayes-net", path, graph=graph, method="gradient", epochs=2)
        assert found.parameters["wet.probabilities"][0, 0, 1] == 0.0
        assert np.isfinite(found.final["log_likelihood"])

    def test_a_hidden_column_that_the_file_lacks_is_found(self, tmp_path):
        # Two clusters: the mean of a cluster has a standard error of 0.1, the limit is five of them.
        net = BayesNet((Node("group", "table"), Node("x", "conditional-gaussian", ("group",))))
        rng = np.random.default_rng(0)
        x = np.concatenate([rng.standard_normal(100) - 4.0, rng.standard_normal(100) + 4.0])
        (tmp_path / "x.csv").write_text("x\n" + "\n".join(map(str, x)))
        result = fit("bayes-net", tmp_path / "x.csv", graph=write_graph(tmp_path, net), restarts=3)
        means = np.sort(result.parameters["x.b"].ravel())
        np.testing.assert_allclose(means, [-4.0, 4.0], atol=0.5)
        assert np.isnan(result.train.x[:, 0]).all()

    def test_without_a_graph_the_columns_have_a_latent_class(self):
        result = fit("bayes-net", "faithful", latent=2, restarts=2)
        mixture = fit("gaussian-mixture:diagonal", "faithful", latent=2)
        assert result.final["log_likelihood"] == pytest.approx(mixture.final["log_likelihood"], abs=1e-3)

    def test_given_parameters_are_the_start(self, tmp_path):
        path, table = write_cells(tmp_path)
        net, theta = sprinkler()
        graph = write_graph(tmp_path, parameters=True)
        result = fit("bayes-net", path, graph=graph, epochs=1)
        expected = log_evidence(net, theta, table).value.sum()
        assert result.history[0]["log_likelihood"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", EXAMPLE_GRAPHS)
def test_an_example_graph_is_fitted_by_its_name(name):
    model = GraphModel.read(EXAMPLE_GRAPHS[name])
    rng = np.random.default_rng(0)
    x, _ = model.sample(model.random_theta(np.zeros((1, model.n_columns)), rng), 30, rng)
    x[::3, 0] = np.nan
    result = fit("bayes-net", x, graph=name, epochs=3)
    assert result.settings["graph"] == name
    assert result.model.net == model.net


class TestMistakes:
    @pytest.mark.parametrize(
        ("cells", "words"),
        [
            ("rain,fog\n1,1\n", "expected one of cloudy, sprinkler, rain, wet, got 'fog'"),
            ("rain,rain\n1,1\n", "each column once"),
            ("rain\nsome\n", "a number in column 'rain', got 'some' on line 2"),
            ("cloudy\nmaybe\n", "one of no, yes, or a number in column 'cloudy', got 'maybe' on line 2"),
            ("rain,wet\n1\n", "2 fields in every row.*got 1 on line 2"),
            ("rain\n2\n", "states 0 to 1 of 'rain', got 2 at row 0, column 'rain'"),
            ("rain\n", "only a header"),
            ("", "at least one row"),
        ],
    )
    def test_wrong_cells_are_told_in_one_line(self, tmp_path, cells, words):
        path = tmp_path / "cells.csv"
        path.write_text(cells)
        with pytest.raises(ValueError, match=words) as caught:
            fit("bayes-net", path, graph=write_graph(tmp_path))
        assert "\n" not in str(caught.value)

    def test_impossible_rows_are_refused(self, tmp_path):
        path = tmp_path / "cells.csv"
        path.write_text("cloudy,sprinkler,rain,wet\n1,0,0,1\n")
        with pytest.raises(ValueError, match="possible under the graph, got probability 0"):
            fit("bayes-net", path, graph=write_graph(tmp_path, parameters=True))
        with pytest.raises(ValueError, match=r"data: expected rows with a finite .* at the start, got -inf"):
            fit("bayes-net", path, graph=write_graph(tmp_path, parameters=True), method="gradient", epochs=1)

    def test_other_models_still_refuse_gaps_and_a_graph(self, tmp_path):
        path, _ = write_cells(tmp_path)
        with pytest.raises(ValueError, match="column"):
            fit("ppca", path)
        with pytest.raises(ValueError, match="graph: expected no value with method"):
            fit("ppca", "faithful", graph=write_graph(tmp_path))

    def test_the_command_line_has_one_line_and_code_two(self, tmp_path, capsys):
        (tmp_path / "graph.json").write_text('{"variables": {"a": {"kind": "table", "parents": ["a"]}}}')
        (tmp_path / "cells.csv").write_text("a\n1\n")
        graph, cells = tmp_path / "graph.json", tmp_path / "cells.csv"
        assert main(["fit", "bayes-net", "--graph", str(graph), "--data", str(cells)]) == 2
        assert capsys.readouterr().err == (
            "elbo-lab: error: --graph: expected no cycle, got a -> a; reverse one arrow of it\n"
        )


class TestPicture:
    def test_parents_stand_above_children_and_every_box_has_its_name(self):
        net, _ = sprinkler()
        layers = layers_of(net)
        assert layers[0] == ["cloudy"]
        assert set(layers[1]) == {"rain", "sprinkler"}
        assert layers[2] == ["wet"]
        ax = plot_graph(net, {"rain": 1.0, "wet": 0.25})
        words = [text.get_text() for text in ax.texts]
        assert {"cloudy", "rain", "hidden", "25 % missing", "table"} <= set(words)

    def test_the_order_within_a_layer_leaves_no_crossing(self):
        net = BayesNet(
            (Node("a", "table"), Node("b", "table"), Node("x", "table", ("b",)), Node("y", "table", ("a",)))
        )
        top, below = layers_of(net)
        assert [net.parents[name][0] for name in below] == top

    def test_a_fit_draws_its_graph(self, tmp_path):
        path, _ = write_cells(tmp_path)
        result = fit("bayes-net", path, graph=write_graph(tmp_path), epochs=3)
        assert list(result.plot()) == ["staircase", "graph"]
        assert "p(rain | cloudy = no): " in result.table(100)


def test_a_category_as_z_may_be_relaxed():
    from checks import check_vjp

    net = BayesNet((Node("k", "table", states=3), Node("x", "conditional-gaussian", ("k",), size=2)))
    model, rng = GraphModel.of(net, latent=("k",)), np.random.default_rng(0)
    theta, x = 0.5 * rng.standard_normal(model.layout.size), rng.standard_normal((4, 2))
    y = rng.dirichlet(np.ones(3), (2, 4))
    check_vjp(
        lambda t: model.relaxed_likelihood(t, x, y)[0],
        lambda t, c: model.relaxed_likelihood(t, x, y)[1](c)[0],
        theta,
        rng,
    )
    check_vjp(
        lambda s: model.relaxed_likelihood(theta, x, s)[0],
        lambda s, c: model.relaxed_likelihood(theta, x, s)[1](c)[1],
        y,
        rng,
    )
    states = rng.integers(0, 3, (2, 4))
    hot = (states[..., None] == np.arange(3)).astype(float)
    np.testing.assert_allclose(
        model.relaxed_likelihood(theta, x, hot)[0], model.log_likelihood(theta, x, states), rtol=1e-12
    )


class TestProgress:
    def test_slow_iterations_are_counted_and_timed_on_screen(self, monkeypatch):
        told = []
        monkeypatch.setattr("elbo_lab.fitting.methods.em.SLOW", -1.0)
        x = np.random.default_rng(0).integers(0, 2, (20, 3)).astype(float)
        fit("bayes-net", x, epochs=3, latent=2, threads=1, progress=lambda *one: told.append(one[2]))
        assert any(step.startswith("starts (iteration 2, ") and " s each): " in step for step in told)


class TestCompare:
    def test_a_graph_with_a_probability_of_zero_is_compared(self):
        net, theta = sprinkler()
        model = GraphModel.of(net, theta, latent=("cloudy",))
        x, _ = model.sample(theta, 60, np.random.default_rng(0))
        options = {"repeats": 20, "rows": 4, "threads": 1, "progress": False}
        found = compare(model, data=x, estimators=["exact", "score-function"], **options)
        assert {row["reference"] for row in found.rows} <= {"closed-form", "enumeration"}
        values = [row["reference_norm"] for row in found.rows if row["target"] == "grad-theta-elbo"]
        assert values and np.isfinite(values).all()

    def test_a_graph_without_z_is_refused_in_one_line(self):
        net, _ = sprinkler()
        with pytest.raises(NotApplicable, match=r"name it, as in GraphModel.of\(net, latent="):
            compare(GraphModel.of(net), data=np.zeros((4, 4)), threads=1, progress=False)


class TestNames:
    @pytest.mark.parametrize(
        ("nodes", "told"),
        [
            ([Node("", "table")], "graph: expected a name of every variable"),
            (
                [Node("x[0]", "linear-gaussian"), Node("x", "linear-gaussian", size=2)],
                r"different names of columns, got 'x\[0\]' twice",
            ),
        ],
        ids=["none", "of a component"],
    )
    def test_names_that_a_table_could_not_tell_apart_are_refused(self, nodes, told):
        with pytest.raises(ValueError, match=told):
            BayesNet(tuple(nodes))

    @pytest.mark.parametrize(
        ("field", "told"),
        [({"hidden": (-3,)}, "hidden of 'b'.*got -3"), ({"activation": "sin"}, "activation of 'b'.*'sin'")],
        ids=["hidden", "activation"],
    )
    def test_a_wrong_network_is_told_with_its_variable(self, field, told):
        with pytest.raises(ValueError, match=told):
            Node("b", "mlp-gaussian", ("a",), **field)
