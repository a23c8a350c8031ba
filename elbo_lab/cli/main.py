"""elbo-lab: the one command with its subcommands.

Exit codes: 0 done, 1 two runs differ (`diff` only), 2 a mistake of the user (one line on standard error), 3 a
training that diverged, 130 interrupted.
"""

import argparse
import sys
import warnings

from elbo_lab import __version__
from elbo_lab.cli import advise, compare, diff, doctor, evaluate, fit, listing, sample
from elbo_lab.errors import Diverged, Stopped, UserMistake


class Parser(argparse.ArgumentParser):
    """A parser that tells a mistake in one line; the usage is in the help."""

    def error(self, message):
        """Leave with code 2."""
        self.exit(2, f"elbo-lab: error: {' '.join(message.split())} (see {self.prog} --help)\n")


def build_parser():
    """Return the parser; every subcommand adds its own, of the same class."""
    parser = Parser(
        prog="elbo-lab",
        description="Hold estimators of the evidence and its gradients against exact answers.",
        epilog="Start with:  elbo-lab compare --quick",
    )
    parser.add_argument("--version", action="version", version=f"elbo-lab {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for module in (compare, diff, advise, fit, evaluate, sample, listing, doctor):
        module.add_parser(commands)
    return parser


# What is typed without a name, per subcommand, and how the help calls it.
POSITIONAL = {
    "compare": {"models": "models"},
    "advise": {"model": "model"},
    "diff": {"a": "A.json", "b": "B.json"},
    "fit": {"model": "model"},
    "evaluate": {"checkpoint": "checkpoint"},
    "sample": {"checkpoint": "checkpoint"},
}
# What may have been typed in the place of another option.
IN_PLACE_OF = {"latent": "components", "checkpoint": "resume", "view": "data"}


def as_typed(line, options):
    """Return the line of a mistake with its argument as it is typed: `--gap-rows` for `gap_rows`."""
    name, colon, rest = line.partition(": ")
    typed = vars(options)
    if typed.get(name) is None and typed.get(IN_PLACE_OF.get(name)) is not None:
        name = IN_PLACE_OF[name]
    if not colon or name not in typed:
        return line
    called = POSITIONAL.get(options.command, {}).get(name, f"--{name.replace('_', '-')}")
    return f"{called}: {rest}"


def show_warning(message, *_, **__):
    """Print a warning as one line on standard error."""
    print(f"elbo-lab: warning: {' '.join(str(message).split())}", file=sys.stderr)


def main(arguments=None):
    """Run the command line; return the exit code."""
    options = build_parser().parse_args(arguments)
    with warnings.catch_warnings():
        warnings.showwarning = show_warning
        return run(options)


def run(options):
    """Run a subcommand; return the exit code, with one line on standard error for what went wrong."""
    try:
        return options.run(options) or 0
    except UserMistake as mistake:
        line = as_typed(" ".join(str(mistake).split()), options)
        print(f"elbo-lab: error: {line}", file=sys.stderr)
        return 2
    except Diverged as fault:
        remedy = "lower the learning rate; the last good checkpoint, if any, was kept"
        print(f"elbo-lab: diverged: {fault}; {remedy}", file=sys.stderr)
        return 3
    except Stopped as reason:
        print(f"elbo-lab: {reason}", file=sys.stderr)
        return 130
    except KeyboardInterrupt:
        print("elbo-lab: interrupted; nothing half-written was left", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output (head, less) has gone; that is no error of ours.
        sys.stderr.close()
    except OSError as fault:
        print(f"elbo-lab: error: {fault}", file=sys.stderr)
        return 2
    return 0
