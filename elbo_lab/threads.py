"""One BLAS thread at a time, and how many threads of Python to put beside one another.

A matrix product gives other last bits under another number of BLAS threads, and the thread pools of
several callers fight for the same cores. So work is cut into pieces that run on Python threads, and
BLAS runs single-threaded inside each: the same bits for any number of threads, and faster.
"""

import os
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache

from elbo_lab.errors import check_count


def available_cores():
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_threads(threads):
    """Return how many threads are asked for: at least one, or where None is given one per core."""
    return available_cores() if threads is None else check_count("threads", threads)


def address_of_matmul(dtype):
    """Return what compiled code calls NumPy's product of two matrices by (`kernels.products`), or 0."""
    # Here and not above: the first kernel that runs imports Numba.
    from elbo_lab.kernels import products

    return products.address_of_matmul(dtype)


@contextmanager
def single_threaded_blas():
    """Run a block with single-threaded BLAS in NumPy, SciPy, and all that was loaded at the first call."""
    _limit.enter()
    try:
        yield
    finally:
        _limit.leave()


class _Limit:
    """The limit is the process's own: the first block of all threads sets it, and the last lifts it."""

    def __init__(self):
        self._blocks, self._set, self._lock = 0, None, threading.Lock()

    def enter(self):
        with self._lock:
            if self._blocks == 0:
                self._set = _libraries().limit(limits=1, user_api="blas")
            self._blocks += 1

    def leave(self):
        with self._lock:
            self._blocks -= 1
            if self._blocks == 0:
                self._set.restore_original_limits()


_limit = _Limit()


@contextmanager
def pool_of_pieces(threads):
    """Run a block with `PoolOfPieces`, `threads` pieces at a time, each on single-threaded BLAS."""
    pool = PoolOfPieces(threads)
    with single_threaded_blas():
        try:
            yield pool
        finally:
            pool.end()


class PoolOfPieces:
    """Work for the calling thread and `threads` - 1 others.

    The calling thread is one of them, and the others are kept from call to call: of several that wake up
    beside a caller that only waits, two often begin on the same core.
    """

    def __init__(self, threads):
        self._others = None if threads == 1 else _kept_threads(threads - 1)
        self._begun = []

    def map(self, work, *arguments):
        """Yield work(*argument of each) in their order; all may begin at once."""
        pieces = list(zip(*arguments, strict=True))
        if self._others is None:
            return (work(*piece) for piece in pieces)
        futures = [self._others.submit(work, *piece) for piece in pieces]
        self._begun = [future for future in self._begun if not future.done()] + futures
        return _taking_part(work, pieces, futures)

    def end(self):
        """Begin nothing that has not begun, as after an error or Ctrl-C, and wait for what has."""
        wait([future for future in self._begun if not future.cancel()])


def _taking_part(work, pieces, futures):
    """Yield the results in order; whoever waits for one does a piece that no thread has begun."""
    left, own = iter(range(len(pieces))), {}
    for index, future in enumerate(futures):
        while index not in own and not future.done():
            mine = next((i for i in left if futures[i].cancel()), None)
            if mine is None:
                break
            own[mine] = work(*pieces[mine])
        yield own.pop(index) if index in own else future.result()


@cache
def _kept_threads(count):
    """Return an executor that lasts as long as the process: a thread takes as long to start as a product."""
    return ThreadPoolExecutor(count)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_kept_threads.cache_clear)  # threads do not survive a fork


@cache
def _libraries():
    """Return the handle on the loaded libraries; looking for them takes 1 ms, limiting them 20 us."""
    # SciPy brings a BLAS of its own; a library that is loaded later would not be limited.
    import scipy.linalg.blas  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
