"""Data arrive as they were published, and bad tables are refused in one clear line."""

import gzip
import importlib.resources
import io

import numpy as np
import pytest

from elbo_lab.datasets import DATASETS, Dataset, load, load_for
from elbo_lab.errors import BadKind, BadValue

# The sets that are not shipped (MNIST) have tests of their own, on small files.
SHIPPED = [entry for entry in DATASETS if entry.shipped]
ALL_VIEWS = [
    f"{entry.name}:{view}" if view else entry.name for entry in SHIPPED for view in entry.views or (None,)
]


@pytest.fixture
def csv_file(tmp_path):
    """Return a function that writes text to a .csv file and hands back its path."""

    def write(text, name="table.csv"):
        path = tmp_path / name
        path.write_bytes(text.encode())
        return path

    return write


# --- the three sets inside the package -------------------------------------------------------------


def test_faithful_is_the_published_table():
    data = load("faithful")
    assert data.name == "faithful"
    assert data.columns == ("eruptions", "waiting")
    assert data.x.shape == (272, 2) and data.x.dtype == np.float64
    np.testing.assert_array_equal(data.x[0], [3.6, 79])
    np.testing.assert_array_equal(data.x[-1], [4.467, 74])
    # As R prints them for `faithful`: mean and sd of both columns.
    np.testing.assert_allclose(data.x.mean(axis=0), [3.487783, 70.897059], atol=1e-6)
    np.testing.assert_allclose(data.x.std(axis=0, ddof=1), [1.141371, 13.594974], atol=1e-6)
    assert data.labels is None
    assert "Azzalini" in data.source and "Haerdle" in data.source


def test_breast_cancer_is_the_table_of_scikit_learn():
    from sklearn.datasets import load_breast_cancer

    data, peer = load("breast-cancer"), load_breast_cancer()
    assert data.name == "breast-cancer:raw"
    np.testing.assert_array_equal(data.x, peer.data)
    np.testing.assert_array_equal(data.labels, peer.target)
    assert list(peer.target_names) == ["malignant", "benign"] and np.bincount(data.labels).tolist() == [
        212,
        357,
    ]
    theirs = [name.split() for name in peer.feature_names]
    # There: 'mean radius', 'radius error', 'worst radius'.
    theirs = ["_".join(["se", *w[:-1]] if w[-1] == "error" else w) for w in theirs]
    assert list(data.columns) == theirs


def test_standardised_columns_have_mean_zero_and_population_variance_one():
    raw, data = load("breast-cancer:raw"), load("breast-cancer:standardised")
    np.testing.assert_allclose(data.x.mean(axis=0), np.zeros(30), atol=1e-12)
    np.testing.assert_allclose((data.x**2).mean(axis=0), np.ones(30), rtol=1e-12)
    np.testing.assert_allclose(np.corrcoef(data.x.T), np.corrcoef(raw.x.T), atol=1e-12)
    np.testing.assert_array_equal(data.labels, raw.labels)


def test_digits_are_the_published_table():
    data = load("digits")
    assert data.name == "digits:raw"
    assert data.x.shape == (1797, 64) and data.x.dtype == np.float64
    assert len(data.columns) == 64 and data.columns[9] == "pixel_1_1"
    assert set(np.unique(data.x)) == set(range(17))
    np.testing.assert_array_equal(data.x[0, :8], [0, 0, 5, 13, 9, 1, 0, 0])
    assert data.x.sum() == 561718
    # Three pixels are never touched: the reason for the dequantised view.
    assert list(np.flatnonzero(np.ptp(data.x, axis=0) == 0)) == [0, 32, 39]
    assert list(data.labels[:10]) == list(range(10)) and data.labels.dtype.kind == "i"
    counts = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert list(np.bincount(data.labels)) == counts
    assert data.licence == "CC BY 4.0" and "10.24432/C50P49" in data.source


