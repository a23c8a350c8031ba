"""elbo-lab diff: what has changed between two runs of compare?"""

from argparse import ArgumentParser, Namespace

from elbo_lab.cli.options import add_force, planned

HELP = "what changed between two runs of compare, beyond error bars"
DESCRIPTION = "Compare two runs of 'elbo-lab compare --json' with each other, row by row."
EXAMPLES = """examples:
  elbo-lab compare --quick --json before.json
  elbo-lab compare --quick --json after.json         another version or machine
  elbo-lab diff before.json after.json

exit codes: 0 nothing changed beyond error bars, 1 something changed or is in
one run only, 2 a mistake in the command
"""


def add_options(parser: ArgumentParser) -> None:
    """Add the options of this subcommand."""
    add = parser.add_argument
    add("a", metavar="A.json", help="the run before")
    add("b", metavar="B.json", help="the run after")
    add("--all", action="store_true", help="show every row, not only those that changed")
    add("--json", metavar="FILE", help="write all rows of the difference")
    add_force(parser)


def run(options: Namespace) -> int:
    """Compare, write, print; return 1 if something changed."""
    from elbo_lab.cli.screen import finish, saved
    from elbo_lab.comparison.difference import JSON, difference
    from elbo_lab.report import dash_of, print_lines

    plan = planned(options, "A.json", "B.json")
    plan.writes("--json", options.json, JSON)
    changes = difference(options.a, options.b)
    finish(
        plan.taken,
        [saved(options.json, changes.to_json)],
        lambda console: print_lines(changes.lines(console.width, dash_of(console), options.all), console),
    )
    return int(changes.differs)
