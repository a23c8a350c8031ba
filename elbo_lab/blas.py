"""One BLAS thread at a time, and how many threads of Python to put beside one another.

A matrix product gives other last bits under another number of BLAS threads, and the thread pools of
several callers fight for the same cores. So work is cut into pieces that run on Python threads, and
BLAS runs single-threaded inside each: the same bits for any number of threads, and faster.
"""

import os
from concurrent.futures import ThreadPoolExecutor
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


@contextmanager
def single_threaded_blas():
    """Run a block with single-threaded BLAS in NumPy, SciPy, and all that was loaded at the first call."""
    with _libraries().limit(limits=1, user_api="blas"):
        yield


@contextmanager
def pool_of_pieces(threads):
    """Run a block with `PoolOfPieces`, `threads` pieces at a time, each on single-threaded BLAS."""
    with single_threaded_blas():
        if threads == 1:
            yield PoolOfPieces(None)
            return
        # The calling thread is one of them: two new threads beside one that waits often share a core.
        executor = ThreadPoolExecutor(threads - 1)
        try:
            yield PoolOfPieces(executor)
        finally:
            # After an error or Ctrl-C nothing that has not begun is begun.
            executor.shutdown(cancel_futures=True)


class PoolOfPieces:
    """Work for the calling thread and those of an executor, or for the calling thread alone (None)."""

    def __init__(self, executor):
        self._executor = executor

    def map(self, work, *arguments):
        """Yield work(*argument of each) in their order; all may begin at once."""
        pieces = list(zip(*arguments, strict=True))
        if self._executor is None:
            return (work(*piece) for piece in pieces)
        return _taking_part(work, pieces, [self._executor.submit(work, *piece) for piece in pieces])


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
def _libraries():
    """Return the handle on the loaded libraries; looking for them takes 1 ms, limiting them 20 us."""
    # SciPy brings a BLAS of its own; a library that is loaded later would not be limited.
    import scipy.linalg.blas  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