def test_dequantised_adds_one_uniform_to_every_pixel():
    noise = load("digits:dequantised").x - load("digits:raw").x
    assert noise.min() >= 0 and noise.max() < 1
    # 115008 uniforms: the mean is within 6 of its own standard errors of 1/2, the variance of 1/12.
    n = noise.size
    assert abs(noise.mean() - 1 / 2) < 6 * np.sqrt(1 / 12 / n)
    assert abs(noise.var() - 1 / 12) < 6 * np.sqrt(1 / 180 / n)
    assert np.ptp(load("digits:dequantised").x, axis=0).min() > 0.9


def test_binary_is_one_from_half_grey():
    raw, binary = load("digits").x, load("digits:binary").x
    assert set(np.unique(binary)) == {0, 1}
    assert binary[raw == 8].all() and not binary[raw == 7].any()
    np.testing.assert_array_equal(binary, np.where(raw >= 8, 1.0, 0.0))


def test_dynamic_draws_ones_with_the_grey_value_as_probability():
    raw, draw = load("digits").x, load("digits:dynamic").x
    assert set(np.unique(draw)) == {0, 1}
    assert not draw[raw == 0].any() and draw[raw == 16].all()
    for grey in range(1, 16):
        ones = draw[raw == grey]
        p = grey / 16
        assert abs(ones.mean() - p) < 6 * np.sqrt(p * (1 - p) / ones.size), grey


