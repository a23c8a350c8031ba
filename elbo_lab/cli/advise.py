"""elbo-lab advise: which estimator for this model?"""

from elbo_lab.cli.measuring import add_measuring

EXAMPLES = """examples:
  elbo-lab advise ppca                            estimators of the gradients in phi and theta
  elbo-lab advise deep-bernoulli --budget 0.002   two milliseconds for one gradient
  elbo-lab advise gaussian-mixture:full --data mine.csv --latent 3 --draws 5
"""


def add_parser(commands):
    """Add this subcommand."""
    import argparse

    parser = commands.add_parser(
        "advise",
        help="which estimator for this model, by measured variance x time",
        description="Measure the unbiased estimators of the ELBO's gradients on one model, and recommend.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="a name from 'elbo-lab list', with its variant")
    add_measuring(add)
    add("--posterior", default="free", metavar="KIND", help="free (default), full or amortised")
    add("--budget", type=float, metavar="SECONDS", help="for one gradient; slower estimators are left out")
    add("--repeats", type=int, default=400, metavar="R", help="estimates of each (default 400)")
    add("--json", metavar="FILE", help="write the advice and the evidence")
    parser.set_defaults(run=run)


def run(options):
    """Measure, print, write."""
    from rich.console import Console

    from elbo_lab.cli.progress import progress_bar
    from elbo_lab.comparison.advice import advise
    from elbo_lab.files import check_writable
    from elbo_lab.processes import end_workers
    from elbo_lab.report.blocks import dash_of, print_lines

    if options.json is not None:
        check_writable("--json", options.json)
    names = "data latent posterior budget draws repeats rows seed threads".split()
    with progress_bar() as progress:
        found = advise(options.model, progress=progress, **{name: getattr(options, name) for name in names})
    end_workers()
    console = Console()
    print_lines(found.lines(console.width, dash_of(console)), console)
    if options.json is not None:
        found.to_json(options.json)
        print(f"written: {options.json}")
