"""elbo-lab fit: train a model on data."""

import json
import os
import textwrap
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from elbo_lab.cli.options import LAYERS, add_force, arguments_of, latent_sizes, planned, planned_figures
from elbo_lab.errors import bad_value

if TYPE_CHECKING:
    from elbo_lab.outputs import Plan

HELP = "fit a model: closed form, EM, gradient ascent, VAE"
DESCRIPTION = "Fit a model to data; print what was reached, write the record and figures."
EXAMPLES = r"""examples:
  elbo-lab fit gaussian-mixture --data faithful --components 2 --json out.json
  elbo-lab fit gaussian-mixture --data faithful --prior default
  elbo-lab fit gaussian-mixture --data faithful --components 6 --method variational-bayes
  elbo-lab fit ppca --data digits --latent 10
  elbo-lab fit factor-analysis --data digits --method gradient --epochs 200
  elbo-lab fit deep-bernoulli --data digits --latent 2 --out figures
  elbo-lab fit deep-gaussian --likelihood learned-variance --data digits --latent 2 --holdout 0.2 \
      --hidden 256 128 64 --batch 50 --epochs 200 --learning-rate 3e-3 --schedule cosine:5200 --patience 60
  elbo-lab fit deep-bernoulli --data mnist:dynamic --latent 20 --hidden 500 --epochs 10 --checkpoint vae.npz
  elbo-lab fit --resume vae.npz --epochs 20
  elbo-lab fit deep-bernoulli --data digits --latent 2 --epochs 20 --keep kept --keep-every 5
  elbo-lab fit deep-bernoulli --data digits --latent 10 --beta 4 --beta-schedule linear:900
  elbo-lab fit deep-bernoulli --data digits:dynamic --objective iwae --draws 10 --phi-estimator dreg
  elbo-lab fit deep-bernoulli --data digits --posterior flow
  elbo-lab fit sigmoid-belief --data digits:binary --method vae --objective wake-sleep
  elbo-lab fit deep-bernoulli --data digits --latent 3 --method monte-carlo-em --epochs 500
  elbo-lab fit gplvm --data digits --rows 500 --latent 2 --holdout 0.2 --out figures
  elbo-lab fit logistic-regression --data breast-cancer --holdout 0.2
  elbo-lab fit bayes-net --graph graph.json --data cells.csv
  elbo-lab fit categorical-mlp --data mine.csv --label species --holdout 0.2

--epochs is the total, also with --resume. Ctrl-C finishes the step, saves, and leaves with code 130.
"""

VARIANTS = {
    "bernoulli": ("deep-bernoulli", None),
    "fixed-variance": ("deep-gaussian", "fixed"),
    "optimal-variance": ("deep-gaussian", "optimal"),
    "learned-variance": ("deep-gaussian", "learned"),
    "full-covariance": ("deep-gaussian", "full"),
}


def defaults() -> str:
    """Return the defaults of the options as text, from the methods of fitting."""
    from elbo_lab.fitting.methods import METHODS, base, steps
    from elbo_lab.fitting.settings import option_name

    tables = {f"method {name}": method.options for name, method in METHODS.items()}
    tables["networks"] = base.NETWORK_OPTIONS
    tables |= {"continuous z": steps.ANALYTIC, "continuous z without a KL": steps.SAMPLED}
    tables |= {"categories and bits": steps.ANALYTIC | steps.WITHOUT_PATH}
    lines = ["defaults:"]
    for title, options in tables.items():
        given = {option_name(name): value for name, value in options.items() if value is not None}
        if given:
            text = "  ".join(f"{name} {_as_typed(value)}" for name, value in given.items())
            lines.append(f"  {title}")
            lines += [f"    {line}" for line in textwrap.wrap(text, 74, break_on_hyphens=False)]
    return "\n".join(lines) + "\n"


def _as_typed(value: object) -> object:
    return " ".join(map(str, value)) if isinstance(value, tuple) else value


