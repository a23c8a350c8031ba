"""The fully observed model p(y | x): formula by enumeration, derivative by differences."""

import json
import math
from dataclasses import asdict

import numpy as np
import pytest
from checks import assert_close, check_vjp, read_only

from elbo_lab.datasets import load
from elbo_lab.errors import UserMistake
from elbo_lab.models.categorical_mlp import CategoricalMLP, check_labels
from elbo_lab.training.optimizers import Adam

SHIFT, SCALE = (1.0, -2.0, 0.5), (2.0, 0.5, 3.0)
MODELS = {
    "logistic": CategoricalMLP(3, 4, (), shift=SHIFT, scale=SCALE),
    "two classes": CategoricalMLP(3, 2, (5,), shift=SHIFT, scale=SCALE),
    "tanh": CategoricalMLP(3, 4, (6, 5), "tanh", SHIFT, SCALE),
    "softplus": CategoricalMLP(3, 4, (5,), "softplus", SHIFT, SCALE),
    "relu": CategoricalMLP(3, 4, (5,), "relu"),
}
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


def setting(model, n_rows=9, seed=0):
    """Return (theta, x, y, rng); every class is among y."""
    rng = np.random.default_rng([seed, model.layout.size])
    x = np.array(model.shift) + np.array(model.scale) * rng.standard_normal((n_rows, model.n_columns))
    y = np.arange(n_rows) % model.n_classes
    return rng.standard_normal(model.layout.size), x, y, rng


# -- the formula ---------------------------------------------------------------------------------


@every_model
def test_the_probabilities_of_all_classes_sum_to_one(model):
    theta, x, y, _ = setting(model)
    each = [model.log_likelihood(theta, x, np.full(len(x), c)) for c in range(model.n_classes)]
    assert_close(np.exp(each).sum(axis=0), np.ones(len(x)))
    table = model.log_probabilities(theta, x)
    assert table.shape == (len(x), model.n_classes)
    assert_close(table, np.transpose(each))
    assert_close(model.log_likelihood(theta, x, y), [row[c] for row, c in zip(table, y, strict=True)])


def test_without_hidden_layers_it_is_multinomial_logistic_regression():
    model = MODELS["logistic"]
    theta, x, y, _ = setting(model)
    p = model.layout.views(theta)
    expected = []
    for row, label in zip(x, y, strict=True):
        inputs = [(value - m) / s for value, m, s in zip(row, SHIFT, SCALE, strict=True)]
        odds = [
            math.exp(sum(a * w for a, w in zip(inputs, p["classifier.W1"][:, c], strict=True)) + bias)
            for c, bias in enumerate(p["classifier.b1"])
        ]
        expected.append(math.log(odds[label] / sum(odds)))
    assert_close(model.log_likelihood(theta, x, y), expected)


def test_two_classes_without_hidden_layers_are_the_logistic_function():
    model = CategoricalMLP(3, 2, ())
    theta, x, _, _ = setting(model)
    p = model.layout.views(theta)
    margin = x @ (p["classifier.W1"][:, 1] - p["classifier.W1"][:, 0]) + np.subtract(
        *p["classifier.b1"][::-1]
    )
    ones = np.ones(len(x), dtype=int)
    assert_close(model.log_likelihood(theta, x, ones), -np.log1p(np.exp(-margin)))


@every_model
def test_the_prediction_is_the_most_probable_class(model):
    _, x, _, rng = setting(model, n_rows=50)
    theta = model.initial_theta(rng)  # no biases, so that x decides
    found = model.predict(theta, x)
    assert found.shape == (50,) and len(np.unique(found)) > 1
    table = model.log_probabilities(theta, x)
    assert all(table[n, c] == table[n].max() for n, c in enumerate(found))


def test_raw_inputs_and_standardised_ones_give_the_same_answer():
    model = MODELS["tanh"]
    theta, x, y, _ = setting(model)
    plain = CategoricalMLP(3, 4, model.hidden)
    inputs = (x - np.array(SHIFT)) / np.array(SCALE)
    assert_close(model.log_likelihood(theta, x, y), plain.log_likelihood(theta, inputs, y))


def test_improbable_classes_keep_their_digits_and_none_overflows():
    model = CategoricalMLP(1, 3, ())
    theta = model.layout.pack({"classifier.W1": np.array([[0.0, 1.0, -1.0]])})
    x, y = np.full((3, 1), 1e4), np.arange(3)
    assert_close(model.log_likelihood(theta, x, y), [-1e4, 0.0, -2e4])
    gradient = model.log_likelihood_vjp(theta, x, y, np.ones(3))
    assert_close(model.layout.views(gradient)["classifier.b1"], [1.0, -2.0, 1.0])


# -- the derivative ------------------------------------------------------------------------------


def check_slope(model, vjp, seed=0):
    theta, x, y, rng = setting(model, seed=seed)
    check_vjp(lambda t: model.log_likelihood(t, x, y), lambda t, c: vjp(t, x, y, c), theta, rng)


@every_model
@pytest.mark.parametrize("seed", range(3))
def test_the_vjp_is_the_derivative(model, seed):
    check_slope(model, model.log_likelihood_vjp, seed)


