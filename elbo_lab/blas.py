"""One BLAS thread at a time.

A matrix product gives other last bits under another number of BLAS threads, and the thread pools of
several callers fight for the same cores. So work is cut into pieces that run on Python threads, and
BLAS runs single-threaded inside each: the same bits for any number of threads, and faster.
"""

from contextlib import contextmanager


@contextmanager
def single_threaded_blas():
    """Run a block with single-threaded BLAS in every library that has one."""
    # SciPy brings a BLAS of its own; a library that is loaded later would not be limited.
    import scipy.linalg.blas  # noqa: F401
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield
