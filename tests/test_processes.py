"""Pieces of work on several workers: the same results in the same order, and a clean end whatever happens."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
import types

import pytest

from elbo_lab import processes
from elbo_lab.processes import Workers, can_fork

needs_fork = pytest.mark.skipif(not can_fork(), reason="no forked processes here")


@pytest.fixture(params=["processes", "threads"])
def spread(request, monkeypatch):
    """Both ways of having several workers."""
    if request.param == "processes" and not can_fork():
        pytest.skip("no forked processes here")
    monkeypatch.setattr(processes, "can_fork", lambda: request.param == "processes")
    return request.param


class Odd(ValueError):
    """An exception that cannot be packed: it takes two arguments and hands on one."""

    def __init__(self, number, why):
        super().__init__(f"{number} {why}")


def refuse_odd(number):
    if number % 2:
        raise Odd(number, "is odd")
    return number


@pytest.mark.parametrize("last_first", [False, True])
@pytest.mark.parametrize("count", [1, 2, 3, 40])
def test_results_come_in_the_order_of_the_pieces(spread, count, last_first):  # noqa: ARG001
    factor = 3  # a function inside a function, which no process could be sent
    with Workers(count) as crew:
        found = crew.map(lambda piece: (piece, factor * piece), range(20), last_first)
        assert list(found) == [(piece, 3 * piece) for piece in range(20)]
        assert list(crew.map(str, [])) == []


def test_one_worker_is_this_process_and_several_are_others(spread):
    with Workers(1) as crew:
        assert set(crew.map(lambda _: os.getpid(), range(4))) == {os.getpid()}
    with Workers(2) as crew:
        found = set(crew.map(lambda _: time.sleep(0.02) or os.getpid(), range(6)))
    assert (os.getpid() in found) == (spread == "threads") and len(found) == (
        2 if spread == "processes" else 1
    )


def test_what_cannot_be_packed_is_done_here(spread):  # noqa: ARG001
    class Local:
        pass

    with Workers(2) as crew:
        assert [type(found) for found in crew.map(lambda _: Local(), range(3))] == [Local] * 3


def test_the_first_exception_in_the_order_of_the_pieces_is_raised_whole(spread):  # noqa: ARG001
    with Workers(2) as crew, pytest.raises(Odd, match="1 is odd") as caught:
        list(crew.map(refuse_odd, range(6), last_first=True))
    assert caught.traceback[-1].name == "refuse_odd"


@needs_fork
def test_a_worker_that_is_killed_is_told_in_one_line():
    here = os.getpid()

    def work(piece):
        if piece == 3 and os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return piece

    with Workers(2) as crew, pytest.raises(ChildProcessError, match="ended before its work was done"):
        list(crew.map(work, range(8)))


@needs_fork
def test_no_worker_outlives_its_block():
    with pytest.raises(RuntimeError), Workers(2) as crew:
        for _ in crew.map(lambda _: time.sleep(0.01), range(1000)):
            assert len(multiprocessing.active_children()) == 2
            raise RuntimeError
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("framework", processes.THREADED_FRAMEWORKS)
def test_beside_frameworks_with_threads_of_their_own_nothing_is_forked(framework, monkeypatch):
    monkeypatch.setitem(sys.modules, framework, types.ModuleType(framework))
    assert not can_fork()
    with Workers(2) as crew:
        assert set(crew.map(lambda _: os.getpid(), range(4))) == {os.getpid()}


@needs_fork
def test_inside_a_worker_there_are_only_threads():
    def nested(_):
        with Workers(2) as crew:
            return can_fork(), list(crew.map(abs, [-1, -2]))

    with Workers(2) as crew:
        assert list(crew.map(nested, range(2))) == [(False, [1, 2])] * 2


SLEEPERS = """
import os, sys, time
import elbo_lab.comparison
from elbo_lab.cli.main import main
from elbo_lab.processes import Workers

def compare(*_, **__):
    with Workers(2) as crew:
        done = crew.map(lambda i: os.getpid() if i < 2 else time.sleep(0.2), range(1000))
        # All forks are made: an interrupt in the middle of one is swallowed by Python.
        print(next(done), next(done), flush=True)
        list(done)

elbo_lab.comparison.compare = compare
sys.exit(main(["compare"]))
"""


def gone(group):
    """Tell whether a process group comes to have no member within ten seconds."""
    for _ in range(200):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def sleepers(tmp_path):
    """Start a comparison whose two workers sleep, in a process group of its own."""
    command = [sys.executable, "-c", SLEEPERS]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, cwd=tmp_path, start_new_session=True, **pipes)
    process.stdout.readline()
    time.sleep(0.3)
    yield process
    if not gone(process.pid):
        os.killpg(process.pid, signal.SIGKILL)


@needs_fork
def test_ctrl_c_ends_all_with_one_line_and_code_130(sleepers):
    os.killpg(sleepers.pid, signal.SIGINT)
    said = sleepers.communicate(timeout=20)[1]
    assert said.strip() == "elbo-lab: interrupted; nothing half-written was left"
    assert sleepers.returncode == 130 and gone(sleepers.pid)


@needs_fork
def test_workers_do_not_outlive_the_process_that_forked_them(sleepers):
    sleepers.kill()
    sleepers.communicate(timeout=20)
    assert gone(sleepers.pid)
