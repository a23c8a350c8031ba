"""Tasks on several processes: the same results in the same order, and a clean end whatever happens."""

import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from functools import partial
from threading import Lock

import numpy as np
import pytest

from elbo_lab import compare, processes
from elbo_lab.kernels import kernels_in_use, use_kernels
from elbo_lab.processes import Workers

HERE = os.getpid()


@pytest.fixture
def worthwhile(monkeypatch):
    """Let workers start whatever the work."""
    monkeypatch.setattr(processes, "WORTHWHILE", 0.0)


def process_of(_):
    return os.getpid()


# -- what runs where -------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2])
def test_work_of_less_than_five_seconds_starts_no_process(count):
    assert set(Workers(count).map(process_of, range(50))) == {HERE}


def test_the_first_task_runs_here_and_the_others_on_as_many_processes_as_there_are_workers(worthwhile):  # noqa: ARG001
    ran = Workers(2).map(lambda _: time.sleep(0.05) or os.getpid(), range(12))
    assert ran[0] == HERE and HERE not in ran[1:] and len(set(ran[1:])) == 2


def test_no_task_is_tried_first_where_there_is_much_to_do():
    assert HERE not in Workers(2, at_once=True).map(process_of, range(3))


def test_workers_start_when_the_rest_would_take_more_than_five_seconds(monkeypatch):
    clock = iter(np.cumsum([0.0, 0.1, 0.0, 1.0, 0.0, 1.0]))  # the median is 1 s after three tasks
    monkeypatch.setattr(processes, "perf_counter", lambda: next(clock))
    ran = Workers(2).map(process_of, range(10))
    assert set(ran[:3]) == {HERE} and HERE not in ran[3:]


def test_results_come_in_order_and_progress_counts_them(worthwhile):  # noqa: ARG001
    factor, told = 3, []
    found = Workers(2).map(lambda task: factor * task, range(10), lambda *counts: told.append(counts))
    assert found == [3 * task for task in range(10)]
    assert told == [(done, 10) for done in range(1, 11)]


def test_items_of_a_group_see_what_they_share_and_are_taken_in_order(worthwhile):  # noqa: ARG001
    groups = [(np.full(40_000, float(index)), range(index + 1, 7)) for index in range(3)]
    found = [[] for _ in groups]

    def work(shared, item):
        return shared[-1], item, type(shared).__name__, os.getpid()

    Workers(2).run(work, groups, lambda index, results: found[index].extend(results))
    for index, (shared, items) in enumerate(groups):
        assert [(value, item) for value, item, _, _ in found[index]] == [(shared[-1], i) for i in items]
    # 320 kB are not copied: workers map a file.
    kinds = {kind for results in found for _, _, kind, process in results if process != HERE}
    assert kinds == {"memmap"}


def threads_of(_):
    import numba
    import scipy.linalg  # noqa: F401
    from threadpoolctl import threadpool_info

    blas = {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}
    return os.getpid(), blas, numba.get_num_threads(), numba.config.NUMBA_NUM_THREADS


def test_blas_and_numba_have_one_thread_in_a_worker(worthwhile):  # noqa: ARG001
    for process, *threads in Workers(2).map(threads_of, range(3))[1:]:
        assert process != HERE and threads == [{1}, 1, 1]


def test_workers_run_the_kernels_that_were_asked_for(worthwhile):  # noqa: ARG001
    for choice in ("numpy", "numba"):
        with use_kernels(choice):
            found = Workers(2).map(lambda _: (kernels_in_use(), os.getpid()), range(3))
        assert {kernels for kernels, _ in found} == {choice} and found[-1][1] != HERE


# -- what goes wrong -------------------------------------------------------------------------------


class Odd(ValueError):
    """An exception that cannot be unpickled: it takes two arguments and hands on one."""

    def __init__(self, number, why):
        super().__init__(f"{number} {why}")


def refuse_odd(number):
    if number % 2:
        raise Odd(number, "is odd")
    return number


def test_the_first_exception_in_order_is_raised_with_its_own_type_and_frames(worthwhile):  # noqa: ARG001
    with pytest.raises(Odd, match="3 is odd") as caught:
        Workers(2).map(refuse_odd, [0, 2, 3, 5, 4])
    assert traceback.extract_tb(caught.value.__traceback__)[-1].line == 'raise Odd(number, "is odd")'


@pytest.mark.parametrize("what", ["task", "result"])
def test_what_cannot_be_pickled_runs_here(worthwhile, what):  # noqa: ARG001
    tasks = [Lock() if what == "task" else None for _ in range(4)]
    made = Workers(2).map(lambda task: (task or Lock(), os.getpid()), tasks)
    assert {process for _, process in made} == {HERE}


def die(home, task):
    if os.getpid() != home and task == 3:
        os._exit(1)
    return task


