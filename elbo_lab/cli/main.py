"""elbo-lab: the one command with its subcommands.

Exit codes: 0 done, 1 two runs differ (`diff`), a check failed (`check`) or a file lacks points (`exercise
check`), 2 a mistake of the user (one line on standard error), 3 a training that diverged, 130 interrupted.
"""

import errno
import os
import re
import sys
import warnings
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import NoReturn

from elbo_lab import __version__
from elbo_lab.cli import (
    advise,
    check,
    compare,
    demo,
    diff,
    doctor,
    draws,
    encode,
    evaluate,
    exercise,
    explain,
    explore,
    fit,
    grid,
    listing,
    race,
    sample,
)
from elbo_lab.cli.streams import discard, flush, open_streams, settle
from elbo_lab.errors import Diverged, Stopped, UserMistake, bad_value, one_line
from elbo_lab.files import replacing_anything


class Parser(ArgumentParser):
    """A parser that reports a mistake in one line; the usage is in the help."""

    def error(self, message: str) -> NoReturn:
        """Leave with code 2."""
        self.exit(2, f"elbo-lab: error: {one_line(message)} (see {self.prog} --help)\n")

    # Returns the last part of the help, for which it may load what no other run needs.
    last_part: Callable[[], str] | None = None

    def format_help(self) -> str:
        """Return the help."""
        text = super().format_help()
        return text if self.last_part is None else f"{text}\n{self.last_part()}"


COMMANDS = {
    "compare": compare,
    "diff": diff,
    "advise": advise,
    "draws": draws,
    "race": race,
    "check": check,
    "fit": fit,
    "evaluate": evaluate,
    "encode": encode,
    "sample": sample,
    "explain": explain,
    "explore": explore,
    "grid": grid,
    "demo": demo,
    "exercise": exercise,
    "list": listing,
    "doctor": doctor,
}
GREETING = """How well can we estimate log p(x) of a latent-variable model, and its gradients?
elbo-lab compares each estimator (REINFORCE, reparameterization, IWAE ...) with
the exact answer: how far off it is, how noisy, and at what cost. Try:

  elbo-lab compare             six models in one screen, in about ten seconds
  elbo-lab explain REINFORCE   its formula, when it helps, when it fails
  elbo-lab demo 0              two estimators climb to log p(x); a picture

More: elbo-lab --help and elbo-lab list. The lessons begin in docs/index.md."""
LAST_PARTS = {"fit": fit.defaults}


def build_parser() -> Parser:
    """Return the parser, with one for each subcommand."""
    parser = Parser(
        prog="elbo-lab",
        description="Compare estimators of the evidence and its gradients with exact answers.",
        epilog="Start with:  elbo-lab compare",
    )
    parser.add_argument("--version", action="version", version=f"elbo-lab {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, module in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=module.HELP,
            description=module.DESCRIPTION,
            epilog=module.EXAMPLES,
            formatter_class=RawDescriptionHelpFormatter,
        )
        command.last_part = LAST_PARTS.get(name)
        module.add_options(command)
        command.set_defaults(run=module.run, parser=command)
    return parser


# Positional arguments of each subcommand, and their names in the help.
POSITIONAL = {
    "compare": {"models": "models"},
    "advise": {"model": "model"},
    "draws": {"model": "model"},
    "race": {"model": "model"},
    "grid": {"models": "models"},
    "check": {"names": "name"},
    "demo": {"demo": "demo"},
    "exercise": {"name": "name", "file": "file"},
    "explain": {"word": "word"},
    "list": {"kind": "kind"},
    "diff": {"a": "A.json", "b": "B.json"},
    "fit": {"model": "model"},
    "evaluate": {"checkpoint": "checkpoint", "checkpoints": "checkpoint"},
    "encode": {"checkpoint": "checkpoint"},
    "sample": {"checkpoint": "checkpoint"},
}
# Options that set the argument of another name.
IN_PLACE_OF = {
    "targets": "target",
    "latent": "components",
    "checkpoint": "resume",
    "view": "data",
}


