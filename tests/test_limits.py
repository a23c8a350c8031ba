"""No input makes the lab wait for ever or take memory that is not there; it is refused in one line."""

import gzip
import io
import os
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from other_process import output_of

from elbo_lab import compare, datasets, evaluate, fit, memory, threads
from elbo_lab.cli.main import main
from elbo_lab.datasets.idx import read_idx
from elbo_lab.errors import BadValue
from elbo_lab.fitting import load_fitted
from elbo_lab.fitting.samples import write_samples
from elbo_lab.memory import GIB, UNLIMITED, available_bytes, check_memory
from elbo_lab.threads import MOST_PER_CORE, available_cores, check_threads
from elbo_lab.training import load_checkpoint

# -- how much memory there is ----------------------------------------------------------------------

MEMINFO = "MemTotal: 99 kB\nMemAvailable: 4000 kB\nSwapFree: 96 kB\n"
MACHINE = 4096 * 1024
SYSTEMS = {
    "a machine alone": ({}, MACHINE),
    "a group without a limit": (
        {"sys/fs/cgroup/memory.max": "max", "sys/fs/cgroup/memory.current": "1"},
        MACHINE,
    ),
    "a group of version 2": (
        {"sys/fs/cgroup/a/memory.max": "3000", "sys/fs/cgroup/a/memory.current": "1000"},
        2000,
    ),
    "a group around it": (
        {"sys/fs/cgroup/memory.max": "900", "sys/fs/cgroup/memory.current": "100"}
        | {"sys/fs/cgroup/a/memory.max": "3000", "sys/fs/cgroup/a/memory.current": "1000"},
        800,
    ),
    "cached pages count as free": (
        {"sys/fs/cgroup/memory.max": "900", "sys/fs/cgroup/memory.current": "800"}
        | {"sys/fs/cgroup/memory.stat": "anon 100\ninactive_file 300\nactive_file 200\n"},
        600,
    ),
    "a group of version 1, seen from inside": (
        {
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "700",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": "200",
        },
        500,
    ),
    "a group that is full": ({"sys/fs/cgroup/memory.max": "1", "sys/fs/cgroup/memory.current": "9"}, 0),
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_least_limit_of_the_system_counts(tmp_path, monkeypatch, name):
    monkeypatch.setattr(memory, "_of_address_space", lambda _: UNLIMITED)
    files, expected = SYSTEMS[name]
    files = {"proc/meminfo": MEMINFO, "proc/self/cgroup": "4:cpu,memory:/far/away\n0::/a\n"} | files
    for place, text in files.items():
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(text)
    assert available_bytes(str(tmp_path)) == expected


def test_a_limit_of_the_address_space_counts():
    code = """
import resource
from elbo_lab.memory import available_bytes
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
print(available_bytes())
"""
    assert 0 < int(output_of(code)) < 2 * GIB


def test_a_system_that_tells_nothing_refuses_nothing_but_the_absurd(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sysconf", lambda _: (_ for _ in ()).throw(ValueError))
    monkeypatch.setattr(memory, "_of_address_space", lambda _: UNLIMITED)
    assert available_bytes(str(tmp_path)) == UNLIMITED


@pytest.mark.parametrize("needed", [2**41, 10**30, 10**500])
def test_what_does_not_fit_is_refused_with_the_numbers(monkeypatch, needed):
    monkeypatch.setattr(memory, "available_bytes", lambda: 3 * GIB)
    with pytest.raises(
        BadValue, match=r"^draws: expected at most the 3 GiB .*, got about .* GiB for 7 draws; less$"
    ):
        check_memory("draws", needed, "7 draws", "less")
    check_memory("draws", 3 * GIB, "7 draws", "less")


# -- what a run takes ------------------------------------------------------------------------------

BITS = np.random.default_rng(0).random((3000, 300)) < 0.5
TABLE = np.random.default_rng(0).standard_normal((40_000, 10))
SMALL = {"latent": 2, "hidden": (4,), "epochs": 1, "threads": 2}
FEW = {"repeats": 2, "threads": 1}
PEAKS = {
    "a network": lambda _: fit("deep-bernoulli", BITS[:4], **SMALL | {"hidden": (1500, 500)}),
    "in float64": lambda _: fit(
        "deep-bernoulli", BITS[:4], dtype="float64", optimizer="sgd", **SMALL | {"hidden": (1500, 500)}
    ),
    "many draws": lambda _: fit("deep-bernoulli", "digits", draws=150, **SMALL | {"hidden": (200, 100)}),
    "a wide table": lambda _: fit("deep-bernoulli", BITS, **SMALL),
    "a formula": lambda _: fit("ppca", TABLE, latent=2),
    "em": lambda _: fit("gaussian-mixture:diagonal", TABLE, latent=5, epochs=1, restarts=2, threads=1),
    "gradient": lambda _: fit("ppca", TABLE, latent=2, method="gradient", epochs=1, batch=4000),
    "global latents": lambda _: fit("logistic-regression", "breast-cancer", epochs=1, draws=8000),
    "quadrature": lambda _: compare("deep-bernoulli", estimators="reparameterization", **FEW),
    "many draws compared": lambda _: compare(
        "ppca", data="digits:dequantised", latent=2, estimators="reparameterization", draws=2000, **FEW
    ),
    "samples": lambda stored: write_samples(load_fitted(stored), stored.with_name("out"), 30_000),
    "evaluation": lambda stored: evaluate(
        stored, np.tile(BITS[:, :64], (10, 1)), importance_samples=2, rows=20_000
    ),
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    path = tmp_path_factory.mktemp("stored") / "fit.npz"
    fit("deep-bernoulli", "digits", **SMALL | {"hidden": (200,)}, checkpoint=path)
    return path


@pytest.mark.parametrize("name", PEAKS)
def test_the_estimate_of_the_peak_is_right_within_a_factor_of_two(stored, monkeypatch, name):
    estimates = [0]
    monkeypatch.setattr(memory, "check_memory", lambda _, needed, *__: estimates.append(needed))
    PEAKS[name](stored)  # imports and compiles, which takes memory once
    tracemalloc.start()
    try:
        PEAKS[name](stored)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 0.5 <= max(estimates) / peak <= 2, (max(estimates) / 2**20, peak / 2**20)


HUGE = 10**12
REFUSED = {
    "fit --latent": ["fit", "deep-bernoulli", "--data", "digits", "--latent", HUGE],
    "fit --hidden": ["fit", "deep-bernoulli", "--data", "digits", "--latent", 2, "--hidden", HUGE],
    "fit --draws": ["fit", "deep-bernoulli", "--data", "digits", "--latent", 2, "--draws", HUGE],
    "fit --threads": ["fit", "ppca", "--data", "faithful", "--threads", HUGE],
    "compare --latent": ["compare", "deep-bernoulli", "--latent", HUGE],
    "compare --draws": ["compare", "logistic-regression", "--draws", HUGE],
    "compare --repeats": ["compare", "ppca", "--repeats", HUGE],
    "compare --rows": ["compare", "ppca", "--rows", HUGE],
    "advise --draws": ["advise", "ppca", "--draws", HUGE],
    "advise --repeats": ["advise", "ppca", "--repeats", HUGE],
    "sample --count": ["sample", "fit.npz", "--out", "out", "--count", HUGE],
    "evaluate --importance-samples": [
        "evaluate",
        "fit.npz",
        "--data",
        "digits",
        "--importance-samples",
        HUGE,
    ],
    "evaluate --rows": ["evaluate", "fit.npz", "--data", "digits", "--rows", HUGE],
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_size_beyond_the_memory_is_refused_before_the_work(stored, monkeypatch, capsys, name):
    monkeypatch.chdir(stored.parent)
    assert main([str(word) for word in REFUSED[name]]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"elbo-lab: error: {name.split()[1]}: expected "), line
    assert str(HUGE) in line and "at most" in line


def test_a_batch_as_large_as_one_likes_is_the_whole_table():
    assert fit("ppca", "faithful", latent=1, method="gradient", epochs=1, batch=HUGE).history


# -- pipes, devices and sockets --------------------------------------------------------------------


@pytest.fixture
def pipe(tmp_path, monkeypatch):
    """A function that makes a pipe that nobody writes to, in the working folder."""
    monkeypatch.chdir(tmp_path)

    def make(name):
        os.mkfifo(tmp_path / name)
        return name

    return make


READERS = {
    "data.csv": ["fit", "ppca", "--data", "data.csv"],
    "data.csv.gz": ["compare", "ppca", "--data", "data.csv.gz"],
    "data.npy": ["advise", "ppca", "--data", "data.npy"],
    "data.npz": ["fit", "ppca", "--data", "data.npz"],
    "resume.npz": ["fit", "--resume", "resume.npz"],
    "judged.npz": ["evaluate", "judged.npz", "--data", "digits"],
    "drawn.npz": ["sample", "drawn.npz", "--out", "out"],
    "a.json": ["diff", "a.json", "b.json"],
}


@pytest.mark.parametrize("name", READERS)
def test_a_pipe_or_a_device_as_an_input_is_refused_at_once(pipe, capsys, name):
    for path in (pipe(name), "/dev/zero"):
        (os.path.lexists("link" + name)) and os.unlink("link" + name)
        os.symlink(path, "link" + name)
        words = [word.replace(name, "link" + name) for word in READERS[name]]
        assert main(words) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "expected a regular file, got 'link" in line and "a pipe, a device or a socket" in line


def test_a_pipe_in_the_folder_of_mnist_is_no_file_of_mnist(pipe):
    pipe("train-images-idx3-ubyte")
    pipe("train-labels-idx1-ubyte.gz")
    with pytest.raises(BadValue, match=r"^data: expected train-images"):
        datasets.load("mnist", data_dir=".")


# -- files that announce more than they hold, or than there is room for ------------------------------


def npy(shape, descr="<f8", content=b""):
    """Return a .npy file whose header says what it likes."""
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + content


def zipped(content, name="x.npy"):
    """Return a zip with one compressed member."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


ROOM = 1 << 20
MANY = bytes(4 * ROOM)
IDX = b"\0\0\x08\x03" + struct.pack(">3I", 10, 28, 28)
LONG = b"1," * ROOM + b"1\n"
ANNOUNCED = {
    "cut.npy": (npy("(1000, 1000)"), "cut off: 0 of 8000000"),
    "truth.npy": (npy("(True, 2)", content=bytes(16)), r"shape \(True, 2\)"),
    "float.npy": (npy("(1.0, 2)", content=bytes(16)), "no array of NumPy's"),
    "large.npy": (npy(f"({4 * ROOM}, 1)", "|u1", MANY), r"expected at most .* GiB for an array of shape"),
    "cut.npz": (zipped(npy("(1000, 1000)")), "cut off: 0 of 8000000"),
    "large.npz": (
        zipped(npy(f"({4 * ROOM}, 1)", "|u1", MANY)),
        r"expected at most .* GiB for an array of shape",
    ),
    "text.npz": (zipped(b"hello", "x.txt"), "no array of NumPy's"),
    "wide.csv": (LONG, "expected at most .* a line of 65536 characters and more"),
    "wide.csv.gz": (gzip.compress(LONG), "expected at most .* a line of 65536 characters and more"),
    "long.csv": (b"0\n" * ROOM, r"expected at most .* got 4\d* numbers and more"),
    "long.csv.gz": (
        gzip.compress(b"0\n" * ROOM),
        r"expected at most .* got 4\d* numbers and more",
    ),
}


@pytest.mark.parametrize("name", ANNOUNCED)
def test_what_a_file_announces_is_held_against_its_length_and_the_memory(tmp_path, monkeypatch, name):
    for module in (memory, datasets.comma_separated):
        monkeypatch.setattr(module, "available_bytes", lambda: ROOM)
    content, reason = ANNOUNCED[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadValue, match=f"^data: expected .*{reason}|^data: {reason}") as error:
        datasets.load(tmp_path / name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (IDX + MANY, "longer than the 7840 entries"),
        (IDX, "cut off: 0 of 7840"),
        (b"\0\0\x08\x03" + struct.pack(">3I", 2**31, 28, 28) + MANY, "cut off: 4194304 of 1683627180032"),
        (b"\0\0\x08\x03" + struct.pack(">3I", 4, ROOM, 1) + MANY, "expected at most .* that .* announces"),
    ],
)
def test_an_image_file_is_unpacked_only_as_far_as_its_header_says(
    tmp_path, monkeypatch, pack, content, reason
):
    monkeypatch.setattr(memory, "available_bytes", lambda: ROOM)
    (tmp_path / "images").write_bytes(pack(content))
    with pytest.raises(BadValue, match=f"^data: .*{reason}"):
        read_idx(tmp_path / "images", n_axes=3)


DESCRIPTIONS = st.sampled_from(
    ["<f8", "|b1", "<c16", "|V0", "<U1", "|S0", "|O", "", 3, None, [("a", "<f8")], ("", 3)]
)
LENGTHS = st.sampled_from([0, 1, 2, 3, -1, 2**31, 2**63, 2**64, True, 1.5, None, "a"])


@given(DESCRIPTIONS, st.lists(LENGTHS, max_size=4), st.binary(max_size=48), st.booleans())
def test_any_header_of_an_array_is_read_or_refused_in_one_line(
    tmp_path_factory, descr, shape, content, packed
):
    path = tmp_path_factory.getbasetemp() / ("any.npz" if packed else "any.npy")
    data = npy(tuple(shape), descr, content)
    path.write_bytes(zipped(data) if packed else data)
    try:
        table = datasets.load(path)
    except (ValueError, TypeError) as error:
        assert "\n" not in str(error) and str(error).startswith("data: ")
    else:
        assert table.x.size * 8 <= 8 * len(content)


def test_a_compressed_member_of_a_checkpoint_is_not_unpacked(tmp_path):
    (tmp_path / "bomb.npz").write_bytes(zipped(npy(f"({4 * ROOM},)", "|u1", MANY), "header.npy"))
    with pytest.raises(BadValue, match="cut off or damaged"):
        load_checkpoint(tmp_path / "bomb.npz")


# -- threads ---------------------------------------------------------------------------------------


def test_a_few_threads_for_each_core_are_the_most(monkeypatch):
    most = MOST_PER_CORE * available_cores()
    assert check_threads(most) == most
    for count in (most + 1, 100_000, 10**30):
        with pytest.raises(
            BadValue, match=f"^threads: expected at most {most} .*, got {count}; leave it out"
        ):
            check_threads(count)
    monkeypatch.setattr(threads, "available_cores", lambda: 1)
    assert check_threads(None) == 1 and check_threads(MOST_PER_CORE) == MOST_PER_CORE


def test_a_lack_of_memory_that_nobody_foresaw_is_one_line(monkeypatch, capsys):
    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr("elbo_lab.cli.listing.run", full)
    assert main(["list"]) == 2
    assert "not enough memory" in capsys.readouterr().err
