"""What other packages registered through entry points, loaded so that a broken one breaks nothing else.

A plug-in is code of somebody else: it may raise when it is imported, hold a syntax error, leave the
interpreter, or be something other than was asked for. Each of these is a *reason* here, one line long; the
other plug-ins, and all that comes with the package, do not notice.

What needs no package is named by its place: FILE.py:NAME or MODULE:NAME (`object_at`).
"""

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, distributions, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from elbo_lab.errors import BadValue, UserMistake, bad_value

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


# -- by place: FILE.py:NAME and MODULE:NAME --------------------------------------------------------


def is_a(thing: object, kinds: tuple[type, ...]) -> bool:
    """Tell whether something is an object of one of some classes, or a class derived from one."""
    return isinstance(thing, kinds) or (isinstance(thing, type) and issubclass(thing, kinds))


def looks_like_a_place(name: str) -> bool:
    """Tell whether a name can be FILE.py:NAME or PACKAGE.MODULE:NAME."""
    where, _, attribute = name.rpartition(":")
    return "." in where and attribute.isidentifier()


def source_of(name: str) -> str | None:
    """Return the file that something was found in, or None for a name that is no place."""
    where = name.rpartition(":")[0]
    return where if where.endswith(".py") else getattr(sys.modules.get(where), "__file__", None)


def object_at(argument: str, name: str, kinds: tuple[type, ...]) -> Any:
    """Return what a place names: FILE.py:NAME or MODULE:NAME.

    Parameters
    ----------
    argument : str
        Its name in an error.
    name : str
    kinds : tuple of type
        What is looked for, named in the error where the module holds something else.

    Raises
    ------
    ValueError
        If the module cannot be imported, or does not hold the name.
    """
    where, _, attribute = name.rpartition(":")
    module = _imported(argument, where)
    thing = getattr(module, attribute, None)
    if thing is None:
        found = [key for key, value in vars(module).items() if is_a(value, kinds)]
        remedy = f"it has {', '.join(found)}" if found else ""
        raise bad_value(argument, f"a class or an object of {where}", repr(attribute), remedy)
    return thing


# By path and time of the last change: one run that names a file twice has one module, and one class.
_from_files: dict[tuple[Path, int], ModuleType] = {}


def _imported(argument: str, where: str) -> ModuleType:
    """Return the module of a dotted name, found as Python finds it from this folder, or of a file."""
    path = Path(where)
    if path.suffix == ".py" and not path.is_file():
        raise bad_value(argument, "an existing file", repr(where))
    key = (path.resolve(), path.stat().st_mtime_ns) if path.suffix == ".py" else None
    if key in _from_files:
        return _from_files[key]
    sys.path.insert(0, str(path.resolve().parent) if path.suffix == ".py" else "")
    try:
        if key is None:
            return importlib.import_module(where)
        spec = importlib.util.spec_from_file_location(path.stem, path)
        if spec is None or spec.loader is None:
            raise bad_value(argument, "a Python file", repr(where))
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module  # dataclasses look their module up
        spec.loader.exec_module(module)
        _from_files[key] = module
        return module
    except (Exception, SystemExit) as fault:  # whatever code of somebody else may raise
        got = f"{where!r} ({reason_of(fault)})"
        raise bad_value(argument, "a module that can be imported", got) from None
    finally:
        sys.path.pop(0)
