"""elbo-lab diff: what has changed between two runs of compare?"""

EXAMPLES = """examples:
  elbo-lab compare --quick --json before.json
  elbo-lab compare --quick --json after.json         with another version, machine, number of repeats
  elbo-lab diff before.json after.json

exit codes: 0 nothing changed beyond error bars, 1 something changed or stands in one run only,
2 trouble
"""


def add_parser(commands):
    """Add this subcommand."""
    import argparse

    parser = commands.add_parser(
        "diff",
        help="what changed between two runs of compare, beyond error bars",
        description="Hold two runs of 'elbo-lab compare --json' against each other, row by row.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("a", metavar="A.json", help="the run before")
    add("b", metavar="B.json", help="the run after")
    add("--all", action="store_true", help="show every row, not only those that changed")
    add("--json", metavar="FILE", help="write all rows of the difference")
    parser.set_defaults(run=run)


def run(options):
    """Compare, print, write; return 1 if something changed."""
    from rich.console import Console

    from elbo_lab.comparison.difference import difference
    from elbo_lab.files import check_writable
    from elbo_lab.report.blocks import dash_of, print_lines

    if options.json is not None:
        check_writable("--json", options.json)
    found, console = difference(options.a, options.b), Console()
    print_lines(found.lines(console.width, dash_of(console), options.all), console)
    if options.json is not None:
        found.to_json(options.json)
        print(f"written: {options.json}")
    return int(found.differs)
