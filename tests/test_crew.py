"""A crew: its members work at the same time, wait for each other, and leave together when one fails."""

import faulthandler
import threading
import time

import numpy as np
import pytest

from elbo_lab import crew as crew_module
from elbo_lab.crew import CompiledWork, Crew, Signal
from elbo_lab.kernels import use_kernels, waiting
from elbo_lab.kernels.signals import KIND

needs_jit = pytest.mark.skipif(not hasattr(waiting._look, "py_func"), reason="NUMBA_DISABLE_JIT is set")
sizes = pytest.mark.parametrize("size", [1, 2, 3])


@pytest.fixture(autouse=True)
def watchdog():
    """A crew that hangs shall not hang the suite."""
    faulthandler.dump_traceback_later(120, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture(params=["numba", "numpy"], autouse=True)
def kernels(request):
    """Both ways of waiting: with looks, and without."""
    with use_kernels(request.param):
        yield request.param


@sizes
def test_every_member_works_in_a_thread_of_its_own(size):
    found = {}
    with Crew(size) as crew:
        for _ in range(3):
            found.clear()
            crew.do(lambda member: found.setdefault(member, threading.get_ident()))
            assert sorted(found) == list(range(size)) and len(set(found.values())) == size
            assert found[0] == threading.get_ident()


def check_meetings(crew, rounds=200):
    """Every member adds to its own number and meets; behind a meeting all numbers are equal."""
    numbers, seen = [0] * crew.size, []

    def work(member):
        for _ in range(rounds):
            numbers[member] += 1
            crew.meet()
            seen.append(list(numbers))
            crew.meet()

    crew.do(work)
    assert len(seen) == rounds * crew.size
    assert all(len(set(row)) == 1 for row in seen)


@sizes
def test_behind_a_meeting_the_work_of_all_is_there(size):
    with Crew(size) as crew:
        check_meetings(crew)
        check_meetings(crew)


class Impatient(Crew):
    def meet(self):
        self._arrivals.rise()


def test_a_meeting_that_nobody_waits_at_is_caught():
    with Impatient(2) as crew, pytest.raises(AssertionError):
        for _ in range(20):
            check_meetings(crew)


def test_who_waits_long_goes_to_sleep_and_is_woken(monkeypatch):
    monkeypatch.setattr(crew_module, "LOOKS", 1)
    with Crew(2) as crew:
        crew.do(lambda member: (time.sleep(0.02 * member), crew.meet(), time.sleep(0.02 * (1 - member))))
        before = time.process_time()
        time.sleep(0.3)
        assert time.process_time() - before < 0.2
        check_meetings(crew, 20)


class Odd(ValueError):
    """Not to be mistaken for any other."""


@pytest.mark.parametrize("failing", [0, 1, 2])
@pytest.mark.parametrize("error", [Odd, KeyboardInterrupt])
def test_a_failure_of_one_lets_the_others_leave_the_meeting(failing, error):
    behind = []

    def work(member):
        if member == failing:
            raise error("on purpose")
        crew.meet()
        behind.append(member)

    with Crew(3) as crew:
        with pytest.raises(error, match="on purpose"):
            crew.do(work)
        assert behind == []
        check_meetings(crew, 20)


def test_the_first_failure_is_the_one_that_is_told():
    def work(member):
        time.sleep(0.05 * member)
        raise Odd(f"member {member}")

    with Crew(2) as crew, pytest.raises(Odd, match="member 0"):
        crew.do(work)


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=needs_jit)])
def test_a_thread_that_is_lost_between_two_pieces_of_work_is_told(compiled, monkeypatch):
    def give(crew):
        if compiled:
            crew.lead(Counting(2))
        else:
            crew.do(lambda _: crew.meet())

    def failing(signal, goal):
        if threading.current_thread() is not threading.main_thread():
            raise Odd("on purpose")
        waiting_as_before(signal, goal)

    waiting_as_before = Signal.wait
    with Crew(2) as crew:
        give(crew)
        monkeypatch.setattr(Signal, "wait", failing)
        # It is told in the piece of work at hand, or as the cause in the next.
        with pytest.raises((Odd, RuntimeError)) as caught:
            for _ in range(3):
                time.sleep(0.02)  # a member who is still looking does not wait anew
                give(crew)
        assert "on purpose" in (str(caught.value), str(caught.value.__cause__))
        with pytest.raises(RuntimeError, match="lost a member"):
            give(crew)


