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
    """Run a block with a pool for pieces of work, `threads` at a time, each on single-threaded BLAS."""
    pool = ThreadPoolExecutor(threads)
    with single_threaded_blas():
        try:
            yield pool
        finally:
            # After an error or Ctrl-C nothing that has not begun is begun.
            pool.shutdown(cancel_futures=True)


@cache
def _libraries():
    """Return the handle on the loaded libraries; looking for them takes 1 ms, limiting them 20 us."""
    # SciPy brings a BLAS of its own; a library that is loaded later would not be limited.
    import scipy.linalg.blas  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
