"""Independent pieces of work on several cores: processes where they can be forked, threads elsewhere.

The work of this package is many short NumPy calls, and between two of them a thread holds the lock of the
interpreter: two threads are hardly faster than one. So the pieces go to forked processes. A fork sees
everything that there is at that moment, also a function inside a function and a class of a notebook, so that
nothing has to be packed but the results.

    one worker        the pieces run one after another, here
    several, Linux    forked processes; what cannot be packed, or fails there, is done again here, where the
                      exception and its traceback are whole
    elsewhere         threads: without `fork`, inside a daemon process, and beside frameworks whose thread
                      pools do not survive a fork

Which worker does a piece changes no bit, and results come in the order of the pieces. Workers end with the
`with` block, whatever ends it, or, when the process that forked them is killed, with the piece at hand.
Ctrl-C is left to that process.

Source: Python manual, `multiprocessing`, "Contexts and start methods" (on the dangers of fork); signal(7).
"""

import contextlib
import multiprocessing
import signal
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import wait

from threadpoolctl import threadpool_limits

THREADED_FRAMEWORKS = ("jax", "tensorflow", "torch")


def can_fork():
    """Tell whether work may go to forked processes."""
    return (
        sys.platform == "linux"  # forked processes of macOS fail inside its own libraries
        and not multiprocessing.current_process().daemon
        and not any(name in sys.modules for name in THREADED_FRAMEWORKS)
    )


class Workers:
    """A number of workers; use it as a context.

    Parameters
    ----------
    count : int
        With one, everything runs in the calling thread.
    """

    def __init__(self, count):
        self.count = count
        self._stop = contextlib.ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._stop.close()

    def map(self, function, pieces, last_first=False):
        """Yield function(piece) in the order of the pieces.

        Parameters
        ----------
        function : callable
        pieces : sequence
        last_first : bool
            Begin with the last piece, where that takes longest; it changes nothing but the time.
        """
        pieces = list(pieces)
        count = min(self.count, len(pieces))
        if count <= 1:
            return map(function, pieces)
        order = range(len(pieces))[::-1] if last_first else range(len(pieces))
        spread = self._on_processes if can_fork() else self._on_threads
        return spread(function, pieces, order, count)

    def _on_threads(self, function, pieces, order, count):
        pool = ThreadPoolExecutor(count)
        # After an error nothing that has not begun is begun.
        self._stop.callback(pool.shutdown, cancel_futures=True)
        futures = {index: pool.submit(function, pieces[index]) for index in order}
        return (futures[index].result() for index in range(len(pieces)))

    def _on_processes(self, function, pieces, order, count):
        links = []
        for _ in range(count):
            links.append(_forked(function, pieces, links, self._stop))
        return _collected(function, pieces, iter(order), links)


def _collected(function, pieces, order, links):
    """Hand pieces to the processes, one at a time, and yield what comes back in the order of the pieces."""
    given, found = {}, {}
    for link in links:
        _hand_on(link, order, given)
    for index, piece in enumerate(pieces):
        while index not in found:
            for link in wait(list(given)):
                found[given.pop(link)] = _received(link)
                _hand_on(link, order, given)
        whole, result = found.pop(index)
        # Done again here where the result could not be sent, or for the exception.
        yield result if whole else function(piece)


def _hand_on(link, order, given):
    """Send the number of the next piece and note it; at the end hang up, which ends the process."""
    index = next(order, None)
    if index is None:
        link.close()
    else:
        given[link] = index
        with contextlib.suppress(ConnectionError):  # who is dead is found out while we wait
            link.send(index)


def _received(link):
    """Return (whole, result) of the piece that was handed on."""
    try:
        return link.recv()
    except (EOFError, ConnectionError):
        raise ChildProcessError(
            "a worker process ended before its work was done, perhaps for lack of memory; "
            "one thread needs the least"
        ) from None
    except Exception:  # it could be packed and cannot be unpacked
        return False, None


def _forked(function, pieces, others, stop):
    """Start a process that does pieces by number; return our end of the pipe to it."""
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()
    arguments = (function, pieces, theirs, [*others, ours])
    process = fork.Process(target=_serve, args=arguments, daemon=True)
    with warnings.catch_warnings():
        # Python 3.12 warns of threads that hold a lock in the moment of the fork. Ours are those of the BLAS,
        # which prepares for a fork, and of the progress bar, which a worker does not touch.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    theirs.close()
    stop.callback(ours.close)
    stop.callback(process.join)
    stop.callback(process.kill)
    return ours


def _serve(function, pieces, link, inherited):
    """Do the pieces whose numbers arrive, until the other side hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends Ctrl-C to all; we are told by the pipe
    for end in inherited:
        end.close()  # else an open copy would hide that the other side is gone
    with threadpool_limits(limits=1), contextlib.suppress(EOFError, ConnectionError):
        while True:
            piece = pieces[link.recv()]
            try:
                link.send((True, function(piece)))
            except Exception:  # of the function, or because its result cannot be packed
                link.send((False, None))
