"""A user's mistake becomes one clear line: the argument, what was expected, what came."""

import os
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elbo_lab.errors import (
    BadKind,
    BadValue,
    NotApplicable,
    UserMistake,
    bad_kind,
    bad_value,
    check_count,
    check_data,
    check_positive,
    check_vector,
    columns_by_name,
    unknown_name,
)
from elbo_lab.files import Kind, check_folder_writable, check_writable, write_output

# -- kinds and messages --------------------------------------------------------------------------


def test_mistakes_of_value_and_kind_are_the_builtin_errors_too():
    assert issubclass(BadValue, (ValueError,)) and issubclass(BadKind, TypeError)
    assert issubclass(NotApplicable, BadValue)
    assert all(issubclass(kind, UserMistake) for kind in (BadValue, BadKind, NotApplicable))


def test_a_message_names_argument_expected_got_and_remedy():
    assert str(bad_value("draws", "at least 2", 1)) == "draws: expected at least 2, got 1"
    message = "x: expected numbers, got dtype <U1; drop it"
    assert str(bad_kind("x", "numbers", "dtype <U1", "drop it")) == message


def test_an_unknown_name_suggests_the_nearest():
    error = unknown_name("model", "pcpa", ["ppca", "gaussian-mle"])
    assert isinstance(error, ValueError)
    assert str(error).startswith("model: expected one of ppca, gaussian-mle, got 'pcpa'")
    assert str(error).endswith("did you mean 'ppca'?")


def test_of_a_long_list_the_five_nearest_names_are_told():
    known = ["ppca", *(f"model-{i}" for i in range(20))]
    line = "model: expected a known name, got 'pcpa'; did you mean 'ppca'? 'elbo-lab list' has all names"
    assert str(unknown_name("model", "pcpa", known)) == line
    many = str(unknown_name("model", "MODEL-", known))
    assert "did you mean 'model-0'? Or model-1, model-2, model-3, model-4? 'elbo-lab list'" in many
    far = str(unknown_name("model", "zzz", known))
    assert far == "model: expected a known name, got 'zzz'; 'elbo-lab list' has all names"


@pytest.mark.parametrize("given", ["x" * 5000, "x\ny" * 400, ["x" * 5000] * 50, np.zeros((50, 50))])
def test_what_was_given_is_one_line_of_a_sane_length(given):
    for mistake in (unknown_name("model", given, ["ppca"]), bad_value("data", "bits", given)):
        assert "\n" not in str(mistake) and len(str(mistake)) < 500


def test_a_name_cut_short_suggests_the_one_that_it_begins():
    error = unknown_name(
        "estimators", "Reparam", ["arm", "reparameterization", "reparameterization-analytic-kl"]
    )
    assert str(error).endswith("did you mean 'reparameterization'?")


def test_an_unknown_name_far_from_all_suggests_nothing():
    assert "did you mean" not in str(unknown_name("model", "zzz", ["ppca", "gaussian-mle"]))


# -- single values -------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [1, 7, np.int64(3), np.uint8(2)])
def test_a_count_is_returned_as_a_plain_int(value):
    assert check_count("draws", value) == value
    assert type(check_count("draws", value)) is int


@pytest.mark.parametrize("value", [0, -3])
def test_a_count_below_its_minimum_is_refused(value):
    with pytest.raises(ValueError, match=f"draws: expected a whole number of at least 1, got {value}"):
        check_count("draws", value)


@pytest.mark.parametrize("value", [1.5, 2.0, "3", None, True])
def test_a_count_that_is_no_whole_number_is_refused(value):
    with pytest.raises(TypeError, match=f"draws: .* got {value!r}"):
        check_count("draws", value)


@pytest.mark.parametrize("value", [1e-300, 2, np.float32(0.5)])
def test_a_positive_number_is_returned_as_a_float(value):
    assert check_positive("scale", value) == value
    assert type(check_positive("scale", value)) is float


@pytest.mark.parametrize("value", [0, -1.0, np.nan, np.inf])
def test_a_scale_that_is_not_positive_and_finite_is_refused(value):
    with pytest.raises(ValueError, match=f"scale: expected a positive finite number, got {value}"):
        check_positive("scale", value)


@pytest.mark.parametrize("value", ["1", None, True])
def test_a_scale_that_is_no_number_is_refused(value):
    with pytest.raises(TypeError, match=f"scale: .* got {value!r}"):
        check_positive("scale", value)


@pytest.mark.parametrize("value", [[1, 2], (0.5, -1.0), np.arange(2.0)])
def test_a_vector_of_the_right_size_passes(value):
    assert check_vector("theta", value, 2).tolist() == list(value)


@pytest.mark.parametrize("shape", [(), (3,), (2, 1)])
def test_a_vector_of_another_shape_is_refused(shape):
    with pytest.raises(ValueError) as caught:
        check_vector("theta", np.zeros(shape), 2)
    assert str(caught.value) == f"theta: expected shape (2,), got shape {shape}"


