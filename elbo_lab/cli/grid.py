"""elbo-lab grid: which estimators train which model, with which q and objective, and why not the others."""

from argparse import ArgumentParser, Namespace

from elbo_lab.cli.options import add_force, arguments_of, planned

HELP = "which estimators train which model with which q, and why not the others"
DESCRIPTION = (
    "Show for every model, family of q, objective and estimator whether they can be trained together."
)
EXAMPLES = """examples:
  elbo-lab grid                                   all models by all families of q
  elbo-lab grid deep-bernoulli                    one model: families, then estimators
  elbo-lab grid ppca --families laplace --objectives elbo,iwae
  elbo-lab grid --why                             each reason with an example
"""


def add_options(parser: ArgumentParser) -> None:
    """Add the options of this subcommand."""
    add = parser.add_argument
    add("models", nargs="?", metavar="MODELS", help="names with commas between (default: all)")
    add("--families", metavar="NAMES", help="families of q (default: all)")
    add("--objectives", metavar="NAMES", help="what is maximised (default: all)")
    add("--estimators", metavar="NAMES", help="of a gradient in theta or phi (default: all)")
    add("--why", action="store_true", help="show an example of every reason, and what it concerns")
    add("--json", metavar="FILE", help="write all cells")
    add_force(parser)


def run(options: Namespace) -> None:
    """Compute, write, print."""
    from rich.text import Text

    from elbo_lab.cli.screen import finish, saved
    from elbo_lab.fitting.grid import JSON, grid
    from elbo_lab.report import print_lines

    plan = planned(options)
    plan.writes("--json", options.json, JSON)
    found = grid(**arguments_of(grid, options))
    finish(
        plan.taken,
        [saved(options.json, found.to_json)],
        lambda console: print_lines(map(Text, found.lines(console.width, options.why)), console),
    )
