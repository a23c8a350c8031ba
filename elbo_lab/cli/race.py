"""elbo-lab race: does less variance train faster?"""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import Any

from elbo_lab.cli.options import (
    add_force,
    arguments_of,
    latent_sizes,
    names_in,
    planned,
    planned_figures,
)

HELP = "does less variance train faster? several estimators from the same start"
DESCRIPTION = """Train with several estimators from the same start, each at its best rate and all at one rate;
print how far each is from the exact optimum. About a minute on two cores, with --quick some seconds."""
EXAMPLES = """examples:
  elbo-lab race ppca
  elbo-lab race ppca --quick --estimators reparameterization,score-function-loo,score-function
  elbo-lab race sigmoid-belief --latent 4 --data digits:binary
  elbo-lab race ppca --objective iwae --draws 8
  elbo-lab race ppca --json race.json --out figures
"""
QUICK: dict[str, Any] = {"steps": 200, "repeats": 4, "rates": (0.01, 0.1), "rows": 32}


def rates_in(text: str) -> tuple[float, ...]:
    """Return the numbers of --rates."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ArgumentTypeError(f"expected numbers with commas between, got {text!r}") from None


def add_options(parser: ArgumentParser) -> None:
    """Add the options of this subcommand."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="a name from 'elbo-lab list' with an exact log p(x)")
    add("--estimators", metavar="A,B", help="at least two, of the gradient in phi (default: usual ones)")
    add("--theta-estimator", metavar="NAME", help="the same for all (default: that of the objective)")
    add("--data", metavar="NAME_OR_FILE", help="data set, CSV, NPY or NPZ; a model's own if not given")
    add("--latent", type=latent_sizes, metavar="K", help="latent dimensions or mixture components")
    add("--posterior", metavar="Q", help="free (default), amortised, a family, or MAP:FAMILY")
    add("--objective", metavar="NAME", help="elbo (default), iwae, and other bounds, see 'elbo-lab list'")
    add("--noise", metavar="KIND", help="of a step: independent, antithetic, sobol")
    add("--optimizer", metavar="NAME", help="as for fit (default adam)")
    add("--draws", type=int, metavar="S", help="draws of z per datum and step (default 2)")
    add("--steps", type=int, metavar="T", help="of every training (default 400)")
    add("--rates", type=rates_in, metavar="A,B", help="the grid (default 0.003,0.01,0.03,0.1,0.3)")
    add("--target", type=float, metavar="F", help="cost to come within F of the start's distance (0.1)")
    add("--repeats", type=int, metavar="R", help="seeds of the race, beside 3 of the tuning (default 12)")
    add("--rows", type=int, metavar="N", help="data rows, all in every step (default 64)")
    add("--seed", type=int, metavar="N", help="reproduces everything but seconds (default 0)")
    add("--threads", type=int, metavar="T", help="changes nothing but the time (default: all cores)")
    add("--quick", action="store_true", help="2 rates, 200 steps, 4 seeds, 32 rows unless given")
    add("--json", metavar="FILE", help="write rows, tuning, curves and settings")
    add("--out", metavar="DIR", help="write the figure")
    add_force(parser)


def run(options: Namespace) -> None:
    """Race, write, print."""
    from elbo_lab.cli.screen import finish, saved
    from elbo_lab.comparison.race import FIGURES, JSON, race
    from elbo_lab.processes import end_workers
    from elbo_lab.progress import followed
    from elbo_lab.registry import ESTIMATORS
    from elbo_lab.report import dash_of, print_lines

    plan = planned(options)
    plan.writes("--json", options.json, JSON)
    planned_figures(plan, options.out, FIGURES)
    titles = [one.title for one in ESTIMATORS.loaded()]
    given = {name: value for name, value in arguments_of(race, options).items() if value is not None}
    arguments: dict[str, Any] = (QUICK if options.quick else {}) | given
    if options.estimators is not None:
        arguments["estimators"] = names_in("--estimators", options.estimators, titles)
    with followed(None, lines=True) as progress:
        result = race(**arguments, progress=progress)
    end_workers()

    def figures() -> str:
        names = [] if options.out is None else result.write_figures(options.out)
        return f"{options.out}/ ({', '.join(names)}; PNG and SVG)" if names else ""

    finish(
        plan.taken,
        [saved(options.json, result.to_json), figures],
        lambda console: print_lines(result.lines(console.width, dash_of(console)), console),
    )
