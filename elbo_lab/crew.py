"""A crew: a few threads that do the same work at the same time, meet on the way, and lose no time over it.

    with Crew(2) as crew:
        crew.do(work)       # work(0) in this thread and work(1) in another; in work,
                            # crew.meet() waits until all members have come as far

A pool of threads is made for work of many milliseconds: to wake a thread that sleeps takes the system 0.05 to
0.3 ms, several times in every step of a training that itself takes four. So a member who has to wait looks
at a number in memory for up to a millisecond, without the lock of the interpreter, and only then goes to
sleep. Short waits are short, and nobody keeps a core busy while another member evaluates for seconds.

A member who fails breaks the meeting: the others leave it, and `do` and `lead` raise what went wrong.

Source: J. K. Ousterhout, "Scheduling techniques for concurrent systems", ICDCS, 22-30, 1982 (on waiting in
two phases).
"""

import sys
import threading
from abc import ABC, abstractmethod
from functools import cache

import numpy as np

from elbo_lab.errors import check_count
from elbo_lab.kernels import kernels_in_use
from elbo_lab.kernels.signals import BROKEN, COUNT, KIND

# Looks of a member who waits, about a millisecond of them.
LOOKS = 2_000_000


class Signal:
    """A number that only rises, and that threads wait for.

    Attributes
    ----------
    state : ndarray (3,) int64
        The number; whether the signal is broken, so that nobody waits for it any more; the kind of an order.
    """

    def __init__(self):
        self.state = np.zeros(3, np.int64)
        self._changed = threading.Condition()

    def rise(self):
        """Add one, and return the number."""
        with self._changed:
            if kernels_in_use() == "numpy":
                self.state[COUNT] += 1
            else:
                _waiting().rise(self.state)
            self._changed.notify_all()
            return int(self.state[COUNT])

    def release(self):
        """Break the signal: let all go who wait or ever will."""
        with self._changed:
            self.state[BROKEN] = 1
            self._changed.notify_all()

    def wait(self, goal):
        """Return when the number has reached the goal or the signal is broken."""
        # No looks in NumPy, where each would take the interpreter's lock.
        if kernels_in_use() == "numpy" or not _waiting().has_risen(self.state, goal, LOOKS):
            with self._changed:
                self._changed.wait_for(lambda: self.state[COUNT] >= goal or self.state[BROKEN])


@cache
def _waiting():
    # Here and not above: the first kernel that runs imports Numba.
    from elbo_lab.kernels import waiting

    return waiting


class Left(Exception):
    """A meeting that does not take place, since a member has failed."""


class CompiledWork(ABC):
    """Work whose members meet in compiled code, at the end of it too."""

    @abstractmethod
    def take_part(self, member, arrivals, size, orders, order, last):
        """Do the part of a member; return the number of the first order that is not done.

        Parameters
        ----------
        member : int
        arrivals : ndarray
            State of a signal, for `kernels.waiting.meet`; where that tells of a failure the work ends.
        size : int
            Members.
        orders : ndarray
            State of a signal: there is one piece of work per order of a kind.
        order, last : int
            The present order, and the last that may be waited for.
        """


class Crew:
    """Threads that work together; use it as a context.

    Parameters
    ----------
    size : int
        Members, the calling thread among them.

    Attributes
    ----------
    alone : Crew
        Of the calling thread, for what is not worth sharing.
    """

    def __init__(self, size):
        self.size = check_count("size", size)
        self.alone = self if size == 1 else Crew(1)
        self._orders, self._arrivals, self._endings = Signal(), Signal(), Signal()
        self._work, self._awaited, self._failures, self._lost = None, 0, [], False
        # Daemons: nothing keeps a process alive that has been interrupted twice.
        self._others = [
            threading.Thread(target=self._serve, args=(member,), daemon=True) for member in range(1, size)
        ]

    def __enter__(self):
        try:
            for other in self._others:
                other.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error):
        self._failures.append(Left())
        self._arrivals.release()
        self._give(None)
        for other in self._others:
            if other.ident is not None:
                other.join()

    def do(self, work):
        """Call work(member) for every member, 0 to size - 1, at the same time; return when all are done.

        Parameters
        ----------
        work : callable
            All members meet equally often.

        Raises
        ------
        Exception
            What the first member who failed has raised, when the others are done or have left.
        RuntimeError
            If a member has been lost before.
        """
        self._check_whole()
        self._give(work)
        self._awaited += self.size - 1
        self._guarded(work, 0)
        self._endings.wait(self._awaited)
        self._raise()

    def lead(self, work):
        """Do compiled work once, as `do`; with a work that is given again the others are still at it.

        Parameters
        ----------
        work : CompiledWork

        Raises
        ------
        Exception
            What the first member who failed has raised. The others may still be on their way: the crew takes
            no more work.
        RuntimeError
            If there was such a failure before.
        """
        self._check_whole()
        order = self._give(work)
        self._obey(work, 0, order, order)
        self._lost = self._lost or bool(self._failures)
        self._raise()

    def meet(self):
        """Wait until every member has come here; what they wrote before is there to be read."""
        number = self._arrivals.rise()
        # Nobody can come to the next meeting before all have come to this one.
        self._arrivals.wait(-(-number // self.size) * self.size)
        if self._failures:
            raise Left

    def _check_whole(self):
        if self._lost:
            cause = self._failures[0] if self._failures else None
            raise RuntimeError("this crew has lost a member to a failure, and a new one is needed") from cause

    def _give(self, work):
        if work is not self._work:
            self._work = work
            self._orders.state[KIND] += 1
        return self._orders.rise()

    def _raise(self):
        if self._failures:
            failure, self._failures, self._arrivals = self._failures[0], [], Signal()
            raise failure

    def _serve(self, member):
        try:
            self._follow(member)
        except BaseException as failure:  # outside of all work, which has its own guard
            self._lost = True
            self._failures.append(failure)
            self._arrivals.release()
            self._endings.release()

    def _follow(self, member):
        order = 1
        while True:
            self._orders.wait(order)
            work = self._work
            if work is None:
                return
            if isinstance(work, CompiledWork):
                order = self._obey(work, member, order, sys.maxsize) or order + 1
            else:
                self._guarded(work, member)
                self._endings.rise()
                order += 1

    def _obey(self, work, member, order, last):
        where = self._arrivals.state, self.size, self._orders.state
        return self._guarded(work.take_part, member, *where, order, last)

    def _guarded(self, function, *arguments):
        try:
            return function(*arguments)
        except Left:
            pass
        except BaseException as failure:  # also Ctrl-C, which must not leave the others at a meeting
            self._failures.append(failure)
            self._arrivals.release()
