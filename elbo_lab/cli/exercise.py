"""elbo-lab exercise: exercises that the lab grades."""

import secrets
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING

from elbo_lab.cli.options import add_force
from elbo_lab.cli.prose import filled
from elbo_lab.errors import bad_value, check_count, check_positive, unknown_name
from elbo_lab.files import Kind, json_kind, plain, write_json, write_output
from elbo_lab.outputs import Plan

if TYPE_CHECKING:
    from rich.console import Console

    from elbo_lab.exercises import Exercise
    from elbo_lab.exercises.grading import Report

SCHEMA = "elbo_lab/exercise/1"
JSON = json_kind("exercise", SCHEMA)
# A student's work matches no pattern: it is replaced only with --force.
STUB = Kind("an empty one", rb"(?!)")
SEEDS = 10**6
LARGEST_SEED = 2**63 - 1
SECONDS = 60.0
PRINTED_LINES = 8

HELP = "exercises that the lab grades, with a diagnosis"
DESCRIPTION = """Exercises in the order of the lessons. 'new' writes a file with functions to fill,
'check' calls them and says which laws hold, what is wrong, and how many points it gives.
Exit codes of 'check': 0 all points, 1 not all, 2 a mistake in the command."""
EXAMPLES = """examples:
  elbo-lab exercise list                     all of them, with lesson, time and points
  elbo-lab exercise new log-sum-exp          writes log_sum_exp.py, with a seed of your own
  elbo-lab exercise check log_sum_exp.py     points and diagnosis
"""
NEW = "Write a file with the functions to fill. A file that is there already stays, unless you say --force."
CHECK = """Run a file in a process of its own and grade it. The process is ended after --seconds; on
Linux its memory is limited to 2 GiB, elsewhere it is not. A file is a program: run
files of other people in a container."""


