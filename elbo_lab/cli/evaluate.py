"""elbo-lab evaluate: judge a stored model on data."""

EXAMPLES = """examples:
  elbo-lab evaluate vae.npz --data mnist-test:dynamic --importance-samples 5000 --json out.json
  elbo-lab evaluate mixture.npz --data mine.csv
"""


def add_parser(commands):
    """Add this subcommand."""
    import argparse

    parser = commands.add_parser(
        "evaluate",
        help="log-likelihood, ELBO and importance-sampled -log p of a stored model",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
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
    parser.set_defaults(run=run)


def run(options):
    """Evaluate, print, write."""
    from rich.console import Console

    from elbo_lab.cli.numbers import number_table
    from elbo_lab.cli.progress import progress_bar
    from elbo_lab.files import check_writable
    from elbo_lab.fitting import evaluate

    if options.json is not None:
        check_writable("--json", options.json)
    with progress_bar() as progress:
        result = evaluate(
            options.checkpoint,
            options.data,
            view=options.view,
            importance_samples=options.importance_samples,
            rows=options.rows,
            seed=options.seed,
            threads=options.threads,
            data_dir=options.data_dir,
            progress=lambda done, total: progress(done, total, "importance samples"),
        )
    console = Console()
    fitted = result.settings["fitted"]
    console.print(f"{fitted['model']}, fitted to {fitted['data']}", highlight=False)
    console.print(number_table({result.settings["data"]: result.final}))
    if options.json is not None:
        result.to_json(options.json)
        print(f"written: {options.json}")