@pytest.mark.parametrize("name", ALL_VIEWS)
def test_the_seed_reproduces_a_view_and_only_noise_depends_on_it(name):
    first, again, other = (load(name, seed=seed).x for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    noisy = name.endswith(("dequantised", "dynamic", "unit"))
    assert np.array_equal(first, other) != noisy


def test_the_view_can_stand_in_the_name_or_beside_it():
    for spelt in (load("digits", view="binary"), load("digits:binary", view="binary")):
        assert spelt.name == "digits:binary"
        np.testing.assert_array_equal(spelt.x, load("digits:binary").x)


@pytest.mark.parametrize("name", ALL_VIEWS)
def test_a_caller_may_write_into_what_he_loaded(name):
    kept = load(name).x.copy()
    load(name).x[:] = -1.0
    np.testing.assert_array_equal(load(name).x, kept)


def test_only_the_dynamic_view_carries_the_chances_from_which_it_was_drawn():
    raw, data = load("digits"), load("digits:dynamic")
    assert data.probabilities.dtype == np.float32
    np.testing.assert_array_equal(data.probabilities, raw.x / 16)
    assert [load(name).probabilities is None for name in ALL_VIEWS] == [
        not name.endswith("dynamic") for name in ALL_VIEWS
    ]


def test_images_know_their_shape_and_tables_have_none():
    assert {load(name).image_shape for name in ALL_VIEWS if name.startswith("digits")} == {(8, 8)}
    assert load("faithful").image_shape is None and load([[1.0]]).image_shape is None
    # Row by row: column 1 * 8 + 2 is the third pixel of the second row.
    data = load("digits")
    assert data.columns[10] == "pixel_1_2"
    assert data.x[0].reshape(data.image_shape)[1, 2] == data.x[0, 10]


def test_the_files_are_inside_the_package_with_their_licences():
    files = importlib.resources.files("elbo_lab.datasets") / "files"
    for name in ("faithful.csv", "digits.csv.gz", "breast_cancer.csv.gz", "LICENCES.md"):
        assert (files / name).is_file()
    text = (files / "LICENCES.md").read_text(encoding="utf-8")
    assert "CC BY 4.0" in text and "10.24432/C50P49" in text and "Azzalini" in text
    assert "10.24432/C5DW2B" in text and "breast_cancer.csv.gz" in text
    assert "mnist-test" in text and "CC BY-SA 3.0" in text


# --- rows ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 7])
def test_rows_are_a_seeded_permutation_cut_short(seed):
    data = load("digits:dynamic")
    expected = np.random.default_rng(seed).permutation(1797)[:32]
    some = data.rows(32, seed)
    assert len(set(expected)) == 32
    np.testing.assert_array_equal(some.x, data.x[expected])
    np.testing.assert_array_equal(some.labels, data.labels[expected])
    np.testing.assert_array_equal(some.probabilities, data.probabilities[expected])
    kept = ("name", "columns", "source", "image_shape")
    assert [getattr(some, name) for name in kept] == [getattr(data, name) for name in kept]


def test_more_rows_keep_the_first_ones_and_another_seed_changes_them():
    data = load("faithful")
    np.testing.assert_array_equal(data.rows(40, seed=3).x[:10], data.rows(10, seed=3).x)
    assert not np.array_equal(data.rows(10, seed=4).x, data.rows(10, seed=3).x)


BAD_ROWS = [
    (273, 0, BadValue, "rows: expected at most the 272 rows of faithful, got 273"),
    (0, 0, BadValue, "rows: .* got 0"),
    (-4, 0, BadValue, "rows: .* got -4"),
    (2.5, 0, BadKind, "rows: .* got 2.5"),
    (3, -1, BadValue, "seed: .* got -1"),
]


@pytest.mark.parametrize(("count", "seed", "kind", "what"), BAD_ROWS)
def test_impossible_numbers_of_rows_are_refused(count, seed, kind, what):
    with pytest.raises(kind, match=what):
        load("faithful").rows(count, seed)


# --- split ---------------------------------------------------------------------------------------


def row_numbers(count):
    """Return a set whose only column is the number of the row."""
    return load(np.arange(count)[:, None])


SHARES = [
    (1797, 0.2, 360),
    (10, 0.1, 1),
    (10, 0.11, 2),
    (10, 0.9, 9),
    (100, 0.07, 7),  # in floating point 0.07 * 100 is above 7
    (100, 0.29, 29),
    (2, 0.5, 1),
    (1000, 1e-9, 1),
    (10, np.float32(0.3), 3),
]


@pytest.mark.parametrize(("count", "holdout", "held_out"), SHARES)
def test_a_split_holds_out_its_share_rounded_up(count, holdout, held_out):
    parts = row_numbers(count).split(holdout)
    assert [len(part.x) for part in parts] == [count - held_out, held_out]


def test_every_row_is_in_one_part_and_keeps_its_place():
    train, held_out = row_numbers(200).split(0.3, seed=4)
    together = np.concatenate([train.x, held_out.x])[:, 0]
    assert sorted(together) == list(range(200))
    for part in (train, held_out):
        assert (np.diff(part.x[:, 0]) > 0).all()
    # A part of its own, not the head or the tail of the data.
    assert held_out.x.min() < 40 and held_out.x.max() > 160


def test_a_split_is_the_same_again_and_another_with_another_seed():
    data = row_numbers(200)
    first, again, other = (data.split(0.25, seed)[1].x for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, data.split(0.25)[1].x)
    assert not np.array_equal(first, other)


def test_every_row_is_held_out_equally_often():
    counts, splits = np.zeros(20), 4000
    data = row_numbers(20)
    for seed in range(splits):
        counts[data.split(0.3, seed)[1].x[:, 0].astype(int)] += 1
    # Binomial(4000, 0.3) per row, sd 29; 20 rows within 5 sd: a false alarm in about 100,000 runs.
    assert np.abs(counts - 0.3 * splits).max() < 5 * np.sqrt(splits * 0.3 * 0.7)


def test_both_parts_carry_everything_that_belongs_to_a_row():
    data = load("digits:dynamic")
    for part in data.split(0.2):
        where = [np.flatnonzero((data.x == row).all(axis=1))[0] for row in part.x[:50]]
        np.testing.assert_array_equal(part.labels[:50], data.labels[where])
        np.testing.assert_array_equal(part.probabilities[:50], data.probabilities[where])
        assert (part.name, part.columns, part.image_shape) == (data.name, data.columns, (8, 8))
    train, held_out = load("faithful").split(0.2)
    assert train.labels is None and held_out.probabilities is None


BAD_SHARES = [
    (10, 0, BadValue, "holdout: expected a share above 0 and below 1, got 0"),
    (10, 1.0, BadValue, "got 1.0"),
    (10, -0.1, BadValue, "got -0.1"),
    (10, 20, BadValue, "got 20"),
    (10, np.nan, BadValue, "got nan"),
    (10, "0.2", BadKind, "holdout: expected a number between 0 and 1, got '0.2'"),
    (10, True, BadKind, "got True"),
    (10, None, BadKind, "got None"),
    (10, 0.95, BadValue, "0.95, which holds out 10 of 10 rows; hold out less"),
    (1, 0.5, BadValue, "0.5, which holds out 1 of 1 rows"),
]


@pytest.mark.parametrize(("count", "holdout", "kind", "what"), BAD_SHARES)
def test_an_impossible_split_is_refused(count, holdout, kind, what):
    with pytest.raises(kind, match=f"^holdout: .*{what.removeprefix('holdout: ')}"):
        row_numbers(count).split(holdout)


# --- the view that suits a model -----------------------------------------------------------------


NATURAL_VIEWS = [
    (("binary",), "digits", None, "digits:binary"),
    (("dequantised",), "digits", None, "digits:dequantised"),
    (("colour", "dynamic", "binary"), "digits", None, "digits:dynamic"),
    (("colour",), "digits", None, "digits:raw"),
    ((), "digits", None, "digits:raw"),
    (("binary",), "digits:raw", None, "digits:raw"),
    (("binary",), "digits", "raw", "digits:raw"),
    (("binary",), "faithful", None, "faithful"),
    (("binary",), [[0.0, 1.0]], None, "array"),
]


@pytest.mark.parametrize(("views", "source", "view", "name"), NATURAL_VIEWS)
def test_a_model_takes_its_natural_view_where_none_was_named(views, source, view, name):
    data = load_for(views, source, view=view, seed=3)
    assert data.name == name
    np.testing.assert_array_equal(data.x, load(source if name == "array" else name, seed=3).x)


def test_a_file_has_no_natural_view(csv_file):
    path = csv_file("0,1\n1,1\n")
    for source in (path, str(path)):
        assert load_for(("binary",), source).name == "table"
    data = load("faithful")
    assert load_for(("binary",), data) is data


# --- the user's own arrays and files -------------------------------------------------------------

TABLE = np.array([[1.5, -2.0, 3e-3], [4.0, 5.25, 6e10]])


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.uint8, bool])
def test_an_array_becomes_a_float64_copy(dtype):
    given = np.array([[0, 1], [1, 1], [1, 0]], dtype=dtype)
    kept = given.copy()
    data = load(given)
    assert (data.name, data.columns, data.labels) == ("array", None, None)
    assert data.x.dtype == np.float64
    data.x[:] = 9
    np.testing.assert_array_equal(given, kept)


