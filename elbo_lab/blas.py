"""One BLAS thread at a time, and how many threads of Python to put beside one another.

A matrix product gives other last bits under another number of BLAS threads, and the thread pools of
several callers fight for the same cores. So work is cut into pieces that run on Python threads, and
BLAS runs single-threaded inside each: the same bits for any number of threads, and faster.
"""

import os
from contextlib import contextmanager


def available_cores():
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def single_threaded_blas():
    """Run a block with single-threaded BLAS in every library that has one."""
    # SciPy brings a BLAS of its own; a library that is loaded later would not be limited.
    import scipy.linalg.blas  # noqa: F401
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield
