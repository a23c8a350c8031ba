"""What other packages registered through entry points, loaded so that a broken one breaks nothing else.

A plug-in is code of somebody else: it may raise when it is imported, hold a syntax error, leave the
interpreter, or be something other than was asked for. Each of these is a *reason* here, one line long; the
other plug-ins, and all that comes with the package, do not notice.
"""

import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, distributions, entry_points
from pathlib import Path
from typing import Generic, TypeVar

from elbo_lab.errors import BadValue, UserMistake

T = TypeVar("T")


@dataclass
class Plugins(Generic[T]):
    """The plug-ins of one group.

    Attributes
    ----------
    found : list of (str, object)
        Name of the entry, and what it holds.
    broken : dict of str to str
        By name of the entry (or of the package, where its list cannot be read): why it cannot be used.
    """

    found: list[tuple[str, T]] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)


def load_plugins(group: str, accept: Callable[[object], T]) -> Plugins[T]:
    """Load every plug-in of an entry-point group.

    Parameters
    ----------
    group : str
    accept : callable
        Takes what an entry holds; returns it as it is to be used, or raises with the reason why it cannot be.
    """
    plugins: Plugins[T] = Plugins()
    for entry in _entries(group, plugins.broken):
        try:
            plugins.found.append((entry.name, accept(_load(entry))))
        except (Exception, SystemExit) as fault:  # whatever code of somebody else may raise
            plugins.broken[entry.name] = reason_of(fault)
    return plugins


def _load(entry: EntryPoint) -> object:
    if entry.pattern.match(entry.value) is None:
        raise ValueError(f"its entry {entry.value!r} is not of the form 'module:name'")
    return entry.load()


def _entries(group: str, broken: dict[str, str]) -> Iterable[EntryPoint]:
    """Return the entries of a group; what cannot be read is told in `broken`, by the name of its package."""
    try:
        return entry_points(group=group)
    except Exception:
        # One unreadable list keeps Python from reading any: read them one by one.
        entries: dict[str, EntryPoint] = {}
        for package in distributions():
            try:
                for entry in package.entry_points.select(group=group):
                    entries.setdefault(entry.name, entry)
            except Exception as fault:
                if group in (package.read_text("entry_points.txt") or ""):
                    broken[package.name] = f"its entry points cannot be read: {reason_of(fault)}"
        return entries.values()


@contextmanager
def told(of: str) -> Iterator[None]:
    """Make one line of what the code of somebody else raises, with the place in its file.

    Parameters
    ----------
    of : str
        Whose code it is.

    Raises
    ------
    ValueError
        Instead of any other Exception but a mistake that has been told already.
    """
    try:
        yield
    except UserMistake:
        raise
    except Exception as fault:
        frames = traceback.extract_tb(fault.__traceback__)
        theirs = [frame for frame in frames if not Path(frame.filename).is_relative_to(Path(__file__).parent)]
        where = (
            f", in {theirs[-1].name}, {Path(theirs[-1].filename).name}:{theirs[-1].lineno}" if theirs else ""
        )
        raise BadValue(f"{of}: it raises {reason_of(fault)}{where}") from fault


def reason_of(fault: BaseException) -> str:
    """Return in one line what went wrong."""
    words = " ".join(str(fault).split())
    if isinstance(fault, SystemExit):
        return f"it leaves the interpreter (exit code {fault.code})"
    if isinstance(fault, UserMistake):
        return words
    return f"{type(fault).__name__}: {words}" if words else type(fault).__name__
