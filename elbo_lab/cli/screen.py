"""The end of a command: first its files, then what it prints; an error in one does not prevent the other."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn, TextIO, cast

from rich.console import Console

from elbo_lab.cli.streams import discard, named

# Narrower tables than this cannot be read; a width of 0 is that of no terminal.
NARROWEST, USUAL = 20, 80
STANDARD_OUTPUT, STANDARD_ERROR = 1, 2


class Screen(Console):
    """A console of at least 20 columns, which tells its caller that its reader has gone."""

    def __init__(self, *, stderr: bool = False, quiet: bool = False) -> None:
        super().__init__(stderr=stderr, quiet=quiet)
        if self.width < NARROWEST:
            self.width = max(self.width or USUAL, NARROWEST)

    def on_broken_pipe(self) -> NoReturn:
        """Raise the error again: a console of rich would end the program with its own exit code."""
        raise BrokenPipeError


@contextmanager
def screen(taken: Collection[int] = ()) -> Iterator[Screen]:
    """Yield the console for the results; what is printed after its reader has gone is lost, and nothing else.

    Parameters
    ----------
    taken : collection of int
        Descriptors that hold an output: results go to standard error if standard output is taken, and nowhere
        if both are.
    """
    stderr = STANDARD_OUTPUT in taken
    console = Screen(stderr=stderr, quiet=stderr and STANDARD_ERROR in taken)
    try:
        yield console
        console.file.flush()
    except BrokenPipeError:
        discard(cast(TextIO, console.file))
    except OSError as fault:
        raise named(fault) from None


Writer = Callable[[], str]


def saved(path: str | None, write: Callable[[str], object]) -> Writer:
    """Return a function that writes a file, if one was asked for, and returns its name or ''."""

    def writer() -> str:
        if path is None:
            return ""
        write(path)
        return path

    return writer


def finish(taken: Collection[int], writers: Sequence[Writer], show: Callable[[Console], object]) -> None:
    """Write all files, print the results and what was written, and then raise the first error, if any.

    Parameters
    ----------
    taken : collection of int
        As for `screen`.
    writers : sequence of callable
        Each writes and returns in words what it has written; the slowest last.
    show : callable
        Called as show(console).
    """
    written: list[str] = []
    faults: list[BaseException] = []
    for write in writers:
        try:
            written.append(write())
        except BrokenPipeError:
            continue  # a stream whose reader has gone
        except Exception as fault:
            faults.append(fault)
        except KeyboardInterrupt as stop:
            faults.insert(0, stop)
            break
    with screen(taken) as console:
        show(console)
        if any(written):
            console.out(f"\nwritten: {', '.join(filter(None, written))}", highlight=False)
    if faults:
        raise faults[0]