def add_options(parser: ArgumentParser) -> None:
    """Add the actions of this subcommand with their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    shape = RawDescriptionHelpFormatter
    actions.add_parser("list", help="all exercises (also without an action)")
    new = actions.add_parser("new", help="write a file to fill", description=NEW, formatter_class=shape)
    new.add_argument("name", metavar="NAME", help="as 'elbo-lab exercise list' has it")
    new.add_argument("--seed", type=int, metavar="N", help="of your numbers (default: drawn, and printed)")
    new.add_argument("--out", metavar="FILE", help="default: its name with underscores, .py, in this folder")
    new.add_argument("--force", action="store_true", help="replace a file that is there, with all work in it")
    check = actions.add_parser("check", help="grade a file", description=CHECK, formatter_class=shape)
    check.add_argument("file", metavar="FILE", help="a file that 'elbo-lab exercise new' began")
    check.add_argument("--seed", type=int, metavar="N", help="grade with this seed in place of the file's")
    seconds = f"limit for the whole file (default {SECONDS:g})"
    check.add_argument("--seconds", type=float, default=SECONDS, metavar="S", help=seconds)
    check.add_argument("--json", metavar="FILE", help="write points, messages and diagnoses")
    add_force(check)


def run(options: Namespace) -> int:
    """Run one action; return the exit code."""
    actions = {None: _list, "list": _list, "new": _new, "check": _check}
    return actions[options.action](options)


def _list(_: Namespace) -> int:
    """Print all exercises in their order."""
    from elbo_lab.exercises import EXERCISES

    every = list(EXERCISES.values())
    width = get_terminal_size().columns
    start = max(len(one.name) for one in every)
    for number, one in enumerate(every, 1):
        details = f"{one.title} ({one.lesson.removesuffix('.md')}; {one.minutes} min, {one.points} points)"
        first = f"{number:>2}  {one.name:<{start}}  "
        print("\n".join(filled(details, width, first, " " * len(first))))
    print("\nBegin one: elbo-lab exercise new " + every[0].name)
    return 0


def _find(name: str, argument: str) -> "Exercise":
    from elbo_lab.exercises import EXERCISES

    meant = name.lower().replace("_", "-").removesuffix(".py")
    if meant not in EXERCISES:
        raise unknown_name(argument, name, EXERCISES, "'elbo-lab exercise list' has all names")
    return EXERCISES[meant]


def _new(options: Namespace) -> int:
    """Write the stub of an exercise."""
    from elbo_lab.exercises.stub import file_name, stub

    exercise = _find(options.name, "name")
    if options.seed is None:
        options.seed = secrets.randbelow(SEEDS)
    seed = check_count("seed", options.seed, 0, LARGEST_SEED)
    file = file_name(exercise) if options.out is None else options.out
    if not file.endswith(".py"):
        raise bad_value("--out", "a name that ends in .py", repr(file))
    write_output("--out", file, stub(exercise, seed, file), STUB)
    print(f"written: {file}, with the seed {seed}")
    print(f"Fill its functions, look at a value with 'python {file}', then:")
    print(f"  elbo-lab exercise check {file}")
    return 0


def _check(options: Namespace) -> int:
    """Grade a file; return 0 for all points, else 1."""
    from elbo_lab.cli.screen import finish, saved
    from elbo_lab.exercises.checking import check_source
    from elbo_lab.exercises.guesses import guesses_file
    from elbo_lab.exercises.running import read_source

    plan = Plan()
    source = read_source("file", options.file)
    exercise = _find(source.constants["EXERCISE"], "EXERCISE")
    plan.reads("file", options.file)
    beside = guesses_file(source.path)
    if beside.exists():
        plan.reads("guesses", beside)
    elif any(one.guess for one in exercise.functions):
        plan.writes("guesses", beside, None)
    plan.writes("--json", options.json, JSON)
    seconds = check_positive("seconds", options.seconds)
    argument, given = ("SEED", source.constants["SEED"]) if options.seed is None else ("seed", options.seed)
    seed = check_count(argument, given, 0, LARGEST_SEED)
    report = check_source(exercise, seed, source, seconds)
    content = {"schema": SCHEMA} | report.record()
    finish(
        plan.taken,
        [saved(options.json, lambda path: write_json(path, plain(content), JSON))],
        lambda console: _show(report, exercise, options.file, console),
    )
    return int(report.points < report.of)


def _show(report: "Report", exercise: "Exercise", file: str, console: "Console") -> None:
    """Print a report."""
    from rich.text import Text

    from elbo_lab.exercises.grading import WAITS
    from elbo_lab.exercises.guesses import guesses_file
    from elbo_lab.report.cells import clean_text

    def show(text: str, start: str = "", after: str | None = None, style: str = "") -> None:
        for line in filled(text, console.width, start, start if after is None else after):
            console.print(Text(clean_text(line), style=style), highlight=False, soft_wrap=True)

    show(f"{exercise.title} ({report.exercise}, seed {report.seed})", style="bold")
    if report.printed.strip():
        lines = report.printed.strip().splitlines()
        more = [f"... ({len(lines) - PRINTED_LINES} lines more)"] if len(lines) > PRINTED_LINES else []
        console.print(Text("Your file printed:"), highlight=False)
        for line in [*lines[:PRINTED_LINES], *more]:
            printed = clean_text(line.expandtabs())[: console.width - 2]
            console.print(Text(f"  {printed}", style="dim"), highlight=False, soft_wrap=True)
    console.print()
    told: set[str] = set()
    for law in report.laws:
        held = law.points == law.of
        waits = law.message == WAITS
        first = f"{'ok' if held else '--' if waits else 'no':<4}{law.points}/{law.of}  "
        show(law.law, first, " " * len(first), "green" if held else "dim" if waits else "red")
        if law.message and not report.note and not waits and law.message not in told:
            told.add(law.message)
            show(law.message, " " * len(first), style="dim" if held else "")
        if law.diagnosis and law.diagnosis not in told:
            told.add(law.diagnosis)
            show(law.diagnosis, " " * len(first) + "-> ", " " * len(first) + "   ", style="bold")
    console.print()
    for line in report.answer.splitlines():
        show(line, after="  ")
    if report.answer:
        show(f"Your first guess is kept in {guesses_file(Path(file)).name}.", style="dim")
        console.print()
    if report.note:
        show(report.note[0].upper() + report.note[1:] + ".", style="bold")
    show(f"{report.points} of {report.of} points", style="bold")
    if not report.limited:
        show("Memory was not limited: this system has no such limit.", style="dim")