def add_options(parser: ArgumentParser) -> None:
    """Add the options of this subcommand."""
    add = parser.add_argument
    add("model", nargs="?", metavar="MODEL", help="from 'elbo-lab list'")
    add("--method", metavar="NAME", help="as in 'elbo-lab list' (default: the first that fits)")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--latent", type=latent_sizes, metavar="K", help=f"latent dimensions; {LAYERS}")
    size.add_argument("--components", type=int, metavar="K", help="components of a mixture")
    add("--categories", type=int, metavar="C", help="of each latent of a categorical-vae (default 4)")
    add("--covariance", metavar="KIND", help="of a mixture: spherical, diagonal, full (default)")
    add(
        "--likelihood",
        metavar="KIND",
        help="bernoulli, fixed-, optimal- or learned-variance, full-covariance",
    )
    add(
        "--graph", metavar="FILE", help="of bayes-net: its variables as JSON, or sprinkler, alarm, greenhouse"
    )
    add = parser.add_argument_group("data").add_argument
    add(
        "--data",
        metavar="NAME_OR_PATH",
        help="a name of 'elbo-lab list'; a CSV, NPY or NPZ file; latents:CHECKPOINT for a second stage",
    )
    add("--view", metavar="VIEW", help="view of a data set, as in digits:binary")
    add(
        "--label", metavar="COLUMN", help="column of the labels, by name or number from 0 (words are allowed)"
    )
    add("--data-dir", metavar="DIR", help="where mnist's files are (also: ELBO_LAB_DATA)")
    add("--rows", type=int, metavar="N", help="only N rows of the data, the same for every seed")
    add("--holdout", type=float, metavar="F", help="share of the rows to hold out (default: none)")
    add = parser.add_argument_group("parameters").add_argument
    add("--hold", action="append", metavar="NAME=VALUE", help="keep parameters, as log_sigma=0 (repeatable)")
    add(
        "--prior",
        metavar="SPEC",
        help="MAP: default, flat, or numbers as in dirichlet=2,nu=5 (default: none, maximum likelihood)",
    )
    add = parser.add_argument_group("networks").add_argument
    add("--hidden", type=int, nargs="+", metavar="H", help="hidden widths from the data's side")
    add("--encoder-hidden", type=int, nargs="+", metavar="H", help="those of the encoder, if others")
    add("--decoder-hidden", type=int, nargs="+", metavar="H", help="those of the decoder, if others")
    add("--network", metavar="KIND", help="mlp, or conv: convolutions beside the data, for images")
    add("--encoder-network", metavar="KIND", help="that of the encoder, if another")
    add("--decoder-network", metavar="KIND", help="that of the decoder, if another")
    add("--channels", type=int, nargs="+", metavar="C", help="of conv, from the data's side (32 64)")
    add("--activation", metavar="NAME", help="tanh, relu, softplus")
    add(
        "--latent-prior",
        metavar="FAMILY",
        help="p(z) of a deep model: laplace, gamma, ... (default: N(0, I))",
    )
    add("--dtype", metavar="TYPE", help="float32 or float64")
    add = parser.add_argument_group("steps").add_argument
    add("--epochs", type=int, metavar="E", help="passes over the data, in all; of em: iterations")
    add("--batch", type=int, metavar="B", help="rows of a minibatch")
    add("--optimizer", metavar="NAME", help="adam, adamw, rmsprop, adagrad, sgd, sgd:0.9; rmsprop(decay=0.9)")
    add("--learning-rate", type=float, metavar="R", help="step size")
    add("--schedule", metavar="NAME", help="constant, cosine:STEPS, exponential:STEPS, robbins-monro:STEPS")
    add("--clip", type=float, metavar="NORM", help="gradient clipping: largest norm over theta and phi")
    add("--patience", type=int, metavar="P", help="stop early, watching a tenth of the training rows")
    add("--stop-within", type=float, metavar="DELTA", help="stop when at most DELTA nats are left to gain")
    add("--stop-confidence", type=float, metavar="C", help="probability of no false stop (default 0.95)")
    add("--evaluate-every", type=int, metavar="E", help="epochs between rows of the history")
    add = parser.add_argument_group("q and what is maximised (vae, svi)").add_argument
    add("--objective", metavar="NAME", help="of vae: elbo, iwae, wake-sleep and others, see 'elbo-lab list'")
    add("--beta", type=float, metavar="B", help="weight of the KL to the prior (default 1: the ELBO)")
    add("--beta-schedule", metavar="NAME", help="constant, or linear:STEPS (KL warm-up): from 0 to beta")
    add("--temperature-schedule", metavar="NAME", help="of a relaxation: exponential:1:0.1:2000, or linear")
    add("--posterior", metavar="Q", help="a map (amortised or free), a family (laplace, full), or MAP:FAMILY")
    add("--theta-estimator", metavar="NAME", help="of the objective, from 'elbo-lab list'")
    add("--phi-estimator", metavar="NAME", help="of the objective, from 'elbo-lab list'")
    add("--draws", type=int, metavar="S", help="draws of z per datum and step")
    add("--noise", metavar="KIND", help="of a step: independent, antithetic, sobol, sobol(scrambles=4)")
    add("--phi-learning-rate", type=float, metavar="R", help="step size of phi, if another")
    add("--phi-step", metavar="KIND", help="gradient, or natural: natural-gradient steps of a free q")
    add("--phi-steps", type=int, metavar="M", help="alternate: M steps of phi, then one of theta")
    add("--gap-rows", type=int, metavar="N", help="record exact log p, ELBO and KL on N training rows")
    add("--watch", metavar="A,B", help="estimators whose variance in phi is recorded, and not followed")
    add = parser.add_argument_group("EM; starts also of vae").add_argument
    add("--restarts", type=int, metavar="R", help="starts, the best is kept (mixture: 10, vae: 1)")
    add("--tolerance", type=float, metavar="T", help="least rise, nats per datum")
    add(
        "--floor",
        type=float,
        metavar="V",
        help="least variance (default 1e-6 of the mean column variance; of a decoder 1e-4)",
    )
    add = parser.add_argument_group("Monte Carlo EM").add_argument
    add("--chains", metavar="KIND", help="persistent or cold")
    add("--moves", type=int, metavar="T", help="moves of an E-step (persistent 1, cold 10)")
    add("--leapfrog", type=int, metavar="L", help="leapfrog steps of a move")
    add("--theta-steps", type=int, metavar="M", help="steps of theta after each E-step (default 1)")
    add = parser.add_argument_group("gplvm").add_argument
    add("--n-inducing", type=int, metavar="M", help="inducing points (50; linear: as many as latents)")
    add = parser.add_argument_group("run").add_argument
    add("--seed", type=int, metavar="N", help="reproduces everything but seconds (default 0)")
    add("--threads", type=int, metavar="T", help="changes nothing but the time (default: all cores)")
    add("--checkpoint", metavar="FILE", help="keep the state in a new file, every epoch and every 10 s")
    add("--keep", metavar="DIR", help="keep a checkpoint of its own every so many epochs, in this folder")
    add("--keep-every", type=int, metavar="E", help="epochs between two of these; for 'compare --along DIR'")
    add("--resume", metavar="FILE", help="go on from a checkpoint, and keep the state there")
    add("--json", metavar="FILE", help="write settings, history, parameters, final")
    add("--scores", metavar="FILE", help="write log p(x) of every row, exact or sampled, with its ELBO (CSV)")
    add("--out", metavar="DIR", help="write figures")
    add_force(parser)


