"""Whole trainings from several starts, of which the best is kept.

A training of a VAE ends at one of many optima, and which one is a matter of its start. With R restarts a fit
is R fits, with the seeds SEED, SEED + 1, ..., and the result is that of the greatest value of what was
maximised on the training rows. Its parts are those of the fit with the winning seed alone, bit for bit, so
that this fit can be repeated with a checkpoint.

The values are the closing numbers, of many draws each, and not the last minibatches. The best of R noisy
values is a little too high; their standard errors are small beside what starts make.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from elbo_lab.errors import bad_value
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
    fits = [run(**(asked | {"seed": seed, "restarts": 1})) for seed in seeds]
    values = [next(fit.final[key] for key in MAXIMISED if key in fit.final) for fit in fits]
    # Nan would win.
    best = int(np.argmax(np.nan_to_num(values, nan=-np.inf)))
    lead = values[best] - max(value for start, value in enumerate(values) if start != best)
    of_all = f"seed {seeds[best]} ended best of {len(fits)}, {lead:.3g} nats per datum above the next"
    stopped = f"{fits[best].stopped}; {of_all}"
    told = {"stopped": stopped, "starts": len(fits), "best_seed": seeds[best], "start_values": values}
    return replace(fits[best], stopped=stopped, final=fits[best].final | told)
