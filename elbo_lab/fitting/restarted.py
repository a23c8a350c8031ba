"""Whole trainings from several starts, of which the best is kept.

A training of a VAE ends at one of many optima, and which one is a matter of its start. With R restarts a fit
is R fits, with the seeds SEED, SEED + 1, ..., and the result is that of the greatest value of what was
maximised on the training rows. Its parts are those of the fit with the winning seed alone, bit for bit, so
that this fit can be repeated with a checkpoint.

The values are the closing numbers on all training rows, and not the last minibatches; the best of R noisy
values is a little too high. An objective that climbs no one function (wake-sleep) is judged by its ELBO. A
training that diverges counts as lost, unless all do.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from elbo_lab.errors import Diverged, Stopped, bad_value
from elbo_lab.fitting.methods import Settings
from elbo_lab.fitting.result import FitResult

# The closing number that is compared: the first of them that a fit has.
MAXIMISED = ("bound_per_datum", "beta_objective_per_datum", "elbo_per_datum")


def check_restarts(restarts: int, files: dict[str, Any]) -> None:
    """Refuse files of one training beside several of them.

    Raises
    ------
    ValueError
    """
    given = next((name for name, value in files.items() if value is not None), None)
    if given is not None:
        remedy = "leave it out, then repeat the fit with the seed that has won"
        raise bad_value(given, f"no value with {restarts} restarts", repr(str(files[given])), remedy)


def best_of_restarts(run: Callable[..., FitResult], asked: Settings, settings: Settings) -> FitResult:
    """Return the fit with the greatest value of what was maximised, its closing numbers with those of all.

    Parameters
    ----------
    run : callable
        Fits with options by name.
    asked : dict
        The options that were asked for.
    settings : dict
        The same with all defaults: `seed` is the first of the seeds, `restarts` their number.
    """
    seeds = range(settings["seed"], settings["seed"] + settings["restarts"])
    ended: dict[int, FitResult] = {}
    for start, seed in enumerate(seeds):
        try:
            ended[seed] = run(**(asked | {"seed": seed, "restarts": 1}))
        except Diverged:
            if start == len(seeds) - 1 and not ended:
                raise  # none is left to keep
        except Stopped:
            raise Stopped(f"interrupted in training {start + 1} of {len(seeds)}; nothing is kept") from None
    values = {seed: maximised(fit.final) for seed, fit in ended.items()}
    best, *others = sorted(values, key=lambda seed: -values[seed])
    lead = f", {values[best] - values[others[0]]:.3g} nats per datum above the next" if others else ""
    stopped = f"{ended[best].stopped}; seed {best} ended best of {len(seeds)}{lead}"
    told = {"starts": len(seeds), "best_seed": best, "start_values": [values.get(seed) for seed in seeds]}
    return replace(ended[best], stopped=stopped, final=ended[best].final | {"stopped": stopped} | told)


def maximised(final: dict[str, Any]) -> float:
    """Return the closing value of what was maximised, in nats per datum, with that of a prior over theta."""
    value = next(final[key] for key in MAXIMISED if key in final)
    return float(value + final.get("log_prior", 0.0) / final["rows"])