@every_model
def test_value_and_pullback_of_one_pass_are_those_of_two(model):
    theta, x, y, rng = setting(model)
    value, pullback = model.likelihood(theta, x, y)
    cotangents = rng.standard_normal((3, len(x)))
    assert np.array_equal(value, model.log_likelihood(theta, x, y))
    together = pullback(cotangents)
    assert together.shape == (3, model.layout.size)
    for many, cotangent in zip(together, cotangents, strict=True):
        assert_close(many, model.log_likelihood_vjp(theta, x, y, cotangent))


@every_model
def test_the_score_has_expectation_zero_under_the_model(model):
    theta, x, _, _ = setting(model)
    table, total = np.exp(model.log_probabilities(theta, x)), 0.0
    for c in range(model.n_classes):
        total = total + model.log_likelihood_vjp(theta, x, np.full(len(x), c), table[:, c])
    assert_close(total, np.zeros(model.layout.size))


def _no_one_hot(model, theta, x, y, cotangent):  # noqa: ARG001 - the fault is that y is not used
    logits, activations = model._forward(theta, x)
    slopes = -np.exp(model.log_probabilities(theta, x))
    return model.network.backward(theta, activations, cotangent[:, None] * slopes + 0 * logits)[0]


def _neighbour(model, theta, x, y, cotangent):
    return model.log_likelihood_vjp(theta, x, (y + 1) % model.n_classes, cotangent)


def _not_standardised(model, theta, x, y, cotangent):
    plain = CategoricalMLP(3, model.n_classes, model.hidden, model.activation)
    return plain.log_likelihood_vjp(theta, x, y, cotangent)


FAULTS = {
    "wrong sign": lambda m, t, x, y, c: -m.log_likelihood_vjp(t, x, y, c),
    "softmax alone": _no_one_hot,
    "another class": _neighbour,
    "cotangent of another row": lambda m, t, x, y, c: m.log_likelihood_vjp(t, x, y, np.roll(c, 1)),
    "mean for sum": lambda m, t, x, y, c: m.log_likelihood_vjp(t, x, y, c) / len(x),
    "inputs not standardised": _not_standardised,
    "one percent": lambda m, t, x, y, c: 1.01 * m.log_likelihood_vjp(t, x, y, c),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(fault):
    model = MODELS["tanh"]
    with pytest.raises(AssertionError):
        check_slope(model, lambda *arguments: FAULTS[fault](model, *arguments))


@every_model
def test_arguments_are_never_written_into(model):
    theta, x, y, rng = setting(model)
    theta, x, y, cotangent = read_only(theta, x, y, rng.standard_normal(len(x)))
    model.log_likelihood_vjp(theta, x, y, cotangent)
    model.predict(theta, x)


# -- float32 -------------------------------------------------------------------------------------


@every_model
def test_float32_parameters_give_float32_results_beside_the_float64_ones(model):
    theta, x, y, rng = setting(model)
    cotangent = rng.standard_normal(len(x))
    short = theta.astype(np.float32)
    value, gradient = model.log_likelihood(short, x, y), model.log_likelihood_vjp(short, x, y, cotangent)
    assert value.dtype == gradient.dtype == model.log_probabilities(short, x).dtype == np.float32
    long = short.astype(np.float64)
    assert model.log_likelihood(long, x.astype(np.float32), y).dtype == np.float64
    assert_close(value, model.log_likelihood(long, x, y), 1e-5)
    assert_close(gradient, model.log_likelihood_vjp(long, x, y, cotangent), 1e-5)


# -- data ----------------------------------------------------------------------------------------


def test_for_data_standardises_columns_and_leaves_constant_ones_alone():
    x = np.column_stack([np.arange(10.0), np.full(10, 0.1), 1e6 + np.arange(10) % 2])
    model = CategoricalMLP.for_data(x, np.arange(10) % 3, hidden=(4,), activation="relu")
    assert (model.n_columns, model.n_classes, model.hidden, model.activation) == (3, 3, (4,), "relu")
    assert_close(model.shift, x.mean(axis=0))
    assert model.scale[1] == 1.0 and model.scale[2] == pytest.approx(0.5)
    assert model.scale[0] == pytest.approx(x[:, 0].std())
    assert CategoricalMLP.for_data(x, np.arange(10) % 3, n_classes=7).n_classes == 7


def test_the_description_is_made_of_plain_numbers_and_can_be_written_and_read():
    model = CategoricalMLP.for_data(np.random.default_rng(0).standard_normal((20, 3)), np.arange(20) % 2)
    assert model.name == "categorical-mlp" and model.summary
    fields = json.loads(json.dumps(asdict(model)))
    again = CategoricalMLP(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})
    assert again == model and hash(again) == hash(model)


def test_the_start_is_replayed_by_the_seed_and_names_its_coordinates():
    model = MODELS["tanh"]
    first, again = (model.initial_theta(np.random.default_rng(3)) for _ in range(2))
    assert first.shape == (model.layout.size,) and np.array_equal(first, again) and first.any()
    assert model.check_theta(first) is first
    assert model.layout.name_of(0) == "classifier.W1[0, 0]"