def test_nested_lists_are_an_array_and_a_dataset_comes_back():
    data = load([[1, 2], [3, 4]])
    np.testing.assert_array_equal(data.x, [[1, 2], [3, 4]])
    assert load(data) is data


def test_masked_entries_do_not_come_back_as_measurements():
    masked = np.ma.masked_array([[1, 2], [3, 4]], mask=[[0, 0], [1, 0]])
    with pytest.raises(BadValue, match="got nan at row 1, column 0"):
        load(masked)
    np.testing.assert_array_equal(load(np.ma.masked_array(TABLE)).x, TABLE)


CSV_TEXTS = {
    "with a header": ("a,b,c\n1.5,-2,3e-3\n4,5.25,6e10\n", ("a", "b", "c")),
    "without a header": ("1.5,-2,3e-3\n4,5.25,6e10\n", None),
    "with quotes, spaces, a byte-order mark": (
        '\ufeff"a" ,"b, in m",c\r\n"1.5", -2,3e-3\r\n4,5.25 ,6e10',
        ("a", "b, in m", "c"),
    ),
    "with blank lines": ("\n  \na,b,c\n\n1.5,-2,3e-3\n\n4,5.25,6e10\n\n", ("a", "b", "c")),
    "with a header in two lines": ('a,"b\nin m",c\n1.5,-2,3e-3\n4,5.25,6e10\n', ("a", "b\nin m", "c")),
    "with a year among the names": ("a,1999,c\n1.5,-2,3e-3\n4,5.25,6e10\n", ("a", "1999", "c")),
    "with a mark of comments in a name": ("#a,b,c\n1.5,-2,3e-3\n4,5.25,6e10\n", ("#a", "b", "c")),
}


