"""Machine code is kept in the user's cache folder, and whatever happens to it costs one compilation.

Each promise is tried in processes of its own, with a cache folder of its own, on a loop that compiles in a
moment. A process prints the values, then how many kinds of arguments it found compiled.
"""

import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from numba import config
from other_process import run_python

import elbo_lab

pytestmark = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="NUMBA_DISABLE_JIT is set")
posix = pytest.mark.skipif(os.name != "posix", reason="folders have no modes here")

ROOT = Path(elbo_lab.__file__).resolve().parent.parent

MODULE = """
from numba import prange

from elbo_lab.kernels.compiling import loop, parallel_loop


@loop
def doubled(x, out):
    for i in range(x.size):
        out[i] = 2 * x[i]


@parallel_loop
def tripled(x, out):
    for i in prange(x.size):
        out[i] = 3 * x[i]
"""

DOUBLE = """
import numpy as np
import mine

out = np.empty(1)
mine.doubled(np.ones(1), out)
print(out[0], sum(mine.doubled.stats.cache_hits.values()))
"""


@pytest.fixture
def place(tmp_path):
    """Return a folder with a module that compiles a loop, and a cache folder beside it."""
    (tmp_path / "mine.py").write_text(MODULE, encoding="utf-8")
    return tmp_path


def started(code, place, **variables):
    """Start a process whose cache folder is `place/cache`."""
    home = str(place / "cache")
    environment = {**os.environ, "HOME": home, "XDG_CACHE_HOME": home, "LOCALAPPDATA": home}
    environment |= {
        "PYTHONPATH": os.pathsep.join([str(place), str(ROOT)]),
        "NUMBA_CACHE_DIR": "",
        **variables,
    }
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code],
        cwd=place,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def ended(process):
    """Return what a process printed; it must have succeeded, and said nothing else."""
    said, complaint = process.communicate(timeout=120)
    assert process.returncode == 0 and not complaint, complaint
    return said.split()


def run(code, place, **variables):
    return ended(started(code, place, **variables))


def kept(place):
    """Return the files in which machine code is handed on."""
    return sorted(place.rglob("*.code"))


def numbas_files(place):
    """Return what Numba has written and a process has left."""
    return list(place.rglob("*.nb[ic]"))


def in_cache(place):
    return (
        place / "cache" / "elbo-lab" if sys.platform != "darwin" else place / "cache/Library/Caches/elbo-lab"
    )


# --- where it goes ------------------------------------------------------------------------------


def test_machine_code_goes_to_the_users_folder_and_never_beside_the_source(place):
    assert run(DOUBLE, place) == ["2.0", "0"]
    assert run(DOUBLE, place) == ["2.0", "1"]
    (file,) = kept(place)
    assert file.name == "mine.doubled.code" and file.parent.parent == in_cache(place)
    assert file.parent.name.startswith(f"{elbo_lab.__version__}-")
    assert not numbas_files(place)
    # Nothing is left of the processes.
    assert list(file.parent.iterdir()) == [file]


