"""The process that runs a student's file: it gets arguments, calls functions, and writes down their results.

It is run as a script and imports nothing of the package, so that the answers are not in its memory. Each
outcome is one line of JSON in a file of its own, written as soon as it is there: nothing that the student
prints can disturb it, and whatever ends the process leaves the outcomes before.

    {"limited": true}                       whether memory is limited here
    {"loaded": true}                        the file has been run
    {"result": ...} or {"message": "..."}   one for each call, in order
    {"imports_lab": true}                   at the end, if the file asked for elbo_lab

Arrays are base64 of their bytes, exact to the last bit; there is no pickle.
"""

import base64
import importlib.abc
import importlib.machinery
import json
import os
import sys
import traceback
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np

LAB = "elbo_lab"
MOST_ENTRIES = 10**6
MOST_ITEMS = 1000
# Characters of the student's line in a message.
LONGEST_LINE = 60


def encoded(value: Any) -> Any:
    """Return a result or an argument as JSON; raise where no law can use it."""
    if isinstance(value, int):
        float(value)  # raises OverflowError for a number that no law can use
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping) or callable(value):
        raise TypeError(f"a {type(value).__name__}")
    if isinstance(value, (tuple, list)) and len(value) <= MOST_ITEMS:
        return [encoded(item) for item in value]
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"a {type(value).__name__} of dtype {array.dtype}")
    if array.size > MOST_ENTRIES:
        raise ValueError(f"an array of shape {array.shape}, more than a million entries")
    array = np.ascontiguousarray(array).reshape(array.shape)  # ascontiguousarray makes 0-d arrays 1-d
    data = base64.b64encode(array.tobytes()).decode()
    return {"dtype": array.dtype.str, "shape": list(array.shape), "data": data}


def decoded(value: Any) -> Any:
    """Return what `encoded` was given, lists as tuples; {"seed": n} is a new generator."""
    if isinstance(value, list):
        return tuple(decoded(item) for item in value)
    if isinstance(value, dict) and "seed" in value:
        return np.random.default_rng(value["seed"])
    if isinstance(value, dict):
        flat = np.frombuffer(base64.b64decode(value["data"]), np.dtype(value["dtype"]))
        return flat.reshape(value["shape"]).copy()
    return value


class NoLab(importlib.abc.MetaPathFinder):
    """Refuses to import elbo_lab, however it is asked for, and remembers that it was."""

    asked = False

    def find_spec(self, name: str, *_: object) -> None:
        """Raise ImportError for elbo_lab; leave everything else to the other finders."""
        if name.partition(".")[0] == LAB:
            self.asked = True
            raise ImportError("an answer of your own does not import elbo_lab")


def limit_memory(limit: int) -> bool:
    """Limit the memory of this process to `limit` bytes; tell whether the system does.

    The limit is one of data, which counts what is written to, and not of addresses, which libraries of linear
    algebra and compilers reserve by the gigabyte. Only Linux counts mapped memory as data.
    """
    if not sys.platform.startswith("linux"):
        return False
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    return True


def in_words(fault: BaseException, file: str) -> str:
    """Return an exception as one line, with the line of the student's file in which it arose."""
    places = [
        (frame.lineno, frame.line)
        for frame in traceback.extract_tb(fault.__traceback__)
        if frame.filename == file
    ]
    if isinstance(fault, SyntaxError) and fault.filename == file:
        places = [(fault.lineno, fault.text)]
    where = ""
    if places:
        number, line = places[-1]
        where = f" (line {number}: {' '.join((line or '').split())[:LONGEST_LINE]})"
    kind = type(fault).__name__
    if isinstance(fault, SystemExit):
        return f"called sys.exit{where}"
    if isinstance(fault, MemoryError):
        return f"needs more memory than an answer may take{where}"
    if isinstance(fault, RecursionError):
        return f"calls itself without end{where}"
    try:
        said = " ".join(str(fault.msg if isinstance(fault, SyntaxError) else fault).split())[:200]
    except Exception:  # an exception of the student's own, which cannot be printed
        said = ""
    return f"raised {kind}: {said}{where}" if said else f"raised {kind}{where}"


def attempt(function: Callable[..., Any] | None, arguments: list[Any], file: str) -> dict[str, Any]:
    """Return the outcome of one call."""
    if function is None:
        return {"message": "is not there: the function of this name is missing"}
    if not callable(function):
        return {"message": f"is of type {type(function).__name__}, and no function"}
    try:
        result = function(*map(decoded, arguments))
    except BaseException as fault:
        return {"message": in_words(fault, file)}
    try:
        return {"result": encoded(result)}
    except BaseException as fault:
        return {"message": f"returned {str(fault)[:200]}; wanted are numbers or arrays of them"}


def main(task: dict[str, Any], results: TextIO) -> None:
    """Run the file of a task, and all its calls."""

    own = os.getpid()

    def tell(outcome: dict[str, Any]) -> None:
        if os.getpid() != own:  # a process that the student's file forked: its outcomes would be told twice
            os._exit(0)
        results.write(json.dumps(outcome) + "\n")
        results.flush()

    file = task["file"]
    tell({"limited": limit_memory(task["memory"])})
    guard = NoLab()
    sys.meta_path.insert(0, guard)
    sys.path.insert(0, str(Path(file).parent))
    sys.argv = [file]
    loader = importlib.machinery.SourceFileLoader("answer", file)
    module = types.ModuleType("answer")
    module.__file__ = file
    sys.modules["answer"] = module  # dataclasses look their module up
    try:
        loader.exec_module(module)
        tell({"loaded": True})
        for name, arguments in task["calls"]:
            tell(attempt(getattr(module, name, None), arguments, file))
    except BaseException as fault:
        tell({"message": in_words(fault, file)})
    if guard.asked or LAB in sys.modules:
        tell({"imports_lab": True})


if __name__ == "__main__":
    TASK = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    with open(sys.argv[2], "w", encoding="utf-8") as RESULTS:
        main(TASK, RESULTS)
    try:
        sys.stdout.flush()
    finally:
        os._exit(0)  # threads and exit handlers of the student's file must not keep it
