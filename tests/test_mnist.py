"""MNIST is found, read and seen as it was published; what is no MNIST is refused in one clear line.

All files here are small and made up; nothing is ever fetched.
"""

import gzip
import os
import struct
import sys
import types

import numpy as np
import pytest

from elbo_lab.datasets import DATASETS, load, load_for, mnist_files
from elbo_lab.datasets.idx import read_idx
from elbo_lab.errors import BadKind, BadValue

NAMES = {"mnist": "train", "mnist-test": "t10k"}
PUBLISHED = ("{}-images-idx3-ubyte", "{}-labels-idx1-ubyte")
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


# --- the four views ------------------------------------------------------------------------------


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
        assert entries[name].views == entries["digits"].views == ("raw", "dequantised", "binary", "dynamic")
        assert not entries[name].shipped and "\n" not in entries[name].summary
    assert entries["faithful"].shipped and entries["digits"].shipped


def test_dequantised_adds_one_uniform_to_every_pixel(folder):
    noise = load("mnist:dequantised", data_dir=folder).x - load("mnist", data_dir=folder).x
    assert noise.min() >= 0 and noise.max() <= 1
    # 9408 uniforms: mean and variance within 6 of their own standard errors.
    assert abs(noise.mean() - 1 / 2) < 6 * np.sqrt(1 / 12 / noise.size)
    assert abs(noise.var() - 1 / 12) < 6 * np.sqrt(1 / 180 / noise.size)


def test_binary_is_one_from_128(folder):
    raw, binary = load("mnist", data_dir=folder).x, load("mnist:binary", data_dir=folder).x
    assert (raw == 127).any() and (raw == 128).any()
    np.testing.assert_array_equal(binary, np.where(raw >= 128, 1.0, 0.0))


def test_dynamic_is_a_draw_from_the_chances_that_come_along(folder):
    raw = load("mnist", data_dir=folder).x
    draws = [load("mnist:dynamic", data_dir=folder, seed=seed) for seed in range(60)]
    chances = draws[0].probabilities
    assert chances.dtype == np.float32 and chances.shape == raw.shape
    np.testing.assert_allclose(chances, raw / 255, rtol=1e-7)
    mean = np.mean([data.x for data in draws], axis=0)
    assert set(np.unique(draws[0].x)) == {0, 1}
    assert not mean[raw == 0].any() and (mean[raw == 255] == 1).all()
    # Pixels in ten groups by their chance: about 56,000 draws each, within 6 standard errors.
    group = np.digitize(chances, np.linspace(0, 1, 11)[1:-1])
    for g in range(10):
        p = chances[group == g].astype(float)
        se = np.sqrt((p * (1 - p)).sum() / 60) / p.size
        assert abs(mean[group == g].mean() - p.mean()) < 6 * se, g


@pytest.mark.parametrize("view", ["raw", "dequantised", "binary", "dynamic"])
def test_the_seed_reproduces_a_view_and_only_noise_depends_on_it(folder, view):
    first, again, other = (load("mnist", view=view, data_dir=folder, seed=seed).x for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert np.array_equal(first, other) != (view in ("dequantised", "dynamic"))


def test_the_two_parts_have_noise_of_their_own(folder):
    noise = [
        (load(f"{name}:dequantised", data_dir=folder).x - load(name, data_dir=folder).x) for name in NAMES
    ]
    assert not np.allclose(*noise, atol=1e-9)


def test_a_model_takes_its_natural_view(folder):
    kind = types.SimpleNamespace(natural_views=("binary",))
    assert load_for(kind, "mnist", data_dir=folder).name == "mnist:binary"
    assert load_for(kind, "mnist-test:raw", data_dir=folder).name == "mnist-test:raw"


def test_labels_and_chances_stay_with_their_rows(folder):
    data = load("mnist:dynamic", data_dir=folder)
    for part in (data.rows(5, seed=1), *data.split(0.25)):
        where = [np.flatnonzero((data.probabilities == row).all(axis=1))[0] for row in part.probabilities]
        np.testing.assert_array_equal(part.x, data.x[where])
        np.testing.assert_array_equal(part.labels, data.labels[where])
        assert part.image_shape == (28, 28)


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


def test_a_folder_with_the_name_of_a_file_is_passed_over(tmp_path):
    put(tmp_path, "train", suffix=".gz", pack=gzip.compress)
    (tmp_path / "train-images-idx3-ubyte").mkdir()
    assert len(load("mnist", data_dir=tmp_path).x) == N


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


def test_a_variable_whose_folder_has_no_mnist_leads_to_the_network(tmp_path, monkeypatch, pooch):
    put(tmp_path / "cache", "train", suffix=".gz", pack=gzip.compress)
    serve(pooch, monkeypatch, tmp_path / "cache")
    monkeypatch.setenv("ELBO_LAB_DATA", str(tmp_path))
    assert len(load("mnist").x) == N


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


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("SHA256 hash of downloaded\n file does not match"), "another checksum"),
        (PermissionError(13, "Permission denied"), "Permission denied"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (ConnectionError("a very\nlong story"), "ConnectionError"),
    ],
)
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
    with pytest.raises(BadKind, match=r"^data_dir: expected the path of a folder, got 3"):
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


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_an_idx_file_is_read_compressed_or_not(tmp_path, pack):
    (tmp_path / "a").write_bytes(pack(GOOD))
    np.testing.assert_array_equal(read_idx(tmp_path / "a", n_axes=3), SMALL)