@pytest.mark.parametrize("kind", CSV_TEXTS)
def test_csv_files_are_read(csv_file, kind):
    text, columns = CSV_TEXTS[kind]
    path = csv_file(text, "my table.v2.csv")
    for source in (path, str(path)):
        data = load(source)
        assert isinstance(data, Dataset) and data.name == "my table.v2"
        assert data.columns == columns
        np.testing.assert_array_equal(data.x, TABLE)
        assert data.source == str(path)


def test_a_single_row_and_a_single_column_keep_two_axes(csv_file):
    assert load(csv_file("1,2,3\n")).x.shape == (1, 3)
    assert load(csv_file("v\n1\n2\n")).x.shape == (2, 1)


def test_compressed_csv_and_numpy_files_are_read(tmp_path):
    text = "a,b,c\n1.5,-2,3e-3\n4,5.25,6e10\n"
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(text.encode()))
    np.save(tmp_path / "t.npy", TABLE)
    np.savez(tmp_path / "only.npz", anything=TABLE)
    np.savez_compressed(tmp_path / "two.npz", x=TABLE, y=np.zeros(2))
    for file, name in (("t.csv.gz", "t"), ("t.npy", "t"), ("only.npz", "only"), ("two.npz", "two")):
        data = load(tmp_path / file)
        assert data.name == name
        np.testing.assert_array_equal(data.x, TABLE)


def test_a_name_of_the_registry_wins_over_a_file_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "faithful").write_text("1,2\n")
    assert load("faithful").x.shape == (272, 2)


# --- bad input: one line, with the argument and the offending value ------------------------------

