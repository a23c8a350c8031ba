"""A checkpoint is the whole state or the old one, byte for byte, and a bad file is one clear line."""

import json
import os
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elbo_lab.cli.main import main
from elbo_lab.errors import BadValue, UserMistake
from elbo_lab.fitting import fit, load_fitted
from elbo_lab.models import GaussianMLE
from elbo_lab.training import EvidenceObjective, Plan, Training, load_checkpoint, save_checkpoint

HEADER = {"epoch": 3, "best": None, "history": [{"elbo": -1.25, "phase": "joint"}], "seed": 2**100}
ARRAYS = {
    "params.theta": np.arange(3.0),
    "slots.phi": np.zeros((0, 4), np.float32),
    "order": np.array([2, 0, 1]),
    "empty": np.zeros(0),
}


def assert_is_the_state(header, arrays):
    assert {name: header[name] for name in HEADER} == HEADER
    assert list(arrays) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype and np.array_equal(arrays[name], array)


def refused(path):
    """Load a bad file; return the one line that a user sees."""
    with pytest.raises(ValueError) as caught:
        load_checkpoint(path)
    line = str(caught.value)
    assert isinstance(caught.value, UserMistake) and line.startswith("checkpoint: expected ")
    assert "\n" not in line and path.name in line
    return line


@pytest.fixture
def file(tmp_path):
    save_checkpoint(tmp_path / "state.npz", HEADER, ARRAYS)
    return tmp_path / "state.npz"


def test_what_is_saved_comes_back(file):
    assert_is_the_state(*load_checkpoint(file))
    assert os.listdir(file.parent) == [file.name]


def test_the_same_state_gives_the_same_bytes_at_any_time(file, monkeypatch):
    before = file.read_bytes()
    monkeypatch.setattr("time.time", lambda: 2e9)
    save_checkpoint(file, HEADER, ARRAYS)
    assert file.read_bytes() == before
    with zipfile.ZipFile(file) as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=64), min_size=1))
