"""elbo-lab advise: which estimator for this model?"""

from argparse import ArgumentParser, Namespace

from elbo_lab.cli.options import add_force, add_measuring, arguments_of, names_in, planned

HELP = "which estimator for this model, by measured variance x time"
DESCRIPTION = "Measure the unbiased estimators of the ELBO's gradients; recommend one of each."
EXAMPLES = """examples:
  elbo-lab advise ppca                            gradients in phi and theta
  elbo-lab advise deep-bernoulli --budget 0.002   at most 2 ms for a gradient
  elbo-lab advise gaussian-mixture:full --data mine.csv --latent 3 --draws 5
  elbo-lab advise sigmoid-belief --estimators 'rebar,rebar(temperature=0.1),disarm'
"""


def add_options(parser: ArgumentParser) -> None:
    """Add the options of this subcommand."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="a name from 'elbo-lab list', with its variant")
    add_measuring(parser)
    add(
        "--latent-prior",
        metavar="FAMILY",
        help="p(z) of a deep model, as laplace (default: N(0, I))",
    )
    add("--posterior", default="free", metavar="Q", help="free (default), amortised, a family, or MAP:FAMILY")
    add("--estimators", metavar="A,B", help="only these, as 'rebar,rebar(temperature=0.1)'; all if not given")
    add("--budget", type=float, metavar="SECONDS", help="for one gradient; slower estimators are left out")
    add("--repeats", type=int, default=400, metavar="R", help="estimates of each (default 400)")
    add("--json", metavar="FILE", help="write the advice and the evidence")
    add_force(parser)


def run(options: Namespace) -> None:
    """Measure, write, print."""
    from elbo_lab.cli.screen import finish, saved
    from elbo_lab.comparison.advice import JSON, advise
    from elbo_lab.processes import end_workers
    from elbo_lab.progress import followed
    from elbo_lab.registry import ESTIMATORS
    from elbo_lab.report import dash_of, print_lines

    plan = planned(options)
    titles = [one.title for one in ESTIMATORS.loaded()]
    arguments = arguments_of(advise, options)
    arguments["estimators"] = names_in("--estimators", options.estimators, titles)
    plan.writes("--json", options.json, JSON)
    with followed(None, lines=True) as progress:
        advice = advise(**arguments, progress=progress)
    end_workers()
    finish(
        plan.taken,
        [saved(options.json, advice.to_json)],
        lambda console: print_lines(advice.lines(console.width, dash_of(console)), console),
    )