def test_threads_that_cannot_all_be_started_are_ended(monkeypatch):
    def start(thread):
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start_as_before(thread)

    started, start_as_before = [], threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(RuntimeError, match="can't start"):
        Crew(4).__enter__()
    assert len(started) == 2 and not any(thread.is_alive() for thread in started)


def test_the_threads_end_with_the_context():
    before = threading.active_count()
    with Crew(3), pytest.raises(Odd), Crew(2):
        assert threading.active_count() == before + 3
        raise Odd
    assert threading.active_count() == before


@pytest.mark.parametrize("size", [0, -1, 1.5])
def test_a_size_that_is_none_is_refused(size):
    with pytest.raises((ValueError, TypeError), match=f"size.*{size}"):
        Crew(size)


def test_a_broken_signal_keeps_nobody():
    signal = Signal()
    signal.release()
    signal.wait(5)
    assert signal.state[0] == 0


# -- compiled work -----------------------------------------------------------------------------------

if hasattr(waiting._look, "py_func"):
    from numba import njit

    @njit(nogil=True)
    def count_together(member, orders, order, last, kind, looks, arrivals, size, offer_core, numbers, good):
        while order <= last and waiting.has_order(orders, order, kind, looks, offer_core):
            order += 1
            numbers[member] += 1
            if not waiting.meet(arrivals, size, offer_core):
                break
            for i in range(size):
                good[member] += numbers[i] == numbers[member]
            if not waiting.meet(arrivals, size, offer_core):
                break
        return order


class Counting(CompiledWork):
    """Counts in every member, and how often all counts were found equal."""

    def __init__(self, size):
        self.numbers, self.good, self.calls = np.zeros(size, np.int64), np.zeros(size, np.int64), []

    def take_part(self, member, arrivals, size, orders, order, last):
        self.calls.append(member)
        kind, address = orders[KIND], waiting.address_of_yield()
        where = arrivals, size, address, self.numbers, self.good
        return count_together(member, orders, order, last, kind, crew_module.LOOKS, *where)


@needs_jit
@sizes
def test_compiled_work_is_done_once_per_order_whatever_comes_between(size):
    one, other = Counting(size), Counting(size)
    with Crew(size) as crew:
        for turn in range(60):
            crew.lead(one)
            if turn % 3 == 0:
                crew.lead(other)
            if turn % 5 == 0:
                check_meetings(crew, 2)
            if turn % 20 == 0:
                time.sleep(0.02)  # long enough for the others to fall asleep
    assert (one.numbers == 60).all() and (one.good == 60 * size).all()
    assert (other.numbers == 20).all() and (other.good == 20 * size).all()


@needs_jit
def test_the_others_stay_in_compiled_work_that_is_given_again():
    work = Counting(2)
    with Crew(2) as crew:
        for _ in range(200):
            crew.lead(work)
    # Whoever is not called for a millisecond goes and is called again.
    assert work.calls.count(0) == 200 and work.calls.count(1) < 100


class Failing(Counting):
    def __init__(self, failing):
        super().__init__(2)
        self.failing = failing

    def take_part(self, member, *where):
        if member == self.failing:
            raise Odd("on purpose")
        return super().take_part(member, *where)


@needs_jit
@pytest.mark.parametrize("failing", [0, 1])
def test_a_failure_before_compiled_work_lets_the_other_go(failing):
    with Crew(2) as crew, pytest.raises(Odd, match="on purpose"):
        crew.lead(Failing(failing))
    with Crew(2) as crew:
        with pytest.raises(Odd):
            crew.lead(Failing(failing))
        with pytest.raises(RuntimeError, match="lost a member"):
            crew.do(lambda _: None)
