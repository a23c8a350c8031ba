"""Independent tasks on several processes, where that pays.

This package makes many short NumPy calls, and between two of them a thread holds the lock of the interpreter:
two threads are hardly faster than one. So tasks go to worker processes, through joblib and its backend loky.
Loky does not fork, which would be unsafe beside the threads of BLAS, Numba, PyTorch and JAX: it starts fresh
interpreters, and sends them functions and classes of a script or a notebook by value. Their imports take a
second or two:

    first    tasks run in the calling process and are timed
    then     workers start if the remaining tasks would take more than `WORTHWHILE` seconds; or at once, where
             the caller knows that there is much to do
    later    workers wait `IDLE` seconds for further calls, and end

Results are bitwise independent of the number of workers and of which of them runs a task: a task carries its
own seed, BLAS and Numba have one thread in a worker, and results come in the order of the tasks. A task that
fails in a worker, or whose result cannot be pickled, runs again in the calling process, so that an exception
is raised there with its type and traceback; tasks that cannot be pickled run there only.

Source: joblib manual, "Embarrassingly parallel for loops"; loky manual, "API Reference".
"""

import gc
import multiprocessing
import signal
import sys
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from functools import cache
from inspect import GEN_CLOSED, getgeneratorstate
from itertools import groupby
from math import ceil
from operator import itemgetter
from statistics import median
from time import perf_counter, sleep
from typing import Any, TypeVar

from elbo_lab.kernels import kernels_in_use, use_kernels
from elbo_lab.threads import check_threads

Shared = TypeVar("Shared")
Item = TypeVar("Item")
Result = TypeVar("Result")
Call = tuple[Any, ...]  # as joblib takes it: the function and its arguments

WORTHWHILE = 5.0
"""Seconds of remaining work above which worker processes start."""
IDLE = 20
"""Seconds after which a worker without work ends."""
TASKS_PER_WORKER = 4
"""Tasks of a group for each worker: few, since each carries what they share; several, for progress."""
SETTLE = 0.05
"""Seconds for loky to send its present task before it is stopped."""
LARGE_ARRAY = "100K"
"""Arrays of this size and above reach the workers as memory-mapped files."""


class Workers:
    """Up to `count` processes that run tasks.

    Parameters
    ----------
    count : int, optional
        With one, everything runs in the calling process; all cores if not given.
    at_once : bool
        Whether the first tasks go to workers too, without a trial in the calling process.
    """

    def __init__(self, count: int | None = None, at_once: bool = False) -> None:
        self.count = check_threads(count)
        self._started = at_once

    def map(
        self,
        function: Callable[[Item], Result],
        tasks: Sequence[Item],
        progress: Callable[[int, int], object] | None = None,
    ) -> list[Result]:
        """Return [function(task) for task in tasks].

        Parameters
        ----------
        function : callable
        tasks : sequence
            The slowest first, so that no worker ends with a slow one alone.
        progress : callable, optional
            Called in the calling process as progress(done, total).

        Raises
        ------
        ChildProcessError
            If a worker ends before its work is done.
        """
        results: list[Result] = []

        def take(_: int, new_results: list[Result]) -> None:
            results.extend(new_results)
            if progress is not None:
                progress(len(results), len(tasks))

        self.run(_call, [(function, [task]) for task in tasks], take)
        return results

    def run(
        self,
        function: Callable[[Shared, Item], Result],
        groups: Sequence[tuple[Shared, Sequence[Item]]],
        take: Callable[[int, list[Result]], None],
    ) -> None:
        """Call function(shared, item) for all items of all groups.

        The items of a group are divided into a few tasks for each worker. What they share is sent with each
        task, but its large arrays only once.

        Parameters
        ----------
        function : callable
        groups : sequence of (shared, sequence of items)
            The slowest first.
        take : callable
            Called in the calling process, in order, as take(index of group, results of its next items).

        Raises
        ------
        ChildProcessError
            If a worker ends before its work is done.
        """
        todo = [(index, item) for index, (_, items) in enumerate(groups) for item in items]
        times: list[float] = []
        for done, (index, item) in enumerate(todo):
            if self._is_worthwhile(times, len(todo) - done):
                self._started = True
                self._run_on_processes(function, groups, todo[done:], take)
                return
            start = perf_counter()
            result = function(groups[index][0], item)
            times.append(perf_counter() - start)
            take(index, [result])

    def _is_worthwhile(self, times: list[float], left: int) -> bool:
        """Tell whether `left` items are worth worker processes, given the `times` of the first items."""
        if self.count == 1 or multiprocessing.current_process().daemon:  # a daemon may have no children
            return False
        return self._started or (bool(times) and median(times) * left > WORTHWHILE)

    def _run_on_processes(
        self,
        function: Callable[[Shared, Item], Result],
        groups: Sequence[tuple[Shared, Sequence[Item]]],
        todo: list[tuple[int, Item]],
        take: Callable[[int, list[Result]], None],
    ) -> None:
        tasks = list(_tasks(todo, TASKS_PER_WORKER * self.count))
        with _sent(function, [(groups[index][0], items) for index, items in tasks], self.count) as answers:
            for index, items in tasks:
                results = self._next(answers)
                if results is None:
                    results = [function(groups[index][0], item) for item in items]
                take(index, results)
            next(answers, None)  # ends the iterator, so that joblib does not warn

    def _next(self, answers: Iterator[list[Result] | None]) -> list[Result] | None:
        """Return the next results; None if they failed or cannot be pickled, and for all that follow."""
        try:
            return next(answers, None)
        except BrokenProcessPool as error:
            raise ChildProcessError(
                "a worker process ended before its work was done, perhaps for lack of memory; "
                "one thread needs the least"
            ) from error
        except Exception:
            self.count = 1
            return None


