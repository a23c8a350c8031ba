"""Pieces of work on threads: results keep their order, errors end the work; BLAS has one thread meanwhile."""

import os
import sys
import threading
import time

import pytest

from elbo_lab import threads as threads_module
from elbo_lab.threads import thread_pool


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("count", [0, 1, 2, 20])
def test_results_come_in_the_order_of_the_pieces(threads, count):
    with thread_pool(threads) as pool:
        for _ in range(3):
            found = list(pool.map(lambda a, b: (a, b), range(count), range(count)[::-1]))
            assert found == [(i, count - 1 - i) for i in range(count)]


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_there_are_as_many_threads_as_asked_for(threads):
    # As many pieces as threads, each of which waits until all of them are at work.
    together, seen = threading.Barrier(threads, timeout=20), set()

    def piece(_):
        together.wait()
        seen.add(threading.get_ident())

    with thread_pool(threads) as pool:
        list(pool.map(piece, range(threads)))
        list(pool.map(piece, range(5 * threads)))
    assert len(seen) == threads


@pytest.mark.parametrize("threads", [1, 2])
def test_after_an_error_nothing_is_begun_any_more_and_all_that_began_has_ended(threads):
    begun, ended = [], []

    def piece(i):
        begun.append(i)
        if i == 3:
            raise RuntimeError("piece three")
        time.sleep(1e-3)
        ended.append(i)

    with pytest.raises(RuntimeError, match="piece three"), thread_pool(threads) as pool:
        list(pool.map(piece, range(1000)))
    assert len(begun) < 1000 and sorted(begun) == sorted([*ended, 3])
    with thread_pool(threads) as pool:
        assert list(pool.map(abs, [-1, -2])) == [1, 2]


def test_a_piece_may_cut_its_own_work_into_pieces():
    def outer(i):
        with thread_pool(2) as pool:
            return sum(pool.map(lambda j: i * j, range(4)))

    with thread_pool(2) as pool:
        assert list(pool.map(outer, range(6))) == [6 * i for i in range(6)]


@pytest.mark.skipif(sys.platform != "linux", reason="threads elsewhere do not bear a fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own():
    together = threading.Barrier(2, timeout=20)

    def both_at_work():
        with thread_pool(2) as pool:
            return len(list(pool.map(lambda _: together.wait(), range(2))))

    both_at_work()
    child = os.fork()
    if child == 0:
        os._exit(0 if both_at_work() == 2 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_blas_is_single_threaded_until_the_last_block_ends_and_then_as_before():
    def threads():
        return {
            library.num_threads
            for library in threads_module._libraries().select(user_api="blas").lib_controllers
        }

    with threads_module._libraries().limit(limits=2, user_api="blas"):
        first, second = threads_module.single_threaded_blas(), threads_module.single_threaded_blas()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert threads() == {1}
        second.__exit__(None, None, None)
        assert threads() == {2}
