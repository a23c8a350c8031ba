"""Threads of Python over single-threaded BLAS, and the threads of Numba's parallel loops.

The last bits of a matrix product depend on the number of BLAS threads, and the thread pools of several
callers compete for the same cores. So work is divided into tasks that run on Python threads, and BLAS runs
single-threaded inside each: the same bits for any number of threads, and faster.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

from elbo_lab.errors import bad_value, check_count

MOST_PER_CORE = 8


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_threads(threads: int | None) -> int:
    """Return the number of threads, at least one and a few per core; None stands for one per core.

    More would only wait for each other: each waiting thread of BLAS or Numba keeps a core busy.
    """
    cores = available_cores()
    if threads is None:
        return cores
    if check_count("threads", threads) > MOST_PER_CORE * cores:
        expected = f"at most {MOST_PER_CORE * cores} ({MOST_PER_CORE} for each core)"
        raise bad_value("threads", expected, threads, "leave it out to take one for each core")
    return int(threads)


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Run a block with single-threaded BLAS in NumPy, SciPy and whatever else is loaded at the first call."""
    _limit.enter()
    try:
        yield
    finally:
        _limit.leave()


class _Limit:
    """The limit belongs to the process: the first block of all threads sets it, and the last lifts it."""

    def __init__(self) -> None:
        self._blocks = 0
        self._set: Any = None
        self._lock = threading.Lock()

    def enter(self) -> None:
        with self._lock:
            if self._blocks == 0:
                self._set = _libraries().limit(limits=1, user_api="blas")
            self._blocks += 1

    def leave(self) -> None:
        with self._lock:
            self._blocks -= 1
            if self._blocks == 0:
                self._set.restore_original_limits()


_limit = _Limit()


@contextmanager
def thread_pool(threads: int) -> Iterator[Executor]:
    """Run a block with an executor of `threads` threads, each on single-threaded BLAS.

    At the end of the block no task runs; tasks that have not begun, as after an error or Ctrl-C, are
    cancelled.
    """
    pool = _CallingThread() if threads == 1 else ThreadPoolExecutor(threads)
    with single_threaded_blas():
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)


class _CallingThread(Executor):
    """An executor that runs each task in the calling thread when its result is taken."""

    def map(self, fn: Callable[..., Any], *arguments: Iterable[Any]) -> Iterator[Any]:  # type: ignore[override]
        return map(fn, *arguments)


@contextmanager
def numba_threads(threads: int) -> Iterator[None]:
    """Run a block that calls one parallel loop of Numba, on at most `threads` threads.

    Only one thread of Python does so at a time: Numba's work queue aborts the process when two call at once.
    """
    import numba

    with _parallel_call:
        before = numba.get_num_threads()
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
        try:
            yield
        finally:
            numba.set_num_threads(before)


def has_numba_threads() -> bool:
    """Tell whether parallel loops can run: not in a fork of a process that had started Numba's threads."""
    import numba

    return not (numba.config.DISABLE_JIT or _lost_in_fork.is_set())


_parallel_call = threading.Lock()
_lost_in_fork = threading.Event()


def _after_fork() -> None:
    global _parallel_call
    # Another thread of the parent may have held the lock.
    _parallel_call = threading.Lock()
    numba: Any = sys.modules.get("numba")
    # Numba raises where no threads have been started.
    with suppress(ValueError, AttributeError):
        numba.threading_layer()
        _lost_in_fork.set()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@cache
def _libraries() -> Any:
    """Return the controller of the loaded libraries; finding them takes 1 ms, limiting them 20 us."""
    # SciPy has a BLAS of its own; a library that is loaded later would not be limited.
    import scipy.linalg.blas  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