def test_every_float_of_a_header_comes_back_bit_for_bit(tmp_path_factory, values):
    path = tmp_path_factory.getbasetemp() / "floats.npz"
    save_checkpoint(path, {"history": values}, {})
    assert [v.hex() for v in load_checkpoint(path)[0]["history"]] == [v.hex() for v in values]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_header_that_is_no_json_is_refused_and_the_old_file_stands(file, value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_checkpoint(file, {"best": value}, {})
    assert_is_the_state(*load_checkpoint(file))


def test_objects_are_not_saved(file):
    with pytest.raises(ValueError, match="allow_pickle=False"):
        save_checkpoint(file, {}, {"object": np.array([{}], dtype=object)})
    assert_is_the_state(*load_checkpoint(file))


# -- bad files -----------------------------------------------------------------------------------


def test_a_file_cut_off_anywhere_is_refused(file):
    data = file.read_bytes()
    for length in (*range(0, len(data), 7), len(data) - 1):
        file.write_bytes(data[:length])
        refused(file)


def check_no_flip_is_believed(file, load):
    """Flip bits all over: the file is refused, or the state is the one that was saved."""
    data, refusals = file.read_bytes(), 0
    directory = data.index(b"PK\x01\x02")
    places = [*range(directory, len(data)), *range(0, directory, 5)]
    for place in places:
        damaged = bytearray(data)
        damaged[place] ^= (0x01, 0x80, 0xFF)[place % 3]
        file.write_bytes(damaged)
        try:
            state = load(file)
        except UserMistake:
            refusals += 1
        else:
            assert_is_the_state(*state)
    assert refusals > len(places) / 2  # the rest is bytes that mean nothing, such as dates


def test_a_flipped_byte_is_refused_or_means_nothing(file):
    check_no_flip_is_believed(file, load_checkpoint)


def test_a_reader_that_does_not_count_the_members_is_caught(file):
    def careless(path):
        try:
            with open(path, "rb") as opened, np.load(opened) as archive:
                arrays = {name: archive[name] for name in archive.files}
            return json.loads(arrays.pop("header").tobytes()), arrays
        except Exception as error:
            raise UserMistake from error

    with pytest.raises(AssertionError):
        check_no_flip_is_believed(file, careless)


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "foreign.npz"
    np.savez(path, weights=np.ones(3))
    assert "another kind" in refused(path)
    np.savez(path, header=np.frombuffer(b"[1, 2]", np.uint8))
    assert "another kind" in refused(path)
    np.savez(path, header=np.frombuffer(b'{"format": "another"}', np.uint8))
    assert "another kind" in refused(path)
    np.savez(path, header=np.array([{"format": "elbo_lab checkpoint"}], dtype=object))
    assert "another kind" in refused(path)
    with open(path, "wb") as opened:
        np.save(opened, np.ones(3))
    assert "another kind" in refused(path)
    with open(path, "wb") as opened:
        np.save(opened, np.array([{}], dtype=object))
    assert "another kind" in refused(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.npy", b"no array")
        archive.writestr("notes.txt", "hello")
    assert "another kind" in refused(path)
    for text in ("", "epoch,elbo\n1,-3.0\n", "{}"):
        path.write_text(text)
        refused(path)


def test_a_pickled_object_is_never_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    about = {"format": "elbo_lab checkpoint", "version": 1, "members": ["trap"]}
    header = np.frombuffer(json.dumps(about).encode(), np.uint8)
    np.savez(tmp_path / "trap.npz", header=header, trap=np.array([Trap()], dtype=object))
    refused(tmp_path / "trap.npz")
    assert not (tmp_path / "sprung").exists()


def test_a_folder_and_a_missing_file_are_refused(tmp_path):
    assert "directory" in refused(tmp_path)
    assert "an existing file" in refused(tmp_path / "nowhere.npz")
    with pytest.raises(ValueError, match=r"^--resume: "):
        load_checkpoint(tmp_path / "nowhere.npz", "--resume")


@pytest.mark.parametrize("version", [0, 2, None, "1"])
def test_another_version_is_refused_by_its_number(tmp_path, version):
    path = tmp_path / "old.npz"
    save_checkpoint(path, HEADER | {"version": version}, ARRAYS)
    line = refused(path)
    assert f"version {version}" in line and "train anew" in line


# -- the right format around a wrong body ------------------------------------------------------------

BITS = (np.random.default_rng(0).random((12, 4)) < 0.4).astype(np.float64)


@pytest.fixture(scope="module")
def fitted_bytes(tmp_path_factory):
    path = tmp_path_factory.mktemp("fitted") / "fit.npz"
    fit("deep-bernoulli", BITS, latent=1, hidden=(3,), epochs=2, checkpoint=path)
    return path.read_bytes()


@pytest.fixture
def fit_file(tmp_path, fitted_bytes):
    path = tmp_path / "fit.npz"
    path.write_bytes(fitted_bytes)
    return path


def plant(path, place, value=None):
    """Take away (None) or replace one part, 'a/b' in the header or an array; save the rest as it is."""
    header, arrays = load_checkpoint(path)
    within = arrays if place in arrays else header
    if within is header:
        *folders, place = place.split("/")
        for folder in folders:
            within = within[folder]
    if value is None:
        del within[place]
    else:
        within[place] = value(within[place])
    save_checkpoint(path, header, arrays)


def damage_line(caught, path=None):
    line = str(caught.value)
    assert isinstance(caught.value, BadValue) and "damaged" in line and "\n" not in line
    assert path is None or path.name in line
    return line


DROPPED = ["settings", "model", "data", "posterior", "job", "settings/data", "data/image_shape"]
WRONG = {
    "settings": lambda _: 3,
    "model": lambda _: ["name"],
    "model/name": lambda _: "no-such-model",
    "model/fields": lambda _: {"colour": 1},
    "posterior/sizes": lambda _: "x",
    "data/image_shape": lambda _: "wide",
    "result.theta": lambda a: a[:-1],
    "result.phi": lambda a: a.astype(np.int64),
}


DAMAGES = [(place, None) for place in (*DROPPED, "model/fields", "result.theta", "result.phi")]


@pytest.mark.parametrize(("place", "wrong"), [*DAMAGES, *WRONG.items()])
def test_a_fitted_model_with_a_part_missing_or_wrong_is_damaged(fit_file, place, wrong):
    load_fitted(fit_file)
    plant(fit_file, place, wrong)
    with pytest.raises(ValueError) as caught:
        load_fitted(fit_file)
    damage_line(caught, fit_file)


@pytest.mark.parametrize("place", ["settings", "settings/data", "data", "data/sha256", "job", "job/epoch"])
def test_a_resume_from_a_file_without_a_part_names_it(fit_file, place):
    plant(fit_file, place)
    before = fit_file.read_bytes()
    with pytest.raises(ValueError) as caught:
        fit(data=BITS, resume=fit_file, epochs=3)
    assert "no '" + place.rpartition("/")[2] in damage_line(caught, fit_file)
    assert fit_file.read_bytes() == before


def test_a_path_of_the_data_that_is_none_is_damage(fit_file):
    plant(fit_file, "data/path", lambda _: 3)
    with pytest.raises(ValueError) as caught:
        fit(resume=fit_file, epochs=3)
    assert "'path'" in damage_line(caught, fit_file)


STATE = {
    "job.params.theta": (None, lambda a: a[:-1], lambda a: a.astype(np.float16)),
    "job.slots.phi": (None, lambda a: a[:1], lambda a: a.T),
    "job.order": (None, lambda a: a[:-1], lambda a: a.astype(np.float64), lambda a: a * 0, lambda a: a + 1),
    "job/counts": (None, lambda _: 3, lambda _: {"theta": 1}, lambda c: dict.fromkeys(c, "x")),
    "job/position": (None, lambda _: "x", lambda _: -1),
    "job/history": (None, lambda _: 3, lambda _: [1]),
    "job/noise_rng": (None, lambda _: {}, lambda _: "x"),
    "job/order_rng": (None, lambda r: r | {"bit_generator": "MT19937"}),
    "job/seen": (None, lambda _: "x", lambda _: 1.5),
    "job/best": (None, lambda _: "x", lambda _: 1.0),
}


@pytest.mark.parametrize(("place", "number"), [(name, n) for name in STATE for n in range(len(STATE[name]))])
def test_a_resume_from_a_damaged_state_is_refused(fit_file, place, number):
    plant(fit_file, place, STATE[place][number])
    before = fit_file.read_bytes()
    with pytest.raises(ValueError) as caught:
        fit(data=BITS, resume=fit_file, epochs=3)
    damage_line(caught)
    assert fit_file.read_bytes() == before


def test_a_refused_state_changes_nothing(tmp_path):
    def training(seed):
        plan = Plan(epochs=3, batch=4, rates={"theta": 0.02})
        return Training(EvidenceObjective(GaussianMLE(4), BITS), plan, seed)

    other, one = training(1), training(2)
    other.run()
    header, arrays = other.state()
    save_checkpoint(tmp_path / "before.npz", *one.state())
    with pytest.raises(BadValue):
        one.restore(header, arrays | {"slots.theta": arrays["slots.theta"][:, :-1]})
    save_checkpoint(tmp_path / "after.npz", *one.state())
    assert (tmp_path / "after.npz").read_bytes() == (tmp_path / "before.npz").read_bytes()
    one.restore(header, arrays)
    assert one.epoch == 3


def test_the_undamaged_file_goes_on(fit_file):
    assert fit(data=BITS, resume=fit_file, epochs=3).history[-1]["epoch"] == 3


# -- crafted files ---------------------------------------------------------------------------------

VALUES = [None, True, -5, 0, 3, 10**9, 10**30, 1.5, 1e300, "x", "", [], [1], [10**9], ["x"], {}, {"a": 1}]
LATER = [("settings", "later"), ("model", "fields", "later"), ("posterior", "later")]
# What must be refused, and in which words; the rest may also be accepted: another seed is another fit.
MUST = {
    "settings/later": (3, "of a later version"),
    "settings/latent": (10**9, "is not that of its settings"),
    "settings/hidden": ([10**9], "is not that of its settings"),
    "settings/draws": (10**12, "of memory"),
    "settings/optimizer": (3, "expected a text"),
    "settings/method": ([1], "expected a text"),
    "job/epoch": (-5, "epoch -5"),
    "job/step": (-7, "step -7"),
    "job/position": (10**9, "position 1000000000"),
    "job/rows_seen": (-18, "rows_seen -18"),
    "job/counts": ({"theta": 10**30, "phi": 10**30}, "counts"),
    "job/history": ([], "an empty history"),
    "data/image_shape": ([1, 2, 3], "'image_shape'"),
    "version": (True, "version True"),
}


def crafted(path, place, value):
    """Save a checkpoint with one value of its header replaced."""
    header, arrays = load_checkpoint(path)
    within = header
    for name in place[:-1]:
        within = within[name]
    within[place[-1]] = value
    save_checkpoint(path, header, arrays)


def test_parameters_that_are_no_numbers_are_refused(fit_file):
    header, arrays = load_checkpoint(fit_file)
    arrays["result.theta"][0] = np.nan
    save_checkpoint(fit_file, header, arrays)
    with pytest.raises(BadValue, match="its parameters hold nan"):
        load_fitted(fit_file)


def places(tree, path=()):
    """Yield the path of every entry of a header, those of a list by its first."""
    items = tree.items() if isinstance(tree, dict) else list(enumerate(tree))[:1]
    for key, value in items:
        yield (*path, key)
        if isinstance(value, (dict, list)):
            yield from places(value, (*path, key))


@pytest.mark.parametrize("place", MUST)
def test_a_setting_or_a_counter_that_cannot_be_is_refused_in_one_line(fit_file, place):
    value, words = MUST[place]
    crafted(fit_file, place.split("/"), value)
    with pytest.raises(BadValue) as caught:
        fit(data=BITS, resume=fit_file, epochs=3)
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("part", range(6))
def test_a_crafted_checkpoint_is_refused_in_one_line_or_read(fit_file, monkeypatch, capsys, part):
    monkeypatch.chdir(fit_file.parent)
    np.savetxt("bits.csv", BITS, delimiter=",", fmt="%d")
    whole = fit_file.read_bytes()
    todo = [(place, value) for place in places(load_checkpoint(fit_file)[0]) for value in VALUES]
    todo += [(place, 3) for place in LATER]
    chosen = np.random.default_rng(part).permutation(len(todo))[:12]
    for place, value in (todo[i] for i in chosen):
        for words in (
            ["fit", "--resume", fit_file.name, "--data", "bits.csv", "--epochs", "3"],
            ["evaluate", fit_file.name, "--data", "bits.csv", "--importance-samples", "2"],
        ):
            fit_file.write_bytes(whole)
            crafted(fit_file, place, value)
            before = fit_file.read_bytes()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a step size of 1e300 overflows
                code = main(words)
            lines = capsys.readouterr().err.splitlines()
            assert code in (0, 2, 3), (place, value)
            assert code != 2 or (len(lines) == 1 and fit_file.read_bytes() == before), (place, value, lines)
