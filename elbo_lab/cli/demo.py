"""elbo-lab demo: the demos that come with the package, one idea each."""

import os
import re
import runpy
import sys
import textwrap
from argparse import ArgumentParser, Namespace
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from shutil import get_terminal_size

from elbo_lab.cli.options import add_force, planned, planned_figures
from elbo_lab.cli.shipped import shipped
from elbo_lab.cli.streams import Outliving
from elbo_lab.errors import bad_value, unknown_name
from elbo_lab.files import check_writable, write_bytes
from elbo_lab.names import spelt

HELP = "the demos: one idea, one picture each"
DESCRIPTION = "List the demos, or run one: it prints what it finds and writes its pictures."
EXAMPLES = """examples:
  elbo-lab demo                   all demos, and how long they take
  elbo-lab demo 8                 REINFORCE against reparameterization
  elbo-lab demo 8 --notebook      the same as a Jupyter notebook, here
  elbo-lab demo staircase --quick by a word of its title, with a small budget
"""
FOLDER = "elbo-lab-figures"
NARROWEST = 20
FIGURE = re.compile(r'save_figure\([^"]*"([\w-]+)"(?:, caption)?\)')
HEADER = re.compile(r"^# # (?P<title>[^\n]+)$.*?^Expected time: (?P<seconds>[^.;]+)[.;]", re.M | re.S)


@dataclass(frozen=True)
class Demo:
    """A demo: its script, its number and title, and how long it takes in words."""

    path: Path
    number: int
    title: str
    seconds: str


def demos() -> list[Demo]:
    """Return the demos in their order."""
    found = []
    for path in sorted(shipped("demos").glob("[0-9]*.py")):
        header = HEADER.search(path.read_text(encoding="utf-8"))
        if header is not None:
            found.append(
                Demo(path, int(path.name.partition("_")[0]), header["title"], _short(header["seconds"]))
            )
    return found


def _short(seconds: str) -> str:
    """Return a time in words without what every time says."""
    return seconds.removeprefix("about ").removesuffix(" on two cores")


def find(asked: str) -> Demo:
    """Return the demo of a number, a file name or a word of its title."""
    every = demos()
    if asked.isdecimal():
        chosen = [demo for demo in every if demo.number == int(asked)]
    else:
        word = spelt(Path(asked).stem)
        chosen = [demo for demo in every if word in spelt(demo.path.stem) or word in spelt(demo.title)]
    if len(chosen) > 1:
        numbers = ", ".join(str(demo.number) for demo in chosen)
        raise bad_value("demo", "one demo", repr(asked), f"its number: {numbers}")
    if not chosen:
        titles = [demo.title for demo in every]
        raise unknown_name("demo", asked, titles, f"'elbo-lab demo' has them all, 0 to {every[-1].number}")
    return chosen[0]


def listed(width: int) -> list[str]:
    """Return the demos as lines of at most `width` characters, or 20, with the time before the title."""
    every, width = demos(), max(width, NARROWEST)
    seconds = max(len(demo.seconds) for demo in every)
    lines = []
    for demo in every:
        start = f"{demo.number:>2}  {demo.seconds:<{seconds}}  "
        if len(start) > width // 2:
            for text, indent in ((start.rstrip(), ""), (demo.title, "    ")):
                lines += textwrap.wrap(text, width, initial_indent=indent, subsequent_indent="    ")
            continue
        lines += textwrap.wrap(demo.title, width, initial_indent=start, subsequent_indent=" " * len(start))
    last = "Run one: elbo-lab demo 8. Rougher, in a few seconds: elbo-lab demo 8 --quick"
    return [*lines, "", *textwrap.wrap(last, width)]


def add_options(parser: ArgumentParser) -> None:
    """Add the options of this subcommand."""
    add = parser.add_argument
    add("demo", nargs="?", metavar="DEMO", help="its number, or a word of its title; a list if none")
    add("--notebook", action="store_true", help="write it as a Jupyter notebook here, and do not run it")
    add("--quick", action="store_true", help="a small budget: rougher numbers, most in three seconds")
    add("--out", default=FOLDER, metavar="DIR", help=f"folder of the pictures (default {FOLDER})")
    add_force(parser)


def _write_notebook(demo: Demo) -> Path:
    """Write a demo as a notebook into the present folder; return its path."""
    from elbo_lab.cli.notebooks import notebook_of

    path = Path(f"{demo.path.stem}.ipynb")
    if os.path.lexists(path):  # it may hold work
        raise bad_value("--notebook", "a folder without this notebook", f"{str(path)!r}", "move it away")
    check_writable("--notebook", path)
    write_bytes(path, notebook_of(demo.path.read_text(encoding="utf-8")).encode())
    return path


def run(options: Namespace) -> None:
    """List the demos, or run one as a script."""
    if options.demo is None:
        print("\n".join(listed(get_terminal_size().columns)))
        return
    demo = find(options.demo)
    if options.notebook:
        print(f"written: {_write_notebook(demo)}")
        return
    os.environ["ELBO_LAB_OUT"] = options.out
    os.environ["ELBO_LAB_QUICK"] = "1" if options.quick else "0"
    os.environ["MPLBACKEND"] = "agg"  # opens no window
    planned_figures(planned(options), options.out, FIGURE.findall(demo.path.read_text(encoding="utf-8")))
    try:
        with redirect_stdout(Outliving(sys.stdout)):
            print(demo.title if options.quick else f"{demo.title} ({demo.seconds})", end="\n\n", flush=True)
            runpy.run_path(str(demo.path), run_name="__main__")
    finally:
        from elbo_lab.processes import end_workers

        end_workers()
    print(f"\nthe pictures: {Path(options.out).resolve()}\nto read and change: {demo.path}")
