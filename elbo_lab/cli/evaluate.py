"""elbo-lab evaluate: judge a stored model on data."""

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from elbo_lab.cli.options import add_force, arguments_of, planned, planned_figures
from elbo_lab.errors import bad_value

if TYPE_CHECKING:
    from rich.console import Console

    from elbo_lab.outputs import Plan

HELP = "log-likelihood, ELBO and importance-sampled log p of a stored model"
DESCRIPTION = ""
FIGURE = "calibration"
CAPTION = (
    "Ranks of simulated z among draws of q: share below each rank less that of uniform ranks, and its band."
)
EXAMPLES = """examples:
  elbo-lab evaluate vae.npz                      on the data of the fit
  elbo-lab evaluate vae.npz --data mnist-test:dynamic --importance-samples 5000 --json out.json
  elbo-lab evaluate mixture.npz --data mine.csv
  elbo-lab evaluate vae.npz --calibration 1000 --out figures     is q the posterior? by data of the model
  elbo-lab evaluate kde.npz gaussian.npz mixture.npz histogram.npz     side by side on the same rows
"""


def add_options(parser: ArgumentParser) -> None:
    """Add the options of this subcommand."""
    add = parser.add_argument
    add(
        "checkpoint",
        nargs="+",
        metavar="CHECKPOINT",
        help="as written by 'elbo-lab fit --checkpoint'; several are compared row by row",
    )
    add(
        "--data",
        metavar="NAME_OR_PATH",
        help="data to judge it on (default: the fit's, held-out rows if any)",
    )
    add("--view", metavar="VIEW", help="view of a data set (default: as fitted)")
    add("--label", metavar="COLUMN", help="column of the labels (default: as fitted)")
    add("--data-dir", metavar="DIR", help="where mnist's files are (also: ELBO_LAB_DATA)")
    add("--importance-samples", type=int, default=5000, metavar="K", help="per datum (default 5000)")
    add("--calibration", type=int, metavar="N", help="judge q by N simulations whose z is known")
    add("--out", metavar="DIR", help="folder for the figure of --calibration")
    add("--rows", type=int, metavar="N", help="rows, by a seeded permutation (default: all)")
    add("--seed", type=int, default=0, metavar="N", help="reproduces the numbers (default 0)")
    add("--threads", type=int, metavar="T", help="changes nothing but the time (default: all cores)")
    add("--json", metavar="FILE", help="write settings and final numbers")
    add("--scores", metavar="FILE", help="write log p(x) of every row with its ELBO (CSV)")
    add_force(parser)


def _side_by_side(options: Namespace, plan: "Plan") -> None:
    """Evaluate several checkpoints, write, print."""
    from elbo_lab.cli.screen import finish, saved
    from elbo_lab.fitting import evaluate_together
    from elbo_lab.progress import followed
    from elbo_lab.report.standings import print_standings

    options.checkpoints = options.checkpoint
    with followed(None, lines=True) as progress:
        result = evaluate_together(**arguments_of(evaluate_together, options), progress=progress)
    files = [saved(options.json, result.to_json), saved(options.scores, result.write_scores)]
    finish(plan.taken, files, lambda console: print_standings(result, console))


def run(options: Namespace) -> None:
    """Evaluate, write, print."""
    from elbo_lab.cli.screen import finish, saved
    from elbo_lab.fitting import evaluate
    from elbo_lab.fitting.checkpoints import Checkpoint
    from elbo_lab.fitting.evaluate_model import JSON
    from elbo_lab.fitting.scores import CSV
    from elbo_lab.progress import followed
    from elbo_lab.report import print_lines, wrapped_texts
    from elbo_lab.report.numbers import number_table, remarks

    plan = planned(options)
    for path in options.checkpoint:
        plan.reads("checkpoint", path)
        if options.data is None:
            plan.reads("--data", Checkpoint.load(path).data_file)
    plan.writes("--json", options.json, JSON)
    plan.writes("--scores", options.scores, CSV)
    if options.out is not None and options.calibration is None:
        raise bad_value("--out", "a folder with --calibration", repr(options.out), "add --calibration 1000")
    if options.calibration is not None and len(options.checkpoint) > 1:
        raise bad_value("--calibration", "one checkpoint", len(options.checkpoint))
    planned_figures(plan, options.out, [FIGURE])
    if len(options.checkpoint) > 1:
        return _side_by_side(options, plan)
    [options.checkpoint] = options.checkpoint
    with followed(None, lines=True) as progress:
        result = evaluate(**arguments_of(evaluate, options), progress=progress)
    settings = result.settings

    def show(console: "Console") -> None:
        rows = "" if settings["part"] == "given" else f", {settings['part']} rows"
        console.print(
            f"{settings['fitted']['model']}, fitted to {settings['fitted']['data']}", highlight=False
        )
        console.print(number_table({f"{settings['data']}{rows}": result.final}))
        for remark in remarks(result.final):
            print_lines(wrapped_texts(remark, console.width), console)
        if result.calibration is not None:
            for line in result.calibration.lines():
                print_lines(wrapped_texts(line, console.width), console)

    def draw(folder: str) -> None:
        from elbo_lab.plots import plot_calibration, save_figure

        if result.calibration is not None:
            save_figure(plot_calibration(result.calibration).figure, folder, FIGURE, CAPTION)

    files = [saved(options.json, result.to_json), saved(options.scores, result.write_scores)]
    files.append(saved(options.out, draw))
    finish(plan.taken, files, show)
