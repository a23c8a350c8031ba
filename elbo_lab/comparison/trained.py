"""The scene of a fit: theta, q and data of a checkpoint in place of a model fitted for the comparison.

Everything of a comparison applies to it: exact answers, tests of bias, variances, figures. What differs is
where theta and q stand: wherever the training has got to.
"""

import os
from dataclasses import dataclass
from os import PathLike
from typing import Any

from elbo_lab.comparison.pipeline import Data, check_size
from elbo_lab.datasets import Dataset, load_for
from elbo_lab.distributions import NoiseSource
from elbo_lab.errors import NotApplicable, bad_value, check_count, columns_by_name, unknown_name
from elbo_lab.evaluation import Fitted
from elbo_lab.posteriors import FreePosterior
from elbo_lab.registry import Latent, ModelChoice, find_model, find_models
from elbo_lab.study.scene import DEFAULT_ROWS, PLACES, Scene, check_compared, trained_scene

Place = str | PathLike[str] | Fitted


@dataclass(frozen=True, eq=False)
class Trained:
    """Where a fit has got to: what gives a comparison its scene, as `pipeline.Placement` does.

    Attributes
    ----------
    choice : ModelChoice
        The model of the fit.
    fitted : Fitted
    data : Dataset
        The rows of the fit, or others.
    rows : int or None
        How many of them are compared, by a seeded permutation; None means 32, or all if there are fewer.
    seed : int
    source : NoiseSource
    checkpoint : str or None
        The file of the fit.
    """

    choice: ModelChoice
    fitted: Fitted
    data: Dataset
    rows: int | None
    seed: int
    source: NoiseSource
    checkpoint: str | None = None

    @property
    def posterior(self) -> str:
        """The q of the fit as `posterior` of a comparison names it."""
        model, q = self.fitted.model, self.fitted.posterior
        assert q is not None, "checked in the beginning"
        return q.name if q.family == model.posterior_family else f"{q.name}:{q.family.name}"

    def scene(self, choice: ModelChoice, draws: int) -> Scene:  # noqa: ARG002 - of one model
        """Return the scene for estimates of some draws."""
        model, table = self.fitted.model, self.data.x
        check_size(model, model.as_data(table), self.rows, draws)
        if model.global_latents:
            places = None
        else:
            count = min(DEFAULT_ROWS, len(table)) if self.rows is None else self.rows
            places = self.data.places(count, self.seed)
        problem = self.fitted.problem(model.as_data(table))
        return trained_scene(problem, self.data.name, places, self.seed, self.source)


def fit_of(at: Place | None) -> Place | None:
    """Return `at` if it is a fit or its file, None if it is a named place; ValueError if it is neither."""
    if at is None or (isinstance(at, str) and at in PLACES):
        return None
    if isinstance(at, str) and not os.path.exists(at) and not at.endswith(".npz"):
        raise unknown_name("at", at, PLACES, "or name the checkpoint of a fit")
    return at


def find_trained(
    at: Place,
    models: Any,
    data: Data | None,
    label: str | int | None,
    rows: int | None,
    seed: int,
    source: NoiseSource,
    argument: str = "at",
) -> Trained:
    """Return where the fit of a checkpoint has got to.

    Parameters
    ----------
    at : path or Fitted
        The file of a checkpoint, a FitResult, or a model with its q.
    models : str, Model, or list of them, or None
        What `compare` was asked for: the model of the fit, or nothing.
    data : optional
        Other rows than those of the fit.
    label : optional
        Their column of labels.
    rows, seed : int
    source : NoiseSource
    argument : str
        That gave the fit.
    """
    from elbo_lab.fitting.checkpoints import load_stored  # the room of fits is heavy

    checkpoint = None if isinstance(at, Fitted) else str(at)
    fitted = at if isinstance(at, Fitted) else load_stored(at, argument)
    choice = find_model(fitted.model, argument)
    if models is not None:
        _check_model(choice, models)
    if fitted.posterior is None or fitted.phi is None:
        reason = f"{choice.label} was fitted without a q, and estimators draw from one"
        raise NotApplicable(f"{argument}: {reason}; fit it with method vae")
    check_compared(choice)
    dataset = _rows_of(fitted, checkpoint, data, label)
    if rows is not None:
        if fitted.model.global_latents:
            raise bad_value("rows", f"no value for {choice.label}, whose one datum is the whole table", rows)
        check_count("rows", rows)
        dataset.places(rows, seed)  # refuses too many
    return Trained(choice, fitted, dataset, rows, seed, source, checkpoint)


def check_own(
    trained: Trained, posterior: str, latent: Latent | None, categories: int | None, latent_prior: str | None
) -> None:
    """Refuse a q, a prior, or a number of latents or categories beside a fit, which has its own."""
    if latent_prior is not None:
        raise bad_value("latent_prior", "no value beside a fit, which has its prior", repr(latent_prior))
    if posterior not in (FreePosterior.name, trained.posterior):
        raise bad_value("posterior", f"{trained.posterior} as in the fit, or nothing", repr(posterior))
    if latent is not None and latent != trained.fitted.model.latent_option:
        raise bad_value("latent", f"{trained.fitted.model.latent_option} as in the fit, or nothing", latent)
    own = getattr(trained.fitted.model, "n_categories", None)
    if categories not in (None, own):
        expected = (
            "no value for a fit without categories" if own is None else f"{own} as in the fit, or nothing"
        )
        raise bad_value("categories", expected, categories)


def _check_model(choice: ModelChoice, models: Any) -> None:
    """Refuse models other than that of the fit."""
    asked = find_models(models)
    if not any((one.kind, one.variant) == (choice.kind, choice.variant) for one in asked):
        got = ", ".join(one.label for one in asked)
        raise bad_value("models", f"{choice.label} as in the checkpoint, or nothing", got)


def _rows_of(fitted: Fitted, checkpoint: str | None, data: Data | None, label: str | int | None) -> Dataset:
    """Return the data set of a fit, or the one that was given in its place."""
    from elbo_lab.fitting.checkpoints import Stored, fingerprint
    from elbo_lab.fitting.evaluate_model import training_rows
    from elbo_lab.fitting.final import as_table
    from elbo_lab.fitting.result import FitResult

    if isinstance(fitted, Stored):
        return training_rows(fitted, checkpoint or "", data, label)
    train = fitted.train if isinstance(fitted, FitResult) else None
    if data is None:
        if train is None:
            raise bad_value("data", "rows beside a fitted model without a record", "none", "give them")
        return train
    model = fitted.model
    dataset = as_table(type(model), load_for(model.natural_views, data, label=label))
    if fitted.posterior is not None and fitted.posterior.needs_all_rows:
        if train is not None and fingerprint(dataset) != fingerprint(train):
            expected = "the very rows that the free table was made for"
            raise bad_value("data", expected, dataset.name, "fit an encoder (--posterior amortised)")
    with columns_by_name(dataset.columns):
        model.check_support(dataset.x)
    return dataset
