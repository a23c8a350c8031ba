"""elbo-lab compare: the main job."""

from argparse import ArgumentParser, Namespace
from functools import cache, partial
from typing import TYPE_CHECKING

from elbo_lab.cli.options import (
    add_force,
    add_measuring,
    arguments_of,
    check_backend,
    names_in,
    planned,
    planned_figures,
)
from elbo_lab.errors import bad_value, unknown_name

if TYPE_CHECKING:
    from rich.console import Console

HELP = "estimators against exact answers: a story of six models, or tables"
DESCRIPTION = """Without a model: six models, three questions, one screen. With models, or --full: tables.
The report, elbo-lab-report/index.html, has figures and all numbers."""
EXAMPLES = """examples:
  elbo-lab compare                                   six models in one screen
  elbo-lab compare ppca --quick                      one model: 8 rows, 200 repeats
  elbo-lab compare --full                            all models, estimators and targets
  elbo-lab compare ppca --target grad-phi-elbo --sort variance
  elbo-lab compare deep-bernoulli --only REINFORCE,reparameterization --columns variance,snr
  elbo-lab compare ppca gaussian-mixture:full --json out.json --no-report
  elbo-lab compare ppca --at exact                   q at the exact posterior
  elbo-lab compare --at vae.npz                      theta, q and data of a fit
  elbo-lab compare --along kept                      at every kept checkpoint of a fit
  elbo-lab compare ppca --noise sobol --draws 16     evenly spread draws
  elbo-lab compare deep-bernoulli --posterior full   q with full covariance
  elbo-lab compare ppca --against reparameterization ratios of variances
  elbo-lab compare ppca --quick --power 0.05         repeat blind rows
  elbo-lab compare gaussian-mixture --data mine.csv --latent 3
"""

QUICK = {"rows": 8, "repeats": 200}
FULL = {"rows": None, "repeats": 1000}
FOLDER = "elbo-lab-report"


def add_options(parser: ArgumentParser) -> None:
    """Add the options of this subcommand."""
    add = parser.add_argument
    power = "repeat blind rows until a bias of P (0.05: 5 percent) would be found, at most 100 times as often"
    noise = "draws of one estimate: independent (default), antithetic (mirrored pairs) or sobol"
    add(
        "models",
        nargs="*",
        metavar="MODEL",
        help="names from 'elbo-lab list'; six models, told as a story, if none",
    )
    add("--model", metavar="A,B", help="the same")
    add(
        "--target",
        metavar="A,B",
        help="what is estimated: grad-phi-elbo, grad-theta-elbo, elbo, ...; all if not given",
    )
    add("--only", metavar="A,B", help="estimators: names or titles separated by commas; all if not given")
    add("--estimators", metavar="A,B", help="the same")
    add("--sort", metavar="COLUMN", help="order of the rows: variance, snr, time, ...; best first")
    add("--columns", metavar="A,B", help="of the tables, in this order; what fits if not given")
    add_measuring(parser)
    add("--categories", type=int, metavar="C", help="of each latent of a categorical-vae (default 4)")
    add("--label", metavar="COLUMN", help="column of the data with the labels, by name or number from 0")
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
    place = (
        "q: near (default: off on purpose), start (the prior) or exact; or a checkpoint: theta and q of a fit"
    )
    add("--at", metavar="PLACE", help=place)
    add(
        "--along", metavar="DIR", help="at every checkpoint that 'fit --keep DIR' kept: where the order flips"
    )
    add("--noise", default="independent", metavar="KIND", help=noise)
    add("--against", metavar="NAME", help="an estimator: how the variance of all others relates to its own")
    add("--power", type=float, metavar="P", help=power)
    add("--repeats", type=int, metavar="R", help="estimates per row, at least 2 (default 1000; story 300)")
    add("--full", action="store_true", help="all models, estimators and targets as tables")
    add("--quick", action="store_true", help="8 rows (all, if there are fewer) and 200 repeats unless given")
    add("--json", metavar="FILE", help="write all rows and settings")
    add("--csv", metavar="FILE", help="write all rows")
    add("--report", default=FOLDER, metavar="DIR", help=f"folder of the HTML report (default {FOLDER})")
    add("--no-report", dest="report", action="store_const", const=None, help="no report, and no figures")
    add("--figures", default="story", metavar="WHICH", help="story (the main ones, default), all or none")
    add("--out", metavar="DIR", help="folder for the same figures as PNG and SVG files")
    add_force(parser)


SIZES = ("draws", "repeats", "rows", "seed")
ALL_MODELS = ["These options ask for tables, here of all models (the story: elbo-lab compare)."]
# Options that ask for something else than the story.
TABLES = "models model full target only estimators sort columns data label latent at against power".split()
TABLES += ["categories", "along", "latent_prior"]


def _is_story(options: Namespace) -> bool:
    """Tell whether the story is asked for: no model, and nothing that only tables have."""
    usual = (options.posterior, options.noise) == ("free", "independent")
    return usual and not any(getattr(options, name) for name in TABLES)


# Options that a comparison along a training does not use, with their values if they are not given.
NOT_ALONG = {
    "at": None,
    "latent": None,
    "categories": None,
    "latent_prior": None,
    "posterior": "free",
    "against": None,
    "power": None,
    "sort": None,
    "columns": None,
    "full": False,
    "csv": None,
    "figures": "story",
}


