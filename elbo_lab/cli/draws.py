"""elbo-lab draws: how many draws does log p(x) need?"""

from argparse import ArgumentParser, ArgumentTypeError, Namespace

from elbo_lab.cli.options import add_force, arguments_of, planned

HELP = "how many draws log p(x) needs, from the prior and from q"
DESCRIPTION = "Print how many draws bring the error of log p-hat down to some nats, from exact variances."
EXAMPLES = """examples:
  elbo-lab draws ppca                             K = 1 ... 32, within 0.1 nats
  elbo-lab draws ppca --at exact                  q at the posterior: 1 draw
  elbo-lab draws deep-bernoulli --latent 1,2      q is too narrow for a finite number
  elbo-lab draws gaussian-mixture:full --data mine.csv --within 0.01
"""


def add_options(parser: ArgumentParser) -> None:
    """Add the options of this subcommand."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="a name from 'elbo-lab list', with its variant")
    add("--within", type=float, default=0.1, metavar="NATS", help="less than 1 (default 0.1)")
    add("--data", metavar="NAME_OR_FILE", help="data set, CSV, NPY or NPZ; a model's own if not given")
    add(
        "--latent",
        type=whole_numbers,
        metavar="K,K",
        help="latent dimensions (default 1,2,4,8,16,32 if any fits)",
    )
    add("--rows", type=int, metavar="N", help="data rows, a seeded choice (default 32)")
    add(
        "--latent-prior",
        metavar="FAMILY",
        help="p(z) of a deep model, as laplace (default: N(0, I))",
    )
    add(
        "--posterior",
        default="free",
        metavar="Q",
        help="free (default), amortised, exact, a family, or MAP:FAMILY",
    )
    add("--at", default="near", metavar="PLACE", help="q: near (default: off on purpose), start or exact")
    add("--seed", type=int, default=0, metavar="N", help="of the rows and the fit (default 0)")
    add("--json", metavar="FILE", help="write all rows and settings")
    add_force(parser)


def whole_numbers(text: str) -> list[int]:
    """Return the numbers of a list that is separated by commas."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ArgumentTypeError(f"expected whole numbers with commas between, got {text!r}") from None


def run(options: Namespace) -> None:
    """Compute, write, print."""
    from elbo_lab.cli.screen import finish, saved
    from elbo_lab.comparison.draws import JSON, draws_needed
    from elbo_lab.progress import followed
    from elbo_lab.report import print_lines

    plan = planned(options)
    plan.writes("--json", options.json, JSON)
    with followed(None, lines=True) as progress:
        needed = draws_needed(**arguments_of(draws_needed, options), progress=progress)
    finish(
        plan.taken,
        [saved(options.json, needed.to_json)],
        lambda console: print_lines(needed.lines(console.width), console),
    )
