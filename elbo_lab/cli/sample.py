"""elbo-lab sample: draw from a stored model."""

from argparse import ArgumentParser, Namespace

from elbo_lab.cli.options import add_force, planned, planned_figures

HELP = "generate data from a stored model"
DESCRIPTION = EXAMPLES = ""
OUT = "elbo-lab-samples"


def add_options(parser: ArgumentParser) -> None:
    """Add the options of this subcommand."""
    add = parser.add_argument
    add("checkpoint", metavar="CHECKPOINT", help="as written by 'elbo-lab fit --checkpoint'")
    add("--out", default=OUT, metavar="DIR", help=f"folder of samples.npz and the figures (default {OUT})")
    add("--count", type=int, default=1000, metavar="N", help="samples in samples.npz (default 1000)")
    add("--label", metavar="CLASS", help="of a conditional model: draw data of this class (default: of all)")
    add("--seed", type=int, default=0, metavar="N", help="reproduces the samples (default 0)")
    add_force(parser)


def run(options: Namespace) -> None:
    """Draw, write."""
    from elbo_lab.files import ARRAYS
    from elbo_lab.fitting import load_fitted
    from elbo_lab.fitting.samples import SAMPLES, write_samples
    from elbo_lab.report.questions import OF_FITS

    planned_figures(planned(options, "checkpoint"), options.out, OF_FITS, (SAMPLES, ARRAYS))
    stored = load_fitted(options.checkpoint)
    figures = write_samples(stored, options.out, options.count, options.seed, options.label)
    n_columns = stored.front.model.n_columns - (stored.model.given_classes > 0)
    print(
        f"written: {options.out}/samples.npz ({options.count} rows x {n_columns}), "
        f"{', '.join(figures)} (PNG and SVG)"
    )
