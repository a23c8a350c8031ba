"""Two stages in one call, and several seeds of one fit.

`fit_second_stage` fits a model to the latents of a fitted one (see `evaluation.second_stage`); `fit_seeds`
repeats a fit, since a training need not find the optimum: what it found is told by the seeds beside the best.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from elbo_lab.errors import bad_value
from elbo_lab.evaluation import TwoStage
from elbo_lab.fitting.fit_model import fit
from elbo_lab.fitting.latents import latents_table
from elbo_lab.fitting.result import FitResult
from elbo_lab.models import Model


def fit_second_stage(
    first: FitResult, model: str | type[Model] | Model = "deep-gaussian:fixed", **options: Any
) -> TwoStage:
    """Fit a model to the latents of a fit, and return both stages.

    Parameters
    ----------
    first : FitResult
        Of the method vae, with an encoder and continuous latents.
    model : str, Model class or Model
        Of the second stage, as for `fit`: another VAE, or a model with an exact density such as
        'gaussian-mixture'.
    **options
        Of `fit`, such as `latent` and `epochs`.

    Returns
    -------
    TwoStage
        Its `second` is a FitResult.
    """
    latents = latents_table(first, first.train, first.settings["seed"])
    return TwoStage(first, fit(model, latents, **options))


@dataclass(frozen=True, eq=False)
class Seeds:
    """The same fit with several seeds.

    Attributes
    ----------
    runs : tuple of FitResult
    """

    runs: tuple[FitResult, ...]

    @property
    def best(self) -> FitResult:
        """The run with the highest ELBO of its training rows."""
        return max(self.runs, key=_elbo)

    @property
    def rows(self) -> list[dict[str, float]]:
        """Per seed: noise of the decoder, active units, ELBO in nats per datum, what the best has more."""
        best = _elbo(self.best)
        return [
            {
                "seed": run.settings["seed"],
                "sigma": run.final["decoder_noise"]["sigma"],
                "active_units": run.final["active_units"],
                "elbo": _elbo(run),
                "below_best": best - _elbo(run),
            }
            for run in self.runs
        ]

    def table(self) -> str:
        """Return the rows as lines of text, the best one marked."""
        lines = ["seed   sigma    active units   ELBO per datum, nats"]
        for row in self.rows:
            mark = "  best" if row["below_best"] == 0 else ""
            units = f"{row['active_units']} of {self.best.model.latent_dim}"
            lines.append(f"{row['seed']:<6} {row['sigma']:<8.4f} {units:<14} {row['elbo']:.3f}{mark}")
        return "\n".join(lines)


def _elbo(run: FitResult) -> float:
    return float(run.final["elbo_per_datum"])


def fit_seeds(
    model: str | type[Model] | Model, data: Any, *, seeds: Sequence[int] = range(5), **options: Any
) -> Seeds:
    """Fit a Gaussian decoder with one learned noise once for each seed.

    Parameters
    ----------
    model : str, Model class or Model
        Of the kind deep-gaussian:fixed.
    data : str, path, array (N, D) or Dataset
    seeds : sequence of int
    **options
        Of `fit`, the same for all.

    Returns
    -------
    Seeds
    """
    if not len(seeds):
        raise bad_value("seeds", "at least one", "none")
    runs = Seeds(tuple(fit(model, data, seed=seed, **options) for seed in seeds))
    if "sigma" not in runs.runs[0].final.get("decoder_noise", {}):
        raise bad_value("model", "one of the kind deep-gaussian:fixed", runs.runs[0].settings["model"])
    return runs
