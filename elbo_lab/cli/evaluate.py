"""elbo-lab evaluate: judge a stored model on data."""

from argparse import ArgumentParser, Namespace

from elbo_lab.cli.options import arguments_of, check_outputs

HELP = "log-likelihood, ELBO and importance-sampled log p of a stored model"
DESCRIPTION = ""
EXAMPLES = """examples:
  elbo-lab evaluate vae.npz --data mnist-test:dynamic --importance-samples 5000 --json out.json
  elbo-lab evaluate mixture.npz --data mine.csv
"""


def add_options(parser: ArgumentParser) -> None:
    """Add the options of this subcommand."""
    add = parser.add_argument
    add("checkpoint", metavar="CHECKPOINT", help="as written by 'elbo-lab fit --checkpoint'")
    add("--data", required=True, metavar="NAME_OR_PATH", help="data to judge it on")
    add("--view", metavar="VIEW", help="view of a data set (default: as fitted)")
    add("--data-dir", metavar="DIR", help="where mnist's files are (also: ELBO_LAB_DATA)")
    add("--importance-samples", type=int, default=5000, metavar="K", help="per datum (default 5000)")
    add("--rows", type=int, metavar="N", help="rows, by a seeded permutation (default: all)")
    add("--seed", type=int, default=0, metavar="N", help="reproduces the numbers (default 0)")
    add("--threads", type=int, metavar="T", help="changes nothing but the time (default: all cores)")
    add("--json", metavar="FILE", help="write settings and final numbers")


def run(options: Namespace) -> None:
    """Evaluate, print, write."""
    from rich.console import Console

    from elbo_lab.cli.numbers import number_table
    from elbo_lab.cli.progress import progress_bar
    from elbo_lab.fitting import evaluate

    check_outputs(options)
    with progress_bar() as show:
        result = evaluate(
            **arguments_of(evaluate, options),
            progress=lambda done, total: show(done, total, "importance samples"),
        )
    console = Console()
    fitted = result.settings["fitted"]
    console.print(f"{fitted['model']}, fitted to {fitted['data']}", highlight=False)
    console.print(number_table({result.settings["data"]: result.final}))
    if options.json is not None:
        result.to_json(options.json)
        print(f"written: {options.json}")