BAD_ARRAYS = {
    "NaN": ([[1, 2], [3, np.nan]], BadValue, "got nan at row 1, column 1"),
    "infinite": ([[1, -np.inf]], BadValue, "got -inf at row 0, column 1"),
    "no rows": (np.zeros((0, 3)), BadValue, r"got shape \(0, 3\)"),
    "no columns": (np.zeros((3, 0)), BadValue, r"got shape \(3, 0\)"),
    "one axis": ([1.0, 2.0], BadValue, r"got shape \(2,\)"),
    "three axes": (np.zeros((2, 3, 4)), BadValue, r"got shape \(2, 3, 4\)"),
    "ragged": ([[1, 2], [3]], BadValue, "ragged rows"),
    "text": ([["a", "b"]], BadKind, "dtype <U1"),
    "objects": ([[None, 1]], BadKind, "dtype object"),
    "complex": ([[1j, 1]], BadKind, "dtype complex128"),
    "nothing": (None, BadKind, "dtype object"),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_bad_arrays_are_refused(case):
    source, kind, what = BAD_ARRAYS[case]
    with pytest.raises(kind, match=f"^data: .*{what}"):
        load(source)


@pytest.mark.parametrize("case", ["NaN", "infinite", "no rows", "one axis", "three axes", "complex"])
def test_bad_arrays_in_files_are_refused_alike(tmp_path, case):
    source, kind, what = BAD_ARRAYS[case]
    np.save(tmp_path / "bad.npy", source)
    with pytest.raises(kind, match=f"^data: .*{what}"):
        load(tmp_path / "bad.npy")


BAD_CSV = [
    ("a,b\n1,2\n3\n", "2 fields in every row of .*, got 1 on line 3"),
    ("1,2\n\n3,4,5\n", "2 fields in every row of .*, got 3 on line 3"),
    ("a,b\n1,2,3\n4,5,6\n", "2 fields .*, got 3 on line 2; mend or drop"),
    ("a,b\n" + "1,2\n" * 3000 + "1,2,3\n", "2 fields in every row of .*, got 3 on line 3002"),
    ('a,b\n"1,2\n3,4\n', "2 fields in every row of .*, got 1 on line 3"),
    (
        "size,kind\n1,setosa\n2,other\n",
        r"column 'kind' \(index 1\) .*, got 'setosa' on line 2; drop the column",
    ),
    (
        "a,b,class\n1,2,cat\n3,4,dog\n",
        r"'class' \(index 2\) .*, got 'cat' on line 2; drop the column, code it as numbers, or name it",
    ),
    ("1,2\n3,abc\n", "numbers in column index 1 .*, got 'abc' on line 2"),
    ("a,b\n1,\n2,\n", r"column 'b' \(index 1\) .*, got an empty field on line 2; drop the column"),
    ("a,b\n1,2\n3,NA\n", r"column 'b' \(index 1\) .*, got 'NA' on line 3; drop the col"),
    ("1,NA\n3,4\n", "index 1 .*, got 'NA' on line 1"),
    ("a,b\n1,2\n,\n", r"column 'a' \(index 0\) .*, got an empty field on line 3"),
    (",a\n0,5\n1,6\n", "got an empty name for column 0; name it"),
    ("day,v\n2020-01-01,1\n", r"column 'day' \(index 0\) .*, got '2020-01-01' on line 2"),
    ("a;b\n1,5;2,5\n", "got 3 on line 2; separate the fields with commas"),
    ("a;b\n1;2\n", "got '1;2' on line 2; separate the fields with commas"),
    ("a\tb\n1\t2\n", "on line 2; separate the fields with commas"),
    ("1,2,\n3,4,\n", "column index 2 .*, got an empty field on line 1; drop the col"),
    ("1,2\n#3,4\n5,6\n", "index 0 .*, got '#3' on line 2"),
    ("a,b\n1,\x002\n", "x002' on line 2"),
    ("a,b\n1_0,2\n", "1_0"),
    ("a,b\n1,True\n", r"column 'b' \(index 1\) .*, got 'True' on line 2"),
    ("a,b\n1,1e200\n", "at most 1e.100, got 1e.200 at row 0, column 'b'"),
    ("a,b\n1,2\n3,nan\n", r"got nan at row 1, column 'b' \(index 1\)"),
    ("a,b\n1,2\n3,1e999\n", r"got inf at row 1, column 'b' \(index 1\)"),
    ("a,b\n", "only a header in"),
    ("", "the empty file"),
    (" \n \n\n", "the empty file"),
    ("a" * 200_000 + ",b\n1,2\n", "field larger than field limit"),
]


@pytest.mark.parametrize(("text", "what"), BAD_CSV, ids=[what for _, what in BAD_CSV])
def test_bad_csv_files_are_refused(csv_file, text, what):
    with pytest.raises(BadValue, match=f"^data: expected .*{what}") as caught:
        load(csv_file(text))
    assert "\n" not in str(caught.value)


def written(save, *arrays, **options):
    """Return the bytes that NumPy writes."""
    buffer = io.BytesIO()
    save(buffer, *arrays, **options)
    return buffer.getvalue()


def npy_header(shape):
    """Return the start of a .npy file that promises float64 numbers of a shape."""
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(64)


OBJECTS = np.array([[None]], dtype=object)
LONG_CSV = b"".join(b"%d,%d\n" % (i, i * i) for i in range(5000))
BAD_FILES = [
    ("header.npy", npy_header("(1000000000000, 100)"), "header.npy.*cut off: 64 of 8"),
    ("count.npy", npy_header("(10000000000000000000, 100)"), "count.npy"),
    ("negative.npy", npy_header("(-3, 2)"), "negative.npy"),
    ("objects.npy", written(np.save, OBJECTS), "pickled objects are never loaded"),
    ("objects.npz", written(np.savez, x=OBJECTS), "pickled objects are never loaded"),
    ("two.npz", written(np.savez, train=TABLE, test=TABLE), r"got 2 arrays \['train', 'test'\]"),
    ("no.npz", written(np.savez), r"got 0 arrays \[\]"),
    ("cut.npy", written(np.save, np.zeros((50, 50)))[:500], "cut.npy"),
    ("empty.npy", b"", "empty.npy"),
    ("text.npy", b"1,2\n3,4\n", "text.npy"),
    ("cut.npz", written(np.savez, x=np.zeros((50, 50)))[:-200], "not a zip file"),
    ("text.npz", b"1,2\n3,4\n", "text.npz.*save a numeric array"),
    ("cut.csv.gz", gzip.compress(LONG_CSV)[:2000], "readable file.*cut.csv.gz"),
    ("text.csv.gz", b"1,2\n", "readable file.*text.csv.gz"),
    ("latin.csv", b"gr\xf6sse,b\n1,2\n", "UTF-8.*latin.csv"),
    ("below.csv", b"a,b\n" + b"1,2\n" * 9000 + b"\xf6,2\n", "UTF-8.*below.csv"),
    ("table.pkl", b"", "ends with .csv, .*, got '.*table.pkl'"),
]


@pytest.mark.parametrize(("name", "data", "what"), BAD_FILES, ids=[name for name, *_ in BAD_FILES])
def test_bad_files_are_refused(tmp_path, name, data, what):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BadValue, match=f"^data: expected .*{what}") as caught:
        load(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(BadValue, match=r"^data: expected .*Is a directory"):
        load(tmp_path / "folder.csv")


@pytest.mark.parametrize("name", ["t.npy", "t.npz", "t.csv.gz"])
def test_a_damaged_file_is_read_or_refused_in_one_line_wherever_the_damage_is(tmp_path, name):
    # Among them an encrypted member, an unknown compression, a checksum that fails, a header that is none.
    good = {
        "t.npy": written(np.save, TABLE),
        "t.npz": written(np.savez_compressed, x=TABLE),
        "t.csv.gz": gzip.compress(b"1,2\n3,4\n"),
    }[name]
    refused = 0
    for place in range(len(good)):
        for damaged in (good[:place], good[:place] + bytes([good[place] ^ 255]) + good[place + 1 :]):
            (tmp_path / name).write_bytes(damaged)
            try:
                load(tmp_path / name)
            except BadValue as error:
                assert "\n" not in str(error)
                refused += 1
    assert refused > len(good)


class Trap:
    """An object whose unpickling leaves a mark."""

    sprung = False

    def __reduce__(self):
        return (setattr, (Trap, "sprung", True))


def test_a_strangers_pickle_is_not_run(tmp_path):
    trap = np.array([[Trap()]], dtype=object)
    np.save(tmp_path / "trap.npy", trap, allow_pickle=True)
    np.savez(tmp_path / "trap.npz", x=trap)
    for name in ("trap.npy", "trap.npz"):
        with pytest.raises(BadValue, match=name):
            load(tmp_path / name)
    assert not Trap.sprung


BAD_NAMES = [
    ("faithfull", "did you mean 'faithful'"),
    ("digit", "did you mean 'digits'"),
    ("digit:binary", "did you mean 'digits:binary'"),
    ("no/such/digits.csv", "check the path"),
    ("digits.csv", "check the path"),
    ("something else", "check the path"),
    ("", "check the path"),
    ("a\0b", "check the path"),
]


@pytest.mark.parametrize(("source", "remedy"), BAD_NAMES)
def test_a_name_that_is_nothing_is_refused_with_the_nearest(tmp_path, monkeypatch, source, remedy):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadValue, match=f"^data: .*{remedy}") as caught:
        load(source)
    assert repr(source) in str(caught.value)


BAD_VIEWS = [
    ("digits", "binry", "'binry'; did you mean 'binary'"),
    ("digits:bianry", None, "'bianry'; did you mean 'binary'"),
    ("digits:", None, "got ''"),
    ("digits:raw", "binary", "the same view as in 'digits:raw', got 'binary'"),
    ("faithful", "raw", "faithful has only one, got 'raw'"),
    ("faithful:raw", None, "faithful has only one, got 'raw'"),
    ([[1, 2]], "raw", "no view for data of your own, got 'raw'"),
]


@pytest.mark.parametrize(("source", "view", "what"), BAD_VIEWS)
def test_a_view_that_is_not_there_is_refused(source, view, what):
    with pytest.raises(BadValue, match=f"^view: .*{what}"):
        load(source, view=view)


@pytest.mark.parametrize(("seed", "kind"), [(-1, BadValue), (1.5, BadKind), (None, BadKind)])
def test_a_seed_that_is_none_is_refused(seed, kind):
    with pytest.raises(kind, match=f"seed: .* got {seed}"):
        load("faithful", seed=seed)