def test_an_idx_file_that_shrinks_well_is_no_fraud(tmp_path):
    blank = np.zeros((500, 28, 28), np.uint8)
    (tmp_path / "a").write_bytes(gzip.compress(idx_bytes(blank)))
    np.testing.assert_array_equal(read_idx(tmp_path / "a", n_axes=3), blank)


def flipped(data, at):
    """Return data with one byte changed."""
    changed = bytearray(data)
    changed[at] ^= 255
    return bytes(changed)


BAD_IDX = {
    "empty": (b"", "empty"),
    "one byte": (b"\0", "no IDX file"),
    "text": (b"1,2\n3,4\n", "no IDX file"),
    "a foreign magic number": (b"\x01" + GOOD[1:], "no IDX file"),
    "an unknown kind": (b"\0\0\x07\x03" + GOOD[4:], "no IDX file"),
    "floats": (b"\0\0\x0d\x03" + GOOD[4:], "an IDX file of floats"),
    "labels": (idx_bytes(SMALL.ravel()), "with 1 axes instead of 3"),
    "half a header": (GOOD[:10], "cut off"),
    "no entries": (GOOD[:16], "cut off: the header promises 24"),
    "all but one entry": (GOOD[:-1], "cut off"),
    "one entry too many": (GOOD + b"\0", "longer than the 24"),
    "a header of petabytes": (GOOD[:4] + b"\xff" * 12 + GOOD[16:], "cut off: the header promises 79228"),
    "gzip, cut": (gzip.compress(LARGE)[:-4000], "cut off"),
    "gzip, cut in its last bytes": (gzip.compress(LARGE)[:-3], "cut off"),
    "gzip, only its mark": (b"\x1f\x8b", "cut off"),
    "gzip of a cut file": (gzip.compress(LARGE[:-5]), "cut off: 31355 of 31360"),
    "gzip of a long file": (gzip.compress(GOOD + b"\0"), "longer than"),
    "gzip of nothing": (gzip.compress(b""), "empty"),
    "gzip of text": (gzip.compress(b"1,2\n3,4\n"), "no IDX file"),
    "gzip with a changed byte": (flipped(gzip.compress(LARGE), 5000), "damaged|cut off|longer"),
    "gzip with another checksum": (flipped(gzip.compress(LARGE), -5), "damaged: CRC check failed"),
    # 7 in the first byte after the header: the reserved kind of block.
    "gzip with an impossible block": (gzip.compress(GOOD)[:10] + b"\x07" + GOOD, "damaged: .*block type"),
    "gzip packed in an unknown way": (flipped(gzip.compress(GOOD), 2), "damaged: Unknown compression"),
    "gzip of a header of petabytes": (
        gzip.compress(GOOD[:4] + b"\xff" * 12 + GOOD[16:]),
        "cut off: the header promises 79228",
    ),
    "gzip and then rubbish": (gzip.compress(GOOD) + b"rubbish", "damaged: Not a gzipped file"),
}


@pytest.mark.parametrize("case", BAD_IDX)
def test_what_is_no_idx_file_is_refused_in_one_line(folder, case):
    data, what = BAD_IDX[case]
    (folder / "train-images-idx3-ubyte").write_bytes(data)
    with pytest.raises(BadValue, match=f"^data: expected an IDX file.*train-images.*({what})") as caught:
        load("mnist", data_dir=folder)
    assert "\n" not in str(caught.value)


def test_a_file_that_may_not_be_read_is_refused(folder, monkeypatch):
    def locked(*_):
        raise PermissionError(13, "Permission denied")

    # Root may read everything, so the answer of the system is replaced.
    monkeypatch.setattr("elbo_lab.datasets.idx.open", locked, raising=False)
    with pytest.raises(BadValue, match=r"train-images-idx3-ubyte' \(Permission denied\)"):
        load("mnist", data_dir=folder)


@pytest.mark.parametrize(
    ("file", "array", "what"),
    [
        ("images-idx3", np.zeros((N, 32, 32), np.uint8), "images of 28 x 28 pixels, .* got 12 x 32 x 32"),
        ("images-idx3", np.zeros((0, 28, 28), np.uint8), ".* at least one, got 0 x 28 x 28"),
        ("labels-idx1", np.zeros(N - 1, np.uint8), "a label for each of 12 images, got 11 labels"),
    ],
)
def test_images_of_another_size_and_missing_labels_are_refused(folder, file, array, what):
    (folder / f"train-{file}-ubyte").write_bytes(idx_bytes(array))
    with pytest.raises(BadValue, match=f"^data: expected {what}"):
        load("mnist", data_dir=folder)