def test_maximum_likelihood_on_digits_finds_the_held_out_classes():
    train, held_out = load("digits").split(0.2)
    model = CategoricalMLP.for_data(train.x, train.labels, hidden=(32,))
    rng = np.random.default_rng(0)
    theta = model.initial_theta(rng).astype(np.float32)
    state, count, before = Adam().initial_state(theta.size, np.float32), 0, None
    for _ in range(15):
        for rows in np.array_split(rng.permutation(len(train.x)), 14):
            x, y = train.x[rows], train.labels[rows]
            value, pullback = model.likelihood(theta, x, y)
            before = value.mean() if before is None else before
            count += 1
            Adam().step(theta, pullback(np.full(len(rows), 1 / len(rows))), state, count, 1e-2)
    assert before < -1.5  # a guess has -log 10 = -2.3 nats
    assert model.log_likelihood(theta, held_out.x, held_out.labels).mean() > -0.2
    assert (model.predict(theta, held_out.x) == held_out.labels).mean() > 0.94


# -- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "line"),
    [
        ([0, 1, 4], "labels: expected labels from 0 to 3, got 4 at row 2; number the classes from 0"),
        ([0, -1, 9], "labels: expected labels from 0 to 3, got -1 at row 1"),
        ([0.0, 1.0, 2.0], "labels: expected whole numbers, got dtype float64"),
        (["a", "b", "c"], "labels: expected whole numbers, got dtype <U1"),
        ([True, False, True], "labels: expected whole numbers, got dtype bool"),
        ([0, 1], "labels: expected 3 labels, one per row, got 2 labels"),
        ([[0], [1], [2]], r"labels: expected one label per row \(N,\), got shape \(3, 1\)"),
        ([], "labels: expected whole numbers, got dtype float64"),
        (np.zeros(0, int), r"labels: expected one label per row \(N,\), got shape \(0,\)"),
    ],
    ids=str,
)
def test_impossible_labels_are_one_clear_line(labels, line):
    model = MODELS["tanh"]
    with pytest.raises(UserMistake, match=line):
        model.check_labels(labels, n_rows=3)
    with pytest.raises(UserMistake, match=line):
        model.log_likelihood(np.zeros(model.layout.size), np.zeros((3, 3)), labels)


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.int8])
def test_whole_numbers_of_any_width_are_labels(kind):
    labels = np.array([0, 3, 1], dtype=kind)
    assert np.array_equal(check_labels(labels, 4), labels)
    model = MODELS["tanh"]
    theta, x, _, _ = setting(model, n_rows=3)
    assert_close(model.log_likelihood(theta, x, labels), model.log_likelihood(theta, x, labels.astype(int)))


def test_without_a_number_of_classes_only_negative_labels_are_refused():
    assert check_labels([5, 900]).max() == 900
    with pytest.raises(ValueError, match="types: expected labels from 0 on, got -3 at row 1"):
        check_labels([5, -3], argument="types")


def test_data_with_one_class_or_labels_beyond_the_classes_are_refused():
    x = np.arange(6.0).reshape(3, 2)
    with pytest.raises(ValueError, match="labels: expected at least two classes, got only the label 0"):
        CategoricalMLP.for_data(x, [0, 0, 0])
    with pytest.raises(ValueError, match="labels from 0 to 1, got 2 at row 1"):
        CategoricalMLP.for_data(x, [0, 2, 1], n_classes=2)
    with pytest.raises(ValueError, match="expected 3 labels, one per row, got 2 labels"):
        CategoricalMLP.for_data(x, [0, 1])


def test_impossible_descriptions_are_refused():
    with pytest.raises(ValueError, match=r"n_classes: .*at least 2, got 1"):
        CategoricalMLP(3, 1)
    with pytest.raises(ValueError, match=r"n_columns: .*at least 1, got 0"):
        CategoricalMLP(0, 2)
    with pytest.raises(ValueError, match=r"shift: expected shape \(3,\), got shape \(2,\)"):
        CategoricalMLP(3, 2, shift=(0.0, 1.0))
    with pytest.raises(ValueError, match="shift: expected finite numbers, got nan"):
        CategoricalMLP(2, 2, shift=(0.0, np.nan))
    with pytest.raises(ValueError, match=r"scale: expected a positive finite number, got 0\.0"):
        CategoricalMLP(2, 2, scale=(1.0, 0.0))
    with pytest.raises(ValueError, match=r"activation: .*'thanh'"):
        CategoricalMLP(2, 2, activation="thanh")
    with pytest.raises(ValueError, match=r"sizes: .*got 0"):
        CategoricalMLP(2, 2, hidden=(0,))


def test_data_of_another_width_is_refused():
    model = MODELS["tanh"]
    assert model.check_data([[1, 2, 3]]).dtype == np.float64
    with pytest.raises(ValueError, match="data: expected 3 columns, got 2 columns"):
        model.check_data(np.ones((4, 2)))
    with pytest.raises(ValueError, match=r"theta: expected shape"):
        model.check_theta(np.zeros(3))
