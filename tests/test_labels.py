"""Labels in a column of the user's table, and the classifier that explains them."""

import csv
import inspect

import numpy as np
import pytest

from elbo_lab import ESTIMATORS, compare, evaluate, fit, load
from elbo_lab.datasets import Dataset
from elbo_lab.errors import NotApplicable
from elbo_lab.exact import ladder
from elbo_lab.fitting import load_fitted
from elbo_lab.models import CategoricalMLP
from elbo_lab.networks import MLP
from elbo_lab.posteriors import FreePosterior
from elbo_lab.special import log_softmax

SMALL = {"hidden": (4,), "epochs": 20, "batch": 20}


def write(path, rows, header=("u", "v", "colour")):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows] if header else rows)
    return path


def clouds(n_rows=60, classes=("red", "green", "blue"), seed=0):
    """Return rows (u, v, class) of clouds apart from each other."""
    rng = np.random.default_rng(seed)
    where = {"red": (0, 0), "green": (3, 0), "blue": (0, 3), "pink": (5, 5)}
    names = rng.choice(classes, n_rows).tolist()
    return [(*(np.array(where[name]) + rng.standard_normal(2)).round(3).tolist(), name) for name in names]


@pytest.fixture
def table(tmp_path):
    return write(tmp_path / "mine.csv", clouds())


# -- the column -------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["colour", "2", 2])
def test_a_column_of_words_becomes_labels_in_the_order_of_the_alphabet(table, label):
    found, rows = load(table, label=label), clouds()
    assert found.classes == ("blue", "green", "red") and found.columns == ("u", "v")
    assert [found.classes[code] for code in found.labels] == [row[2] for row in rows]
    np.testing.assert_array_equal(found.x, [row[:2] for row in rows])


def test_a_first_row_without_words_beside_the_label_is_a_datum(tmp_path):
    found = load(write(tmp_path / "bare.csv", clouds(), header=None), label=2)
    assert len(found.x) == 60 and found.columns is None


def test_numbers_as_classes_are_ordered_by_size_and_spelt_in_one_way(tmp_path):
    rows = [(0.5, "10"), (1.5, "9.0"), (2.5, "9"), (3.5, "-1")]
    found = load(write(tmp_path / "n.csv", rows, ("x", "class")), label="class")
    assert found.classes == ("-1", "9", "10") and found.labels.tolist() == [2, 1, 1, 0]
    array = np.column_stack([np.arange(4.0), [10, 9, 9, -1]])
    again = load(array, label=1)
    assert again.classes == found.classes and again.labels.tolist() == found.labels.tolist()


def test_new_rows_take_the_codes_of_the_fit_and_an_unknown_class_is_refused(tmp_path, table):
    known = load(table, label="colour").classes
    few = write(tmp_path / "few.csv", clouds(10, ("red", "green")))
    found = load(few, label="colour", classes=known)
    assert found.classes == known and set(found.labels.tolist()) == {1, 2}
    other = write(tmp_path / "other.csv", clouds(10, ("red", "pink")))
    with pytest.raises(
        ValueError, match=r"label: expected the classes of the fit \(blue, green, red\), got 'pink'"
    ):
        load(other, label="colour", classes=known)