@posix
def test_only_the_owner_may_enter_the_folders(place):
    in_cache(place).mkdir(parents=True, mode=0o777)
    run(DOUBLE, place)
    for folder in (in_cache(place), kept(place)[0].parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_the_users_own_folder_wins(place):
    for hits in ("0", "1"):
        assert run(DOUBLE, place, NUMBA_CACHE_DIR="own") == ["2.0", hits]
    assert [path.relative_to(place).parts[:2] for path in kept(place)] == [("own", "elbo-lab")]
    assert not in_cache(place).exists()


def test_caches_of_other_packages_stay_where_they_are(place):
    foreign = "from numba import njit\n\n@njit(cache=True)\ndef same(x):\n    return x\n"
    (place / "foreign.py").write_text(foreign, encoding="utf-8")
    code = DOUBLE + "import foreign\nforeign.same(1)\nprint(foreign.same.stats.cache_path)"
    assert run(code, place)[-1] == str(place / "__pycache__")


def test_parallel_loops_are_kept_too(place):
    code = DOUBLE.replace("doubled", "tripled")
    assert [run(code, place), run(code, place)] == [["3.0", "0"], ["3.0", "1"]]


def test_an_edit_compiles_anew(place):
    run(DOUBLE, place)
    (place / "mine.py").write_text(MODULE.replace("2 * x[i]", "5 * x[i]"), encoding="utf-8")
    assert run(DOUBLE, place) == ["5.0", "0"]


# --- what happens to it -------------------------------------------------------------------------


def altered(data):
    """Return the same number of bytes, one of them another."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda _: b"", altered])
def test_a_damaged_file_costs_a_compilation(place, damage):
    run(DOUBLE, place)
    (file,) = kept(place)
    file.write_bytes(damage(file.read_bytes()))
    assert [run(DOUBLE, place), run(DOUBLE, place)] == [["2.0", "0"], ["2.0", "1"]]


def test_a_damaged_file_is_removed_before_the_call(place):
    run(DOUBLE, place)
    (file,) = kept(place)
    file.write_bytes(altered(file.read_bytes()))
    assert run("import mine", place) == []
    assert not file.exists()


@posix
def test_a_full_disk_costs_a_compilation(place):
    # The system refuses files of more than 1000 bytes: as late as it can be, in the middle of saving.
    limit = "import resource\nimport mine\nresource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
    assert run(limit + DOUBLE, place) == ["2.0", "0"]
    assert not kept(place)
    # And of a disk that is full when the kept files are unpacked.
    run(DOUBLE, place)
    assert run(limit.replace("import mine\n", "") + DOUBLE, place) == ["2.0", "0"]
    assert run(DOUBLE, place) == ["2.0", "1"]


def test_a_folder_that_cannot_be_written_costs_a_compilation(place):
    # File modes do not stop a superuser, so a plain file stands where the folder would be.
    (place / "wall").write_text("not a folder", encoding="utf-8")
    assert run(DOUBLE, place, NUMBA_CACHE_DIR=str(place / "wall")) == ["2.0", "0"]
    assert not kept(place) and not numbas_files(place)


def test_a_folder_that_vanishes_costs_a_compilation(place):
    vanish = f"import shutil, mine\nshutil.rmtree({str(in_cache(place))!r})\n"
    assert run(vanish + DOUBLE, place) == ["2.0", "0"]


def test_many_processes_may_compile_at_once(place):
    single = DOUBLE.replace("np.ones(1)", "np.ones(1, np.float32)")
    processes = [started(code, place) for code in (DOUBLE, single, DOUBLE, single)]
    assert [ended(process)[0] for process in processes] == ["2.0"] * 4
    # Whoever came last has kept one kind of arguments or both; whatever is kept is right.
    both = DOUBLE + "mine.doubled(np.ones(1, np.float32), out)\nprint(out[0])"
    assert run(both, place)[::2] == ["2.0", "2.0"]
    assert run(both + "\nprint(sum(mine.doubled.stats.cache_hits.values()))", place)[-1] == "2"


def test_old_versions_go_once_they_have_not_been_used_for_a_day(place):
    ages = {"0.0.1-old": 25, "0.0.2-recent": 23}
    for name, hours in ages.items():
        folder = in_cache(place) / name
        folder.mkdir(parents=True)
        (folder / "some.code").write_bytes(b"")
        moment = time.time() - hours * 3600
        os.utime(folder, (moment, moment))
    run(DOUBLE, place)
    assert not (in_cache(place) / "0.0.1-old").exists()
    assert (in_cache(place) / "0.0.2-recent" / "some.code").exists()
    # What a killed process leaves goes in the same way, and a use keeps the whole folder.
    (file,) = kept(in_cache(place))[1:]
    left = file.parent / "process-killed"
    left.mkdir()
    for folder in (left, file.parent):
        os.utime(folder, (0, 0))
    assert run(DOUBLE, place) == ["2.0", "1"]
    assert not left.exists() and time.time() - file.parent.stat().st_mtime < 3600


@posix
def test_a_forked_child_leaves_its_parents_folder_alone(place):
    fork = """
import os, sys, mine
if os.fork() == 0:
    sys.exit()
os.wait()
"""
    assert run(fork + DOUBLE, place) == ["2.0", "0"]
    assert run(DOUBLE, place) == ["2.0", "1"]


def test_a_kept_loop_is_pickled_by_its_name(place):
    assert run(
        "import pickle, mine\nprint(pickle.loads(pickle.dumps(mine.doubled)) is mine.doubled)", place
    ) == ["True"]


def test_the_doctor_names_the_folder_and_its_size(place):
    shutil.copytree(ROOT / "elbo_lab" / "datasets" / "files", in_cache(place) / "0.0.1-old")
    folders = {"NUMBA_CACHE_DIR": "", "XDG_CACHE_HOME": str(place / "cache"), "HOME": str(place)}
    said = run_python("-m", "elbo_lab", "doctor", **folders).stdout
    size = sum(path.stat().st_size for path in (ROOT / "elbo_lab" / "datasets" / "files").iterdir())
    (line,) = (line for line in said.splitlines() if line.startswith("kernel cache"))
    assert line.endswith(f"elbo-lab ({size / 1e6:.1f} MB)")