def model_name(name: str | None, covariance: str | None, likelihood: str | None) -> str | None:
    """Return the model with its variant from MODEL, --covariance and --likelihood."""
    if covariance is not None:
        from elbo_lab.models import GaussianMixture

        if name is None:
            name = GaussianMixture.name  # as a resumed checkpoint must be
        if name.partition(":")[0] != GaussianMixture.name:
            raise bad_value("--covariance", f"no value but for {GaussianMixture.name}", repr(covariance))
        if covariance not in GaussianMixture.variants:
            expected = f"one of {', '.join(map(str, GaussianMixture.variants))}"
            raise bad_value("--covariance", expected, repr(covariance))
        return _with_variant(name, GaussianMixture.name, covariance, "--covariance")
    if likelihood is None:
        return name
    if likelihood not in VARIANTS:
        raise bad_value("--likelihood", f"one of {', '.join(VARIANTS)}", repr(likelihood))
    kind, variant = VARIANTS[likelihood]
    if name is not None and name.partition(":")[0] != kind:
        raise bad_value("--likelihood", f"one that {name} has", repr(likelihood), f"use {kind}")
    return _with_variant(name, kind, variant, "--likelihood") if variant else kind


def _with_variant(name: str | None, kind: str, variant: str, option: str) -> str:
    """Return kind:variant, or refuse a name that already has another variant."""
    named = (name or "").partition(":")[2]
    if named not in ("", variant):
        raise bad_value(option, f"no other variant than that of {name}", repr(variant), "name one")
    return f"{kind}:{variant}"