def test_a_worker_that_dies_is_told_in_one_line_and_others_take_its_place(worthwhile):  # noqa: ARG001
    with pytest.raises(ChildProcessError) as caught:
        Workers(2).map(partial(die, HERE), range(8))
    assert str(caught.value) == (
        "a worker process ended before its work was done, perhaps for lack of memory; "
        "one thread needs the least"
    )
    assert Workers(2).map(abs, [-1, -2, -3]) == [1, 2, 3]


def test_a_fault_in_the_calling_process_stops_the_workers(worthwhile, tmp_path):  # noqa: ARG001
    def stop(done, _):
        if done == 2:
            raise RuntimeError("enough")

    def work(task):
        time.sleep(0.1)
        (tmp_path / str(task)).touch()

    with pytest.raises(RuntimeError, match="enough"):
        Workers(2).map(work, range(200), stop)
    time.sleep(0.5)
    before = len(list(tmp_path.iterdir()))
    time.sleep(0.5)
    assert len(list(tmp_path.iterdir())) == before < 50


# -- Ctrl-C ----------------------------------------------------------------------------------------

SLEEPERS = """
import functools, sys, time
import elbo_lab.comparison
from elbo_lab import processes
from elbo_lab.cli.main import main

processes.WORTHWHILE = 0.0

def work(task):
    if task:
        time.sleep(0.2)
    print(task, flush=True)

@functools.wraps(elbo_lab.comparison.compare)  # the command line reads the options from its signature
def compare(*_, **__):
    return processes.Workers(2).map(work, range(1000))

elbo_lab.comparison.compare = compare
sys.exit(main(["compare", "ppca", "--no-report"]))
"""


def living(group):
    """Return the members of a process group, without those that are dead and not yet buried."""
    listed = subprocess.run(["ps", "-eo", "pgid=,stat=,args="], capture_output=True, text=True, check=True)
    rows = [line.split(maxsplit=2) for line in listed.stdout.splitlines()]
    return [row for row in rows if row[0] == str(group) and not row[1].startswith("Z")]


@pytest.mark.skipif(shutil.which("ps") is None, reason="no ps here to list processes")
@pytest.mark.parametrize("lines", [1, 3], ids=["while workers start", "while workers work"])
def test_ctrl_c_ends_all_within_two_seconds_with_one_line_and_code_130(tmp_path, lines):
    script = tmp_path / "sleepers.py"
    script.write_text(SLEEPERS)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, script], cwd=tmp_path, start_new_session=True, **pipes)
    try:
        for _ in range(lines):
            process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)
        interrupted = time.monotonic()
        said = process.communicate(timeout=20)[1]
        while living(process.pid) and time.monotonic() < interrupted + 2.0:
            time.sleep(0.05)
        assert living(process.pid) == []
    finally:
        if living(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
    assert said == "elbo-lab: interrupted; nothing half-written was left\n"
    assert process.returncode == 130


# -- comparisons -----------------------------------------------------------------------------------

OWN = """
import json
import sys

import numpy as np

from elbo_lab import compare, processes
from elbo_lab.estimators import ESTIMATORS, Reparameterization

processes.WORTHWHILE = 0.0


# Of ten batches the first five have eight repeats, and the first runs in the calling process.
class Mine(Reparameterization):
    name = "mine"

    def estimate(self, problem, noise, state=None):
        if sys.argv[1] == "fails" and noise.shape[0] == 7:
            raise ZeroDivisionError("mine")
        return super().estimate(problem, noise, state)


found = compare("ppca", estimators=[Mine(), "score-function-loo"], rows=4, repeats=75, threads=2)
print(json.dumps([[row["estimator"], row["variance"], row["variance_exact"]] for row in found.rows]))
"""


@pytest.fixture
def own(tmp_path):
    script = tmp_path / "own.py"
    script.write_text(OWN)
    run = partial(subprocess.run, cwd=tmp_path, capture_output=True, text=True)
    return lambda how: run([sys.executable, script, how])


def test_a_class_of_a_script_or_notebook_runs_in_workers(own):
    done = own("works")
    assert done.returncode == 0 and done.stderr == ""
    assert '["mine", ' in done.stdout and "null" not in done.stdout.split("score")[1]


def test_an_exception_of_an_own_class_shows_its_line(own):
    done = own("fails")
    assert done.stderr.count("Traceback") == 1 and done.stderr.endswith("ZeroDivisionError: mine\n")
    assert 'raise ZeroDivisionError("mine")' in done.stderr


def without_times(rows):
    times = ("seconds_per_estimate", "efficiency")
    return [{key: value for key, value in row.items() if key not in times} for row in rows]


def test_a_comparison_is_bitwise_the_same_for_any_number_of_workers(worthwhile):  # noqa: ARG001
    models = ["gaussian-mixture:full", "deep-bernoulli"]
    estimators = ["score-function-loo", "relax-0.5", "reparameterization", "importance-sampling", "exact"]
    options = {"estimators": estimators, "rows": 4, "repeats": 60, "draws": 4}
    alone, together, many = (
        without_times(compare(models, threads=threads, **options).rows) for threads in (1, 2, 3)
    )
    assert alone == together == many
