"""elbo-lab encode: mean, standard deviation and draws of z for every row."""

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from elbo_lab.cli.options import add_force, arguments_of, planned

if TYPE_CHECKING:
    from rich.console import Console

HELP = "the code of every row: mean, sd and draws of z given x"
DESCRIPTION = "Write mean and standard deviation of z given x for every row, under q or the exact posterior."
EXAMPLES = """examples:
  elbo-lab encode vae.npz --out codes.csv                       q of the encoder
  elbo-lab encode vae.npz --posterior exact --out codes.csv     a grid for one or two latents, or a formula
  elbo-lab encode vae.npz --posterior hmc --draws 10 --out codes.csv
  elbo-lab encode mixture.npz --data mine.csv --out codes.csv   responsibilities
"""
# Above it chains do not agree.
HIGH_R_HAT = 1.05


def add_options(parser: ArgumentParser) -> None:
    """Add the options of this subcommand."""
    add = parser.add_argument
    add("checkpoint", metavar="CHECKPOINT", help="as written by 'elbo-lab fit --checkpoint'")
    add("--data", metavar="NAME_OR_PATH", help="rows to encode (default: the fit's, all of them)")
    add("--view", metavar="VIEW", help="view of a data set (default: as fitted)")
    add("--label", metavar="COLUMN", help="column of the labels (default: as fitted)")
    add("--data-dir", metavar="DIR", help="where mnist's files are (also: ELBO_LAB_DATA)")
    add("--posterior", metavar="KIND", help="q, exact or hmc (default: q, or exact without one)")
    add("--draws", type=int, default=0, metavar="T", help="draws of z for each row, as further columns")
    add("--rows", type=int, metavar="N", help="the first rows only (default: all)")
    add("--seed", type=int, default=0, metavar="N", help="reproduces draws and chains (default 0)")
    add("--out", metavar="FILE", default="codes.csv", help="CSV, a line for each row (default codes.csv)")
    add_force(parser)


def run(options: Namespace) -> None:
    """Encode, write, print."""
    from elbo_lab.cli.screen import finish, saved
    from elbo_lab.fitting import encode
    from elbo_lab.fitting.checkpoints import Checkpoint
    from elbo_lab.fitting.encode_model import CSV, Encoding
    from elbo_lab.progress import followed
    from elbo_lab.report import number_text

    plan = planned(options, "checkpoint")
    if options.data is None:
        plan.reads("--data", Checkpoint.load(options.checkpoint).data_file)
    plan.writes("--out", options.out, CSV)
    with followed(None, lines=True) as progress:
        found: Encoding = encode(**arguments_of(encode, options), progress=progress)

    def show(console: "Console") -> None:
        n_rows, n_latent = found.mean.shape
        rows, columns = (
            f"{count} {word}{'' if count == 1 else 's'}"
            for count, word in ((n_rows, "row"), (n_latent, "column"))
        )
        console.print(f"{found.model}, {found.data}: {rows}, {columns} of z", highlight=False)
        console.print(f"z given x: {found.how}", highlight=False)
        if found.diagnostics:
            acceptance, r_hat, size = (
                found.diagnostics[name] for name in ("acceptance", "r_hat", "effective_sample_size")
            )
            console.print(f"accepted moves: lowest share {number_text(acceptance.min())}", highlight=False)
            above = int((r_hat > HIGH_R_HAT).sum())
            words = f"R-hat: largest {number_text(r_hat.max())}, above {HIGH_R_HAT} in {above} rows"
            console.print(words, highlight=False)
            console.print(f"effective sample size: least {number_text(size.min())}", highlight=False)

    finish(plan.taken, [saved(options.out, found.to_csv)], show)