def latent_size(
    name: str | None, latent: int | tuple[int, ...] | None, components: int | None
) -> int | tuple[int, ...] | None:
    """Return the latent size from --latent or, for a mixture, --components."""
    if components is None:
        return latent
    if name is not None and name.partition(":")[0] != "gaussian-mixture":
        remedy = "latent dimensions are --latent"
        raise bad_value("--components", f"no value for {name}, which is no mixture", components, remedy)
    return components


def held_values(pairs: list[str] | None) -> dict[str, object] | None:
    """Return {name: number or list} of the values of --hold, or None without any."""
    if pairs is None:
        return None
    values: dict[str, object] = {}
    for pair in pairs:
        name, equals, text = pair.rpartition("=")
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        numbers = isinstance(value, (int, float, list)) and not isinstance(value, bool)
        if not (equals and name.strip() and numbers):
            expected = "NAME=VALUE with a number or a list of numbers, as in log_sigma=0 or b=[1.5,2]"
            raise bad_value("--hold", expected, repr(pair))
        if name.strip() in values:
            raise bad_value("--hold", "every parameter once", f"{name.strip()} twice")
        values[name.strip()] = value
    return values


def plan_of(options: Namespace) -> "Plan":
    """Return the plan of all files of a fit."""
    from elbo_lab.files import ARRAYS
    from elbo_lab.fitting.checkpoints import Checkpoint
    from elbo_lab.fitting.result import JSON, side_file
    from elbo_lab.fitting.scores import CSV
    from elbo_lab.report.questions import OF_FITS

    plan = planned(options)
    plan.reads("--graph", options.graph)
    kept, resume = options.checkpoint, options.resume
    if resume is not None:
        if options.data is None:
            plan.reads("--data", Checkpoint.load(resume, "resume").data_file)
        if kept is None or (os.path.exists(kept) and os.path.samefile(kept, resume)):
            kept = resume
        else:
            plan.reads("--resume", resume)
    plan.writes("--resume" if kept == resume else "--checkpoint", kept, None)
    plan.fills("--keep", options.keep, [])
    plan.writes("--json", options.json, JSON)
    if options.json is not None:
        plan.writes("--json", side_file(options.json), ARRAYS)
    plan.writes("--scores", options.scores, CSV)
    planned_figures(plan, options.out, OF_FITS)
    return plan


def run(options: Namespace) -> None:
    """Fit, write, print."""
    from elbo_lab.cli.interrupt import interrupts
    from elbo_lab.cli.screen import finish, saved
    from elbo_lab.fitting import fit
    from elbo_lab.fitting.settings import WIDTHS
    from elbo_lab.names import name_meant
    from elbo_lab.progress import followed
    from elbo_lab.registry import MODELS
    from elbo_lab.report.numbers import print_numbers

    plan = plan_of(options)
    name = None if options.model is None else name_meant(options.model, MODELS.loaded())
    arguments = arguments_of(fit, options)
    for widths in WIDTHS:
        arguments[widths] = None if arguments[widths] is None else tuple(arguments[widths])
    arguments["model"] = model_name(name, options.covariance, options.likelihood)
    arguments["hold"] = held_values(options.hold)
    arguments["latent"] = latent_size(name, options.latent, options.components)
    with interrupts() as asked, followed(None, lines=True) as tell:

        def progress(done: float, total: float, step: str) -> bool:
            tell(done, total, step)
            return asked()

        result = fit(**arguments, progress=progress)

    def record() -> str:
        return "" if options.json is None else ", ".join(map(str, result.to_json(options.json)))

    def figures() -> str:
        names = [] if options.out is None else result.write_figures(options.out)
        return f"{options.out}/ ({', '.join(names)}; PNG and SVG)" if names else ""

    files = [record, saved(options.scores, result.write_scores), figures]
    finish(plan.taken, files, lambda console: print_numbers(result, console))