@pytest.mark.parametrize("value", [["a", "b"], [1j, 2j], [True, False]])
def test_a_vector_of_no_real_numbers_is_refused(value):
    with pytest.raises(TypeError, match="theta: expected a vector of 2 numbers, got dtype"):
        check_vector("theta", value, 2)


# -- data ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [float, np.float32, int, np.uint8, bool])
def test_tables_of_numbers_become_new_float64_arrays(dtype):
    table = np.array([[0, 1], [1, 1]], dtype=dtype)
    checked = check_data(table)
    assert checked.dtype == np.float64 and np.array_equal(checked, table)
    assert not np.shares_memory(checked, table)


@given(st.sampled_from([np.nan, np.inf, -np.inf]), st.integers(0, 3), st.integers(0, 2), st.booleans())
def test_a_value_that_is_not_finite_is_named_with_its_place(value, row, column, second):
    table = np.arange(12.0).reshape(4, 3)
    table[row, column] = value
    table[3, 2] = value if second else table[3, 2]
    count = np.count_nonzero(~np.isfinite(table))
    with pytest.raises(ValueError) as caught:
        check_data(table, "--data")
    message = str(caught.value)
    assert message.startswith("--data: expected finite numbers, got ")
    assert f"{value} at row {row}, column {column}; {count} such entries (rows count from 0)" in message


@pytest.mark.parametrize(("columns", "told"), [(None, "1"), (("a", "b"), "'b' (index 1)")])
def test_a_bad_column_is_called_by_its_name_where_it_has_one(columns, told):
    with pytest.raises(BadValue) as caught, columns_by_name(columns):
        check_data([[1.0, np.inf], [1.0, 2.0]])
    assert str(caught.value).startswith(f"data: expected finite numbers, got inf at row 0, column {told}; 1 ")


NO_TABLES = [
    ([[1.0, 2.0], [3.0]], ValueError, "rows of equal length.*ragged"),
    ([1.0, 2.0], ValueError, r"two axes \(N, D\), got shape \(2,\); use x\[:, None\]"),
    (3.0, ValueError, r"two axes \(N, D\), got shape \(\)"),
    (np.zeros((2, 2, 2)), ValueError, r"two axes.*shape \(2, 2, 2\)"),
    (np.zeros((0, 2)), ValueError, r"at least one row and one column, got shape \(0, 2\)"),
    (np.zeros((2, 0)), ValueError, r"at least one row and one column, got shape \(2, 0\)"),
    ([], ValueError, r"shape \(0,\)"),
    ([["a", "1.0"]], TypeError, "numbers, got dtype <U3; drop label and text columns"),
    ([[None, 1.0]], TypeError, "numbers, got dtype object"),
    ([[1j, 1.0]], TypeError, "numbers, got dtype complex128"),
]


@pytest.mark.parametrize(("table", "kind", "message"), NO_TABLES)
def test_what_is_no_table_of_numbers_is_refused_with_the_reason(table, kind, message):
    with pytest.raises(kind, match=f"data: expected .*{message}"):
        check_data(table)


def test_another_number_of_columns_is_refused():
    with pytest.raises(ValueError, match="data: expected 3 columns, got 2 columns"):
        check_data(np.zeros((4, 2)), n_columns=3)


# -- text on disk --------------------------------------------------------------------------------

TEXT = Kind("text", rb"[a-d]")


def test_a_text_that_cannot_be_encoded_leaves_nothing(tmp_path):
    with pytest.raises(UnicodeEncodeError):
        write_output("json", tmp_path / "a.json", "half \ud800", TEXT)
    assert os.listdir(tmp_path) == []


def test_threads_that_write_one_file_never_mix(tmp_path):
    texts = [letter * 100_000 for letter in "abcd"]
    path = tmp_path / "a.txt"
    writers = [threading.Thread(target=write_output, args=("path", path, text, TEXT)) for text in texts]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert (tmp_path / "a.txt").read_text() in texts
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_place_that_can_be_written_passes_and_nothing_is_made(tmp_path):
    check_writable("--json", tmp_path / "new.json")
    check_folder_writable("--out", tmp_path / "not" / "yet" / "there")
    check_folder_writable("--out", tmp_path)
    assert os.listdir(tmp_path) == []


NO_FOLDER = "a place in an existing folder"
NO_PLACES = [
    (check_writable, "gone/a.json", f"{NO_FOLDER}.*gone"),
    (check_writable, ".", "a file name, got the folder"),
    (check_writable, "file/below", f"{NO_FOLDER}.*file"),
    (check_folder_writable, "file/below", f"{NO_FOLDER}.*file"),
    (check_folder_writable, "file", "a folder, got .*file., which is a file"),
]


@pytest.mark.parametrize(("check", "place", "expected"), NO_PLACES)
def test_a_place_for_nothing_is_refused(check, place, expected, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=f"--out: expected {expected}"):
        check("--out", tmp_path / place)
