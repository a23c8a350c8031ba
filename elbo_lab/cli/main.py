"""elbo-lab: the one command with its subcommands.

Exit codes: 0 done, 2 a mistake of the user (one line on standard error), 3 a training that diverged, 130
interrupted.
"""

import argparse
import sys

from elbo_lab import __version__
from elbo_lab.cli import compare, doctor, evaluate, fit, listing, sample
from elbo_lab.errors import Diverged, Stopped, UserMistake


def build_parser():
    """Return the parser; every subcommand adds its own."""
    parser = argparse.ArgumentParser(
        prog="elbo-lab",
        description="Hold estimators of the evidence and its gradients against exact answers.",
        epilog="Start with:  elbo-lab compare --quick",
    )
    parser.add_argument("--version", action="version", version=f"elbo-lab {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for module in (compare, fit, evaluate, sample, listing, doctor):
        module.add_parser(commands)
    return parser


def main(arguments=None):
    """Run the command line; return the exit code."""
    options = build_parser().parse_args(arguments)
    try:
        options.run(options)
    except UserMistake as mistake:
        print(f"elbo-lab: error: {' '.join(str(mistake).split())}", file=sys.stderr)
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