def end_workers() -> None:
    """End the idle workers of this process at once; at the end of a program they would take a second."""
    if "joblib" in sys.modules:
        from joblib.externals.loky import get_reusable_executor

        get_reusable_executor(reuse=True).shutdown(kill_workers=True)


def _tasks(todo: Sequence[tuple[int, Item]], count: int) -> Generator[tuple[int, list[Item]]]:
    """Collect (index of group, item) into tasks (index of group, items), at most `count` of a group."""
    for index, entries in groupby(todo, key=itemgetter(0)):
        items = [item for _, item in entries]
        size = ceil(len(items) / count)
        for start in range(0, len(items), size):
            yield index, items[start : start + size]


@contextmanager
def _sent(
    function: Callable[[Shared, Item], Result], tasks: list[tuple[Shared, list[Item]]], count: int
) -> Generator[Iterator[list[Result] | None]]:
    """Send tasks to worker processes; yield an iterator over the results of `_attempt`, in order."""
    from joblib import Parallel, delayed, parallel_config  # imported on use: most calls need no workers

    kernels = kernels_in_use()
    waiting = deque(delayed(_attempt)(kernels, function, shared, items) for shared, items in tasks)
    backend = {"n_jobs": count, "inner_max_num_threads": 1, "idle_worker_timeout": IDLE}
    with ExitStack() as stack:
        # A blocked interrupt is raised once the workers can be stopped.
        with parallel_config("loky", **backend), _interrupts_held_back():
            parallel = Parallel(batch_size=1, max_nbytes=LARGE_ARRAY, return_as="generator")
            answers = parallel(_taken(waiting))
            stack.callback(_stop, answers, waiting)
        yield answers


def _taken(waiting: deque[Call]) -> Generator[Call]:
    """Yield the waiting calls, and remove them."""
    while waiting:
        yield waiting.popleft()


def _stop(answers: Generator[list[Result] | None], waiting: deque[Call]) -> None:
    """Kill the workers unless all answers have been taken."""
    if getgeneratorstate(answers) == GEN_CLOSED:
        return
    # A thread of loky must not be killed while it sends a task: it would print a traceback.
    waiting.clear()
    sleep(SETTLE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # joblib warns of abandoned tasks
        answers.close()


@contextmanager
def _interrupts_held_back() -> Generator[None]:
    """Start processes that ignore Ctrl-C: the terminal sends it to all, and only the parent must react."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    # A first lock starts Python's resource tracker, which would let interrupts through again.
    multiprocessing.get_context("spawn").Lock()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # children inherit it
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _attempt(
    kernels: str, function: Callable[[Shared, Item], Result], shared: Shared, items: list[Item]
) -> list[Result] | None:
    """Return the results of some items, or None if one of them fails."""
    with use_kernels(kernels):
        try:
            return [function(shared, item) for item in items]
        except Exception:
            return None
        finally:
            _set_imports_aside()


@cache
def _set_imports_aside() -> None:
    """Exclude imported objects from loky's garbage collections, which would cost 0.1 s every second."""
    gc.freeze()


def _call(function: Callable[[Item], Result], task: Item) -> Result:
    return function(task)
