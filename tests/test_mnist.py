"""MNIST is found, read and seen as it was published; what is no MNIST is refused in one clear line.

All files here are small and made up; nothing is ever fetched.
"""

import gzip
import os
import struct
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from elbo_lab.datasets import DATASETS, load, mnist_files
from elbo_lab.datasets.idx import read_idx
from elbo_lab.errors import BadKind, BadValue

NAMES = {"mnist": "train", "mnist-test": "t10k"}
PUBLISHED = ("{}-images-idx3-ubyte", "{}-labels-idx1-ubyte")
VIEWS = ("raw", "dequantised", "binary", "dynamic", "unit")
N = 12


def idx_bytes(array):
    """Return an array of bytes as an IDX file, written from the description of the format."""
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def images(part):
    """Return N images with every grey value somewhere, other ones for each part."""
    return np.random.default_rng(len(part)).integers(0, 256, (N, 28, 28)).astype(np.uint8)


def labels(part):
    return ((np.arange(N) + len(part)) % 10).astype(np.uint8)


def put(folder, part="train", names=PUBLISHED, suffix="", pack=lambda data: data):
    """Write both files of a part into a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(names, (images(part), labels(part)), strict=True):
        (folder / (name.format(part) + suffix)).write_bytes(pack(idx_bytes(array)))


@pytest.fixture(autouse=True)
def pooch(monkeypatch):
    """Stand in for the network: by default there is none, and what was asked of it is written down."""
    asked = []

    def retrieve(url, known_hash, fname, path):
        asked.append((url, known_hash, fname, path))
        raise OSError("no route to host")

    double = types.SimpleNamespace(retrieve=retrieve, os_cache=lambda name: f"/cache/{name}", asked=asked)
    monkeypatch.setitem(sys.modules, "pooch", double)
    monkeypatch.delenv("ELBO_LAB_DATA", raising=False)
    return double


@pytest.fixture
def folder(tmp_path):
    """Return a folder with both parts."""
    for part in NAMES.values():
        put(tmp_path, part)
    return tmp_path


# --- the five views ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_mnist_is_what_the_files_hold(folder, name):
    data = load(name, data_dir=folder)
    assert data.name == f"{name}:raw" and data.image_shape == (28, 28)
    assert data.x.dtype == np.float64 and data.labels.dtype.kind == "i"
    np.testing.assert_array_equal(data.x.reshape(N, 28, 28), images(NAMES[name]))
    np.testing.assert_array_equal(data.labels, labels(NAMES[name]))
    assert len(data.columns) == 784 and data.columns[29] == "pixel_1_1"
    assert "LeCun" in data.source and data.licence == "CC BY-SA 3.0"


def test_both_parts_are_in_the_registry_with_the_views_of_digits():
    entries = {entry.name: entry for entry in DATASETS}
    for name in NAMES:
        assert entries[name].views == entries["digits"].views == VIEWS
        assert not entries[name].shipped and "\n" not in entries[name].summary
    assert entries["faithful"].shipped and entries["digits"].shipped


def test_the_views_are_those_of_digits_on_the_scale_of_mnist(folder):
    raw, dequantised, binary, dynamic, unit = (load("mnist", view=v, data_dir=folder) for v in VIEWS)
    noise = dequantised.x - raw.x
    assert 0 <= noise.min() < 0.01 and 0.99 < noise.max() <= 1
    assert 0 < unit.x.min() and unit.x.max() < 1
    np.testing.assert_allclose(unit.x * 256, dequantised.x, rtol=1e-12)
    np.testing.assert_array_equal(binary.x, np.where(raw.x >= 128, 1.0, 0.0))
    assert dynamic.probabilities.dtype == np.float32
    np.testing.assert_allclose(dynamic.probabilities, raw.x / 255, rtol=1e-7)
    assert not dynamic.x[raw.x == 0].any() and (dynamic.x[raw.x == 255] == 1).all()
    # 9408 independent bits: their sum is within 6 of its standard deviations.
    p = dynamic.probabilities.astype(float)
    assert abs((dynamic.x - p).sum()) < 6 * np.sqrt((p * (1 - p)).sum())


@pytest.mark.parametrize("view", VIEWS)
def test_the_seed_reproduces_a_view_and_only_noise_depends_on_it(folder, view):
    first, again, other = (load("mnist", view=view, data_dir=folder, seed=seed).x for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert np.array_equal(first, other) != (view in ("dequantised", "dynamic", "unit"))


def test_the_two_parts_have_noise_of_their_own(folder):
    one, other = (load(f"{name}:dequantised", data_dir=folder).x % 1 for name in NAMES)
    assert not np.allclose(one, other, atol=1e-9)


# --- where the files are -------------------------------------------------------------------------

SPELLINGS = {
    "plain": (PUBLISHED, "", lambda data: data),
    "compressed": (PUBLISHED, ".gz", gzip.compress),
    "with a dot": (("{}-images.idx3-ubyte", "{}-labels.idx1-ubyte"), "", lambda data: data),
    "with a dot, compressed": (("{}-images.idx3-ubyte", "{}-labels.idx1-ubyte"), ".gz", gzip.compress),
    "unpacked under the old name": (PUBLISHED, ".gz", lambda data: data),
    "compressed under the plain name": (PUBLISHED, "", gzip.compress),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("below", ["", "mnist"])
@pytest.mark.parametrize("how", ["argument", "text", "variable"])
def test_files_are_found_in_a_folder_or_its_subfolder(tmp_path, monkeypatch, pooch, spelling, below, how):
    put(tmp_path / below, "train", *SPELLINGS[spelling])
    if how == "variable":
        monkeypatch.setenv("ELBO_LAB_DATA", str(tmp_path))
    given = {"argument": tmp_path, "text": str(tmp_path), "variable": None}[how]
    np.testing.assert_array_equal(load("mnist", data_dir=given).x.reshape(N, 28, 28), images("train"))
    assert pooch.asked == []


def test_a_folder_that_is_named_goes_before_the_variable(tmp_path, monkeypatch):
    put(tmp_path / "a", "train")
    (tmp_path / "b").mkdir()
    for name in PUBLISHED:  # the other part under the wrong name
        array = images("t10k") if "images" in name else labels("t10k")
        (tmp_path / "b" / name.format("train")).write_bytes(idx_bytes(array))
    monkeypatch.setenv("ELBO_LAB_DATA", str(tmp_path / "b"))
    np.testing.assert_array_equal(load("mnist", data_dir=tmp_path / "a").labels, labels("train"))
    np.testing.assert_array_equal(load("mnist").labels, labels("t10k"))


def test_the_two_files_come_from_one_place(folder):
    (folder / "mnist").mkdir()
    (folder / "train-labels-idx1-ubyte").rename(folder / "mnist" / "train-labels-idx1-ubyte")
    with pytest.raises(BadValue, match=r"^data: expected train-images"):
        load("mnist", data_dir=folder)


def test_other_sets_have_no_use_for_the_folder(tmp_path):
    for name in ("faithful", "digits:binary"):
        np.testing.assert_array_equal(load(name, data_dir=tmp_path / "gone").x, load(name).x)


# --- the network ---------------------------------------------------------------------------------


def serve(pooch, monkeypatch, tmp_path, fails=lambda _url: None):
    """Let the stand-in of pooch answer from a folder; `fails` returns an error for an address or None."""

    def retrieve(url, known_hash, fname, path):
        pooch.asked.append((url, known_hash, fname, path))
        if fails(url) is not None:
            raise fails(url)
        return str(tmp_path / fname)

    monkeypatch.setattr(pooch, "retrieve", retrieve)


def test_files_that_are_nowhere_are_fetched_with_their_checksums(tmp_path, monkeypatch, pooch):
    put(tmp_path, "train", suffix=".gz", pack=gzip.compress)
    serve(pooch, monkeypatch, tmp_path)
    np.testing.assert_array_equal(load("mnist").labels, labels("train"))
    mirror = "https://ossci-datasets.s3.amazonaws.com/mnist/"
    assert [(url, fname) for url, _, fname, _ in pooch.asked] == [
        (f"{mirror}train-images-idx3-ubyte.gz", "train-images-idx3-ubyte.gz"),
        (f"{mirror}train-labels-idx1-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    ]
    assert all(known == f"sha256:{mnist_files.SHA256[fname]}" for _, known, fname, _ in pooch.asked)
    assert {str(path) for *_, path in pooch.asked} == {os.path.join("/cache/elbo-lab", "mnist")}


def test_every_published_file_has_a_checksum_of_its_own():
    files = {f"{name.format(part)}.gz" for name in PUBLISHED for part in NAMES.values()}
    assert set(mnist_files.SHA256) == files
    assert len(set(mnist_files.SHA256.values())) == 4
    assert all(len(bytes.fromhex(known)) == 32 for known in mnist_files.SHA256.values())


def test_the_second_mirror_helps_out(tmp_path, monkeypatch, pooch):
    put(tmp_path, "t10k", suffix=".gz", pack=gzip.compress)
    serve(pooch, monkeypatch, tmp_path, lambda url: ValueError("hash") if "amazonaws" in url else None)
    np.testing.assert_array_equal(load("mnist-test").labels, labels("t10k"))
    assert "storage.googleapis.com" in pooch.asked[-1][0]


def test_without_network_one_line_says_what_where_and_how(tmp_path, monkeypatch, pooch):
    monkeypatch.setenv("ELBO_LAB_DATA", str(tmp_path))
    with pytest.raises(BadValue) as caught:
        load("mnist")
    line = str(caught.value)
    assert "\n" not in line and line.startswith(
        "data: expected train-images-idx3-ubyte[.gz] and train-labels"
    )
    for word in (tmp_path, tmp_path / "mnist", "ossci-datasets", "storage.googleapis", "OSError"):
        assert str(word) in line
    assert "--data-dir" in line and "ELBO_LAB_DATA" in line
    assert len(pooch.asked) == 2


NOT_FETCHED = [
    (ValueError("SHA256 hash of downloaded\n file does not match"), "another checksum"),
    (PermissionError(13, "Permission denied"), "Permission denied"),
    (OSError(28, "No space left on device"), "No space left on device"),
    (ConnectionError("a very\nlong story"), "ConnectionError"),
]


@pytest.mark.parametrize(("error", "reason"), NOT_FETCHED)
def test_the_line_says_why_nothing_was_fetched(tmp_path, monkeypatch, pooch, error, reason):
    serve(pooch, monkeypatch, tmp_path, lambda _url: error)
    with pytest.raises(BadValue, match=f"no download from ossci.*{reason}.*storage.*{reason}") as caught:
        load("mnist-test")
    assert "\n" not in str(caught.value)


def test_without_pooch_the_line_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(BadValue, match=r"pooch is not installed.*--data-dir"):
        load("mnist")


def test_a_named_folder_without_the_files_is_refused_and_nothing_is_fetched(tmp_path, pooch):
    put(tmp_path, "t10k")
    for given in (tmp_path, tmp_path / "gone", "a\0b"):
        with pytest.raises(BadValue, match=r"^data: expected train-images.*none in .*--data-dir"):
            load("mnist", data_dir=given)
    assert pooch.asked == []


def test_a_folder_that_is_no_path_is_refused():
    with pytest.raises(BadKind, match=r"^data_dir: expected a path or None, got 3"):
        load("mnist", data_dir=3)


def test_a_wrong_view_is_told_before_any_file_is_sought(pooch):
    with pytest.raises(BadValue, match="did you mean 'binary'"):
        load("mnist:binry")
    assert pooch.asked == []


# --- the IDX format ------------------------------------------------------------------------------

SMALL = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
GOOD = idx_bytes(SMALL)
LARGE = idx_bytes(np.random.default_rng(0).integers(0, 256, (40, 28, 28)).astype(np.uint8))


def test_an_idx_file_is_read_as_the_format_says(tmp_path):
    (tmp_path / "a").write_bytes(
        b"\x00\x00\x08\x02" + b"\x00\x00\x00\x02" + b"\x00\x00\x00\x03" + b"\x01\x02\x03\xfd\xfe\xff"
    )
    array = read_idx(tmp_path / "a", n_axes=2)
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array, [[1, 2, 3], [253, 254, 255]])


PETABYTES = GOOD[:4] + b"\xff" * 12 + GOOD[16:]
BAD_IDX = {
    "empty": (b"", "empty"),
    "text": (b"1,2\n3,4\n", "no IDX file"),
    "a foreign magic number": (b"\x01" + GOOD[1:], "no IDX file"),
    "floats": (b"\0\0\x0d\x03" + GOOD[4:], "an IDX file of floats"),
    "labels": (idx_bytes(SMALL.ravel()), "with 1 axes instead of 3"),
    "half a header": (GOOD[:10], "cut off"),
    "all but one entry": (GOOD[:-1], "cut off: 23 of 24"),
    "one entry too many": (GOOD + b"\0", "longer than the 24"),
    "a header of petabytes": (PETABYTES, "cut off: 24 of 79228"),
    "gzip, only its mark": (b"\x1f\x8b", "cut off"),
    "gzip of a cut file": (gzip.compress(LARGE[:-5]), "cut off: 31355 of 31360"),
    "gzip of a long file": (gzip.compress(GOOD + b"\0"), "longer than"),
    "gzip of nothing": (gzip.compress(b""), "empty"),
    "gzip of petabytes": (gzip.compress(PETABYTES), "cut off: 24 of 79228"),
    "gzip and then rubbish": (gzip.compress(GOOD) + b"rubbish", "damaged: Not a gzipped file"),
}


@pytest.mark.parametrize("case", BAD_IDX)
def test_what_is_no_idx_file_is_refused_in_one_line(folder, case):
    data, what = BAD_IDX[case]
    (folder / "train-images-idx3-ubyte").write_bytes(data)
    with pytest.raises(BadValue, match=f"^data: expected an IDX file.*train-images.*({what})") as caught:
        load("mnist", data_dir=folder)
    assert "\n" not in str(caught.value)


def test_a_damaged_gzip_is_read_or_refused_in_one_line_wherever_the_damage_is(tmp_path):
    good, path = gzip.compress(GOOD), tmp_path / "a"
    refused = 0
    for place in range(len(good)):
        for damaged in (good[:place], good[:place] + bytes([good[place] ^ 255]) + good[place + 1 :]):
            path.write_bytes(damaged)
            try:
                read_idx(path, n_axes=3)
            except BadValue as error:
                assert "\n" not in str(error)
                refused += 1
    assert refused > len(good)


def test_a_file_that_may_not_be_read_is_refused(folder, monkeypatch):
    def locked(*_):
        raise PermissionError(13, "Permission denied")

    # Root may read everything, so the answer of the system is replaced.
    monkeypatch.setattr(Path, "open", locked)
    with pytest.raises(BadValue, match=r"train-images-idx3-ubyte' \(Permission denied\)"):
        load("mnist", data_dir=folder)


WRONG_SIZES = [
    ("images-idx3", np.zeros((N, 32, 32), np.uint8), "images of 28 x 28 pixels, .* got 12 x 32 x 32"),
    ("images-idx3", np.zeros((0, 28, 28), np.uint8), ".* at least one, got 0 x 28 x 28"),
    ("labels-idx1", np.zeros(N - 1, np.uint8), "a label for each of 12 images, got 11 labels"),
]


@pytest.mark.parametrize(("file", "array", "what"), WRONG_SIZES)
def test_images_of_another_size_and_missing_labels_are_refused(folder, file, array, what):
    (folder / f"train-{file}-ubyte").write_bytes(idx_bytes(array))
    with pytest.raises(BadValue, match=f"^data: expected {what}"):
        load("mnist", data_dir=folder)