WRONG = {
    "no such column": (None, "shape", r"label: expected a column of '.*' \(u, v, colour\).*, got 'shape'"),
    "no such number": (None, 7, r"number from 0 to 2, got 7"),
    "missing label": (
        [(1.0, 2.0, "a"), (1.0, 2.0, "")],
        "colour",
        r"label: .*got an empty field on line 3; fill",
    ),
    "gap": ([(1.0, 2.0, "a"), (1.0, 2.0, "NA")], "colour", r"label: .*got 'NA' on line 3"),
    "a number that is none": (
        [(1.0, 2.0, "a"), (1.0, 2.0, "NaN")],
        "colour",
        r"label: .*got 'NaN' on line 3",
    ),
    "words in a feature": (
        [(1.0, "x", "a"), (1.0, 2.0, "b")],
        "colour",
        r"data: .*column 'v'.*got 'x' on line 2",
    ),
    "no repeats": (
        [(1.0, 2.0, c) for c in "abc"],
        "colour",
        r"label: .*several rows.*got 3 of them in 3 rows",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_column_is_refused_in_one_line(tmp_path, case):
    rows, label, message = WRONG[case]
    path = write(tmp_path / "wrong.csv", clouds() if rows is None else rows)
    with pytest.raises(ValueError, match=message) as caught:
        load(path, label=label)
    assert "\n" not in str(caught.value)


def test_of_two_columns_of_the_same_name_none_is_taken(tmp_path):
    path = write(tmp_path / "twice.csv", clouds(), ("u", "colour", "colour"))
    with pytest.raises(
        ValueError, match=r"label: expected one column of .*got 2 named 'colour'; give its num"
    ):
        load(path, label="colour")
    assert load(path, label=2).classes == ("blue", "green", "red")


def test_words_in_a_table_may_be_its_labels(table):
    with pytest.raises(ValueError, match=r"data: .*'colour'.*or name it as the labels \(label, --label\)"):
        load(table)


def test_data_that_bring_their_labels_take_no_column():
    with pytest.raises(ValueError, match=r"label: expected no value: digits:raw brings its labels, got 'x'"):
        load("digits", label="x")
    assert load("faithful", label="waiting").columns == ("eruptions",)


def test_a_single_column_has_nothing_to_explain_its_labels(tmp_path):
    with pytest.raises(
        ValueError, match=r"label: expected a column of .* beside others, got its only column"
    ):
        load(write(tmp_path / "one.csv", [("a",), ("b",), ("a",)], ("c",)), label="c")


# -- the classifier ---------------------------------------------------------------------------------


def classifier(hidden=(4,)):
    """Return the model, theta, and rows x (7, 3)."""
    model, rng = CategoricalMLP(2, 3, (0.2, -0.5), (1.5, 0.7), hidden), np.random.default_rng(0)
    theta = rng.standard_normal(model.layout.size)
    return model, theta, model.sample(theta, 7, rng)[0]


def test_its_likelihood_is_minus_the_cross_entropy():
    model, theta, x = classifier()
    logits = MLP((2, 4, 3)).forward(theta, (x[:, :2] - [0.2, -0.5]) / [1.5, 0.7])[0]
    expected = log_softmax(logits, axis=-1)[np.arange(7), x[:, 2].astype(int)]
    np.testing.assert_allclose(model.log_likelihood(theta, x, np.zeros((1, 7), int))[0], expected, rtol=1e-13)
    assert np.allclose(np.exp(model.log_probabilities(theta, x[:, :2])).sum(axis=1), 1.0, atol=1e-14)


def test_the_mean_slope_under_its_own_probabilities_is_zero():
    model, theta, x = classifier()
    p, total = np.exp(model.log_probabilities(theta, x[:, :2])), 0.0
    for c in range(3):
        rows = np.column_stack([x[:, :2], np.full(7, c)])
        total = total + model.log_likelihood_vjp(theta, rows, np.zeros((1, 7), int), p[None, :, c])[0]
    assert np.abs(total).max() < 1e-13


def test_its_evidence_is_exact_and_no_estimator_takes_it():
    model, theta, x = classifier()
    log_p, error, rung = ladder.log_evidence(model, theta, x)
    assert rung == "enumeration" and not error.any()
    np.testing.assert_array_equal(log_p, model.log_likelihood(theta, x, np.zeros((1, 7), int))[0])
    for estimator in ESTIMATORS.values():
        with pytest.raises(NotApplicable, match="categorical-mlp has nothing hidden"):
            estimator.check_pairing(model, FreePosterior(model.family, 7))
    with pytest.raises(ValueError, match="models: categorical-mlp is not for comparisons; nothing is hidden"):
        compare("categorical-mlp")


def test_a_classifier_is_fitted_to_a_table_kept_and_judged_on_new_rows(tmp_path, table):
    kept = tmp_path / "kept.npz"
    result = fit(
        "categorical-mlp", table, label="colour", holdout=0.2, checkpoint=kept, learning_rate=0.05, **SMALL
    )
    assert result.settings["label"] == "colour" and result.settings["method"] == "gradient"
    assert result.final["classes"] == ["blue", "green", "red"]
    assert sum(result.final["class_rows"]) == result.final["rows"] == 48
    assert result.final["accuracy"] > 0.8 and result.final["held_out"]["accuracy"] > 0.6
    p = result.predict_proba(result.train.x[:, :2])
    scores = np.log(p[np.arange(48), result.train.labels])
    np.testing.assert_allclose(result.score_samples(result.train.x), scores, rtol=1e-12)
    again = evaluate(kept)
    assert again.final["accuracy"] == result.final["held_out"]["accuracy"]
    assert load_fitted(kept).classes == ("blue", "green", "red")
    # A file that lacks a class has other codes of its own; those of the fit are taken.
    new = write(tmp_path / "new.csv", clouds(40, ("green", "red"), seed=1))
    assert evaluate(kept, new).final["accuracy"] > 0.6
    with pytest.raises(NotApplicable, match="categorical-mlp has no latents"):
        result.encode(result.train.x)


def test_logistic_regression_takes_the_two_classes_of_a_table(tmp_path):
    path = write(tmp_path / "two.csv", clouds(80, ("red", "green")))
    result = fit("logistic-regression", path, label="colour", epochs=40, batch=20)
    assert result.final["classes"] == ["green", "red"] and result.final["accuracy"] > 0.8
    coefficients = result.parameters["coefficients"]
    assert coefficients[0] < 0  # green, which is to the right, has the label 0
    three = write(tmp_path / "three.csv", clouds())
    with pytest.raises(ValueError, match=r"got labels blue, green, red with three"):
        fit("logistic-regression", three, label="colour")


def test_compare_reads_labels_in_the_same_way(tmp_path):
    path = write(tmp_path / "two.csv", clouds(40, ("red", "green")))
    found = compare(
        "logistic-regression", data=path, label="colour", estimators="elbo-joint-entropy", repeats=5
    )
    assert found.settings["data"] == "two" and found.rows
    with pytest.raises(ValueError, match="label: expected data of your own beside it"):
        compare("ppca", label="colour")


REFUSED = {
    "one class": (
        Dataset("mine", np.eye(3), labels=np.zeros(3, int), classes=("red",)),
        "only 'red' with mine",
    ),
    "no labels": ("faithful", "rows with labels for categorical-mlp, got no labels with faithful"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_data_without_two_classes_are_refused(case):
    data, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        fit("categorical-mlp", data)


def test_a_label_is_the_same_option_everywhere():
    for function in (fit, evaluate, compare, load):
        assert "label" in inspect.signature(function).parameters


@pytest.mark.parametrize("label", [-1.0, 3.0, 0.5])
def test_labels_beyond_those_of_the_training_rows_are_refused(label):
    model, _, x = classifier()
    x[4, -1] = label
    with pytest.raises(ValueError, match=rf"labels from 0 to 2 .*got {label:g} at row 4"):
        model.check_data(x)


# -- new rows ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Return the checkpoint of a classifier, in a folder of its own."""
    folder = tmp_path_factory.mktemp("kept")
    path = write(folder / "mine.csv", clouds())
    fit("categorical-mlp", path, label="colour", checkpoint=folder / "kept.npz", **SMALL)
    return folder / "kept.npz"


@pytest.mark.parametrize("name", ["red", "blue"])
def test_new_rows_may_all_be_of_one_class(kept, tmp_path, name):
    one = write(tmp_path / "one.csv", clouds(1, (name,)))
    assert evaluate(kept, one).final["rows"] == 1


@pytest.mark.parametrize("label", [0, 1])
def test_new_rows_of_a_regression_may_all_have_one_label(tmp_path, label):
    x = np.random.default_rng(0).standard_normal((20, 2))
    both = Dataset("both", x, labels=np.arange(20) % 2)
    fit("logistic-regression", both, epochs=2, checkpoint=tmp_path / "kept.npz")
    one = Dataset("one", x[:3], labels=np.full(3, label))
    assert evaluate(tmp_path / "kept.npz", one).final["rows"] == 3


def test_rows_to_fit_may_not(tmp_path):
    path = write(tmp_path / "one.csv", clouds(9, ("red",)))
    with pytest.raises(
        ValueError, match=r"data: expected labels of at least two classes .*got only 'red' with"
    ):
        fit("categorical-mlp", path, label="colour", **SMALL)
    with pytest.raises(ValueError, match=r"at least two classes .*got 2 in all rows"):
        CategoricalMLP.for_data(np.array([[0.0, 2.0], [1.0, 2.0], [2.0, 2.0]]))


def test_a_regression_names_the_model_of_more_classes(table):
    with pytest.raises(ValueError, match=r"got labels blue, green, red with mine; categorical-mlp takes any"):
        fit("logistic-regression", table, label="colour")


def test_columns_in_another_order_than_those_of_the_fit_are_refused(kept, tmp_path):
    rows = [(v, u, name) for u, v, name in clouds()]
    swapped = write(tmp_path / "swapped.csv", rows, ("v", "u", "colour"))
    message = r"data: expected the columns in the order of the fit \(u, v\), got v, u; put them in that order"
    with pytest.raises(ValueError, match=message):
        evaluate(kept, swapped)
    renamed = write(tmp_path / "renamed.csv", clouds(), ("a", "b", "colour"))
    assert evaluate(kept, renamed).final["rows"] == 60


def test_a_model_without_latents_takes_no_number_of_them(table):
    with pytest.raises(
        ValueError, match="latent: expected no value for categorical-mlp, which has no latents"
    ):
        fit("categorical-mlp", table, label="colour", latent=2)
