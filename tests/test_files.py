"""A file is old or new, never half: on a full disk, after an exception, after kill -9."""

import errno
import io
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from elbo_lab import files, locks
from elbo_lab.errors import BadValue
from elbo_lab.files import Kind, check_folder_writable, check_writable, sole_writer, write_bytes, write_output
from elbo_lab.locks import locked

ANYTHING = Kind("anything", rb"")
OLD, NEW = b"old\x00\xff\r\n" * 3, b"new\n\x80" * 50_000


def full_disk(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_bytes_arrive_as_they_are(tmp_path):
    write_bytes(tmp_path / "a.bin", OLD)
    write_bytes(str(tmp_path / "a.bin"), memoryview(NEW))
    assert (tmp_path / "a.bin").read_bytes() == NEW
    assert os.listdir(tmp_path) == ["a.bin"]


def test_text_is_utf8_with_the_line_ends_that_were_given(tmp_path):
    write_output("path", tmp_path / "a.txt", "σ² = 1\nτ\r\n", ANYTHING)
    assert (tmp_path / "a.txt").read_bytes() == "σ² = 1\nτ\r\n".encode()


@pytest.mark.parametrize("data", [OLD, NEW], ids=["short", "long"])
def test_the_bytes_are_on_the_disk_before_the_name_points_at_them(tmp_path, monkeypatch, data):
    path, calls = tmp_path / "a.bin", []
    fsync, replace = os.fsync, os.replace

    def watched_fsync(descriptor):
        # All bytes have left Python's buffer, else there is nothing to force.
        calls.append(("fsync", os.fstat(descriptor).st_size))
        fsync(descriptor)

    def watched_replace(source, target):
        calls.append(("replace", os.path.basename(target)))
        replace(source, target)

    monkeypatch.setattr(files.os, "fsync", watched_fsync)
    monkeypatch.setattr(files.os, "replace", watched_replace)
    write_bytes(path, data)
    assert calls == [("fsync", len(data)), ("replace", "a.bin")]


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("existed", [True, False])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step, existed):
    if existed:
        (tmp_path / "a.bin").write_bytes(OLD)
    monkeypatch.setattr(files.os, step, full_disk)
    with pytest.raises(OSError, match="No space left") as caught:
        write_bytes(tmp_path / "a.bin", NEW)
    assert caught.value.errno == errno.ENOSPC
    assert os.listdir(tmp_path) == (["a.bin"] if existed else [])
    if existed:
        assert (tmp_path / "a.bin").read_bytes() == OLD


def test_a_disk_that_fills_up_amid_the_bytes_leaves_the_old_file(tmp_path, monkeypatch):
    class HalfFull(io.FileIO):
        def write(self, data):
            super().write(bytes(data[:100]))
            full_disk()

    (tmp_path / "a.bin").write_bytes(OLD)
    monkeypatch.setattr(files, "open", lambda path, _mode: HalfFull(path, "w"), raising=False)
    with pytest.raises(OSError, match="No space left"):
        write_bytes(tmp_path / "a.bin", NEW)
    assert (tmp_path / "a.bin").read_bytes() == OLD
    assert os.listdir(tmp_path) == ["a.bin"]


