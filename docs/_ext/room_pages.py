"""The API reference: a page per room, a section per file with its chapter and its public names.

Public is what a room hands on in `__all__`. The pages are written anew by every build.
"""

import inspect
import re
from importlib import import_module

from plain_text import escape, to_rst

# Floors from the ground up, each with its rooms.
FLOORS = {
    "Ground": ("special", "layout", "kernels", "distributions", "networks"),
    "Models, posteriors, bounds": ("models", "posteriors", "bounds", "exact"),
    "Estimators": ("estimators",),
    "Names and data": ("registry", "datasets"),
    "Learning": ("chains", "optimise", "em", "training", "evaluation"),
    "Studies and main jobs": ("study", "theory", "report", "plots", "comparison", "fitting"),
}
ROOMS = [f"elbo_lab.{room}" for floor in FLOORS.values() for room in floor]
SECTION = re.compile(r"^(Parameters|Returns|Yields|Raises|Attributes|Notes|References|Examples|See Also)$")


def public_names(room):
    """Return {file's module: [name, ...]} of the functions and classes that a room defines and hands on."""
    module = import_module(room)
    names = getattr(module, "__all__", None)
    if names is None:
        names = [name for name in vars(module) if not name.startswith("_")]
    # What a room hands on from a room inside of it stands on the page of that one.
    others = tuple(f"{other}." for other in ROOMS if other.startswith(room + "."))
    found = {}
    for name in names:
        item = getattr(module, name)
        home = getattr(item, "__module__", "") if callable(item) else ""
        if f"{home}.".startswith(room + ".") and not f"{home}.".startswith(others or "-"):
            found.setdefault(home, []).append(name)
    return found


def _page(room):
    lines = [room, "=" * len(room), "", f".. automodule:: {room}", "   :no-index:", ""]
    lines += [f".. currentmodule:: {room}"]
    files = public_names(room)
    names = [name for home in files for name in files[home]]
    lines += ["", ".. autosummary::", "   :nosignatures:", "", *(f"   {name}" for name in names), ""]
    for home in files:
        title = home.replace(".", "/") + ".py"
        if home != room:
            lines += ["", title, "-" * len(title), "", f".. automodule:: {home}", "   :no-index:", ""]
        for name in files[home]:
            kind = "autoclass" if inspect.isclass(getattr(import_module(room), name)) else "autofunction"
            lines += [f".. {kind}:: {room}.{name}", *(["   :members:"] if kind == "autoclass" else []), ""]
    return "\n".join(lines) + "\n"


def _overview():
    lines = [
        "API reference",
        "=============",
        "",
        "From the ground up: a page for each subpackage, a section for each file.",
        "",
    ]
    for floor, rooms in FLOORS.items():
        lines += [floor, "-" * len(floor), ""]
        for room in (f"elbo_lab.{name}" for name in rooms):
            first = inspect.getdoc(import_module(room)).splitlines()[0]
            lines.append(f"- :doc:`{room} <{room}>`: {escape(first)}")
        lines.append("")
    lines += [".. toctree::", "   :hidden:", "", *(f"   {room}" for room in ROOMS), ""]
    return "\n".join(lines)


def write(folder):
    """Write the pages of all rooms into a folder."""
    folder.mkdir(exist_ok=True)
    pages = {f"{room}.rst": _page(room) for room in ROOMS} | {"index.rst": _overview()}
    for name, text in pages.items():
        # An unchanged page keeps its time, so that Sphinx need not read it again.
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for old in {path.name for path in folder.iterdir()} - set(pages):
        (folder / old).unlink()


def read_docstring(_, what, __, ___, ____, lines):
    """Escape what is no markup in the docstrings of the house; a handler of `autodoc-process-docstring`."""
    if what == "module":
        lines[:] = [*to_rst("\n".join(lines)).splitlines(), ""]
        return
    start = next((i for i, line in enumerate(lines) if SECTION.match(line)), len(lines))
    text = to_rst("\n".join(lines[:start])).splitlines()
    sections = escape("\n".join(lines[start:])).splitlines()
    lines[:] = [*text, *([""] if sections else []), *sections, ""]