def run_along(options: Namespace) -> None:
    """Compare along a training, write, print."""
    from elbo_lab.cli.screen import STANDARD_ERROR, finish, saved
    from elbo_lab.comparison.along import JSON, compare_along, figure_name
    from elbo_lab.estimators.targets import TARGETS
    from elbo_lab.processes import end_workers
    from elbo_lab.progress import followed
    from elbo_lab.registry import ESTIMATORS
    from elbo_lab.report import print_lines

    for name, unasked in NOT_ALONG.items():
        if getattr(options, name) != unasked:
            raise bad_value(f"--{name}", "no value beside --along", repr(getattr(options, name)))
    plan = planned(options)
    plan.writes("--json", options.json, JSON)
    planned_figures(plan, options.out, [figure_name(target) for target in TARGETS])
    arguments = arguments_of(compare_along, options)
    for name, usual in (QUICK if options.quick else FULL).items():
        if arguments[name] is None:
            arguments[name] = usual
    titles = [one.title for one in ESTIMATORS.loaded()]
    asked = [names_in(f"--{name}", getattr(options, name), titles) or [] for name in ("only", "estimators")]
    arguments["estimators"] = [*asked[0], *asked[1]] or None
    arguments["targets"] = names_in("--target", options.target) or "grad-phi-elbo"
    arguments["models"] = [*options.models, *(names_in("--model", options.model) or [])] or None
    with followed(None, lines=STANDARD_ERROR not in plan.taken) as progress:
        result = compare_along(options.along, **arguments, progress=progress)

    def figures() -> str:
        names = [] if options.out is None else result.write_figures(options.out)
        return f"{options.out}/ ({', '.join(names)}; PNG and SVG)" if names else ""

    def show(console: "Console") -> None:
        print_lines(result.lines(console.width), console)

    finish(plan.taken, [saved(options.json, result.to_json), figures], show)
    end_workers()


def run(options: Namespace) -> None:
    """Compare, write, print."""
    if options.along is not None:
        run_along(options)
        return
    from elbo_lab.cli.screen import STANDARD_ERROR, finish, saved, screen
    from elbo_lab.comparison import compare, story
    from elbo_lab.comparison.result import CHOICES, CSV, JSON, figure_names
    from elbo_lab.comparison.story import REPEATS, TITLE, subject
    from elbo_lab.comparison.trained import fit_of
    from elbo_lab.datasets import load
    from elbo_lab.processes import end_workers
    from elbo_lab.progress import followed
    from elbo_lab.registry import ESTIMATORS, all_estimators, find_estimators, find_models
    from elbo_lab.report import caution_lines, comparison_lines, dash_of, print_lines
    from elbo_lab.report.columns import check_columns
    from elbo_lab.report.page import KIND, PAGE
    from elbo_lab.report.story import print_head, print_story
    from elbo_lab.study.statistics import INSTALL

    if options.figures not in CHOICES:
        raise unknown_name("figures", options.figures, CHOICES)
    shown = names_in("--columns", options.columns), options.sort
    check_columns(*shown)
    plan = planned(options, "--at")
    plan.writes("--json", options.json, JSON)
    plan.writes("--csv", options.csv, CSV)
    planned_figures(plan, options.out, figure_names({estimator.target for estimator in all_estimators()}))
    plan.fills("--report", options.report, [(PAGE, KIND)])
    if options.report is not None:
        check_backend()
    told = _is_story(options)
    arguments = arguments_of(story if told else compare, options)
    full = FULL | {"repeats": REPEATS} if told else FULL
    for name, usual in (QUICK if options.quick else full).items():
        if arguments[name] is None:
            arguments[name] = usual
    if not told:
        more = names_in("--model", options.model) or []
        if more:
            find_models(more, "model")  # a mistake in these is told by their own name
        arguments["models"] = [*options.models, *more] or None
        arguments["targets"] = names_in("--target", options.target)
        titles = [one.title for one in ESTIMATORS.loaded()]
        only = names_in("--only", options.only, titles) or []
        if only:
            find_estimators(only, "only")
        arguments["estimators"] = [
            *only,
            *(names_in("--estimators", options.estimators, titles) or []),
        ] or None
    if options.quick and options.rows is None and options.data is not None:
        # No table is too small for --quick.
        arguments["rows"] = min(QUICK["rows"], len(load(options.data, label=options.label).x))

    @cache
    def show_head() -> None:
        with screen(plan.taken) as console:
            if told:
                print_head(TITLE, subject(*(arguments[name] for name in SIZES)), console)
            elif not (arguments["models"] or options.full or fit_of(options.at)):
                print_lines(ALL_MODELS, console)

    with followed(None, lines=STANDARD_ERROR not in plan.taken) as progress:

        def begun(done: float, total: float, step: str) -> None:
            show_head()  # at the first call, when the arguments are known to be right
            progress(done, total, step)

        result = (story if told else compare)(**arguments, progress=begun)

    def figures(folder: str) -> str:
        with followed(None, lines=STANDARD_ERROR not in plan.taken) as progress:
            names = result.write_figures(folder, progress, options.figures)
        return f"{folder}/ ({', '.join(names)}; PNG and SVG)" if names else ""

    def report(folder: str) -> str:
        with followed(None, lines=STANDARD_ERROR not in plan.taken) as progress:
            return result.report(folder, progress, options.figures)

    def show(console: "Console") -> None:
        if result.story is not None:
            print_story(result.story, console)
            return
        dash = dash_of(console)
        lines = comparison_lines(result.rows, result.settings, console.width, dash, *shown)
        print_lines([*lines, *caution_lines(result.rows, console.width)], console)
        if (options.json or options.csv) and result.settings["pareto_k"] is None:
            console.out("\nPareto k-hat is left out, arviz-stats is not installed:", INSTALL, highlight=False)

    files = [saved(options.json, result.to_json), saved(options.csv, result.to_csv)]
    files += [
        partial(write, folder)
        for write, folder in ((figures, options.out), (report, options.report))
        if folder
    ]
    finish(plan.taken, files, show)
    end_workers()