# Killed just before a step; unlink, the tidying up, is the first one after the rename.
KILLED = """
import os, signal, sys
from elbo_lab import files, locks
step, path = sys.argv[1:]
setattr(files.os, step, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
files.write_bytes(path, b"new")
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 on this system")
@pytest.mark.parametrize(("step", "expected"), [("fsync", OLD), ("replace", OLD), ("unlink", b"new")])
def test_kill_9_leaves_old_or_new(tmp_path, step, expected):
    (tmp_path / "a.bin").write_bytes(OLD)
    done = subprocess.run([sys.executable, "-c", KILLED, step, str(tmp_path / "a.bin")], timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "a.bin").read_bytes() == expected


def leave(path, minutes=0):
    """Write what a killed writer leaves."""
    path.write_bytes(OLD * 100_000)
    moment = time.time() - 60 * minutes
    os.utime(path, (moment, moment))


def test_leftovers_of_a_killed_writer_do_not_disturb_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(files.os, "getpid", lambda: 7)
    monkeypatch.setattr(files.threading, "get_ident", lambda: 8)
    leave(tmp_path / ".a.bin.7-8.elbo-lab-tmp")
    write_bytes(tmp_path / "a.bin", b"new")
    assert (tmp_path / "a.bin").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.bin"]


@pytest.mark.skipif(sys.platform == "win32", reason="an open file can be neither removed nor renamed")
def test_leftovers_of_killed_writers_go_at_once_and_those_of_writers_at_work_stay(tmp_path):
    others = [".b.bin.7-8.elbo-lab-tmp", ".a.bin.2024-01", ".a.bin.notes", ".a.bin.7-8.elbo-lab-tmp.old"]
    for name in [".a.bin.7-8.elbo-lab-tmp", ".a.bin.9-8.elbo-lab-tmp", *others]:
        leave(tmp_path / name, 61)
    with locked(tmp_path / ".a.bin.9-8.elbo-lab-tmp") as state:
        assert state is True
        write_bytes(tmp_path / "a.bin", NEW)
    assert sorted(os.listdir(tmp_path)) == sorted([".a.bin.9-8.elbo-lab-tmp", *others, "a.bin"])
    write_bytes(tmp_path / "a.bin", NEW)
    assert sorted(os.listdir(tmp_path)) == sorted([*others, "a.bin"])


def test_where_nothing_locks_leftovers_go_after_an_hour(tmp_path, monkeypatch):
    for name, minutes in {".a.bin.7-8.elbo-lab-tmp": 61, ".a.bin.9-8.elbo-lab-tmp": 59}.items():
        leave(tmp_path / name, minutes)
    monkeypatch.setattr(locks, "_lock", no_locks)
    write_bytes(tmp_path / "a.bin", NEW)
    assert sorted(os.listdir(tmp_path)) == [".a.bin.9-8.elbo-lab-tmp", "a.bin"]


def no_locks(_):
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


@pytest.mark.skipif(sys.platform == "win32", reason="an open file can be neither removed nor renamed")
def test_a_writer_whose_temporary_file_is_removed_before_its_lock_begins_anew(tmp_path, monkeypatch):
    lock, removed = locks._lock, []

    def late(descriptor):
        if not removed:
            removed.extend(os.listdir(tmp_path))
            (tmp_path / removed[0]).unlink()
        lock(descriptor)

    monkeypatch.setattr(locks, "_lock", late)
    write_bytes(tmp_path / "a.bin", NEW)
    assert len(removed) == 1 and os.listdir(tmp_path) == ["a.bin"]


def test_of_two_writers_of_one_file_the_second_is_told(tmp_path, monkeypatch):
    path = tmp_path / ("n" * 250)
    with sole_writer("checkpoint", path):
        (tmp_path / "link").symlink_to(path)
        for same in (path, tmp_path / "link"):
            refused = pytest.raises(BadValue, match=r"^checkpoint: expected a file of one run, got .*")
            with refused, sole_writer("checkpoint", same):
                pass
        with sole_writer("checkpoint", tmp_path / ("n" * 249)):
            write_bytes(path, NEW)
    (tmp_path / "link").unlink()
    assert os.listdir(tmp_path) == [path.name]
    with sole_writer("checkpoint", path):
        pass
    monkeypatch.setattr(locks, "_lock", no_locks)
    with pytest.warns(UserWarning, match="no file locks here"), sole_writer("checkpoint", path):
        pass


DYING = """
import os, signal, sys
from elbo_lab.files import sole_writer
with sole_writer("checkpoint", sys.argv[1]):
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 on this system")
def test_the_lock_of_a_killed_run_dies_with_it(tmp_path):
    done = subprocess.run([sys.executable, "-c", DYING, str(tmp_path / "a.npz")], timeout=60)
    assert done.returncode == -signal.SIGKILL
    with sole_writer("checkpoint", tmp_path / "a.npz"):
        pass
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["n" * 255, "ü" * 127, "€" * 85])
def test_the_longest_names_can_be_written(tmp_path, name):
    check_writable("--json", tmp_path / name)
    write_bytes(tmp_path / name, NEW)
    assert os.listdir(tmp_path) == [name] and (tmp_path / name).read_bytes() == NEW


def test_a_name_that_is_too_long_is_refused_before_the_work(tmp_path):
    for call in (lambda path: write_bytes(path, NEW), lambda path: check_writable("path", path)):
        with pytest.raises(BadValue, match=r"^path: expected a file name, got one of \d+ characters$"):
            call(tmp_path / ("n" * 300))