def as_typed(line: str, options: Namespace) -> str:
    """Return the line of a mistake with its argument as the user types it: `--gap-rows` for `gap_rows`."""
    name, colon, rest = line.partition(": ")
    typed = vars(options)
    if typed.get(name) is None and typed.get(IN_PLACE_OF.get(name, name)) is not None:
        name = IN_PLACE_OF[name]
    if not colon or name not in typed:
        return line
    called = POSITIONAL.get(options.command, {}).get(name, f"--{name.replace('_', '-')}")
    return f"{called}: {rest}"


def say(line: object) -> None:
    """Print one line on standard error, if anybody reads it."""
    try:
        print(f"elbo-lab: {' '.join(str(line).split())}", file=sys.stderr, flush=True)
    except OSError:
        discard(sys.stderr)


def show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """Print a warning as one line on standard error."""
    say(f"warning: {message}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    open_streams()
    try:
        if not (sys.argv[1:] if arguments is None else arguments):
            print(GREETING)
            return 0
        options, unknown = build_parser().parse_known_args(arguments)
        if unknown:  # the parser of the subcommand would point to the help of the whole
            known = re.findall(r"(?<=[\s\[])--[a-z][a-z-]+", options.parser.format_help())
            near = get_close_matches(unknown[0].partition("=")[0], known, 1, cutoff=0.75)
            hint = f"; did you mean {near[0]}?" if near else ""
            words = f"unrecognized arguments: {' '.join(unknown)}{hint}"
            Parser(prog=f"elbo-lab {options.command}").error(words)
    finally:
        settle()  # of the help: its reader may have gone
    with warnings.catch_warnings(), replacing_anything(getattr(options, "force", False)):
        warnings.showwarning = show_warning
        return run(options)


def check_environment() -> None:
    """Refuse now a setting with which compiled code would end later in a traceback."""
    threads = os.environ.get("NUMBA_NUM_THREADS")
    if threads and not (threads.isdecimal() and int(threads)):
        raise bad_value("NUMBA_NUM_THREADS", "a whole number of at least 1", repr(threads), "unset it")


# What the user can do about an error of the system.
REMEDIES = {
    errno.ENOSPC: "make room on that disk, or name a file on another",
    errno.EDQUOT: "make room within your quota, or name a file on another disk",
    errno.EFBIG: "raise the limit on the size of a file (ulimit -f), or name a file on another disk",
}


def in_words(fault: OSError) -> str:
    """Return an error of the system with the file that it concerns, where it names one, and what to do."""
    if fault.strerror is None:
        return str(fault)
    name = "" if fault.filename is None else f"{one_line(repr(str(fault.filename)))}: "
    remedy = REMEDIES.get(fault.errno or 0)
    return f"{name}{fault.strerror}" + (f"; {remedy}" if remedy else "")


def run(options: Namespace) -> int:
    """Run a subcommand; return the exit code, with one line on standard error for what went wrong."""
    try:
        check_environment()
        code = options.run(options) or 0
        flush()
        return code
    except UserMistake as mistake:
        say(f"error: {as_typed(' '.join(str(mistake).split()), options)}")
        return 2
    except Diverged as fault:
        say(f"diverged: {fault}; lower the learning rate; the last good checkpoint, if any, was kept")
        return 3
    except Stopped as reason:
        say(reason)
        return 130
    except KeyboardInterrupt:
        say("interrupted; nothing half-written was left")
        return 130
    except BrokenPipeError:
        # The reader of our output (head, less) has gone; that is no error of ours.
        settle()
        return 0
    except OSError as fault:
        say(f"error: {in_words(fault)}")
        settle()
        return 2
    except MemoryError:
        # What the checks of sizes did not foresee, as a user's own model or estimator.
        say("error: there is not enough memory for this run; take fewer rows, draws or latents")
        return 2
