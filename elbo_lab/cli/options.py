"""What several subcommands share: options, the check of their files, and the arguments of a function."""

import inspect
import os
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Iterable
from typing import Any

from elbo_lab.errors import bad_value
from elbo_lab.files import Kind, check_folder_writable
from elbo_lab.names import spelt, split_list
from elbo_lab.outputs import Plan

LAYERS = "as 16,8 the widths of layers, that of the data's side first"


def add_measuring(parser: ArgumentParser) -> None:
    """Add the options of `compare` and `advise` that say what is measured, and how."""
    add = parser.add_argument
    add("--data", metavar="NAME_OR_FILE", help="data set, CSV, NPY or NPZ; a model's own if not given")
    add("--latent", type=latent_sizes, metavar="K", help=f"latent dimensions or mixture components; {LAYERS}")
    add("--rows", type=int, metavar="N", help="data rows, a seeded choice (default 32, or one whole table)")
    add("--draws", type=int, default=10, metavar="S", help="draws per estimate (default 10)")
    add("--seed", type=int, default=0, metavar="N", help="reproduces everything but seconds (default 0)")
    add("--threads", type=int, metavar="T", help="changes nothing but the time (default: all cores)")


def latent_sizes(text: str) -> int | tuple[int, ...]:
    """Return the whole number of --latent, or the widths of layers, of a text with commas."""
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        expected = "a whole number, or several with commas between"
        raise ArgumentTypeError(f"expected {expected}, got {text!r}") from None
    return numbers if len(numbers) > 1 else numbers[0]


def add_force(parser: ArgumentParser) -> None:
    """Add the option that lifts the guard of `files.check_replaceable`."""
    parser.add_argument(
        "--force", action="store_true", help="replace files that elbo-lab did not write as such an output"
    )


def planned(options: Namespace, *inputs: str) -> Plan:
    """Return a plan with the files that a command reads: its data, and the named arguments.

    Parameters
    ----------
    options : Namespace
    *inputs : str
        Names of arguments that are paths, as they are called in the help.
    """
    from elbo_lab.datasets.mnist_files import FOLDER, VARIABLE
    from elbo_lab.datasets.registry import file_behind, find_entry

    plan = Plan()
    for name in inputs:
        plan.reads(name, getattr(options, name.removeprefix("--").removesuffix(".json").lower()))
    data = getattr(options, "data", None)
    if data is not None and find_entry(data)[0] is None:
        plan.reads("--data", file_behind(data))
    for folder in filter(None, (getattr(options, "data_dir", None), os.environ.get(VARIABLE))):
        for place in (folder, os.path.join(folder, FOLDER)):
            # os.path and not pathlib: "no" too for names that the system refuses to look up.
            names = os.listdir(place) if os.path.isdir(place) else []
            for name in names:
                if "ubyte" in name:
                    plan.reads("--data-dir", os.path.join(place, name))
    return plan


def names_in(option: str, text: str | None, titles: Iterable[str] = ()) -> list[str] | None:
    """Split 'a,b' into names, whose arguments, and `titles`, may have commas within; None stays None."""
    if text is None:
        return None
    whole, parts, names = set(map(spelt, titles)), split_list(text), list[str]()
    while parts:
        size = next((n for n in range(len(parts), 1, -1) if spelt(", ".join(parts[:n])) in whole), 1)
        names.append(", ".join(parts[:size]))
        del parts[:size]
    names = [name for name in names if name]
    if not names:
        raise bad_value(option, "names separated by commas", repr(text))
    return names


def check_backend() -> None:
    """Refuse now a setting with which Matplotlib cannot be imported later."""
    try:
        import matplotlib  # noqa: F401 - it reads the setting
    except ValueError:
        backend = os.environ.get("MPLBACKEND")
        raise bad_value("MPLBACKEND", "a backend of Matplotlib", repr(backend), "unset it") from None


def planned_figures(plan: Plan, folder: str | None, figures: Iterable[str], *more: tuple[str, Kind]) -> None:
    """Add the figures of --out to a plan, and further files in the same folder."""
    if folder is None:
        return
    check_folder_writable("--out", folder)
    check_backend()
    from elbo_lab.plots.files import files_of

    plan.fills("--out", folder, [*files_of(figures), *more])


def arguments_of(function: Callable[..., Any], options: Namespace) -> dict[str, Any]:
    """Return the options that a function has as arguments {name: value}."""
    declared = inspect.signature(function).parameters
    return {name: value for name, value in vars(options).items() if name in declared}