@pytest.mark.parametrize("write", ["plain", "without fsync"])
def test_the_checks_above_catch_a_careless_writer(tmp_path, monkeypatch, write):
    def plain(path, data):
        with open(path, "wb") as file:
            file.write(data)
            files.os.fsync(file.fileno())

    def without_fsync(path, data):
        temporary = f"{path}.part"
        with open(temporary, "wb") as file:
            file.write(data)
        files.os.replace(temporary, path)

    careless = {"plain": plain, "without fsync": without_fsync}[write]
    monkeypatch.setitem(globals(), "write_bytes", careless)
    with pytest.raises(AssertionError), monkeypatch.context() as inner:
        test_the_bytes_are_on_the_disk_before_the_name_points_at_them(tmp_path, inner, OLD)
    if write == "plain":
        with pytest.raises(AssertionError), monkeypatch.context() as inner:
            test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, inner, "fsync", True)


# -- what is no regular file, and places that only look writable ------------------------------------


def plant(kind, folder):
    """Return a path that exists and is no regular file."""
    path = folder / "special"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    elif kind == "link to a device":
        path.symlink_to(os.devnull)
    return os.devnull if kind == "device" else path


@pytest.mark.skipif(sys.platform == "win32", reason="no such files")
@pytest.mark.parametrize("kind", ["fifo", "socket", "device", "link to a device"])
@pytest.mark.parametrize("call", ["write_bytes", "write_output", "check_writable"])
def test_what_is_no_regular_file_is_refused_and_stays(tmp_path, kind, call):
    path = plant(kind, tmp_path)
    before, names = os.lstat(path), os.listdir(tmp_path)
    with pytest.raises(BadValue, match="expected a regular file or a new name") as caught:
        {
            "write_bytes": lambda: write_bytes(path, NEW),
            "write_output": lambda: write_output("path", path, "new", ANYTHING),
            "check_writable": lambda: check_writable("--json", path),
        }[call]()
    assert "\n" not in str(caught.value) and repr(str(path)) in str(caught.value)
    after = os.lstat(path)
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
    assert os.listdir(tmp_path) == names


@pytest.mark.parametrize("existed", [True, False])
def test_a_link_is_followed_and_stays_a_link(tmp_path, existed):
    (tmp_path / "far").mkdir()
    target, link = tmp_path / "far" / "a.bin", tmp_path / "link"
    if existed:
        target.write_bytes(OLD)
    (tmp_path / "second").symlink_to(target)
    link.symlink_to("second")
    check_writable("--json", link)
    write_bytes(link, NEW)
    assert target.read_bytes() == NEW and not target.is_symlink()
    assert os.readlink(link) == "second" and (tmp_path / "second").is_symlink()
    assert os.listdir(tmp_path / "far") == ["a.bin"]


def test_a_link_to_itself_is_refused(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    for call in (lambda path: write_bytes(path, OLD), lambda path: check_writable("--json", path)):
        with pytest.raises(BadValue, match="a link to itself"):
            call(tmp_path / "loop")
    assert (tmp_path / "loop").is_symlink()


def test_a_folder_behind_a_link_to_nothing_is_refused(tmp_path):
    (tmp_path / "link").symlink_to("gone")
    with pytest.raises(BadValue, match="a link to nothing"):
        check_folder_writable("--out", tmp_path / "link" / "below")


@pytest.mark.parametrize(
    ("check", "place"),
    [(check_writable, "a.json"), (check_folder_writable, "."), (check_folder_writable, "not/yet")],
)
def test_a_place_that_only_looks_writable_is_found_out(tmp_path, monkeypatch, check, place):
    def refuse(dir):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(dir / "temporary"))

    check("--out", tmp_path / place)
    monkeypatch.setattr(files.tempfile, "TemporaryFile", refuse)
    with pytest.raises(BadValue, match=r"^--out: expected a writable place, got .*Read-only") as caught:
        check("--out", tmp_path / place)
    assert "probe" not in str(caught.value) and "temporary" not in str(caught.value)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="no /proc")
@pytest.mark.parametrize("check", [check_writable, check_folder_writable])
def test_proc_is_no_place_even_for_root(check):
    with pytest.raises(BadValue, match=r"^--out: expected a writable place, got '/proc/x' \([^.]*; choose"):
        check("--out", "/proc/x")


def test_an_error_of_the_system_names_the_file_that_was_asked_for(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        write_bytes(tmp_path / "gone" / "a.bin", OLD)
    assert caught.value.filename == str(tmp_path / "gone" / "a.bin")
    assert ".a.bin" not in str(caught.value)
